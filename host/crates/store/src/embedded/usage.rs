//! Space of the embedded store: the file system of its directory.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::{EmbeddedStore, reads::Reads};
use crate::{Result, Room, Usage};

#[async_trait]
impl Usage for EmbeddedStore {
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64> {
        self.reads.stored_bytes(tenant)
    }

    async fn room(&self) -> Result<Room> {
        self.reads.aside(Reads::room).await
    }
}
