//! Keys on a PKCS#11 token: the whole server issues with them, and tells what is wrong with a token.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chancery::ca::{Ca, Settings};
use chancery::domain::audit::Act;
use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;

use crate::acme_tools::{DAY, HOUR, leaf, look, parsed};
use crate::ca_tools::{NOW, P256, PKI, RSA2048, TestCa, one_issuer, openssl, plan, request};
use crate::ocsp_tools::{SHA1, TRY_LATER, ask, cert_id, issuer, post, request as status_request};
use crate::support::client::{Client, Response, csr};
use crate::support::dns::Failure;
use crate::support::world::World;
use crate::token_tools::{PIN, SoftHsm, module, own_process, private};

fn on_token(hsm: &SoftHsm) -> Settings {
    Settings { pkcs11: Some(hsm.settings()), ..one_issuer() }
}

fn verify(test: &TestCa, der: &[u8], issuer: &str) {
    let chain = test.ca.chains(issuer).unwrap()[0].iter().map(|der| crate::ca_tools::pem(der)).collect::<String>();
    let (chain, leaf) =
        (test.file("chain.pem", chain.as_bytes()), test.file("leaf.pem", crate::ca_tools::pem(der).as_bytes()));
    let root = test.file("anchor.pem", test.ca.root_pem().as_bytes());
    openssl(&["verify", "-x509_strict", "-no_check_time", "-CAfile", &root, "-untrusted", &chain, &leaf]).unwrap();
}

/// A second look at the token, beside the server's.
fn objects(hsm: &SoftHsm, template: &[Attribute], wanted: &[AttributeType]) -> Vec<Vec<Attribute>> {
    let _ = hsm;
    let token = Pkcs11::new(module()).unwrap();
    let slots = token.get_slots_with_initialized_token().unwrap();
    let session = token.open_ro_session(slots[0]).unwrap();
    // The server is logged in, and so is the process.
    let _ = session.login(UserType::User, Some(&AuthPin::from(PIN)));
    let found = session.find_objects(template).unwrap();
    found.into_iter().map(|object| session.get_attributes(object, wanted).unwrap()).collect()
}

#[test]
fn intermediates_keys_are_made_on_the_token_and_never_leave_it() {
    let Some(hsm) = own_process("ca_token::intermediates_keys_are_made_on_the_token_and_never_leave_it") else {
        return;
    };
    let test = TestCa::with(on_token(&hsm));
    let mut files: Vec<String> =
        fs::read_dir(test.keys()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["chancery-rsa.pem", "chancery.pem", "root.key", "root.pem"]);
    let wanted = [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::Label];
    let mut keys = objects(&hsm, &[Attribute::Class(ObjectClass::PRIVATE_KEY)], &wanted);
    keys.sort_by_key(|key| format!("{key:?}"));
    assert_eq!(keys.len(), 2);
    for key in &keys {
        assert!(key.contains(&Attribute::Sensitive(true)) && key.contains(&Attribute::Extractable(false)), "{key:?}");
    }
    assert!(keys.iter().any(|key| key.contains(&Attribute::Label(b"chancery chancery-rsa".to_vec()))), "{keys:?}");
    let places: Vec<String> = test.ca.loaded().into_iter().map(|key| key.place).collect();
    assert_eq!(places, ["file", "token ca-keys", "token ca-keys"]);

    for (kind, issuer) in [(P256, "chancery"), (RSA2048, "chancery-rsa")] {
        let signed = test.issue(&plan(&request(kind), &["example.com"]));
        assert_eq!(signed.issuer, issuer);
        verify(&test, &signed.der, issuer);
        let list = test.ca.crl(issuer, 0, 1, NOW, NOW + crate::ca_tools::DAY, &[]).unwrap();
        let (list, ca) = (test.file("list.crl", &list), test.keys().join(format!("{issuer}.pem")));
        let told =
            openssl(&["crl", "-inform", "DER", "-in", &list, "-CAfile", ca.to_str().unwrap(), "-noout"]).unwrap();
        assert!(told.contains("verify OK"), "{told}");
    }
    // A restart finds the same keys.
    let again = test.reopen(&test.settings, NOW).unwrap();
    assert_eq!(again.key_identifier("chancery"), test.ca.key_identifier("chancery"));
}

#[test]
fn a_p384_key_signs_with_sha384() {
    let Some(hsm) = own_process("ca_token::a_p384_key_signs_with_sha384") else { return };
    let mut settings = on_token(&hsm);
    settings.pkcs11.as_mut().unwrap().keys.push("root".to_owned());
    // Roots have P-384 keys: here one on the token signs itself and the intermediates.
    let test = TestCa::with(settings);
    assert!(!test.keys().join("root.key").exists());
    let signed = test.issue(&plan(&request(P256), &["example.com"]));
    verify(&test, &signed.der, "chancery");
}

#[test]
fn signatures_made_at_once_share_the_sessions() {
    let Some(hsm) = own_process("ca_token::signatures_made_at_once_share_the_sessions") else { return };
    let test = TestCa::with(Settings { rsa_issuers: false, ..on_token(&hsm) });
    let request = request(P256);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    test.issue(&plan(&request, &["example.com"]));
                }
            });
        }
    });
}

/// The refusal of a CA with such a token.
fn refusal(directory: &Path, settings: Settings) -> String {
    Ca::open(&directory.join("keys"), &settings, PKI, NOW).err().expect("refused").to_string()
}

#[test]
fn what_is_wrong_with_a_token_is_told_at_the_start() {
    let Some(hsm) = own_process("ca_token::what_is_wrong_with_a_token_is_told_at_the_start") else { return };
    let directory = tempfile::TempDir::new().unwrap();
    let with = |change: &dyn Fn(&mut chancery::ca::token::Settings)| {
        let mut settings = on_token(&hsm);
        change(settings.pkcs11.as_mut().unwrap());
        refusal(directory.path(), settings)
    };
    let why = with(&|token| token.token = "elsewhere".to_owned());
    assert!(why.contains("\"elsewhere\" is not there") && why.contains("\"ca-keys\""), "{why}");
    let why = with(&|token| token.module = "/no/such/library.so".into());
    assert!(why.contains("pkcs11.module: there is no file"), "{why}");
    let why = with(&|token| token.sessions = 0);
    assert!(why.contains("pkcs11.sessions"), "{why}");
    let why = with(&|token| token.keys = vec!["nobody".to_owned()]);
    assert!(why.contains("pkcs11.keys"), "{why}");
    let open = directory.path().join("open");
    fs::write(&open, PIN).unwrap();
    let why = with(&|token| token.pin_file = open.clone());
    assert!(why.contains("pin_file") && why.contains("chmod 0600"), "{why}");
    let wrong = directory.path().join("wrong");
    private(&wrong, "11111111");
    let why = with(&|token| token.pin_file = wrong.clone());
    assert!(why.contains("the login with the PIN") && !why.contains("11111111"), "{why}");
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let Some(hsm) = own_process("ca_token::a_key_that_is_not_the_certificates_is_refused") else { return };
    let settings = Settings { rsa_issuers: false, ..on_token(&hsm) };
    let (one, two) = (TestCa::with(settings.clone()), tempfile::TempDir::new().unwrap());
    // A directory of another CA, whose certificate has the same name; the token has the key of the first.
    let other = TestCa::with(Settings { pkcs11: None, ..settings.clone() });
    fs::remove_file(other.keys().join("chancery.key")).unwrap();
    let why = other.reopen(&settings, NOW).err().unwrap();
    assert!(why.contains("chancery.key is not the key of the certificate chancery.pem"), "{why}");
    assert!(one.reopen(&settings, NOW).is_ok());
    // The token without the key: SoftHSM keeps it in files.
    let token = fs::read_dir(hsm.tokens()).unwrap().next().unwrap().unwrap().path();
    for file in
        fs::read_dir(&token).unwrap().flatten().filter(|file| file.path().extension().is_some_and(|e| e == "object"))
    {
        if !file.path().ends_with("token.object") {
            fs::rename(file.path(), two.path().join(file.file_name())).unwrap();
        }
    }
    let why = one.reopen(&settings, NOW).err().unwrap();
    assert!(why.contains("chancery.pem but not chancery.key"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_issues_over_a_token_and_waits_for_one_that_is_away() {
    let test = "ca_token::the_whole_server_issues_over_a_token_and_waits_for_one_that_is_away";
    let Some(hsm) = own_process(test) else { return };
    let settings = hsm.settings();
    let mut world = World::with(|config| {
        config.ca.pkcs11 = Some(settings);
        // The second look below is to find the order as it waits.
        config.acme.finalize_wait_ms = 100;
    })
    .await;
    let client = world.client().await;
    let (place, order) = world.ready_order(&client, &["one.test"]).await;
    client.finalize(&order, &csr(&["one.test"]).0).await.expect(200);
    world.ra().drain().await.unwrap();
    assert_eq!(look(&client, &place).await["status"], "valid");
    assert_eq!(world.ra().crl("chancery", 0).await.unwrap().der[0], 0x30);

    // Somebody logs the process out: sessions are still open, and their key handles are of no use. It heals at once.
    let token = Pkcs11::new(module()).unwrap();
    let slot = token.get_slots_with_initialized_token().unwrap()[0];
    token.open_ro_session(slot).unwrap().logout().unwrap();
    let (place, order) = world.ready_order(&client, &["two.test"]).await;
    client.finalize(&order, &csr(&["two.test"]).0).await.expect(200);
    world.ra().drain().await.unwrap();
    assert_eq!(look(&client, &place).await["status"], "valid");

    // Its PIN is taken away and the login with it, so that it can't heal: the order waits, and the client is told so.
    private(&hsm.pin_file(), "11111111");
    token.open_ro_session(slot).unwrap().logout().unwrap();
    let (place, order) = world.ready_order(&client, &["three.test"]).await;
    client.finalize(&order, &csr(&["three.test"]).0).await.expect(200);
    world.ra().drain().await.unwrap();
    assert_eq!(look(&client, &place).await["status"], "processing");
    world.pass(HOUR / 60).await;
    assert_eq!(look(&client, &place).await["status"], "processing");
    private(&hsm.pin_file(), PIN);
    world.pass(HOUR / 4).await;
    assert_eq!(look(&client, &place).await["status"], "valid");
    let put_off = world.audit().await.into_iter().filter(|act| matches!(act, Act::IssuancePutOff { .. })).count();
    assert!(put_off >= 2, "{put_off}");
}

/// A world whose keys are on a token, and with it how to take that out and put it in again.
struct Removable {
    world: World,
    hsm: SoftHsm,
}

impl Removable {
    async fn new(hsm: SoftHsm) -> Self {
        let settings = hsm.settings();
        let world = World::with(|config| {
            config.ca.pkcs11 = Some(settings);
            config.ca.rsa_issuers = false;
            // Whoever looks at an order that waits is kept waiting, too.
            config.acme.finalize_wait_ms = 100;
            config.acme.challenge_wait_ms = 5_000;
        })
        .await;
        Self { world, hsm }
    }

    fn take_out(&self) {
        fs::rename(self.hsm.tokens(), self.hsm.tokens().with_file_name("taken-out")).unwrap();
    }

    fn put_in(&self) {
        fs::rename(self.hsm.tokens().with_file_name("taken-out"), self.hsm.tokens()).unwrap();
    }

    /// Finalizes an order, and gives its URL.
    async fn finalize(&self, client: &Client, name: &str) -> String {
        let (place, order) = self.world.ready_order(client, &[name]).await;
        client.finalize(&order, &csr(&[name]).0).await.expect(200);
        self.world.ra().drain().await.unwrap();
        place
    }

    async fn list(&self) -> Response {
        let base = &self.world.config.pki.public_url;
        Client::new(self.world.pki(), base).get(&format!("{base}/crl/chancery/0.crl")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_out_holds_up_signatures_alone() {
    let Some(hsm) = own_process("ca_token::a_token_that_is_taken_out_holds_up_signatures_alone") else { return };
    let mut removable = Removable::new(hsm).await;
    let client = removable.world.client().await;
    let place = removable.finalize(&client, "one.test").await;
    let one = look(&client, &place).await;
    assert_eq!(one["status"], "valid");
    let der = leaf(&client.certificate(&one).await);
    let serial = parsed(&der).raw_serial().to_vec();
    let status = status_request(&[cert_id(&issuer(&removable.world, "chancery"), &serial, SHA1)]);

    removable.take_out();
    let place = removable.finalize(&client, "two.test").await;
    assert_eq!(look(&client, &place).await["status"], "processing");
    // Nobody is there to certify a responder; what needs no signature is served as before.
    assert_eq!(post(&removable.world.pki(), &status).await, [0x30, 3, 0x0a, 1, TRY_LATER]);
    removable.list().await.expect(200);
    assert_eq!(leaf(&client.certificate(&one).await), der);
    for _ in 0..4 {
        removable.world.pass(HOUR / 60 * 6).await;
    }
    assert_eq!(look(&client, &place).await["status"], "processing");
    // The waiting was no look at CAA: that is tried as often as ever.
    removable.world.dns.fail_type("two.test", "CAA", Failure::ServFail);
    for _ in 0..2 {
        removable.world.pass(9 * HOUR).await;
        assert_eq!(look(&client, &place).await["status"], "processing");
    }
    removable.world.dns.clear("two.test");
    removable.put_in();
    removable.world.pass(HOUR).await;
    assert_eq!(look(&client, &place).await["status"], "valid");
    assert_eq!(ask(&removable.world.pki(), &status).await.statuses(), ["good"]);
    let place = removable.finalize(&client, "three.test").await;
    assert_eq!(look(&client, &place).await["status"], "valid");
    let put_off = removable.world.audit().await.into_iter().filter(|act| matches!(act, Act::IssuancePutOff { .. }));
    assert!(put_off.count() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_can_not_be_signed_are_not_tried_anew_by_everybody_who_asks() {
    let test = "ca_token::lists_that_can_not_be_signed_are_not_tried_anew_by_everybody_who_asks";
    let Some(hsm) = own_process(test) else { return };
    let mut removable = Removable::new(hsm).await;
    removable.list().await.expect(200);
    removable.take_out();
    // Beyond the end of the last list, and before anybody else looks.
    removable.world.clock.advance(8 * DAY);
    let second = Duration::from_secs(1);
    // Each try takes a number, which begins with the moment.
    let mut tries = Vec::new();
    for rest in [1, 2, 4] {
        let moment = removable.world.now().as_millis();
        for _ in 0..3 {
            let refused = removable.list().await.expect(503);
            let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&after), "{after}");
        }
        tries.push(moment..moment + 100);
        removable.world.clock.advance(rest * second);
    }
    removable.put_in();
    removable.world.clock.advance(8 * second);
    removable.list().await.expect(200);
    let acts = removable.world.audit().await;
    for moment in tries {
        let count = |act: &&Act| matches!(act, Act::CrlSigned { number, .. } if moment.contains(number));
        assert_eq!(acts.iter().filter(count).count(), 1, "{moment:?}");
    }
}
