//! Key stores and archives, opened with openssl and keytool.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use chancery::domain::{Kind, Timestamp};
use chancery::paper::archive::{Bundle, Format, Key, bundle};
use chancery::paper::keystore::{Identity, jks, lock, locked_pem, pfx, unlock};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

/// A leaf with its key, and the CA above it, made by openssl.
struct Made {
    directory: TempDir,
    key: Vec<u8>,
    chain: Vec<Vec<u8>>,
}

impl Made {
    fn new(algorithm: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let made = Self { directory, key: Vec::new(), chain: Vec::new() };
        let ca =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"];
        made.openssl(&[&ca[..], &["-out", "ca.pem", "-subj", "/CN=The CA", "-days", "10"]].concat());
        let request = ["-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=www.example.com"];
        made.openssl(&[&["req", "-newkey"], algorithm, &request].concat());
        let sign = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        made.openssl(&[&sign[..], &["-out", "leaf.pem", "-days", "5"]].concat());
        let block = |file: &str| pem::parse(std::fs::read(made.path(file)).unwrap()).unwrap().into_contents();
        let (key, chain) = (block("leaf.key"), vec![block("leaf.pem"), block("ca.pem")]);
        Self { key, chain, ..made }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let output = self.run("openssl", arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn identity(&self) -> Identity<'_> {
        Identity { alias: "www.example.com", key: &self.key, chain: &self.chain }
    }

    fn bundle<'a>(&'a self, key: Key<'a>, password: Option<&'a str>) -> Bundle<'a> {
        Bundle { name: "*.example.com", chain: &self.chain, key, second: None, password, notes: &[], now: NOW }
    }

    /// The key as openssl writes it, to compare.
    fn same_key(&self, pem: &str) -> bool {
        let start = pem.find("-----BEGIN PRIVATE KEY").unwrap();
        pem::parse(&pem[start..]).unwrap().into_contents() == self.key
    }
}

const EC: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn openssl_and_keytool_read_the_pkcs12_file() {
    for (algorithm, password) in [(&EC[..], "a password"), (&["rsa:2048"][..], "ein Paßwort"), (&EC[..], "")] {
        let made = Made::new(algorithm);
        std::fs::write(made.path("store.pfx"), pfx(&made.identity(), password).unwrap()).unwrap();
        let pass = format!("pass:{password}");
        let text = made.openssl(&["pkcs12", "-in", "store.pfx", "-nodes", "-passin", &pass]);
        assert!(made.same_key(&text), "INSTALL-05");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "INSTALL-06");
        let told = made.run("openssl", &["pkcs12", "-in", "store.pfx", "-info", "-noout", "-passin", &pass]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.contains("AES-256-CBC") && told.contains("PBKDF2"), "{told}");
        if password.is_ascii() && !password.is_empty() {
            let listed = made.run("keytool", &["-list", "-v", "-keystore", "store.pfx", "-storepass", password]);
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            assert!(listed.contains("Certificate chain length: 2"), "{listed}");
        }
    }
}

#[test]
fn keytool_reads_the_java_key_store_and_the_key_in_it() {
    for algorithm in [&EC[..], &["rsa:2048"]] {
        let made = Made::new(algorithm);
        std::fs::write(made.path("store.jks"), jks(&made.identity(), "changeit1", NOW).unwrap()).unwrap();
        let listed = made.run("keytool", &["-list", "-v", "-keystore", "store.jks", "-storepass", "changeit1"]);
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for expected in ["Keystore type: JKS", "PrivateKeyEntry", "Certificate chain length: 2", "CN=The CA"] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
        let convert = ["-importkeystore", "-srckeystore", "store.jks", "-srcstorepass", "changeit1", "-destkeystore"];
        let convert = [&convert[..], &["out.p12", "-deststoretype", "PKCS12", "-deststorepass", "changeit1"]].concat();
        assert!(made.run("keytool", &convert).status.success());
        assert!(made.same_key(&made.openssl(&["pkcs12", "-in", "out.p12", "-nodes", "-passin", "pass:changeit1"])));
        assert_ne!(
            jks(&made.identity(), "changeit1", NOW).unwrap(),
            jks(&made.identity(), "changeit1", NOW).unwrap(),
            "each is salted anew"
        );
    }
    let made = Made::new(&EC);
    assert_eq!(jks(&made.identity(), "short", NOW).unwrap_err().kind(), Kind::Malformed);
}

#[test]
fn openssl_opens_a_locked_key_with_its_password_alone() {
    for algorithm in [&EC[..], &["rsa:2048"]] {
        let made = Made::new(algorithm);
        let locked = lock(&made.key, "correct horse").unwrap();
        std::fs::write(made.path("locked.key"), locked_pem(&locked)).unwrap();
        assert!(made.same_key(&made.openssl(&["pkcs8", "-in", "locked.key", "-passin", "pass:correct horse"])));
        let wrong = made.run("openssl", &["pkcs8", "-in", "locked.key", "-passin", "pass:wrong horse"]);
        assert!(!wrong.status.success());
        assert_eq!(unlock(&locked, "correct horse").unwrap()[..], made.key);
        assert!(unlock(&locked, "wrong horse").is_none());
    }
}

/// The files of an archive, by their names.
pub fn files_of(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut files = BTreeMap::new();
    for n in 0..archive.len() {
        let mut file = archive.by_index(n).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().unwrap().into_owned(), content);
    }
    files
}

#[test]
fn every_server_gets_its_files_under_the_names_that_people_know() {
    // INSTALL-01, INSTALL-02, INSTALL-03, INSTALL-04
    let pem = &["1__.example.com_cert.crt", "2__.example.com.key"][..];
    let pfx = &["_.example.com.pfx", "keystorePass.txt"][..];
    let jks = &["_.example.com.jks", "keystorePass.txt"][..];
    let made = Made::new(&EC);
    for (format, expected) in [
        ("nginx", pem),
        ("apache", &[pem[0], pem[1], "3__.example.com_chain.crt"]),
        ("tomcat-pem", pem),
        ("pem", pem),
        ("other", pem),
        ("iis", pfx),
        ("tomcat", pfx),
        ("tomcat-pfx", pfx),
        ("tomcat-jks", jks),
        ("glassfish", jks),
        ("jboss", jks),
        ("jetty", jks),
        ("weblogic", jks),
    ] {
        let parsed: Format = format.parse().unwrap();
        let files = files_of(&bundle(parsed, &made.bundle(Key::Plain(&made.key), None)).unwrap());
        let names: Vec<&str> = files.keys().map(String::as_str).filter(|name| *name != "README.txt").collect();
        assert_eq!(names, expected, "{format}");
        let advice = String::from_utf8(files["README.txt"].clone()).unwrap();
        for rule in ["INSTALL-09", "INSTALL-10", "INSTALL-11", "INSTALL-12", "INSTALL-13"] {
            assert!(advice.contains(rule), "{rule}: {advice}");
        }
        if format.starts_with("tomcat") && expected != pem {
            assert!(advice.contains("keystorePass is its password (KEY-10)"), "{advice}");
        }
    }
    let unknown = "lighttpd".parse::<Format>().unwrap_err();
    assert!(unknown.problem().detail.starts_with("Unknown format \"lighttpd\""), "INSTALL-01, INSTALL-02");
}

#[test]
fn a_generated_password_opens_the_key_store_and_leaves_the_pem_key_plain() {
    // KEY-05, X-27
    let made = Made::new(&EC);
    for format in [Format::Iis, Format::TomcatJks] {
        let files = files_of(&bundle(format, &made.bundle(Key::Plain(&made.key), None)).unwrap());
        let password = String::from_utf8(files["keystorePass.txt"].clone()).unwrap();
        assert!(password.len() >= 16);
        let (name, store) = files.iter().find(|(name, _)| name.contains("example")).unwrap();
        std::fs::write(made.path(name), store).unwrap();
        let listed = made.run("keytool", &["-list", "-keystore", name, "-storepass", &password]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stdout));
    }
    let files = files_of(&bundle(Format::Nginx, &made.bundle(Key::Plain(&made.key), None)).unwrap());
    let key = String::from_utf8(files["2__.example.com.key"].clone()).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
    // the leaf stands first.
    let chain = pem::parse_many(&files["1__.example.com_cert.crt"]).unwrap();
    assert_eq!(chain.iter().map(|block| block.contents().to_vec()).collect::<Vec<_>>(), made.chain);
    let told = bundle(Format::Iis, &made.bundle(Key::Plain(&made.key), Some("my own"))).unwrap();
    assert!(!files_of(&told).contains_key("keystorePass.txt"), "it is told to nobody who knows it");
}

#[test]
fn a_locked_key_needs_its_password_for_key_stores_and_stays_locked_as_pem() {
    let made = Made::new(&EC);
    let locked = lock(&made.key, "correct horse").unwrap();
    let files = files_of(&bundle(Format::Nginx, &made.bundle(Key::Locked(&locked), None)).unwrap());
    assert!(files["2__.example.com.key"].starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"), "KEY-04");
    assert!(bundle(Format::Iis, &made.bundle(Key::Locked(&locked), Some("correct horse"))).is_ok());
    for wrong in [None, Some("wrong horse")] {
        let refused = bundle(Format::Iis, &made.bundle(Key::Locked(&locked), wrong)).unwrap_err();
        assert!(refused.problem().detail.contains("(KEY-04, KEY-07)"), "{refused}");
    }
    let refused = bundle(Format::Iis, &made.bundle(Key::Elsewhere, None)).unwrap_err();
    assert!(refused.problem().detail.contains("(CSR-11)"), "{refused}");
    assert_eq!(files_of(&bundle(Format::Nginx, &made.bundle(Key::Elsewhere, None)).unwrap()).len(), 2);
}
