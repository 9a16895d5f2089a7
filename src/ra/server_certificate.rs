//! The certificate of this server's own HTTPS, issued by its own CA.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use super::Ra;
use crate::ca::{LeafPlan, Signed};
use crate::domain::audit::Act;
use crate::domain::csr::SubjectKey;
use crate::domain::{Error, Identifier, Result, Serial, Timestamp};
use crate::policy::catalog::days;
use crate::policy::validity::BACKDATE;
use crate::store::records::{Batch, SerialEntry};

/// Days that the server's certificate is valid; it is renewed at two thirds of that.
const DAYS: u32 = 30;

/// A certificate with its key. The key lives in memory alone: a restart makes another.
pub struct ServerIdentity {
    /// The leaf and its intermediates, DER.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8 DER.
    pub key: Zeroizing<Vec<u8>>,
    /// When to make the next one.
    pub renew_at: Timestamp,
}

impl Ra {
    /// Makes a key and a certificate for these names.
    pub async fn issue_server_certificate(&self, names: Vec<Identifier>, issuer: &str) -> Result<ServerIdentity> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| Error::internal("no key pair could be made"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref())
            .map_err(|_| Error::internal("the key pair just made can't be read"))?;
        let spki: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| Error::internal("the public key has no DER form"))?;
        let now = self.now();
        let serial = Serial::random();
        let act = Act::ServerCertificateIssued { serial, names: names.iter().map(ToString::to_string).collect() };
        let entry = SerialEntry { serial, purpose: "server".to_owned(), at: now };
        self.records.commit(Batch::of(act, now).insert(&entry)).await?;
        let not_before = now.whole_second() - BACKDATE;
        let end = self.ca.issuer_not_after(issuer, SubjectKey::P256)?;
        let not_after = (not_before + days(DAYS) - Duration::from_secs(1)).min(end);
        let plan = LeafPlan {
            serial,
            issuer: issuer.to_owned(),
            names,
            subject: None,
            common_name: None,
            spki: spki.as_ref().to_vec(),
            key: SubjectKey::P256,
            not_before,
            not_after,
        };
        let Signed { der, issuer } = self.signed(self.ca.prepare_own(&plan)?).await?;
        self.note_signed(entry, &issuer, &der).await?;
        let above = self.ca.chains(&issuer).and_then(|chains| chains.first()).cloned().unwrap_or_default();
        let chain = std::iter::once(der).chain(above).collect();
        Ok(ServerIdentity {
            chain,
            key: Zeroizing::new(key.as_ref().to_vec()),
            renew_at: now + not_after.since(now) * 2 / 3,
        })
    }
}
