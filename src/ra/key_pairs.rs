//! Key pairs and certificate requests that customers keep here (CSR-01, KEY-04 to KEY-07).

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::documents::NewDocument;
use super::{Ra, settle};
use crate::ca::{self, request};
use crate::domain::audit::Act;
use crate::domain::csr::{Csr, SubjectKey};
use crate::domain::document::DocumentKind;
use crate::domain::key_pair::{KeyPair, PrivateKey, weak_password};
use crate::domain::{CustomerId, Error, Identifier, KeyPairId, Kind, Result};
use crate::paper::keystore;
use crate::store::records::{Batch, BlockedKey, Index, Rows, Stored, target};

/// Most key pairs that a customer keeps.
const MOST: usize = 1_000;

/// Media types of private keys (RFC 5958, and what has none of its own).
const PKCS8: &str = "application/pkcs8";
const LOCKED: &str = "application/pkcs8-encrypted";

/// A key pair to be made here.
#[derive(Debug)]
pub struct NewKeyPair {
    /// For whom.
    pub customer: CustomerId,
    /// What its owner calls it.
    pub name: String,
    /// The names of the request.
    pub identifiers: Vec<Identifier>,
    /// The kind of key.
    pub key: SubjectKey,
    /// What locks the private key (KEY-04); none leaves it as it is.
    pub password: Option<Zeroizing<String>>,
}

/// A request that a customer made.
#[derive(Debug)]
pub struct PastedCsr {
    /// For whom.
    pub customer: CustomerId,
    /// What its owner calls it.
    pub name: String,
    /// The request, PEM.
    pub csr: String,
    /// Its private key, PEM; needed for deployment and hosting (CSR-11).
    pub private_key: Option<Zeroizing<String>>,
}

impl Ra {
    /// Makes a key pair and a request. The private key is sealed, and never shown but to its owner's download.
    pub async fn create_key_pair(&self, asked: NewKeyPair) -> Result<KeyPair> {
        self.check_offered(asked.key)?;
        if asked.identifiers.is_empty() || asked.identifiers.len() > 100 {
            return Err(Error::malformed("A request is for 1 to 100 names."));
        }
        // KEY-09
        if let Some(weak) = asked.password.as_ref().and_then(|password| weak_password(password)) {
            return Err(Error::malformed(weak));
        }
        let mut seen = BTreeSet::new();
        let names: Vec<Identifier> = asked.identifiers.into_iter().filter(|name| seen.insert(name.clone())).collect();
        let (kind, password) = (asked.key, asked.password);
        let made = tokio::task::spawn_blocking(move || {
            let made = request::generate(kind, &names)?;
            // KEY-04: what is kept is locked with the password, which is not kept.
            let locked = password.map(|password| keystore::lock(&made.key, &password)).transpose()?;
            Ok::<_, Error>((made, locked))
        });
        let (made, locked) = made.await.map_err(Error::internal)??;
        let csr = ca::csr::parse(&made.csr)?;
        let private = match &locked {
            Some(locked) => Some((DocumentKind::LockedKey, locked.as_slice())),
            None => Some((DocumentKind::PrivateKey, made.key.as_slice())),
        };
        self.insert_key_pair(&asked.customer, &asked.name, &csr, private).await
    }

    /// KEY-01, KEY-02: kinds of keys that at least one product takes.
    fn check_offered(&self, key: SubjectKey) -> Result<()> {
        let catalog = self.catalog();
        if catalog.sold().any(|product| product.keys.contains(&key)) {
            return Ok(());
        }
        let offered: BTreeSet<String> =
            catalog.sold().flat_map(|product| product.keys.iter().map(ToString::to_string)).collect();
        let offered = offered.into_iter().collect::<Vec<_>>().join(", ");
        Err(Error::malformed(format!("No product takes {key} keys; there are: {offered} (KEY-01, KEY-02).")))
    }

    /// Keeps a request that was made elsewhere, and its private key if that comes with it.
    pub async fn store_csr(&self, asked: PastedCsr) -> Result<KeyPair> {
        // CSR-03: JSON is UTF-8, and the request within it is PEM.
        let block = pem::parse(asked.csr.trim()).ok().filter(|block| block.tag().ends_with("CERTIFICATE REQUEST"));
        let block = block.ok_or_else(|| {
            Error::new(Kind::BadCsr, "Not a CSR: paste the PEM text from BEGIN CERTIFICATE REQUEST to END (CSR-03).")
        })?;
        let csr = ca::csr::parse(block.contents())?;
        if self.records.find::<BlockedKey>(csr.spki_sha256).await?.is_some() {
            return Err(Error::new(Kind::BadCsr, "The CSR's key is known to be compromised; make a new key pair."));
        }
        let key = asked.private_key.as_ref().map(|text| ca::foreign::private_key(text)).transpose()?;
        if key.as_ref().is_some_and(|key| !request::is_key_of(key, &csr.spki)) {
            return Err(Error::malformed(
                "The private key is not that of the CSR; upload the key that it was made with (CSR-11).",
            ));
        }
        let private = key.as_ref().map(|key| (DocumentKind::PrivateKey, key.as_slice()));
        self.insert_key_pair(&asked.customer, &asked.name, &csr, private).await
    }

    async fn insert_key_pair(
        &self,
        customer: &CustomerId,
        name: &str,
        csr: &Csr,
        private: Option<(DocumentKind, &[u8])>,
    ) -> Result<KeyPair> {
        let name = name.trim();
        if name.chars().count() > 200 || name.chars().any(char::is_control) {
            return Err(Error::malformed("The name of a CSR has 200 characters at most, and no control characters."));
        }
        self.customer(customer).await?;
        let id = KeyPairId::random();
        settle(|| async {
            let by_key = Index::KeyPairBySpki(customer, &csr.spki_sha256);
            if let Some(held) = self.records.follow(&by_key).await? {
                let held = &*held;
                let told = format!("This key is on file already, as {held}; delete that one first.");
                return Err(Error::new(Kind::Conflict, told).conflicting(held).into());
            }
            if self.records.rows(&Rows::KeyPairsOfCustomer(customer), None, MOST).await?.len() >= MOST {
                return Err(Error::new(Kind::Conflict, format!("{MOST} CSRs are kept at most; delete some.")).into());
            }
            let now = self.now();
            let word = match private {
                Some((DocumentKind::LockedKey, _)) => "locked",
                Some(_) => "kept",
                None => "elsewhere",
            };
            let act =
                Act::KeyPairCreated { key_pair: id.clone(), customer: customer.clone(), private: word.to_owned() };
            let batch = Batch::of(act, now);
            let (batch, private) = match private {
                None => (batch, PrivateKey::Elsewhere),
                Some((kind, content)) => {
                    let media_type = if kind == DocumentKind::LockedKey { LOCKED } else { PKCS8 };
                    let new = NewDocument { customer, kind, media_type, name: "private.key", content };
                    let (batch, document) = self.keep_document(batch, &new, now);
                    match kind {
                        DocumentKind::LockedKey => (batch, PrivateKey::Locked { document }),
                        _ => (batch, PrivateKey::Kept { document }),
                    }
                }
            };
            let key_pair = KeyPair {
                id: id.clone(),
                customer: customer.clone(),
                name: name.to_owned(),
                identifiers: csr.names.iter().cloned().collect(),
                key: csr.key,
                spki_sha256: csr.spki_sha256,
                csr: csr.der.clone(),
                private,
                created: now,
            };
            let batch = batch
                .insert(&key_pair)
                .claim(&by_key, id.as_str())
                .index(&Index::KeyPairOfCustomer(customer, now, &id), id.as_str());
            self.records.commit(batch).await?;
            Ok(key_pair)
        })
        .await
    }

    /// The key pair of that id.
    pub async fn key_pair(&self, id: &KeyPairId) -> Result<KeyPair> {
        Ok(self.stored_key_pair(id).await?.into_value())
    }

    async fn stored_key_pair(&self, id: &KeyPairId) -> Result<Stored<KeyPair>> {
        let found = self.records.find::<KeyPair>(id).await?;
        found.ok_or_else(|| Error::not_found(format!("There is no CSR {id}.")))
    }

    /// The request of a customer's own key pair, DER: what an order is finalized with.
    pub async fn own_key_pair(&self, customer: &CustomerId, id: &KeyPairId) -> Result<Vec<u8>> {
        let key_pair = self.key_pair(id).await?;
        if key_pair.customer != *customer {
            return Err(Error::not_found(format!("There is no CSR {id}.")));
        }
        Ok(key_pair.csr)
    }

    /// Up to `limit` key pairs behind the one of that id; of one customer, oldest first, or of all.
    pub async fn key_pairs(
        &self,
        customer: Option<&CustomerId>,
        after: Option<&KeyPairId>,
        limit: usize,
    ) -> Result<Vec<KeyPair>> {
        let Some(customer) = customer else {
            let found = self.records.list::<KeyPair>(b"", after.map(|id| id.as_str().into()), limit).await?;
            return Ok(found.into_iter().map(Stored::into_value).collect());
        };
        let after = match after {
            Some(id) => Some(Index::KeyPairOfCustomer(customer, self.key_pair(id).await?.created, id).id()),
            None => None,
        };
        let rows = self.records.rows(&Rows::KeyPairsOfCustomer(customer), after, limit).await?;
        let ids = rows.iter().map(|(_, id)| target::<KeyPairId>(id)).collect::<Result<Vec<_>, _>>()?;
        let found = self.records.find_all::<KeyPair>(&ids).await?;
        Ok(found.into_iter().flatten().map(Stored::into_value).collect())
    }

    /// The private key of a key pair as PEM, locked if its owner locked it; reading it is noted.
    pub async fn private_key_file(&self, key_pair: &KeyPair) -> Result<Zeroizing<String>> {
        let document = key_pair.private.document().ok_or_else(|| {
            Error::not_found("The private key of this CSR is not kept here: whoever made the CSR has it (CSR-01).")
        })?;
        let (_, content) = self.read_document(document).await?;
        let act = Act::PrivateKeyRead { of: key_pair.id.to_string() };
        self.records.commit(Batch::of(act, self.now())).await?;
        Ok(match key_pair.private {
            PrivateKey::Locked { .. } => Zeroizing::new(keystore::locked_pem(&content)),
            _ => keystore::key_pem(&content),
        })
    }

    /// Deletes a key pair for good, its private key too. A certificate that resources use keeps it.
    pub async fn delete_key_pair(&self, id: &KeyPairId) -> Result<()> {
        settle(|| async {
            let read = self.stored_key_pair(id).await?;
            for serial in self.records.certificates_of(&read.spki_sha256).await? {
                let reference = crate::domain::portfolio::CertificateRef::Issued(serial);
                self.portfolio(&reference).await?.unbound("deleting its key", "HOST-07")?;
            }
            let now = self.now();
            let batch = Batch::of(Act::KeyPairDeleted { key_pair: id.clone() }, now)
                .remove(&read)
                .unindex(&Index::KeyPairBySpki(&read.customer, &read.spki_sha256))
                .unindex(&Index::KeyPairOfCustomer(&read.customer, read.created, id));
            let batch = match read.private.document() {
                Some(document) => self.drop_document(batch, document, now).await?,
                None => batch,
            };
            Ok(self.records.commit(batch).await?)
        })
        .await
    }
}
