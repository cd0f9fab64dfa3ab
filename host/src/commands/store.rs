//! A store by its address, opened at once or when it is there: how long a server waits for its Redis, and when waiting is
//! of no use.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep, timeout_at};

use super::parts::StoreAddress;
use crate::{
    clock::Clock,
    store::{self, Error, Options, Store, embedded::EmbeddedStore, redis::RedisStore},
};

/// After a failed attempt the next one is made after this long, then after twice as long, …
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A wait is logged when it begins, and then once in so long.
const SAID: Duration = Duration::from_secs(15);

/// How long a server waits for its store at the start.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Redis")]
pub struct WaitArgs {
    /// How long it is waited at the start for a Redis that is absent, loads its data or fails over; 0 does not wait. What
    /// waiting does not change, such as a wrong password, ends it at once
    #[arg(long, env = "FUSEBOX_STORE_WAIT", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub store_wait: u32,
}

impl WaitArgs {
    const fn time(self) -> Duration {
        Duration::from_secs(self.store_wait as u64)
    }
}

/// Opens a store; one in Redis is waited for. Of an embedded one it takes back the leases of the process before this one:
/// its slots are gone, and no other process can hold a lease of a store that only one process may open.
///
/// # Errors
/// Where it cannot be opened, or cannot be reached for too long.
pub async fn open(address: &StoreAddress, wait: WaitArgs, clock: &Clock) -> anyhow::Result<Arc<dyn Store>> {
    match address {
        StoreAddress::Directory(dir) => {
            let (dir, clock) = (dir.clone(), clock.clone());
            let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, clock)).await??;
            let reclaimed = store.reclaim_all_leases().await?;
            if reclaimed > 0 {
                tracing::warn!(reclaimed, "tasks were running when the last process ended; they run again");
            }
            Ok(Arc::new(store))
        }
        StoreAddress::Redis(url) => {
            let connect = || RedisStore::connect(url, Options::default());
            Ok(Arc::new(when_there(wait.time(), connect).await?))
        }
    }
}

/// Connects; where that fails in a way that may pass, tries again for as long as `wait`.
///
/// # Errors
/// An error that does not pass, or the last one once the time is over.
async fn when_there<S>(wait: Duration, connect: impl AsyncFn() -> store::Result<S>) -> anyhow::Result<S> {
    if wait.is_zero() {
        return Ok(connect().await?);
    }
    let deadline = Instant::now() + wait;
    let (mut pause, mut said, mut last) = (PAUSE_MIN, None::<Instant>, None);
    loop {
        match timeout_at(deadline, connect()).await {
            Ok(Ok(store)) => {
                if said.is_some() {
                    tracing::info!("the store is there");
                }
                return Ok(store);
            }
            Ok(Err(error)) if error.passes() => last = Some(error),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(in_vain(wait, last)),
        }
        if deadline.saturating_duration_since(Instant::now()) <= pause {
            return Err(in_vain(wait, last));
        }
        if let Some(error) = &last
            && said.is_none_or(|said| said.elapsed() >= SAID)
        {
            tracing::warn!("waiting up to {} s for the store: {error}", wait.as_secs());
            said = Some(Instant::now());
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn in_vain(wait: Duration, last: Option<Error>) -> anyhow::Error {
    let last = last.map_or_else(|| "the store does not answer".to_owned(), |error| error.to_string());
    anyhow::anyhow!(
        "{last}. It was waited for {} s: start that Redis, name another one with --store, or wait longer with --store-wait",
        wait.as_secs()
    )
}

#[cfg(test)]
mod tests;
