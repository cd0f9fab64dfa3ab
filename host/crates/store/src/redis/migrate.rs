//! Migration of a store in Redis, place by place. Processes of its own layout use it meanwhile.

use async_trait::async_trait;

use super::{caller::Caller, format, keys::Place};
use crate::{
    Error, Result,
    layout::{
        Layouts, Marker, REDIS,
        migrate::{Migrated, Part, migrate},
    },
};

/// Keys of one place.
pub(super) struct Partition<'a> {
    /// Makes the calls.
    pub(super) caller: &'a Caller,
    /// The place.
    pub(super) place: Place,
}

/// Migrates every place to this version's layout.
pub(super) async fn run(caller: &Caller) -> Result<Migrated> {
    let mut migrated = Migrated { from: REDIS.own, to: REDIS.own };
    for place in caller.layout().all() {
        // There are no migrations yet: this layout is the first that can be migrated.
        let one = migrate(&Partition { caller, place }, REDIS.own, &[]).await?;
        migrated.from = migrated.from.min(one.from);
    }
    Ok(migrated)
}

#[async_trait]
impl Part for Partition<'_> {
    fn shown(&self) -> String {
        format!("Redis at {}", self.caller.shown_at(self.place))
    }

    fn layouts(&self) -> Layouts {
        REDIS
    }

    async fn marker(&self) -> Result<Option<String>> {
        format::marker(self.caller, self.place).await
    }

    async fn mark(&self, from: &Marker, to: &Marker) -> Result<()> {
        format::write(self.caller, self.place, &from.to_string(), to).await?;
        match self.marker().await? {
            Some(text) if text == to.to_string() => Ok(()),
            _ => Err(Error::Unavailable("another process changes the layout of the store: try again".to_owned())),
        }
    }

    async fn has_older(&self, own: u32) -> Result<bool> {
        format::has_older(self.caller, own).await
    }
}
