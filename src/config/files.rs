//! The files that the configuration names: read and judged, so that a server and `check-config` see the same faults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Catalog as Files, Config, Fault};
use crate::ca::Schedule as CaSchedule;
use crate::domain::certificate::hex32;
use crate::http::ServerCertificate;
use crate::policy::catalog::{Catalog, Demands, Product};
use crate::policy::names::Names;
use crate::policy::settings::Schedule;
use crate::policy::weak_keys::WeakKeys;
use crate::va::perspectives::settings::{BadFile, Mode};

/// What holds where there are no files at the usual places.
const BUILT_IN_CATALOG: &str = include_str!("../../config/catalog.toml");
const BUILT_IN_NAMES: &str = include_str!("../../config/names.toml");

/// The catalogue, and what it was read from.
#[derive(Debug)]
pub struct ReadCatalog {
    /// Products, names and all the rest.
    pub catalog: Catalog,
    /// The texts of all its files, one behind the other, of which the audit log keeps the digest.
    pub text: String,
    /// SHA-256 of each of them, and of the configuration, by its name, in hexadecimal digits.
    pub digests: BTreeMap<String, String>,
}

impl Config {
    /// Files of the catalogue in whose place the built-in text is taken, because they are the usual ones and not there.
    pub fn built_in_catalog(&self) -> Vec<PathBuf> {
        let usual = Files::default();
        let named = [(&self.catalog.products, usual.products), (&self.catalog.names, usual.names)];
        named
            .into_iter()
            .filter(|(path, usual)| *path == usual && !path.exists())
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// The product catalogue: read, and compared with what the configuration says of it.
    pub fn load_catalog(&self) -> Result<ReadCatalog, Vec<Fault>> {
        let usual = Files::default();
        let sm2_issuers: Vec<&String> = self.ca.sm2_families().collect();
        let demands = Demands {
            issuers: &self.ca.issuers,
            sm2_issuers: &sm2_issuers,
            default_product: &self.acme.default_product,
        };
        let products = Source::read(&self.catalog.products, Some((&usual.products, BUILT_IN_CATALOG)));
        let names = Source::read(&self.catalog.names, Some((&usual.names, BUILT_IN_NAMES)));
        let weak_keys: Vec<Source> = self.catalog.weak_keys.iter().map(|path| Source::read(path, None)).collect();
        let catalog = products.parse(|text| Catalog::parse_for(text, demands));
        let catalog = catalog.and_then(|catalog| self.compare_schedules(catalog));
        match (catalog, names.parse(Names::parse), all_weak_keys(&weak_keys)) {
            (Ok(catalog), Ok(listed), Ok(weak)) => {
                let sources: Vec<Source> = [products, names].into_iter().chain(weak_keys).collect();
                let digest = |source: &Source| Some((source.name.clone(), sha256(source.text.as_ref().ok()?)));
                Ok(ReadCatalog {
                    catalog: catalog.with_names(listed).with_weak_keys(weak),
                    digests: sources.iter().filter_map(digest).chain(self.digest.clone()).collect(),
                    text: sources.into_iter().flat_map(|source| source.text).collect(),
                })
            }
            (catalog, names, weak_keys) => {
                let faults = [catalog.err(), names.err(), weak_keys.err()];
                Err(faults.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// SHA-256 of the files that say whom this server believes and what it shows, by their names, in hexadecimal digits; of
    /// those that can be read.
    pub fn trust_digests(&self) -> BTreeMap<String, String> {
        let (validation, asked) = (&self.validation, &self.validation.perspectives);
        let shown = self.server.tls.as_ref().map(|tls| &tls.certificate);
        let named = [shown, validation.trust_anchor.as_ref(), asked.ca.as_ref(), asked.certificate.as_ref()];
        let told = |path: &PathBuf| {
            let octets = read(path).ok()?;
            Some((path.display().to_string(), hex32::encode(digest(&SHA256, &octets).as_ref())))
        };
        named.into_iter().flatten().filter_map(told).collect()
    }

    /// Whether the files for asking perspectives can be used; those of a server that asks nobody are not read.
    pub fn check_perspective_files(&self) -> Result<(), Vec<Fault>> {
        let settings = &self.validation.perspectives;
        if settings.mode == Mode::Off {
            return Ok(());
        }
        let told = |bad: BadFile| {
            vec![Fault::new(
                &bad.path.display().to_string(),
                format!("validation.perspectives.{}", bad.key),
                bad.reason,
            )]
        };
        settings.tls().map(drop).map_err(told)
    }

    /// What the last lint would refuse order by order is better told at the start.
    fn compare_schedules(&self, catalog: Catalog) -> Result<Catalog, Vec<Fault>> {
        let tighter = !self.ca.private && self.ca.validity_schedule == CaSchedule::BaselineRequirements;
        let longer = catalog.settings().validity_schedule == Schedule::Documented;
        if !(tighter && longer && catalog.products().any(Product::is_documented)) {
            return Ok(catalog);
        }
        let file = self.catalog.products.display().to_string();
        let reason = "\"documented\" lets products last longer than ca.validity_schedule, \"baseline-requirements\", lets \
                      anything be signed for; set both alike";
        Err(vec![Fault::new(&file, "settings.validity_schedule", reason)])
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

/// A file of the catalogue, or why it can't be read.
struct Source {
    name: String,
    text: Result<String, String>,
}

impl Source {
    /// Reads a file; takes the built-in text if it is the usual file and not there.
    fn read(path: &Path, built_in: Option<(&Path, &str)>) -> Self {
        let name = path.display().to_string();
        if let Some((usual, text)) = built_in
            && path == usual
            && !path.exists()
        {
            return Self { name, text: Ok(text.to_owned()) };
        }
        let text =
            read(path).and_then(|bytes| String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned()));
        Self { name, text }
    }

    /// What the file says, each fault with the file's name.
    fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, Vec<crate::policy::fault::Fault>>,
    ) -> Result<T, Vec<Fault>> {
        let text = self.text.as_ref().map_err(|reason| vec![Fault::new(&self.name, "", reason)])?;
        parse(text).map_err(|faults| faults.into_iter().map(|fault| fault.in_file(&self.name)).collect())
    }
}

/// All files of `catalog.weak_keys` as one list, with the faults of all of them.
fn all_weak_keys(files: &[Source]) -> Result<WeakKeys, Vec<Fault>> {
    let (mut keys, mut faults) = (WeakKeys::default(), Vec::new());
    for file in files {
        match file.parse(WeakKeys::parse) {
            Ok(found) => keys = keys.merge(found),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

impl crate::policy::fault::Fault {
    pub(super) fn in_file(self, file: &str) -> Fault {
        Fault { file: file.to_owned(), line: self.line, key: self.key, reason: self.reason }
    }
}

/// SHA-256 of a text, in hexadecimal digits.
pub(super) fn sha256(text: &str) -> String {
    hex32::encode(digest(&SHA256, text.as_bytes()).as_ref())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))
}
