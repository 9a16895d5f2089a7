//! `chancery perspective` as a process: certificates are made, it says when it is ready, and stops when it is told.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn chancery(place: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).current_dir(place.path()).env_remove("CHANCERY_STORE_URL");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn refused(output: &Output, part: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(told.contains(part), "no {part:?} in {told}");
}

#[test]
fn a_perspective_is_enrolled_started_and_stopped() {
    let place = TempDir::new().unwrap();
    let enrolled = chancery(&place, &["perspective", "enroll", "here", "127.0.0.1"]).output().unwrap();
    assert!(enrolled.status.success(), "{enrolled:?}");
    assert_eq!(text(&enrolled.stdout), "perspectives/ca.pem\nperspectives/here.pem\nperspectives/here.key\n");
    let config = "\
        [monitor]\nlisten = \"127.0.0.1:0\"\n[perspective]\nlisten = \"127.0.0.1:0\"\nname = \"here\"\nregion = \"apnic\"\nca = \"perspectives/ca.pem\"\n\
        certificate = \"perspectives/here.pem\"\nkey = \"perspectives/here.key\"\n[log]\nlevel = \"warn\"\n";
    fs::write(place.path().join("here.toml"), config).unwrap();
    let mut command = chancery(&place, &["perspective", "--config", "here.toml"]);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready https://127.0.0.1:"), "{line}");
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(process.wait().unwrap().success());

    // The key of another certificate.
    chancery(&place, &["perspective", "enroll", "other", "127.0.0.1"]).output().unwrap();
    fs::copy(place.path().join("perspectives/other.key"), place.path().join("perspectives/here.key")).unwrap();
    refused(&chancery(&place, &["perspective", "--config", "here.toml"]).output().unwrap(), "perspective.certificate");
    refused(&chancery(&place, &["perspective"]).output().unwrap(), "config/perspective.toml");
    refused(&chancery(&place, &["perspective", "enroll", "ca"]).output().unwrap(), "is the CA itself");
}

#[test]
fn check_config_looks_at_the_files_for_perspectives() {
    let place = TempDir::new().unwrap();
    chancery(&place, &["perspective", "enroll", "primary"]).output().unwrap();
    let config = "\
        [validation.perspectives]\nmode = \"log\"\n\
        remotes = [{ name = \"a\", url = \"https://192.0.2.1\", region = \"arin\" }]\n\
        ca = \"perspectives/ca.pem\"\ncertificate = \"perspectives/primary.pem\"\nkey = \"perspectives/primary.key\"\n";
    fs::write(place.path().join("chancery.toml"), config).unwrap();
    let check = || chancery(&place, &["check-config", "--config", "chancery.toml"]).output().unwrap();
    let output = check();
    assert!(output.status.success(), "{output:?}");
    fs::write(place.path().join("perspectives/primary.key"), "nothing").unwrap();
    refused(&check(), "perspectives/primary.key: validation.perspectives.key: there is no private key in PEM");
    fs::remove_file(place.path().join("perspectives/ca.pem")).unwrap();
    refused(&check(), "perspectives/ca.pem: validation.perspectives.ca: the file cannot be read");
}
