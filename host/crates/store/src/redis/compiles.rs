//! Compilations and compile time in Redis, where all nodes share them.

use async_trait::async_trait;
use fusebox_core::{function::FunctionVersion, id::FunctionId, limits::QUOTA_MAX, name::TenantId, outcome::Failure};
use redis::Value;

use super::{RedisStore, answers, functions, records};
use crate::{Compile, Compiles, Result};

#[async_trait]
impl Compiles for RedisStore {
    async fn take_compiles(&self, max: usize, hold_ms: u64) -> Result<Vec<Compile>> {
        let call = self.caller.call(self.caller.layout().shared(), "take_compiles").arg(max).arg(hold_ms);
        // A repeated call would not find those that are held by then.
        let taken = answers::list(self.caller.ask(call.once()).await?)?;
        let compile = |taken: Value| {
            let [id, record, starts] = answers::tuple(taken)?;
            let version = functions::read(Value::Array(vec![id, record]))?;
            Ok(Compile { version, starts: u32::try_from(answers::number(starts)?).unwrap_or(u32::MAX) })
        };
        taken.into_iter().map(compile).collect()
    }

    async fn hold_compile(&self, function: FunctionId, hold_ms: u64) -> Result<bool> {
        let call = self.caller.call(self.caller.layout().shared(), "hold_compile");
        let call = call.arg(function.to_string()).arg(hold_ms);
        Ok(answers::number(self.caller.ask(call).await?)? > 0)
    }

    async fn settle(&self, function: FunctionId, failure: Option<Failure>) -> Result<Option<FunctionVersion>> {
        let failure = failure.as_ref().map(records::failure).unwrap_or_default();
        let call = self.caller.call(self.caller.layout().shared(), "settle");
        match self.caller.ask(call.arg(function.to_string()).arg(failure)).await? {
            Value::Nil => Ok(None),
            version => functions::read(version).map(Some),
        }
    }

    async fn charge_compile(&self, tenant: &TenantId, per_hour_ms: u64, used_ms: u64) -> Result<i64> {
        let call = self.caller.call(self.caller.layout().shared(), "compile_budget");
        let call = call.arg(tenant.as_str()).arg(per_hour_ms.min(QUOTA_MAX)).arg(used_ms.min(QUOTA_MAX));
        // A repeated call would charge again.
        let left = answers::text(self.caller.ask(call.once()).await?)?;
        left.parse().map_err(|_| answers::unexpected("compile_budget"))
    }
}
