//! Space of the embedded store: the file system of its directory.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::{EmbeddedStore, reads::Reads};
use crate::{Holdings, Result, Room, Usage};

#[async_trait]
impl Usage for EmbeddedStore {
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64> {
        self.reads.stored_bytes(tenant)
    }

    async fn holdings(&self, tenants: &[TenantId]) -> Result<Holdings> {
        let tenants = tenants.to_vec();
        self.reads.aside(move |reads| reads.holdings(&tenants)).await
    }

    async fn room(&self) -> Result<Vec<Room>> {
        Ok(vec![self.reads.aside(Reads::room).await?])
    }
}
