//! Parts shared by several kinds of process: a store's address, a sandbox, this program's path.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use fusebox_core::{function::RunLimits, limits::ARTIFACTS_BYTES_MAX};
use fusebox_sandbox::{CompileCommand, HostCalls, ModuleLimits, Sandbox, Unstarted};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{host_calls::Routed, worker::slots::EXTRA_SLOTS};
use fusebox_store::redis::RedisStore;

/// Limit of slots in one process: each reserves address space and a thread.
pub const SLOTS_MAX: i64 = 1_024;

/// Address of a store.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// The embedded store in a directory of this machine.
    Directory(PathBuf),
    /// A Redis at this address, which may hold a password.
    Redis(String),
}

impl FromStr for StoreAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text.is_empty() => Err("give a directory, or an address such as redis://127.0.0.1:6379".to_owned()),
            None => Ok(Self::Directory(text.into())),
            Some(_) if RedisStore::is_url(text) => Ok(Self::Redis(text.to_owned())),
            Some((scheme, _)) => Err(format!(
                "there is no store for {scheme}:// addresses: give a directory, redis://HOST:PORT, unix:///PATH, \
                 redis+sentinel://HOST:PORT/NAME, redis+cluster://HOST:PORT or redis+shard://HOST:PORT,HOST:PORT, with \
                 rediss for TLS"
            )),
        }
    }
}

/// Formats the address without a password.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Redis(url) => f.write_str(&RedisStore::shown(url)),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Creates a sandbox with its compiled modules below `dir`; several processes of one machine may share them.
///
/// # Errors
/// Fails if the sandbox cannot be created.
pub fn sandbox(dir: &Path, slots: u32, ceiling: RunLimits, modules: ModuleLimits) -> anyhow::Result<Sandbox> {
    Ok(open_sandbox(dir.join("artifacts"), slots, ceiling, modules)?.start()?)
}

/// Creates a sandbox with its compiled modules directly in `cache_dir`, and does not start its threads yet.
///
/// # Errors
/// Fails if the sandbox cannot be created.
pub fn open_sandbox(
    cache_dir: PathBuf,
    slots: u32,
    ceiling: RunLimits,
    modules: ModuleLimits,
) -> anyhow::Result<Unstarted> {
    Ok(Sandbox::open(fusebox_sandbox::Options {
        slots: slots + EXTRA_SLOTS,
        ceiling,
        modules,
        cache_dir,
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: compile_command()?,
    })?)
}

/// Combines the host calls of runs: HTTP requests go to `http`, all others to `rest`.
#[must_use]
pub fn host_calls(rest: impl HostCalls + 'static, http: Arc<dyn HostCalls>) -> Arc<dyn HostCalls> {
    Arc::new(Routed { http, rest: Arc::new(rest) })
}

/// Returns the path of this program, to start it again: the kernel's link to the running file, which stays valid even
/// if the file was deleted or replaced by another version.
///
/// # Errors
/// Fails if `/proc` is not mounted.
pub fn program() -> anyhow::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    link.read_link().context("find this program: is /proc mounted?")?;
    Ok(link)
}

/// Returns the command that starts this program as a compile child.
///
/// # Errors
/// Fails if `/proc` is not mounted.
pub fn compile_command() -> anyhow::Result<CompileCommand> {
    Ok(CompileCommand { program: program()?, args: vec!["compile-module".into()] })
}

/// Returns the number of cores that this process may use.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Raises the soft limit of open files to the hard one, as servers do: its low default protects only programs that use
/// `select(2)`.
pub fn allow_open_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_directory_or_redis_and_shows_no_password() {
        let address = |text: &str| text.parse::<StoreAddress>();
        assert_eq!(address("some/dir"), Ok(StoreAddress::Directory("some/dir".into())));
        let redis = address("redis://me:secret@10.0.0.1:6379/2").unwrap();
        assert_eq!(redis.to_string(), "redis://10.0.0.1:6379/2");
        assert!(!format!("{redis:?}").contains("secret"));
        assert!(address("postgres://localhost").unwrap_err().contains("redis://HOST:PORT"));
        assert!(address("").is_err());
    }
}
