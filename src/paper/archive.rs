//! What is downloaded for a server: an archive (zip) with the files that it reads, named as people know them (INSTALL-04).

use std::io::{Cursor, Write as _};
use std::str::FromStr;

use zeroize::Zeroizing;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::keystore::{self, Identity};
use crate::domain::id::random_text;
use crate::domain::{Error, Result, Timestamp};

/// The servers that downloads are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Nginx,
    Apache,
    Iis,
    /// Tomcat with a PKCS#12 file.
    TomcatPfx,
    /// Tomcat with a Java key store.
    TomcatJks,
    /// Tomcat with PEM files.
    TomcatPem,
    GlassFish,
    JBoss,
    Jetty,
    WebLogic,
    /// Any other server.
    Other,
}

/// The formats by their names, INSTALL-01 (Linux), INSTALL-02 (Windows) and INSTALL-03 (the short list).
const FORMATS: [(&str, Format); 13] = [
    ("nginx", Format::Nginx),
    ("apache", Format::Apache),
    ("iis", Format::Iis),
    ("tomcat", Format::TomcatPfx),
    ("tomcat-pfx", Format::TomcatPfx),
    ("tomcat-jks", Format::TomcatJks),
    ("tomcat-pem", Format::TomcatPem),
    ("glassfish", Format::GlassFish),
    ("jboss", Format::JBoss),
    ("jetty", Format::Jetty),
    ("weblogic", Format::WebLogic),
    ("pem", Format::Other),
    ("other", Format::Other),
];

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        known.ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            Error::malformed(format!(
                "Unknown format \"{text}\"; there are: {} (INSTALL-01, INSTALL-02).",
                names.join(", ")
            ))
        })
    }
}

/// What a format is made of.
enum Shape {
    Pem,
    Pfx,
    Jks,
}

impl Format {
    fn shape(self) -> Shape {
        match self {
            Self::Nginx | Self::Apache | Self::TomcatPem | Self::Other => Shape::Pem,
            Self::Iis | Self::TomcatPfx => Shape::Pfx,
            Self::TomcatJks | Self::GlassFish | Self::JBoss | Self::Jetty | Self::WebLogic => Shape::Jks,
        }
    }

    /// Whether nothing can be made for it without the private key.
    pub fn needs_key(self) -> bool {
        !matches!(self.shape(), Shape::Pem)
    }

    /// How to install it.
    fn advice(self) -> &'static str {
        match self {
            Self::Nginx => "ssl_certificate names the .crt file, ssl_certificate_key the .key file; then reload.",
            Self::Apache => {
                "SSLCertificateFile names 1_.., SSLCertificateKeyFile 2_..; Apache before 2.4.8 needs \
                 SSLCertificateChainFile with 3_.. too."
            }
            Self::Iis => "Import the .pfx file in IIS Manager > Server Certificates, then bind it to the site.",
            // KEY-10.
            Self::TomcatPfx | Self::TomcatJks => {
                "In server.xml: keystoreFile names the key store, keystorePass is its password (KEY-10)."
            }
            Self::TomcatPem => "In server.xml: certificateFile names the .crt file, certificateKeyFile the .key file.",
            Self::GlassFish | Self::JBoss | Self::Jetty | Self::WebLogic => {
                "The .jks file is the key store of the listener; one password opens the store and the key in it."
            }
            Self::Other => "The .crt file has the certificate first, then its intermediates; the .key file is the key.",
        }
    }
}

/// The private key of a download.
pub enum Key<'a> {
    /// PKCS#8, DER.
    Plain(&'a [u8]),
    /// Encrypted with its customer's password, who alone knows it (KEY-04).
    Locked(&'a [u8]),
    /// Nobody but the customer has it (CSR-11).
    Elsewhere,
}

/// What to make a download of.
pub struct Bundle<'a> {
    /// The first name of the certificate.
    pub name: &'a str,
    /// The certificates, DER: the leaf first, complete (INSTALL-06, X-24).
    pub chain: &'a [Vec<u8>],
    /// The key.
    pub key: Key<'a>,
    /// The second certificate with its chain, DER, and its key, of the Chinese standard: for encryption.
    pub second: Option<(&'a [Vec<u8>], Key<'a>)>,
    /// The password of a key store; none to have one made. It opens a locked key too.
    pub password: Option<&'a str>,
    /// Lines for people besides those of the format.
    pub notes: &'a [String],
    /// When.
    pub now: Timestamp,
}

/// The archive for a server.
pub fn bundle(format: Format, bundle: &Bundle<'_>) -> Result<Vec<u8>> {
    let name = bundle.name.replace('*', "_").replace([':', '/', '\\'], "-");
    if bundle.second.is_some() && format.needs_key() {
        return Err(Error::malformed(
            "Certificates for SM2 come as PEM files alone: take the format \"nginx\" or \"pem\".",
        ));
    }
    let mut files = match format.shape() {
        Shape::Pem => pem_files(format, bundle, &name),
        Shape::Pfx => store_files(bundle, &format!("{name}.pfx"), keystore::pfx)?,
        Shape::Jks => {
            store_files(bundle, &format!("{name}.jks"), |id, password| keystore::jks(id, password, bundle.now))?
        }
    };
    files.push(("README.txt".to_owned(), Zeroizing::new(read_me(format, bundle).into_bytes())));
    zipped(&files)
}

type File = (String, Zeroizing<Vec<u8>>);

fn pem_files(format: Format, bundle: &Bundle<'_>, name: &str) -> Vec<File> {
    // INSTALL-04, INSTALL-06: the whole chain, leaf first.
    let mut files = vec![(format!("1_{name}_cert.crt"), text(keystore::chain_pem(bundle.chain)))];
    files.extend(key_text(&bundle.key).map(|key| (format!("2_{name}.key"), key)));
    if format == Format::Apache {
        let above = bundle.chain.get(1..).unwrap_or_default();
        files.push((format!("3_{name}_chain.crt"), text(keystore::chain_pem(above))));
    }
    if let Some((chain, key)) = &bundle.second {
        files.push((format!("3_{name}_encryption_cert.crt"), text(keystore::chain_pem(chain))));
        files.extend(key_text(key).map(|key| (format!("4_{name}_encryption.key"), key)));
    }
    files
}

fn key_text(key: &Key<'_>) -> Option<Zeroizing<Vec<u8>>> {
    match key {
        // a generated password protects key stores only, the PEM key stays plain.
        Key::Plain(key) => Some(text(keystore::key_pem(key).to_string())),
        Key::Locked(key) => Some(text(keystore::locked_pem(key))),
        Key::Elsewhere => None,
    }
}

fn text(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

fn store_files(
    bundle: &Bundle<'_>,
    file: &str,
    write: impl Fn(&Identity<'_>, &str) -> Result<Vec<u8>>,
) -> Result<Vec<File>> {
    let key = plain_key(bundle)?;
    // KEY-05: without a password one is made, and told in a file.
    let made = bundle.password.is_none().then(random_text::<12>);
    let password = bundle.password.or(made.as_deref()).unwrap_or_default();
    let store = write(&Identity { alias: bundle.name, key: &key, chain: bundle.chain }, password)?;
    let mut files = vec![(file.to_owned(), Zeroizing::new(store))];
    files.extend(made.map(|password| ("keystorePass.txt".to_owned(), text(password))));
    Ok(files)
}

fn plain_key(bundle: &Bundle<'_>) -> Result<Zeroizing<Vec<u8>>> {
    match &bundle.key {
        Key::Plain(key) => Ok(Zeroizing::new(key.to_vec())),
        Key::Locked(key) => bundle.password.and_then(|password| keystore::unlock(key, password)).ok_or_else(|| {
            Error::unauthorized(
                "The password does not open this certificate's key. It was never kept here and cannot be recovered: \
                 whoever forgot it reissues the certificate, which keeps its end, or applies anew (KEY-04, KEY-07).",
            )
        }),
        Key::Elsewhere => Err(Error::malformed(
            "This format needs the private key, which is not at hand here: take the format \"pem\" and make the file with your own \
             key (`openssl pkcs12 -export -inkey your.key -in 1_.._cert.crt -out your.pfx`) (CSR-11).",
        )),
    }
}

fn read_me(format: Format, bundle: &Bundle<'_>) -> String {
    let mut lines = vec![format!("Certificate for {}", bundle.name), String::new(), format.advice().to_owned()];
    lines.extend(bundle.notes.iter().cloned());
    lines.extend([
        // INSTALL-09 to INSTALL-13, HOST-04.
        "It may be installed on servers of every region (INSTALL-09), for WebSocket services too (INSTALL-12)."
            .to_owned(),
        "A changed address of the server does not matter while its name still leads there (INSTALL-10).".to_owned(),
        "Which versions of TLS are spoken is set on the server, not in the certificate (INSTALL-11).".to_owned(),
        "For servers that are not named here, installation is offered by others (INSTALL-13).".to_owned(),
    ]);
    lines.join("\n") + "\n"
}

fn zipped(files: &[File]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o600);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(name, options).map_err(Error::internal)?;
        archive.write_all(content).map_err(Error::internal)?;
    }
    Ok(archive.finish().map_err(Error::internal)?.into_inner())
}
