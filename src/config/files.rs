//! The files that the configuration names: read and judged, so that a server and `check-config` see the same faults.

use std::path::Path;

use super::{Catalog as Files, Config, Fault};
use crate::http::ServerCertificate;
use crate::policy::catalog::Catalog;
use crate::policy::names::Names;
use crate::policy::weak_keys::WeakKeys;

/// What holds where there are no files at the usual places.
const BUILT_IN_CATALOG: &str = include_str!("../../config/catalog.toml");
const BUILT_IN_NAMES: &str = include_str!("../../config/names.toml");

impl Config {
    /// The product catalogue: read, and compared with what the configuration says of it.
    pub fn load_catalog(&self) -> Result<Catalog, Vec<Fault>> {
        let usual = Files::default();
        let name = self.catalog.products.display().to_string();
        let catalog = text_of(&self.catalog.products, &usual.products, BUILT_IN_CATALOG)
            .and_then(|text| Catalog::parse(&text).map_err(|faults| in_file(&name, faults)));
        let file = self.catalog.names.display().to_string();
        let names = text_of(&self.catalog.names, &usual.names, BUILT_IN_NAMES)
            .and_then(|text| Names::parse(&text).map_err(|faults| in_file(&file, faults)));
        let catalog = match (catalog, names, self.load_weak_keys()) {
            (Ok(catalog), Ok(names), Ok(weak_keys)) => catalog.with_names(names).with_weak_keys(weak_keys),
            (catalog, names, weak_keys) => {
                let faults = [catalog.err(), names.err(), weak_keys.err()];
                return Err(faults.into_iter().flatten().flatten().collect());
            }
        };
        let mut faults = Vec::new();
        let default = &self.acme.default_product;
        if catalog.product(default).is_none() {
            let reason = format!("there is no product \"{default}\", which acme.default_product names");
            faults.push(Fault::new(&name, "products", reason));
        }
        for product in catalog.products().filter(|product| !self.ca.issuers.contains(&product.issuer)) {
            let reason = format!("the issuer \"{}\" of \"{}\" is not one of ca.issuers", product.issuer, product.id);
            faults.push(Fault::new(&name, "products", reason));
        }
        if faults.is_empty() { Ok(catalog) } else { Err(faults) }
    }

    /// All files of `catalog.weak_keys` as one list, with the faults of all of them.
    fn load_weak_keys(&self) -> Result<WeakKeys, Vec<Fault>> {
        let (mut keys, mut faults) = (WeakKeys::default(), Vec::new());
        for path in &self.catalog.weak_keys {
            let name = path.display().to_string();
            let read = text(path).and_then(|text| WeakKeys::parse(&text).map_err(|faults| in_file(&name, faults)));
            match read {
                Ok(found) => keys = keys.merge(found),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }

    /// The certificate from elsewhere for the main listener; none if the server is to issue its own.
    pub fn load_server_certificate(&self) -> Result<Option<ServerCertificate>, Vec<Fault>> {
        let Some(tls) = &self.server.tls else { return Ok(None) };
        let file = |path: &Path, key: &str| {
            read(path)
                .map_err(|reason| vec![Fault::new(&path.display().to_string(), format!("server.tls.{key}"), reason)])
        };
        let (chain, key) = (file(&tls.certificate, "certificate")?, file(&tls.key, "key")?);
        match ServerCertificate::from_pem(&chain, &key) {
            Ok(certificate) => Ok(Some(certificate)),
            Err(error) => {
                let name = tls.certificate.display().to_string();
                Err(vec![Fault::new(&name, "server.tls", error.to_string())])
            }
        }
    }
}

/// The text of a file; the built-in one if it is the usual file and not there.
fn text_of(path: &Path, usual: &Path, built_in: &str) -> Result<String, Vec<Fault>> {
    if path == usual && !path.exists() {
        return Ok(built_in.to_owned());
    }
    text(path)
}

/// The text of a file.
fn text(path: &Path) -> Result<String, Vec<Fault>> {
    let told = |reason: String| vec![Fault::new(&path.display().to_string(), "", reason)];
    String::from_utf8(read(path).map_err(told)?).map_err(|_| told("the file is not UTF-8 text".to_owned()))
}

fn in_file(file: &str, faults: Vec<crate::policy::fault::Fault>) -> Vec<Fault> {
    faults.into_iter().map(|fault| Fault::new(file, fault.key, fault.reason)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))
}
