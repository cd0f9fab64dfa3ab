//! Opens a store by its address: the options for Redis, and the wait of servers for a Redis that is not available yet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{node::parts::StoreAddress, text};
use fusebox_store::{
    Error, Options, Store,
    embedded::EmbeddedStore,
    redis::{Access, Prefix, RedisStore},
};
use fusebox_system::clock::Clock;

#[cfg(test)]
mod tests;

/// Pause after the first failed attempt. It doubles with each attempt, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Interval of log lines during a wait; the first one is written at its start.
const SAID: Duration = Duration::from_secs(15);

/// Options for a store in Redis, beyond its address.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisArgs {
    /// File with the password of Redis, for an address without one; one newline at its end is ignored
    #[arg(long, env = "FUSEBOX_STORE_PASSWORD_FILE", value_name = "FILE")]
    store_password_file: Option<PathBuf>,
    /// Certificate authority of Redis, in PEM, for rediss:// [default: the authorities of this system]
    #[arg(long, env = "FUSEBOX_STORE_CA", value_name = "FILE")]
    store_ca: Option<PathBuf>,
    /// Client certificate, in PEM, for a Redis that requires one
    #[arg(long, env = "FUSEBOX_STORE_CERT", value_name = "FILE")]
    store_cert: Option<PathBuf>,
    /// Key of the client certificate, in PEM
    #[arg(long, env = "FUSEBOX_STORE_KEY", value_name = "FILE")]
    store_key: Option<PathBuf>,
    /// User name for Sentinels, if they require one
    #[arg(long, env = "FUSEBOX_STORE_SENTINEL_USER", value_name = "NAME")]
    store_sentinel_user: Option<String>,
    /// File with the password for Sentinels
    #[arg(long, env = "FUSEBOX_STORE_SENTINEL_PASSWORD_FILE", value_name = "FILE")]
    store_sentinel_password_file: Option<PathBuf>,
    /// Prefix of all keys and channels of this store in Redis, so that several stores share one [default: none]
    #[arg(long, env = "FUSEBOX_STORE_PREFIX", value_name = "WORD")]
    store_prefix: Option<Prefix>,
}

impl RedisArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails if a file cannot be read or has the wrong content. The error names the file and never shows its content.
    pub fn read(&self) -> anyhow::Result<Access> {
        let password = |path: &Option<PathBuf>| path.as_deref().map(password).transpose();
        let identity = match (&self.store_cert, &self.store_key) {
            (Some(cert), Some(key)) => Some((certificates(cert)?, private_key(key)?)),
            (None, None) => None,
            _ => anyhow::bail!("--store-cert and --store-key require each other: use both"),
        };
        let sentinel_password = password(&self.store_sentinel_password_file)?;
        ensure!(
            self.store_sentinel_user.is_none() || sentinel_password.is_some(),
            "--store-sentinel-user needs --store-sentinel-password-file"
        );
        Ok(Access {
            password: password(&self.store_password_file)?,
            ca: self.store_ca.as_deref().map(certificates).transpose()?,
            identity,
            sentinel_user: self.store_sentinel_user.clone(),
            sentinel_password,
            prefix: self.store_prefix.unwrap_or_default(),
        })
    }
}

fn file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn password(path: &Path) -> anyhow::Result<String> {
    let bytes = file(path)?;
    let password = String::from_utf8(text::without_line_end(&bytes).to_vec());
    let password = password.map_err(|_| anyhow::anyhow!("the password in {} is not valid UTF-8", path.display()))?;
    ensure!(!password.is_empty(), "{} contains no password", path.display());
    Ok(password)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = file(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.with_context(|| format!("{} holds no certificates in PEM", path.display()))?;
    ensure!(!found.is_empty(), "{} contains no certificate in PEM", path.display());
    Ok(bytes)
}

fn private_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = file(path)?;
    let found = PrivateKeyDer::from_pem_slice(&bytes);
    found.map_err(|_| anyhow::anyhow!("{} contains no key in PEM", path.display()))?;
    Ok(bytes)
}

/// Options of servers for their store.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Redis")]
pub struct ServerStoreArgs {
    /// Maximum wait at the start for a Redis that is absent, loads its data or fails over; 0 does not wait. Errors that
    /// waiting cannot fix, such as a wrong password, end the wait at once
    #[arg(long, env = "FUSEBOX_STORE_WAIT", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=86_400))]
    store_wait: u32,
    /// Options for Redis.
    #[command(flatten)]
    redis: RedisArgs,
}

impl ServerStoreArgs {
    /// Opens a store. Waits for one in Redis.
    ///
    /// # Errors
    /// Fails as [`open`] does, and if the store does not become available in time.
    pub async fn open(&self, address: &StoreAddress, clock: &Clock) -> anyhow::Result<Arc<dyn Store>> {
        open_within(Duration::from_secs(self.store_wait.into()), address, &self.redis, clock).await
    }
}

/// Store that several processes open.
#[derive(Clone, Debug, Args)]
pub struct SharedStoreArgs {
    /// Address of the store: redis://…, redis+sentinel://…, redis+cluster://… or redis+shard://…
    #[arg(long, env = "FUSEBOX_STORE", hide_env_values = true, default_value = "redis://127.0.0.1:6379", value_parser = shared_store, value_name = "URL")]
    pub store: StoreAddress,
    /// Options of the store.
    #[command(flatten)]
    reach: ServerStoreArgs,
}

impl SharedStoreArgs {
    /// Opens the store. Waits for it.
    ///
    /// # Errors
    /// Fails if the store does not become available in time, or cannot be used.
    pub async fn open(&self, clock: &Clock) -> anyhow::Result<Arc<dyn Store>> {
        self.reach.open(&self.store, clock).await
    }
}

/// Parses the address of a store that several processes may open.
///
/// # Errors
/// Fails for a directory, which belongs to one process.
fn shared_store(text: &str) -> Result<StoreAddress, String> {
    match text.parse()? {
        StoreAddress::Directory(_) => Err("a directory belongs to one process: use `fusebox up` with it; \
             here give an address such as redis://127.0.0.1:6379"
            .to_owned()),
        redis @ StoreAddress::Redis(_) => Ok(redis),
    }
}

/// Opens a store without waiting. Takes back the leases in an embedded store: the slots of the previous process are gone,
/// and no other process can hold a lease of a store that only one process may open.
///
/// # Errors
/// Fails if the store cannot be opened or reached.
pub async fn open(address: &StoreAddress, redis: &RedisArgs, clock: &Clock) -> anyhow::Result<Arc<dyn Store>> {
    open_within(Duration::ZERO, address, redis, clock).await
}

async fn open_within(
    wait: Duration,
    address: &StoreAddress,
    redis: &RedisArgs,
    clock: &Clock,
) -> anyhow::Result<Arc<dyn Store>> {
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
            let access = redis.read()?;
            let connect = || RedisStore::connect(url, access.clone(), Options::default());
            Ok(Arc::new(when_there(wait, connect).await?))
        }
    }
}

/// Connects. Repeats attempts that failed temporarily until `wait` is over.
///
/// # Errors
/// Returns a permanent error at once, or the last error when the time is over.
async fn when_there<S>(wait: Duration, connect: impl AsyncFn() -> fusebox_store::Result<S>) -> anyhow::Result<S> {
    if wait.is_zero() {
        return Ok(connect().await?);
    }
    let deadline = Instant::now() + wait;
    let (mut pause, mut said, mut last) = (PAUSE_MIN, None::<Instant>, None);
    loop {
        match timeout_at(deadline, connect()).await {
            Ok(Ok(store)) => {
                if said.is_some() {
                    tracing::info!("the store is available");
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
        "{last}. Waited for {} s: start that Redis, name another one with --store, or wait longer with --store-wait",
        wait.as_secs()
    )
}
