//! The two certificates of the Chinese national standard for one subject (KEY-11).

use serde::{Deserialize, Serialize};

use super::{DocumentId, Serial};

/// That two certificates are a pair. The subscriber made the key of the one for signatures; this server, as key management
/// centre, made that of the one for encryption, so that what was encrypted can be read after the subscriber has lost it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificatePair {
    /// The certificate for signatures, which fulfils the order.
    pub signature: Serial,
    /// The certificate for encryption.
    pub encryption: Serial,
    /// The private key of the latter in the vault, PKCS#8.
    pub private_key: DocumentId,
}
