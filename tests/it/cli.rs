//! The `chancery` command as its users call it: the server it starts, and the commands that speak to that server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use chancery::ca::certificate::serial_of;
use chancery::domain::customer::CustomerKind;
use serde_json::Value;
use tempfile::TempDir;

use crate::acme_tools::{DAY, HOUR, cert_id, leaf};
use crate::http_support::{TestServer, patient};
use crate::support::client::csr;
use crate::support::world::{BASE, World};

/// A server in a process of its own, on free ports.
struct Served {
    directory: TempDir,
    server: Child,
    url: String,
}

fn chancery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("CHANCERY_TOKEN").env_remove("CHANCERY_STORE_URL");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    text(&output.stderr)
}

/// Free ports for every listener, and a log that keeps quiet.
fn configuration(directory: &Path) -> String {
    let file = directory.join("chancery.toml");
    let listeners = "[pki]\nlisten = \"127.0.0.1:0\"\n[monitor]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n";
    fs::write(&file, listeners).unwrap();
    file.to_str().unwrap().to_owned()
}

impl Served {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let config = configuration(directory.path());
        let data = directory.path().join("data");
        let arguments = ["--config", &config, "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let mut server = chancery(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let url = ready.trim_end().strip_prefix("ready ").and_then(|url| url.strip_suffix("/directory"));
        let url = url.unwrap_or_else(|| panic!("not ready: {ready:?}")).to_owned();
        Self { directory, server, url }
    }

    fn data(&self) -> String {
        self.directory.path().join("data").to_str().unwrap().to_owned()
    }

    fn config(&self) -> String {
        self.directory.path().join("chancery.toml").to_str().unwrap().to_owned()
    }

    /// Runs a command that speaks to the server.
    fn ask(&self, arguments: &[&str]) -> Output {
        chancery(arguments)
            .args(["--config", &self.config(), "--data-dir", &self.data()])
            .args(["--server", &self.url])
            .output()
            .unwrap()
    }

    fn ask_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&said(&self.ask(&[arguments, &["--json"]].concat()))).unwrap()
    }

    /// Tells the server to stop as an init system does, and waits until it has.
    fn stop(&mut self) {
        let id = self.server.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.server.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Stopped already in most tests; a test that failed leaves no server behind.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_server_starts_serves_its_operator_and_moves_its_store() {
    let mut served = Served::start();
    let token = Path::new(&served.data()).join("operator.token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);

    let customer = served.ask_json(&["customer", "create", "--name", "Müller & Sons", "--kind", "enterprise"]);
    let id = customer["id"].as_str().unwrap();
    assert_eq!(served.ask_json(&["customer", "show", id]), customer);
    let table = said(&served.ask(&["customer", "list"]));
    assert!(table.starts_with("ID") && table.contains(id) && table.contains("Müller & Sons"), "{table}");

    let key: Value = serde_json::from_str(&said(&served.ask(&["eab", "create", "--customer", id]))).unwrap();
    assert_eq!(key.as_object().unwrap().len(), 2);
    assert!(key["hmac_key"].is_string());
    let kid = key["kid"].as_str().unwrap();
    assert!(served.ask_json(&["eab", "list"])[0].get("hmac_key").is_none());
    assert!(served.ask_json(&["eab", "revoke", kid])["revoked"].is_string());

    // Who did what, and from where.
    let done = served.ask_json(&["operations", "--act", "customer-created", "--who", "operator", "--object", id]);
    assert_eq!((&done[0]["from"], done.as_array().unwrap().len()), (&Value::from("127.0.0.1"), 1), "{done}");

    let products = served.ask_json(&["product", "list"]);
    let product = products[0]["id"].as_str().unwrap();
    assert!(said(&served.ask(&["product", "show", product])).contains(product));
    assert_eq!(served.ask_json(&["certificate", "list"]), Value::Array(Vec::new()));

    let seen = served.ask_json(&["diagnose", "--name", "not a name"]);
    assert_eq!(seen["findings"][0]["rule"], "DIAG-18", "{seen}");

    let busy = chancery(&["store", "check", "--data-dir", &served.data()]).output().unwrap();
    assert!(failed(&busy, 1).contains("in use"), "{busy:?}");
    served.stop();
    let export = served.directory.path().join("export.jsonl");
    let export = export.to_str().unwrap();
    said(&chancery(&["store", "export", export, "--data-dir", &served.data()]).output().unwrap());
    assert_eq!(fs::metadata(export).unwrap().permissions().mode() & 0o777, 0o600);
    let again = chancery(&["store", "export", export, "--data-dir", &served.data()]).output().unwrap();
    assert!(failed(&again, 1).contains("exists"), "{again:?}");
    let other = served.directory.path().join("other");
    let import = ["store", "import", export, "--json", "--data-dir", other.to_str().unwrap()];
    let moved: Value = serde_json::from_str(&said(&chancery(&import).output().unwrap())).unwrap();
    assert!(moved["records"].as_u64().unwrap() >= 2, "{moved}");
    let check = chancery(&["store", "check", "--json", "--data-dir", other.to_str().unwrap()]).output().unwrap();
    let report: Value = serde_json::from_str(&said(&check)).unwrap();
    assert_eq!(report["faults"], Value::Array(Vec::new()));
    assert!(report["operations"]["sequence"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn the_operator_sells_and_looks_prices_up() {
    let served = Served::start();
    // The commands of the README.
    let customer = served.ask_json(&["customer", "create", "--name", "Example Ltd", "--kind", "enterprise"]);
    let id = customer["id"].as_str().unwrap();
    assert_eq!(customer["tier"], "standard");
    let kept = ["customer", "create", "--name", "Old Ltd", "--kind", "enterprise", "--tier", "kept"];
    assert_eq!(served.ask_json(&kept)["tier"], "kept");

    let products = said(&served.ask(&["product", "list"]));
    let multi = products.lines().find(|line| line.starts_with("trustasia-dv-multi ")).unwrap();
    assert_eq!(
        multi.split_whitespace().take(5).collect::<Vec<_>>(),
        ["trustasia-dv-multi", "paid", "732.00", "5", "142.00"]
    );
    let goods = ["--product", "trustasia-dv-multi", "--names", "7"];
    let quote = [&["quote"][..], &goods].concat();
    let told = said(&served.ask(&quote));
    assert!(told.lines().any(|line| line.starts_with("total:") && line.ends_with(" 1016.00")), "PRICE-31: {told}");
    assert_eq!(served.ask_json(&quote)["yearly"], "1016.00");
    let years = ["quote", "--product", "trustasia-dv-wildcard", "--names", "1", "--years", "3"];
    assert_eq!(served.ask_json(&years)["total"], "897.00", "BUY-08");

    let made = served.ask_json(&[&["purchase", "create", "--customer", id][..], &goods].concat());
    assert_eq!((&made["price"], &made["state"]), (&Value::from("1016.00"), &Value::from("pending-submission")));
    let purchase = made["id"].as_str().unwrap();
    assert_eq!(served.ask_json(&["purchase", "show", purchase]), made);
    let list = said(&served.ask(&["purchase", "list", "--customer", id]));
    assert!(list.starts_with("ID") && list.contains(purchase) && list.contains("pending-submission"), "{list}");
    assert_eq!(served.ask_json(&["purchase", "list"]).as_array().unwrap().len(), 1);

    for (line, words) in [
        (&["quote", "--product", "trustasia-dv-multi", "--names", "1", "--years", "2"][..], "BUY-06"),
        (&["quote", "--product", "geotrust-ov-single", "--names", "2"], "one name"),
        (&["purchase", "create", "--customer", id, "--product", "trustasia-dv-free", "--names", "1"], "BUY-04"),
        (&["purchase", "show", "AAAAAAAAAAAAAAAAAAAAAA"], "There is no purchase"),
        (&["purchase", "list", "--customer", "x"], "There is no customer"),
        (&["review", "show", "AAAAAAAAAAAAAAAAAAAAAA"], "There is no order"),
        (&["review", "approve", "AAAAAAAAAAAAAAAAAAAAAA", "--note", "x"], "There is no order"),
    ] {
        let answer = served.ask(line);
        assert!(failed(&answer, 1).contains(words), "{answer:?}");
    }
    failed(&served.ask(&["review", "approve", "AAAAAAAAAAAAAAAAAAAAAA"]), 2);

    let refund = ["purchase", "refund", purchase];
    assert!(failed(&served.ask(&refund), 1).contains("REFUND-02"));
    assert_eq!(served.ask_json(&["purchase", "cancel", purchase])["state"], "canceled");
    assert!(failed(&served.ask(&refund), 1).contains("REFUND-07"));
    assert_eq!(served.ask_json(&[&refund[..], &["--consent"]].concat())["outside"], "1016.00");
    assert!(failed(&served.ask(&[&refund[..], &["--consent"]].concat()), 1).contains("REFUND-04"));
}

/// Runs a command against a world whose router is served over plain HTTP.
async fn ask_world(world: &World, served: &TestServer, arguments: &[&str]) -> Output {
    let mut command = chancery(arguments);
    command.args(["--server", &format!("http://{}", served.address), "--data-dir", world.data_dir().to_str().unwrap()]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_reviewer_works_through_the_queue() {
    let world = World::documented().await;
    let customer = world.customer(CustomerKind::Individual).await;
    let client = world.client_of(&customer).await;
    let mut orders = Vec::new();
    for name in ["pay.zone-one.cn", "bank.zone-one.cn"] {
        world.buy(&customer, "trustasia-dv-multi", 1, 1).await;
        let (place, order) = world.ready_order(&client, &[name]).await;
        client.finalize(&order, &csr(&[name]).0).await.expect(200);
        orders.push((place.rsplit('/').next().unwrap().to_owned(), place));
        world.clock.advance(DAY);
    }
    let served = TestServer::plain(world.router(), patient()).await;
    // The commands of the README.
    let queue = said(&ask_world(&world, &served, &["review", "list"]).await);
    let lines: Vec<&str> = queue.lines().collect();
    assert!(lines[0].starts_with("REVIEW") && lines.len() == 3, "{queue}");
    for (line, ((order, _), name)) in lines[1..].iter().zip(orders.iter().zip(["pay.zone-one.cn", "bank.zone-one.cn"]))
    {
        assert!(
            line.starts_with(order) && line.contains(name) && line.contains("anti-phishing"),
            "oldest first: {queue}"
        );
    }
    let page = said(&ask_world(&world, &served, &["review", "show", &orders[0].0]).await);
    for part in ["evidence:\n", "http-01", "customer.name:", "Buyer", "WORD-01", "pending-issue"] {
        assert!(page.contains(part), "{page}");
    }
    let approved = ask_world(&world, &served, &["review", "approve", &orders[0].0, "--note", "a shop", "--json"]).await;
    let approved: Value = serde_json::from_str(&said(&approved)).unwrap();
    assert_eq!(approved["status"], "issued");
    let rejected = ask_world(&world, &served, &["review", "reject", &orders[1].0, "--note", "imitates a bank"]).await;
    assert!(said(&rejected).contains("review-failed"), "{rejected:?}");
    let late = ask_world(&world, &served, &["review", "approve", &orders[1].0, "--note", "late"]).await;
    assert!(failed(&late, 1).contains("not waiting for a review"), "{late:?}");
    let queue = said(&ask_world(&world, &served, &["review", "list", "--json"]).await);
    assert_eq!(serde_json::from_str::<Value>(&queue).unwrap(), Value::Array(Vec::new()));
    for ((_, place), status) in orders.iter().zip(["valid", "invalid"]) {
        assert_eq!(client.post_as_get(place).await.expect(200).json()["status"], status);
    }
    let bought = ask_world(&world, &served, &["purchase", "list", "--customer", customer.as_str()]).await;
    let bought = said(&bought);
    assert!(bought.contains("issued") && bought.contains("pending-submission"), "{bought}");
}

#[tokio::test]
async fn an_operator_marks_certificates_to_be_renewed_and_takes_that_back() {
    let world = World::new().await;
    let client = world.client().await;
    let mut made = Vec::new();
    for name in ["a.example", "b.example", "c.example"] {
        made.push((leaf(&world.certificate(&client, &[name]).await.1), world.now().to_string()));
        world.clock.advance(HOUR);
    }
    let serial = |place: usize| serial_of(&made[place].0).unwrap().to_string();
    let served = TestServer::plain(world.router(), patient()).await;
    let (renew_by, now) = ((world.now() + DAY).to_string(), world.now().to_string());
    let create = ["incident", "create", "--reason", "A fault of ours", "--renew-by", &renew_by, "--json"];
    let ask = async |arguments: &[&str]| ask_world(&world, &served, arguments).await;
    let ask_json = async |arguments: &[&str]| serde_json::from_str::<Value>(&said(&ask(arguments).await)).unwrap();
    // When each is to be renewed, and what page tells why.
    let advice = async || {
        let mut told = Vec::new();
        for (der, _) in &made {
            let url = format!("{BASE}/acme/renewal-info/{}", cert_id(der));
            let answer = world.stranger().get(&url).await.expect(200).json();
            told.push((answer["suggestedWindow"]["end"].clone(), answer["explanationURL"].clone()));
        }
        told
    };
    let usual = advice().await;

    let (from, until) = (&made[1].1, &made[2].1);
    let by_time = ["--issuer", "chancery", "--issued-from", from, "--issued-until", until];
    let tried = ask_json(&[&create[..], &by_time, &["--dry-run"]].concat()).await;
    assert_eq!((&tried["matched"], &tried["state"]), (&Value::from(2), &Value::from("dry-run")));
    assert_eq!(advice().await, usual, "a trial marks nothing");
    let (first, second) = (serial(0), serial(1));
    let page = "https://status.example/7";
    let by_serial = ["--serial", &first, "--serial", &second, "--explanation-url", page];
    let incident = ask_json(&[&create[..], &by_serial].concat()).await;
    assert_eq!((&incident["matched"], &incident["opened"]), (&Value::from(2), &Value::from(now)));
    let marked = (Value::from(renew_by.as_str()), Value::from(page));
    assert_eq!(advice().await, [marked.clone(), marked, usual[2].clone()]);
    let later = ask_json(&[&create[..], &by_time].concat()).await;
    assert_eq!(advice().await[2].0, renew_by.as_str());

    let id = incident["id"].as_str().unwrap();
    assert_eq!(ask_json(&["incident", "show", id, "--json"]).await, incident);
    let table = said(&ask(&["incident", "list"]).await);
    assert!(table.lines().count() == 3 && table.contains(id) && table.contains("A fault of ours"), "{table}");
    for id in [id, later["id"].as_str().unwrap()] {
        assert_eq!(ask_json(&["incident", "close", id, "--json"]).await["state"], "closed");
    }
    assert_eq!(advice().await, usual);
    let nothing = ask(&create).await;
    assert!(failed(&nothing, 1).contains("Say which certificates"), "{nothing:?}");
    let unknown = ask(&["incident", "close", "AAAAAAAAAAAAAAAAAAAAAA"]).await;
    assert!(failed(&unknown, 1).contains("404"), "{unknown:?}");
}

#[test]
fn refusals_are_told_in_the_servers_words_and_exit_with_1() {
    let served = Served::start();
    let nobody = served.ask(&["customer", "show", "AAAAAAAAAAAAAAAAAAAAAA"]);
    assert!(failed(&nobody, 1).contains("There is no customer"), "{nobody:?}");
    let stranger = served.ask(&["customer", "list", "--token", "wrong"]);
    assert!(failed(&stranger, 1).contains("401"), "{stranger:?}");
    let unknown = served.ask(&["certificate", "revoke", &"0".repeat(40), "--reason", "1"]);
    assert!(failed(&unknown, 1).contains("404"), "{unknown:?}");
}

#[test]
fn nobody_is_told_the_token_who_does_not_show_the_servers_certificate() {
    let served = Served::start();
    let elsewhere = TempDir::new().unwrap();
    fs::copy(Path::new(&served.data()).join("operator.token"), elsewhere.path().join("operator.token")).unwrap();
    let (_, _, other_root) = crate::http_support::self_signed();
    fs::write(elsewhere.path().join("root.pem"), other_root).unwrap();
    let data = elsewhere.path().to_str().unwrap();
    let refused = chancery(&["product", "list", "--server", &served.url, "--data-dir", data]).output().unwrap();
    assert!(failed(&refused, 1).contains("certificate"), "{refused:?}");
}

#[test]
fn check_config_is_silent_when_all_is_well() {
    for file in ["config/chancery.toml", "config/internal-pki.toml", "config/pebble.toml"] {
        assert_eq!(said(&chancery(&["check-config", "--config", file]).output().unwrap()), "");
    }
}

#[test]
fn check_config_tells_a_line_for_each_fault() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("bad.toml");
    fs::write(&file, "[server]\nlisten = 7\nlizten = 8\n").unwrap();
    let file = file.to_str().unwrap();
    let output = chancery(&["check-config", "--config", file]).output().unwrap();
    assert!(failed(&output, 1).contains("2 faults"), "{output:?}");
    let told = text(&output.stdout);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{file}:2: server.listen: "))), "{told}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{file}:3: server.lizten: "))), "{told}");
    let missing = chancery(&["serve", "--config", "no/such/file.toml"]).output().unwrap();
    assert!(failed(&missing, 1).contains("no/such/file.toml"), "{missing:?}");
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let nowhere = TempDir::new().unwrap();
    let mut found = 0;
    for line in readme.lines().filter(|line| line.starts_with("chancery ") && !line.starts_with("chancery serve")) {
        // What stands for ids must not be taken for redirections.
        let line = line.split(" #").next().unwrap().replace(['<', '>'], "");
        let line = line.replacen("chancery", env!("CARGO_BIN_EXE_chancery"), 1);
        let options = format!("--server http://127.0.0.1:1 --token x --data-dir {}", nowhere.path().display());
        let output = Command::new("sh").args(["-c", &format!("{line} {options}")]).output().unwrap();
        assert!(failed(&output, 1).contains("cannot be asked"), "{line}: {output:?}");
        found += 1;
    }
    assert!(found >= 9, "{found}");
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2() {
    for line in [&["--colour"][..], &["customer", "create"], &["serve", "--listen", "everywhere"], &["no-such-command"]]
    {
        failed(&chancery(line).output().unwrap(), 2);
    }
}
