//! Announced dispatchers and their workers.

use async_trait::async_trait;
use fusebox_core::id::DispatcherId;

use super::{RedisStore, answers};
use crate::{Crew, Error, Presence, Result, WorkerInfo};

#[async_trait]
impl Presence for RedisStore {
    async fn announce(&self, dispatcher: DispatcherId, workers: Vec<WorkerInfo>, ttl_ms: u64) -> Result<()> {
        let text = match ttl_ms {
            0 => String::new(),
            _ => serde_json::to_string(&workers).map_err(|error| Error::Corrupt(format!("workers: {error}")))?,
        };
        let call = self.caller.call(self.caller.layout().shared(), "announce").arg(dispatcher.to_string());
        self.caller.ask(call.arg(ttl_ms.max(1)).arg(text)).await.map(drop)
    }

    async fn workers(&self) -> Result<Crew> {
        let answer = self.caller.ask(self.caller.call(self.caller.layout().shared(), "workers")).await?;
        let announced = answers::list(answer)?;
        let (dispatchers, mut workers) = (announced.len(), Vec::new());
        for announcement in announced {
            // A dispatcher of another version may announce other fields.
            match serde_json::from_str::<Vec<WorkerInfo>>(&answers::text(announcement)?) {
                Ok(its) => workers.extend(its),
                Err(error) => tracing::debug!(%error, "a dispatcher's workers cannot be read"),
            }
        }
        workers.sort_by_key(|worker| worker.id);
        Ok(Crew { dispatchers, workers })
    }
}
