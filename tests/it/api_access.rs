//! Who may do what: every operation of the REST API, tried by nobody, a reviewer, a stranger, the owner and an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use serde_json::{Value, json};

use crate::support::client::{Response, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

/// For whom an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everybody, without a token.
    Open,
    /// Operators.
    Operators,
    /// Reviewers and operators.
    Reviewers,
    /// The customer whose object it is, and operators.
    Owners,
    /// These and reviewers.
    OwnersAndReviewers,
    /// Customers, who see or make what is their own, and operators.
    Customers,
}

use Who::{Customers, Open, Operators, Owners, OwnersAndReviewers, Reviewers};

/// Every operation of the document: method, path, for whom, and a body that can be read. `{..}` stands for the owner's objects.
const OPERATIONS: &[(&str, &str, Who, &str)] = &[
    ("GET", "/products", Open, ""),
    ("GET", "/products/{product}", Open, ""),
    ("GET", "/quotes?product=trustasia-dv-multi&names=2", Open, ""),
    ("POST", "/quotes", Open, r#"{"product":"trustasia-dv-multi","names":2}"#),
    ("POST", "/recommendations", Open, "{}"),
    ("GET", "/help", Open, ""),
    ("GET", "/help/DIAG-14", Open, ""),
    ("GET", "/tokens", Customers, ""),
    ("POST", "/tokens", Customers, r#"{"name":"n","role":"customer","customer":"{customer}"}"#),
    ("GET", "/customers", Customers, ""),
    ("POST", "/customers", Operators, r#"{"name":"n","kind":"individual"}"#),
    ("GET", "/customers/{customer}", Owners, ""),
    ("PATCH", "/customers/{customer}", Owners, r#"{"email":"new@zone-one.cn"}"#),
    ("GET", "/customers/{customer}/accounts", Owners, ""),
    ("GET", "/customers/{customer}/balance", Owners, ""),
    ("GET", "/customers/{customer}/ledger", Owners, ""),
    ("POST", "/customers/{customer}/credits", Operators, r#"{"kind":"cash","amount":"1.00","note":"n"}"#),
    ("PUT", "/customers/{customer}/discount", Operators, r#"{"percent":5}"#),
    ("GET", "/ledger/trial-balance", Operators, ""),
    ("GET", "/external-account-keys", Customers, ""),
    ("POST", "/external-account-keys", Customers, r#"{"customer":"{customer}"}"#),
    // Before another letter takes its place.
    ("GET", "/documents/{document}", OwnersAndReviewers, ""),
    ("GET", "/purchases", Customers, ""),
    (
        "POST",
        "/purchases",
        Customers,
        r#"{"customer":"{customer}","product":"trustasia-dv-multi","names":1,"payment":"balance"}"#,
    ),
    ("GET", "/purchases/{purchase}", Owners, ""),
    ("GET", "/purchases/{purchase}/application", Owners, ""),
    ("PUT", "/purchases/{purchase}/application", Owners, "{}"),
    ("GET", "/purchases/{purchase}/letter", Owners, ""),
    ("PUT", "/purchases/{purchase}/letter", Owners, "%PDF-1.4 letter"),
    ("POST", "/purchases/{purchase}/reminders", Owners, "{}"),
    ("PUT", "/purchases/{purchase}/auto-renewal", Owners, r#"{"enabled":false}"#),
    ("GET", "/profiles/organisations", Customers, ""),
    ("POST", "/profiles/organisations", Customers, "{organisation-form}"),
    ("GET", "/profiles/organisations/{organisation}", Owners, ""),
    ("GET", "/profiles/administrators", Customers, ""),
    ("POST", "/profiles/administrators", Customers, "{person-form}"),
    ("GET", "/profiles/administrators/{administrator}", Owners, ""),
    ("GET", "/profiles/contacts", Customers, ""),
    ("POST", "/profiles/contacts", Customers, "{person-form}"),
    ("GET", "/profiles/contacts/{contact}", Owners, ""),
    ("GET", "/profiles/domains", Customers, ""),
    ("GET", "/orders", Customers, ""),
    ("POST", "/orders", Customers, r#"{"customer":"{customer}","identifiers":["two.zone-one.cn"],"csr":"{csr-pem}"}"#),
    ("GET", "/orders/{order}", Owners, ""),
    ("GET", "/orders/{order}/validation-records", Owners, ""),
    ("POST", "/orders/{order}/validations", Owners, ""),
    ("GET", "/orders/{order}/events", Owners, ""),
    ("GET", "/orders/{order}/letter", Owners, ""),
    ("PUT", "/orders/{order}/letter", Owners, "%PDF-1.4 letter"),
    ("POST", "/orders/{order}/reminders", Owners, "{}"),
    ("POST", "/diagnoses", Customers, r#"{"order":"{order}"}"#),
    ("GET", "/operations", Operators, ""),
    ("GET", "/limits", Operators, ""),
    ("GET", "/limits/overrides", Operators, ""),
    (
        "PUT",
        "/limits/overrides",
        Operators,
        r#"{"limit":"orders_per_customer","subject":"customer:{customer}","count":9,"per_s":60,"note":"n"}"#,
    ),
    ("DELETE", "/limits/overrides?limit=orders_per_customer&subject=customer:{customer}", Operators, ""),
    ("GET", "/paused", Customers, ""),
    ("DELETE", "/paused/{order}/a.zone-one.cn", Owners, ""),
    ("GET", "/audit", Operators, ""),
    ("GET", "/reviews", Reviewers, ""),
    ("GET", "/reviews/{organisation}", Reviewers, ""),
    ("POST", "/reviews/{organisation}/notes", Reviewers, r#"{"text":"n"}"#),
    ("POST", "/reviews/{organisation}/decision", Reviewers, r#"{"decision":"approve","note":"n"}"#),
    ("GET", "/clearances?customer={customer}", Reviewers, ""),
    ("POST", "/clearances", Reviewers, r#"{"customer":"{customer}","name":"pay.zone-one.cn","note":"n"}"#),
    ("DELETE", "/clearances?customer={customer}&name=pay.zone-one.cn", Reviewers, ""),
    ("GET", "/certificates", Customers, ""),
    ("GET", "/certificates/{certificate}", Owners, ""),
    ("GET", "/certificates/{certificate}/evidence", OwnersAndReviewers, ""),
    ("PATCH", "/certificates/{certificate}", Owners, r#"{"name":"n"}"#),
    ("PUT", "/certificates/{certificate}/mute", Owners, ""),
    ("DELETE", "/certificates/{certificate}/mute", Owners, ""),
    ("GET", "/certificates/{certificate}/bundle?format=nginx", Owners, ""),
    ("GET", "/certificates/{certificate}/deployments", Owners, ""),
    ("POST", "/certificates/{certificate}/deployments", Owners, r#"{"resources":[]}"#),
    ("DELETE", "/certificates/{certificate}/deployments", Owners, ""),
    ("PUT", "/certificates/{certificate}/hosting", Owners, r#"{"resources":[]}"#),
    ("POST", "/certificates/{certificate}/upgrades", Owners, "{}"),
    ("POST", "/certificates/{certificate}/renewals", Owners, "{}"),
    ("POST", "/certificates/{certificate}/reissues", Owners, r#"{"grounds":"The key is lost."}"#),
    ("GET", "/certificates/{certificate}/revocations", Owners, ""),
    ("DELETE", "/certificates/{certificate}", Owners, ""),
    (
        "POST",
        "/uploaded-certificates",
        Customers,
        r#"{"customer":"{customer}","name":"n","certificate":"c","private_key":"k"}"#,
    ),
    ("GET", "/csrs", Customers, ""),
    ("POST", "/csrs", Customers, r#"{"customer":"{customer}","name":"n","names":["x.zone-one.cn"],"key":"p-256"}"#),
    ("GET", "/csrs/{key-pair}", Owners, ""),
    ("GET", "/csrs/{key-pair}/private-key", Owners, ""),
    ("GET", "/notices", Customers, ""),
    ("GET", "/notices/{notice}", Owners, ""),
    ("PUT", "/notices/{notice}/read", Owners, ""),
    ("GET", "/subscriptions", Customers, ""),
    ("PUT", "/subscriptions?customer={customer}", Customers, r#"{"topics":["issue"]}"#),
    ("GET", "/channels", Customers, ""),
    (
        "POST",
        "/channels",
        Customers,
        r#"{"kind":"email","customer":"{customer}","name":"n","address":"a@zone-one.cn"}"#,
    ),
    ("GET", "/channels/{channel}", Owners, ""),
    ("POST", "/channels/{channel}/test", Owners, ""),
    ("GET", "/notification-templates", Customers, ""),
    (
        "POST",
        "/notification-templates",
        Customers,
        r#"{"customer":"{customer}","name":"n","recipients":["{channel}"]}"#,
    ),
    ("GET", "/notification-templates/{template}", Owners, ""),
    ("PATCH", "/notification-templates/{template}", Owners, r#"{"name":"m"}"#),
    ("GET", "/alarm-policies", Customers, ""),
    ("GET", "/alarm-policies/proposal", Customers, ""),
    ("POST", "/alarm-policies", Customers, "{alarm-form}"),
    ("GET", "/alarm-policies/{alarm}", Owners, ""),
    ("PATCH", "/alarm-policies/{alarm}", Owners, r#"{"name":"m","days":20}"#),
    ("GET", "/quotas?customer={customer}", Owners, ""),
    ("GET", "/packages?customer={customer}", Owners, ""),
    ("POST", "/packages", Operators, r#"{"customer":"{customer}","size":1}"#),
    ("GET", "/domains/zone-one.cn", Operators, ""),
    ("PUT", "/domains/zone-one.cn", Operators, r#"{"provider":false}"#),
    (
        "POST",
        "/domains/zone-one.cn/elsewhere",
        Operators,
        r#"{"count":1,"not_after":"2027-01-01T00:00:00Z","note":"n"}"#,
    ),
    ("DELETE", "/domains/zone-one.cn/elsewhere", Operators, ""),
    ("GET", "/compromised-keys", Operators, ""),
    ("POST", "/compromised-keys", Operators, r#"{"spki_sha256":"{zeros}"}"#),
    ("GET", "/incidents", Operators, ""),
    (
        "POST",
        "/incidents",
        Operators,
        r#"{"selection":{"product":"none"},"reason":"r","renew_by":"2027-01-01T00:00:00Z"}"#,
    ),
    ("GET", "/incidents/{incident}", Operators, ""),
    ("POST", "/incidents/{incident}/close", Operators, ""),
    // What ends things, last.
    ("POST", "/certificates/{certificate}/revocations", Owners, r#"{"reason":"keyCompromise","grounds":"lost"}"#),
    ("GET", "/revocations/{revocation}", Owners, ""),
    ("POST", "/revocations/{revocation}/proof", Owners, ""),
    ("GET", "/revocations/{revocation}/letter", Owners, ""),
    ("PUT", "/revocations/{revocation}/letter", Owners, "%PDF-1.4 letter"),
    ("POST", "/certificates/{certificate}/revoke", Operators, r#"{"reason":0}"#),
    ("DELETE", "/alarm-policies/{alarm}", Owners, ""),
    ("DELETE", "/notification-templates/{template}", Owners, ""),
    ("DELETE", "/channels/{channel}", Owners, ""),
    ("DELETE", "/csrs/{key-pair}", Owners, ""),
    ("POST", "/orders/{order}/cancellation", Owners, ""),
    ("POST", "/purchases/{purchase}/cancellation", Owners, ""),
    ("POST", "/purchases/{purchase}/refunds", Owners, r#"{"consent":true}"#),
    ("DELETE", "/external-account-keys/{kid}", Owners, ""),
    ("DELETE", "/tokens/{token}", Owners, ""),
];

/// Signed, not authorized by a token: tests of its own show who may call it.
const SIGNED: &[(&str, &str)] = &[("POST", "/payments")];

struct Fixture {
    world: World,
    owner: Operator,
    /// What the names in braces stand for.
    objects: BTreeMap<&'static str, String>,
}

async fn token(world: &World, asked: Value) -> Operator {
    let made = Operator::of(world).post("/tokens", &asked).await;
    Operator::with(world, Some(format!("Bearer {}", made["token"].as_str().unwrap())))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

fn pem_of(names: &[&str]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr(names).0)).replace("\r\n", "\n")
}

impl Fixture {
    /// A customer with one of everything.
    async fn new() -> Self {
        let world = World::documented().await;
        let customer = world.customer(CustomerKind::Enterprise).await;
        let owner = token(&world, json!({ "name": "Owner", "role": "customer", "customer": customer })).await;
        let mut fixture = Self { world, owner, objects: BTreeMap::new() };
        fixture.put("customer", customer.to_string());
        fixture.put("product", "trustasia-dv-free".to_owned());
        fixture.put("zeros", "0".repeat(64));
        fixture.put("csr-pem", pem_of(&["two.zone-one.cn"]).replace('\n', "\\n"));
        fixture.own_access().await;
        fixture.own_orders(&customer).await;
        fixture.own_profiles().await;
        fixture.own_messages().await;
        let asked = json!({ "selection": { "product": "none" }, "reason": "r", "renew_by": "2027-01-01T00:00:00Z" });
        let incident = Operator::of(&fixture.world).post("/incidents", &asked).await;
        fixture.put("incident", text(&incident["id"]));
        fixture
    }

    fn put(&mut self, name: &'static str, value: String) {
        self.objects.insert(name, value);
    }

    async fn made(&mut self, name: &'static str, path: &str, body: Value) -> Value {
        let made = self.owner.send("POST", path, &body).await.expect(201).json();
        self.put(name, text(&made["id"]));
        made
    }

    async fn own_access(&mut self) {
        self.made("token", "/tokens", json!({ "name": "cron", "role": "customer" })).await;
        let key = self.owner.post("/external-account-keys", &json!({})).await;
        self.put("kid", text(&key["kid"]));
        self.made("key-pair", "/csrs", json!({ "name": "n", "names": ["k.zone-one.cn"], "key": "p-256" })).await;
    }

    async fn own_orders(&mut self, customer: &CustomerId) {
        let names = ["shop.zone-one.cn"];
        let order = self.owner.post("/orders", &json!({ "identifiers": names, "csr": pem_of(&names) })).await;
        let path = format!("/orders/{}", text(&order["id"]));
        let records = self.owner.get(&format!("{path}/validation-records")).await.expect(200).json();
        let record = &records["records"][0];
        self.world.dns.txt(record["place"].as_str().unwrap(), record["value"].as_str().unwrap());
        self.owner.send("POST", &format!("{path}/validations"), &json!({})).await.expect(200);
        self.world.pass(Duration::ZERO).await;
        let issued = self.owner.get(&path).await.expect(200).json();
        self.put("certificate", text(&issued["certificate"]));
        let open = json!({ "identifiers": ["open.zone-one.cn"], "csr": pem_of(&["open.zone-one.cn"]) });
        self.made("order", "/orders", open).await;
        let purchase = self.world.buy_alone(customer, "trustasia-ov-multi", 2, 1).await;
        self.put("purchase", purchase.id.to_string());
    }

    async fn own_profiles(&mut self) {
        let organisation = json!({
            "name": "Example Shipping Ltd", "department": "IT", "address": "1 Harbour Road", "locality": "Shanghai",
            "state": "Shanghai", "postal_code": "200000", "country": "CN", "phone": "+86 21 5555 0100",
        });
        let person =
            json!({ "name": "Li Wei", "position": "CTO", "phone": "+86 21 5555 0101", "email": "li@zone-one.cn" });
        self.made("organisation", "/profiles/organisations", organisation.clone()).await;
        self.made("administrator", "/profiles/administrators", person.clone()).await;
        self.made("contact", "/profiles/contacts", person.clone()).await;
        let of_owner = |mut form: Value, customer: &str| {
            form["customer"] = json!(customer);
            form.to_string()
        };
        let customer = self.objects["customer"].clone();
        self.put("organisation-form", of_owner(organisation, &customer));
        self.put("person-form", of_owner(person, &customer));
        let application =
            json!({ "organisation": self.objects["organisation"], "administrator": self.objects["administrator"] });
        let path = format!("/purchases/{}", self.objects["purchase"]);
        self.owner.send("PUT", &format!("{path}/application"), &application).await.expect(200);
        let letter = "%PDF-1.4 a letter";
        self.owner.request("PUT", &format!("{path}/letter"), "application/pdf", letter).await.expect(204);
        let submitted = self.owner.get(&format!("{path}/application")).await.expect(200).json();
        self.put("document", text(&submitted["letter"]["document"]));
        let grounds = json!({ "reason": "cessationOfOperation", "grounds": "The shop is closed." });
        let path = format!("/certificates/{}/revocations", self.objects["certificate"]);
        self.made("revocation", &path, grounds).await;
    }

    async fn own_messages(&mut self) {
        let channel = json!({ "kind": "email", "name": "Ops", "address": "ops@zone-one.cn" });
        self.made("channel", "/channels", channel).await;
        let recipients = json!([self.objects["channel"]]);
        self.made("template", "/notification-templates", json!({ "name": "n", "recipients": recipients })).await;
        let policy = json!({
            "name": "n", "monitoring_type": "ssl-certificate", "policy_type": "expiration-time", "days": 30,
            "interval_days": 0, "template": self.objects["template"],
        });
        self.made("alarm", "/alarm-policies", policy.clone()).await;
        let mut form = policy;
        form["customer"] = json!(self.objects["customer"]);
        self.put("alarm-form", form.to_string());
        let notices = self.owner.get("/notices").await.expect(200).json();
        self.put("notice", text(&notices["items"][0]["id"]));
    }

    fn filled(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&&str, &String)| text.replace(&format!("{{{name}}}"), value);
        self.objects.iter().fold(text.to_owned(), fill)
    }

    async fn ask(&self, who: &Operator, (method, path, _, body): &(&str, &str, Who, &str)) -> Response {
        let (path, body) = (self.filled(path), self.filled(body));
        let kind = match body.as_bytes().first() {
            Some(b'{') => "application/json",
            Some(_) => "application/pdf",
            None => "",
        };
        who.request(method, &path, kind, body).await
    }

    /// The owner's secrets and names, none of which a stranger may see.
    fn betrays(&self, answer: &Response) -> bool {
        let shown = String::from_utf8_lossy(&answer.body).into_owned();
        let own =
            ["customer", "purchase", "order", "certificate", "organisation", "channel", "notice", "token", "key-pair"];
        own.iter().any(|name| shown.contains(&self.objects[name]))
    }
}

/// Whether an answer keeps the caller out because of who it is.
fn keeps_out(answer: &Response) -> bool {
    match answer.status.as_u16() {
        401 | 404 => true,
        403 => String::from_utf8_lossy(&answer.body).contains("This is for"),
        _ => false,
    }
}

#[tokio::test]
async fn every_operation_is_for_those_whom_it_is_for_and_for_nobody_else() {
    let fixture = Fixture::new().await;
    let world = &fixture.world;
    let stranger = world.customer(CustomerKind::Enterprise).await;
    let stranger = token(world, json!({ "name": "Stranger", "role": "customer", "customer": stranger })).await;
    let reviewer = token(world, json!({ "name": "Rita", "role": "reviewer" })).await;
    let nobody = Operator::with(world, None);
    let mut faults = Vec::new();
    let mut demand = |holds: bool, caller: &str, operation: &(&str, &str, Who, &str), answer: &Response| {
        if !holds {
            faults.push(format!("{caller}: {} {}: {answer:?}", operation.0, operation.1));
        }
    };
    for operation in OPERATIONS {
        let (_, path, who, body) = operation;
        let answer = fixture.ask(&nobody, operation).await;
        demand((answer.status == 401) == (*who != Open), "nobody", operation, &answer);
        let answer = fixture.ask(&reviewer, operation).await;
        let may = matches!(who, Open | Reviewers | OwnersAndReviewers);
        // What does not exist is not there for a reviewer either.
        demand(absent(path) || keeps_out(&answer) != may, "reviewer", operation, &answer);
        let answer = fixture.ask(&stranger, operation).await;
        // What names the owner is not done for a stranger.
        let names_owner = body.contains("{customer}") || body.contains("-form}") || path.contains("{customer}");
        let kept_out = match who {
            Open => true,
            Customers if !names_owner => keeps_out(&answer) || !fixture.betrays(&answer),
            _ => keeps_out(&answer),
        };
        demand(kept_out, "stranger", operation, &answer);
    }
    for operation in OPERATIONS {
        let (method, path, who, _) = operation;
        let answer = fixture.ask(&fixture.owner, operation).await;
        let may = matches!(who, Open | Owners | OwnersAndReviewers | Customers);
        demand(absent(path) || keeps_out(&answer) != may, "owner", operation, &answer);
        let answer = fixture.ask(&Operator::of(world), operation).await;
        // Its owner removed it a moment ago; and private keys are for their owners alone.
        let gone = *method == "DELETE" || absent(path) || path.contains("private-key");
        demand(gone || !keeps_out(&answer), "operator", operation, &answer);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether a path names something that the owner does not have.
fn absent(path: &str) -> bool {
    // The order is of a free product, nothing is deployed, and nothing is paused.
    path.contains("{order}/letter") || path.starts_with("/paused/") || path.ends_with("{certificate}/deployments")
}

#[tokio::test]
async fn the_table_of_operations_is_complete() {
    let world = World::new().await;
    let document = Operator::with(&world, None).get("/openapi.json").await.expect(200).json();
    let bare = |path: &str| {
        let path = path.split('?').next().unwrap();
        let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    let tried: BTreeSet<(String, String)> = OPERATIONS
        .iter()
        .map(|(method, path, ..)| (method.to_string(), *path))
        .chain(SIGNED.iter().map(|(method, path)| (method.to_string(), *path)))
        .map(|(method, path)| {
            let path = path
                .replace("/DIAG-14", "/{id}")
                .replace("/zone-one.cn", "/{domain}")
                .replace("/a.zone-one.cn", "/{name}");
            (method, bare(&path))
        })
        .collect();
    let mut known = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            known.insert((method.to_uppercase(), bare(path)));
        }
    }
    let missing: Vec<_> = known.difference(&tried).collect();
    let gone: Vec<_> = tried.difference(&known).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not tried: {missing:?}; not there: {gone:?}");
}
