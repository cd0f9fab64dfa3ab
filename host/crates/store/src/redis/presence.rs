//! Announced dispatchers and their workers.

use async_trait::async_trait;
use fusebox_core::id::DispatcherId;

use super::{RedisStore, answers, caller::Caller};
use crate::{Crew, Error, Presence, Result, WorkerInfo};

/// Replaces a dispatcher's previous announcement.
pub(super) async fn announce(
    caller: &Caller,
    dispatcher: DispatcherId,
    workers: &[WorkerInfo],
    ttl_ms: u64,
) -> Result<()> {
    let text = match ttl_ms {
        0 => String::new(),
        _ => serde_json::to_string(workers).map_err(|error| Error::Corrupt(format!("workers: {error}")))?,
    };
    let call = caller.call(caller.layout().shared(), "announce").arg(dispatcher.to_string());
    caller.ask(call.arg(ttl_ms.max(1)).arg(text)).await.map(drop)
}

/// Returns the announced dispatchers and workers, by age.
pub(super) async fn workers(caller: &Caller) -> Result<Crew> {
    let answer = caller.ask(caller.call(caller.layout().shared(), "workers")).await?;
    let mut all: Vec<WorkerInfo> = Vec::new();
    let announced = answers::list(answer)?;
    let dispatchers = announced.len();
    for said in announced {
        // A dispatcher of another version may announce other fields.
        match serde_json::from_str::<Vec<WorkerInfo>>(&answers::text(said)?) {
            Ok(workers) => all.extend(workers),
            Err(error) => tracing::debug!(%error, "a dispatcher's workers cannot be read"),
        }
    }
    all.sort_by_key(|worker| worker.id);
    Ok(Crew { dispatchers, workers: all })
}

#[async_trait]
impl Presence for RedisStore {
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()> {
        self::announce(&self.caller, dispatcher, &workers, ttl_ms).await
    }

    async fn workers(&self) -> Result<Crew> {
        self::workers(&self.caller).await
    }
}
