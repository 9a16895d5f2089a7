//! Changing the catalogue while the server runs.

use aws_lc_rs::digest::{SHA256, digest};

use super::Ra;
use crate::domain::Result;
use crate::domain::audit::Act;
use crate::domain::certificate::hex32;
use crate::policy::catalog::Catalog;
use crate::store::records::Batch;

impl Ra {
    /// Puts another catalogue in the place of the one in force: requests that come see all of it. `text` is what it was
    /// read from, of which the audit log keeps the digest that is returned (SHA-256, hexadecimal).
    pub async fn replace_catalog(&self, catalog: Catalog, text: &str) -> Result<String> {
        let digest = hex32::encode(digest(&SHA256, text.as_bytes()).as_ref());
        let act = Act::CatalogLoaded { digest: digest.clone(), products: catalog.products().count() };
        self.records.commit(Batch::of(act, self.now())).await?;
        self.catalog.store(catalog.into());
        Ok(digest)
    }
}
