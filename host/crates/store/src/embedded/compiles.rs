//! Compilations and compile time in the embedded store.

use async_trait::async_trait;
use fusebox_core::{function::FunctionVersion, id::FunctionId, name::TenantId, outcome::Failure};

use super::{EmbeddedStore, engine::Space, keys, reads::Reads};
use crate::{Compile, Compiles, Result};

impl Reads {
    /// Returns true if a version is being compiled or waits for it.
    fn has_compiles(&self) -> Result<bool> {
        let prefix = keys::compiles();
        let snapshot = self.snapshot()?;
        Ok(snapshot.keys(Space::Records, &prefix, &keys::past(&prefix))?.next().transpose()?.is_some())
    }
}

#[async_trait]
impl Compiles for EmbeddedStore {
    async fn take_compiles(&self, max: usize, hold_ms: u64) -> Result<Vec<Compile>> {
        // Usually there are none, and nothing is written then.
        match self.reads.has_compiles()? {
            true => self.writer.step(0, move |steps| steps.take_compiles(max, hold_ms)).await,
            false => Ok(Vec::new()),
        }
    }

    async fn hold_compile(&self, function: FunctionId, hold_ms: u64) -> Result<bool> {
        self.writer.step(0, move |steps| steps.hold_compile(function, hold_ms)).await
    }

    async fn settle(&self, function: FunctionId, failure: Option<Failure>) -> Result<Option<FunctionVersion>> {
        self.writer.step(0, move |steps| steps.settle(function, failure.clone())).await
    }

    async fn charge_compile(&self, tenant: &TenantId, per_hour_ms: u64, used_ms: u64) -> Result<i64> {
        Ok(self.tanks.charge(tenant, per_hour_ms, used_ms))
    }
}
