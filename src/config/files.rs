//! The files that the configuration names: read and judged, so that a server and `check-config` see the same faults.

use std::path::Path;

use super::{Catalog as Files, Config, Fault};
use crate::http::ServerCertificate;
use crate::policy::catalog::Catalog;

/// What is sold where there is no catalogue file at the usual place.
const BUILT_IN_CATALOG: &str = include_str!("../../config/catalog.toml");

impl Config {
    /// The product catalogue: read, and compared with what the configuration says of it.
    pub fn load_catalog(&self) -> Result<Catalog, Vec<Fault>> {
        let name = self.catalog.products.display().to_string();
        let text = self.catalog_text().map_err(|reason| vec![Fault::new(&name, "", reason)])?;
        let text = String::from_utf8(text).map_err(|_| vec![Fault::new(&name, "", "the file is not UTF-8 text")])?;
        let catalog = Catalog::parse(&text).map_err(|faults| {
            faults.into_iter().map(|fault| Fault::new(&name, fault.key, fault.reason)).collect::<Vec<_>>()
        })?;
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

    fn catalog_text(&self) -> Result<Vec<u8>, String> {
        let path = &self.catalog.products;
        if *path == Files::default().products && !path.exists() {
            return Ok(BUILT_IN_CATALOG.into());
        }
        read(path)
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))
}
