//! Space of the embedded store: the file system of its directory.

use async_trait::async_trait;

use super::{EmbeddedStore, reads::Reads};
use crate::{Result, Room, Usage};

#[async_trait]
impl Usage for EmbeddedStore {
    async fn room(&self) -> Result<Room> {
        self.reads.aside(Reads::room).await
    }
}
