//! The catalogue is read again while the server runs, all or nothing: by the use case, and by SIGHUP to a real process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use chancery::app;
use chancery::clock::SystemClock;
use chancery::config::Config;
use chancery::domain::audit::Act;
use chancery::store::records::Records;
use tempfile::TempDir;

use crate::documents::{CATALOG, NAMES};

/// The files of a catalogue in a directory of their own.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: TempDir::new().unwrap() };
        files.write("catalog.toml", CATALOG);
        files.write("names.toml", NAMES);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Gives the product that nobody had priced a price.
    fn price_wotrus(&self) {
        let unpriced = "id = \"wotrus-dv\"\n";
        assert!(CATALOG.contains(unpriced));
        let priced = format!("{unpriced}price = {{ base = 99, included = 2, extra = 9 }}\n");
        self.write("catalog.toml", &CATALOG.replacen(unpriced, &priced, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_file_changes_nothing_and_says_why_and_a_good_one_changes_all() {
    let files = Files::new();
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.server.data_dir = files.path("data");
    config.server.listen = anywhere;
    config.server.public_url = "https://localhost:0".to_owned();
    config.pki.listen = anywhere;
    config.pki.public_url = "http://localhost:0".to_owned();
    config.monitor.listen = anywhere;
    config.ca.rsa_issuers = false;
    config.catalog.products = files.path("catalog.toml");
    config.catalog.names = files.path("names.toml");
    let running = app::start(config.clone(), Arc::new(SystemClock)).await.unwrap();
    let sold = || running.ra.catalog().sold().count();
    let word = || {
        let name = chancery::domain::DnsName::parse("zebra.zone.cn").unwrap();
        running.ra.catalog().sensitive_word(&name).map(str::to_owned)
    };
    assert_eq!((sold(), word()), (29, None));

    let changed_names = NAMES.replacen("words = [", "words = [\n  \"zebra\",", 1);
    assert_ne!(changed_names, NAMES);
    let line = |text: &str, part: &str| 1 + text.lines().position(|line| line.contains(part)).unwrap();
    // One of two files is bad: neither is taken.
    files.write("names.toml", &changed_names);
    let bad =
        CATALOG.replacen("max_validity_days = 397", "max_validity_days = 500", 1).replacen("base = 836", "base = 0", 1);
    files.write("catalog.toml", &bad);
    let told = running.reload().await.unwrap_err().to_string();
    for (key, part) in
        [("settings.max_validity_days", "max_validity_days = 500"), ("products[0].price.base", "base = 0")]
    {
        let start = format!("{}:{}: {key}: ", files.path("catalog.toml").display(), line(&bad, part));
        assert!(told.contains(&start), "{start} is not in {told}");
    }
    assert_eq!((sold(), word()), (29, None));
    files.price_wotrus();
    files.write("names.toml", "words = [\"Zebra\"]\n");
    let told = running.reload().await.unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}:1: words[0]: ", files.path("names.toml").display())), "{told}");
    assert_eq!((sold(), word()), (29, None));
    fs::remove_file(files.path("names.toml")).unwrap();
    let told = running.reload().await.unwrap_err().to_string();
    assert!(told.contains("names.toml: the file cannot be read"), "{told}");
    assert_eq!((sold(), word()), (29, None));

    files.write("names.toml", &changed_names);
    running.reload().await.unwrap();
    assert_eq!((sold(), word()), (30, Some("zebra".to_owned())));
    running.stop().await.unwrap();
    let records = Records::new(chancery::store::open(&config.store_settings()).unwrap());
    let loaded: Vec<(String, usize)> = records
        .audit(None, 1_000)
        .await
        .unwrap()
        .into_iter()
        .filter_map(|(_, event)| match event.act {
            Act::CatalogLoaded { digest, products } => Some((digest, products)),
            _ => None,
        })
        .collect();
    let text = [fs::read_to_string(files.path("catalog.toml")).unwrap(), changed_names].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let digest: String = digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(loaded, [(digest, 38)], "only what was taken is audited");
}

fn send_hangup(process: u32) {
    assert!(Command::new("kill").args(["-HUP", &process.to_string()]).status().unwrap().success());
}

fn configuration(files: &Files) -> PathBuf {
    let shown = |path: &Path| path.display().to_string();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://localhost:0\"\n[pki]\nlisten = \"127.0.0.1:0\"\n\
         [monitor]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[ca]\nrsa_issuers = false\n\
         [catalog]\nproducts = \"{}\"\nnames = \"{}\"\n",
        shown(&files.path("catalog.toml")),
        shown(&files.path("names.toml"))
    );
    files.write("chancery.toml", &text);
    files.path("chancery.toml")
}

#[test]
fn a_server_reads_its_catalogue_again_when_it_gets_a_hangup_signal() {
    let files = Files::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.arg("--config").arg(configuration(&files)).arg("--data-dir").arg(files.path("data"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("CHANCERY_STORE_URL");
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let id = server.id();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(ready.starts_with("ready https://localhost:"), "{ready:?}");
        let mut next = |message: &str| log.find(|line| line.contains(message)).unwrap();
        files.write("names.toml", "words = [\"Zebra\"]\n");
        send_hangup(id);
        let told = next("the catalogue is not replaced");
        for part in ["names.toml", "\"line\":1", "words[0]", "Zebra"] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        files.write("names.toml", NAMES);
        files.price_wotrus();
        send_hangup(id);
        let told = next("the catalogue is replaced");
        assert!(told.contains("\"products\":38"), "{told}");
    }));
    server.kill().unwrap();
    server.wait().unwrap();
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}
