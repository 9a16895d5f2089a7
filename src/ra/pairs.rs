//! SM2 certificates come in pairs (KEY-11): the second certificate of an order, with a key that is made here, and what becomes
//! of both together.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::documents::NewDocument;
use super::{Ra, Stop};
use crate::ca::{self, LeafPlan, Prepared, Signed};
use crate::domain::account::{Account, Holder};
use crate::domain::audit::{Act, Signature};
use crate::domain::certificate::{Certificate, hex32};
use crate::domain::csr::SubjectKey;
use crate::domain::document::DocumentKind;
use crate::domain::order::Order;
use crate::domain::pair::CertificatePair;
use crate::domain::{CustomerId, Error, Result, Serial, Timestamp};
use crate::paper::archive::Key;
use crate::paper::keystore;
use crate::store::records::{Batch, BlockedKey, Index, SerialEntry, Stored, target};

/// The second certificate of an order, linted and not signed yet.
pub(super) struct Second {
    prepared: Prepared,
    serial: Serial,
    spki_sha256: [u8; 32],
    private: Zeroizing<Vec<u8>>,
    customer: CustomerId,
}

/// The certificate for encryption for its owner's download.
pub(super) struct SecondPart {
    /// It and what stands above it, DER.
    pub(super) chain: Vec<Vec<u8>>,
    private: Zeroizing<Vec<u8>>,
    locked: bool,
}

impl SecondPart {
    /// That of an uploaded pair.
    pub(super) fn uploaded(chain: Vec<Vec<u8>>, private: Zeroizing<Vec<u8>>) -> Self {
        Self { chain, private, locked: false }
    }

    /// Its private key.
    pub(super) fn key(&self) -> Key<'_> {
        match self.locked {
            true => Key::Locked(&self.private),
            false => Key::Plain(&self.private),
        }
    }
}

impl Ra {
    /// For an SM2 key: the plan of the second certificate, with a key made for it and a serial of its own. The serial is
    /// recorded here and kept in the memory of this run alone, so it is signed at most once, whatever becomes of the run.
    pub(super) async fn second(
        &self,
        order: &Order,
        holder: &Holder,
        plan: &LeafPlan,
        now: Timestamp,
    ) -> Result<Option<Second>, Stop> {
        if plan.key != SubjectKey::Sm2 {
            return Ok(None);
        }
        let Holder::Customer(customer) = holder else {
            let told = "SM2 certificates come with a key that is kept here for a customer; bind the account to one.";
            return Err(Error::unauthorized(told).into());
        };
        let (private, spki) = ca::request::sm2_key()?;
        let spki_sha256 = ca::certificate::key_hash(&spki);
        let spki_sha256 = spki_sha256.ok_or_else(|| Error::internal("a key that was just made can't be read"))?;
        let serial = Serial::random();
        let batch = Batch::of(Act::SecondSerialRecorded { order: order.id.clone(), serial }, now)
            .insert(&SerialEntry { serial, purpose: order.id.to_string(), at: now });
        self.records.commit(batch).await?;
        let prepared = self.ca.prepare_encryption(&LeafPlan { serial, spki, ..plan.clone() })?;
        Ok(Some(Second { prepared, serial, spki_sha256, private, customer: customer.clone() }))
    }

    /// Signs the second certificate, and has the batch of the first one record both as a pair.
    pub(super) fn pair(
        &self,
        batch: Batch,
        second: Second,
        first: (&Certificate, Signature),
        now: Timestamp,
    ) -> Result<Batch> {
        let (first, signature) = first;
        let Second { prepared, serial, spki_sha256, private, customer } = second;
        let Signed { der, issuer } = self.ca.sign(prepared)?;
        let certificate = Certificate { serial, issuer, spki_sha256, der, ..first.clone() };
        // It rests on the same evidence.
        let signature = signature.of_second(
            hex32::encode(digest(&SHA256, &certificate.der).as_ref()),
            hex32::encode(&certificate.spki_sha256),
        );
        let act = Act::CertificateIssued { serial, order: first.order.clone(), signature: Some(Box::new(signature)) };
        let new = NewDocument {
            customer: &customer,
            kind: DocumentKind::PrivateKey,
            media_type: "application/pkcs8",
            name: "encryption.key",
            content: &private,
        };
        let (batch, private_key) = self.keep_document(batch, &new, now);
        let pair = CertificatePair { signature: first.serial, encryption: serial, private_key };
        Ok(batch
            .and(act, now)
            .insert(&certificate)
            .insert(&pair)
            .claim(&Index::SignatureOf(&serial), &first.serial.to_string())
            .index(&Index::CertificateOfKey(&spki_sha256, &serial), &serial.to_string())
            .without::<BlockedKey>(spki_sha256))
    }

    /// The serial under which everything about a certificate is kept, and by which it is judged: of the second of a pair that
    /// of the first, of any other its own.
    pub(super) async fn face_of(&self, serial: &Serial) -> Result<Serial> {
        let row = self.records.follow(&Index::SignatureOf(serial)).await?;
        Ok(row.map(|row| target::<Serial>(&row)).transpose()?.unwrap_or(*serial))
    }

    /// The serials of the pair that a certificate belongs to, its face first; its own if it belongs to none.
    pub(super) async fn halves_of(&self, serial: &Serial) -> Result<Vec<Serial>> {
        let face = self.face_of(serial).await?;
        let pair = self.records.find::<CertificatePair>(face).await?;
        Ok(std::iter::once(face).chain(pair.map(|pair| pair.encryption)).collect())
    }

    /// The pair that a certificate belongs to, whichever of both it is.
    pub(super) async fn pair_of(&self, certificate: &Certificate) -> Result<Option<CertificatePair>> {
        if certificate.key != SubjectKey::Sm2 {
            return Ok(None);
        }
        let face = self.face_of(&certificate.serial).await?;
        Ok(self.records.find::<CertificatePair>(face).await?.map(Stored::into_value))
    }

    /// The same certificates with the other halves of the pairs among them, as far as those are in force: both are revoked
    /// together. Those of `besides` are looked at too, and not added themselves.
    pub(super) async fn with_other_halves(
        &self,
        mut found: Vec<Stored<Certificate>>,
        besides: Option<&Certificate>,
    ) -> Result<Vec<Stored<Certificate>>> {
        let mut wanted = Vec::new();
        for certificate in found.iter().map(|found| &**found).chain(besides) {
            if let Some(pair) = self.pair_of(certificate).await? {
                wanted.extend([pair.signature, pair.encryption]);
            }
        }
        for serial in wanted {
            let there = found.iter().any(|found| found.serial == serial);
            if there || besides.is_some_and(|besides| besides.serial == serial) {
                continue;
            }
            let other = self.records.find::<Certificate>(serial).await?;
            found.extend(other.filter(|other| self.in_force(other).is_ok()));
        }
        Ok(found)
    }

    /// The private key for encryption of an account's pair, which either serial names, enveloped for the holder of its key for
    /// signatures: SM2EnvelopedKey, DER (GM/T 0009). So it needs no password, and nobody on the way can read it. A pair that is
    /// revoked, or is being revoked, is not given out (REVOKE-01).
    pub async fn enveloped_key(&self, account: &Account, serial: &Serial) -> Result<Vec<u8>> {
        let none = || Error::not_found("This account has no such pair of certificates.");
        let first = self.records.find::<Certificate>(self.face_of(serial).await?).await?;
        let first = first.filter(|first| first.account == account.id).ok_or_else(none)?;
        let pair = self.pair_of(&first).await?.ok_or_else(none)?;
        self.in_force(&first)?;
        self.refuse_while_revoking(&first.serial).await?;
        let (_, private) = self.read_document(&pair.private_key).await?;
        let enveloped = ca::request::enveloped(&private, &first.der)?;
        let act = Act::PrivateKeyRead { of: first.serial.to_string() };
        self.records.commit(Batch::of(act, self.now())).await?;
        Ok(enveloped)
    }

    /// The certificate for encryption of the pair that a certificate for signatures begins, its key locked with the password if
    /// there is one.
    pub(super) async fn second_part(
        &self,
        certificate: &Certificate,
        password: Option<&str>,
    ) -> Result<Option<SecondPart>> {
        let Some(pair) = self.pair_of(certificate).await? else { return Ok(None) };
        let second = self.certificate_of(&pair.encryption).await?;
        let chain = self.whole_chain(&second.issuer, &second.der)?;
        let (_, private) = self.read_document(&pair.private_key).await?;
        let locked = password.map(|password| keystore::lock(&private, password)).transpose()?;
        Ok(Some(match locked {
            Some(locked) => SecondPart { chain, private: Zeroizing::new(locked), locked: true },
            None => SecondPart { chain, private, locked: false },
        }))
    }
}
