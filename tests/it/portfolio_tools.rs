//! What the tests of customers' certificates share: a customer with a token, a key pair made here, certificates for it.

use chancery::domain::CustomerId;
use chancery::domain::customer::CustomerKind;
use chancery::domain::token::Role;
use chancery::ra::NewToken;
use serde_json::{Value, json};

use crate::support::client::{Client, csr};
use crate::support::operator::Operator;
use crate::support::world::World;

/// A customer at the REST API and over ACME.
pub struct Owner {
    pub id: CustomerId,
    pub api: Operator,
    pub acme: Client,
}

impl Owner {
    pub async fn new(world: &World) -> Self {
        let id = world.customer(CustomerKind::Enterprise).await;
        let acme = world.client_of(&id).await;
        let role = Role::Customer { customer: id.clone() };
        let (_, token) = world
            .ra()
            .create_token(NewToken { name: "test".to_owned(), role, days: None, latest: None })
            .await
            .unwrap();
        Self { api: Operator::with(world, Some(format!("Bearer {}", *token))), id, acme }
    }

    /// A key pair made here, for these names: the object, and the CSR, DER.
    pub async fn key_pair(&self, names: &[&str]) -> (Value, Vec<u8>) {
        let made = self.api.post("/csrs", &json!({ "names": names })).await;
        let csr = pem::parse(made["csr"].as_str().unwrap()).unwrap().into_contents();
        (made, csr)
    }

    /// A certificate for a CSR; gives its id.
    pub async fn certificate_for(&self, world: &World, names: &[&str], csr: &[u8]) -> String {
        world.web.serve_any(&self.acme.thumbprint());
        let (_, order) = world.ready_order(&self.acme, names).await;
        let done = self.acme.finalize(&order, csr).await.expect(200).json();
        assert_eq!(done["status"], "valid", "{done}");
        let chain = self.acme.certificate(&done).await;
        let serial = chancery::ca::certificate::serial_of(pem::parse(chain).unwrap().contents()).unwrap();
        serial.to_string()
    }

    /// A certificate whose key is elsewhere.
    pub async fn certificate(&self, world: &World, names: &[&str]) -> String {
        self.certificate_for(world, names, &csr(names).0).await
    }

    /// A certificate whose key is kept here.
    pub async fn kept(&self, world: &World, names: &[&str]) -> String {
        let (_, csr) = self.key_pair(names).await;
        self.certificate_for(world, names, &csr).await
    }

    pub async fn shown(&self, id: &str) -> Value {
        self.api.get(&format!("/certificates/{id}")).await.expect(200).json()
    }

    /// What a request is refused with.
    pub async fn refusal(&self, method: &str, path: &str, body: Value, status: u16) -> String {
        let answer = match method {
            "GET" => self.api.get(path).await,
            _ => self.api.send(method, path, &body).await,
        };
        answer.expect(status).json()["detail"].as_str().unwrap().to_owned()
    }
}

/// Runs a program in a directory; gives its standard output.
pub fn run(directory: &std::path::Path, program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
