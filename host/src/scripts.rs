//! Scripts: functions whose module is a runtime of this host, and whose source is a file of the version.
//!
//! | module | holds |
//! |---|---|
//! | [`find`] | the files of runtimes |
//! | [`check`] | a script's check in the sandbox, before its registration |
//! | [`python`] | the versions of Python that a script is written for |

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    id::ModuleDigest,
    limits::WAIT_SECONDS_MAX,
    runtime::{Language, RuntimeName},
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{invoke::Invoker, modules::Modules};
use python::Requirement;

pub mod check;
pub mod find;
pub mod python;

/// Pause before a runtime is compiled again because too many modules waited.
const AGAIN: Duration = Duration::from_secs(1);

/// Sentence that says how to get runtimes.
pub const REMEDY: &str =
    "build them with `make runtimes` or take them from a release, and name their directory with --runtimes";

/// Runtimes of this host, and what checks scripts with them. Cheap to clone.
#[derive(Clone)]
pub struct Scripts {
    /// The runtimes.
    pub runtimes: Runtimes,
    /// Slots in which scripts are checked; `None` if this process has none, which it needs only with runtimes.
    pub checks: Option<Arc<dyn Invoker>>,
}

/// Runtimes of this host, the newest of a language first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Runtimes(Arc<[Arc<Runtime>]>);

/// One runtime.
#[derive(Debug)]
pub struct Runtime {
    /// Its name.
    pub name: RuntimeName,
    /// Its file.
    pub path: PathBuf,
    state: watch::Sender<State>,
}

/// Module of a runtime, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeModule {
    /// Digest of its wasm.
    pub digest: ModuleDigest,
    /// Size of its wasm in bytes.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
enum State {
    /// Not compiled yet.
    Waiting,
    Ready(RuntimeModule),
    Failed(String),
}

/// Reason why a script has no runtime: a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRuntime {
    /// The host has none that suits.
    #[error("{0}")]
    Unknown(String),
    /// It is still being compiled, as after the first start of a host.
    #[error("the runtime {0} is still being compiled: try again in a moment")]
    Compiling(RuntimeName),
    /// It cannot be used.
    #[error("the runtime {name} cannot be used on this host: {reason}")]
    Broken {
        /// Its name.
        name: RuntimeName,
        /// Reason, for people.
        reason: String,
    },
}

impl Runtimes {
    /// Returns runtimes by their files.
    fn new(files: impl IntoIterator<Item = (RuntimeName, PathBuf)>) -> Self {
        let mut all: Vec<_> = files.into_iter().map(|(name, path)| Arc::new(Runtime::new(name, path))).collect();
        all.sort_by_key(|runtime| {
            let [major, minor, patch] = runtime.name.rank();
            (runtime.name.language(), std::cmp::Reverse([major, minor, patch]))
        });
        Self(all.into())
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Runtime>> {
        self.0.iter()
    }

    /// Returns true if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns their names, separated by commas.
    #[must_use]
    pub fn names(&self) -> String {
        self.all().map(|runtime| runtime.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the runtime of a script: `language` is a language, or the name of a runtime.
    ///
    /// # Errors
    /// Fails if there is none, or none of a version of Python that the script is written for.
    pub fn choose(&self, language: &str, requirement: Option<&Requirement>) -> Result<Arc<Runtime>, NoRuntime> {
        let of_language = |language: Language| self.all().filter(move |runtime| runtime.name.language() == language);
        let fits = |runtime: &&Arc<Runtime>| requirement.is_none_or(|wanted| wanted.allows(&runtime.name));
        let Some(language) = Language::ALL.into_iter().find(|known| known.as_str() == language) else {
            let named = self.all().find(|runtime| runtime.name.as_str() == language).filter(fits);
            return named.cloned().ok_or_else(|| self.none(language, requirement));
        };
        of_language(language).find(fits).cloned().ok_or_else(|| self.none(language.as_str(), requirement))
    }

    fn none(&self, language: &str, requirement: Option<&Requirement>) -> NoRuntime {
        let shown: String = language.chars().take(40).collect();
        let wanted = requirement.map_or_else(String::new, |wanted| format!(" for Python {wanted}"));
        NoRuntime::Unknown(match self.is_empty() {
            true => format!("this host has no runtime {shown}{wanted}, nor any other: {REMEDY}"),
            false => format!(
                "this host has no runtime {shown}{wanted}, but {}: choose one of these, or {REMEDY}",
                self.names()
            ),
        })
    }

    /// Compiles all runtimes, one after the other, the small ones first, until `stop`. Tenants are not charged.
    pub async fn prepare(self, modules: Modules, stop: CancellationToken) {
        if !self.is_empty() {
            tracing::info!(runtimes = self.names(), "scripts can be deployed");
        }
        let work = async {
            for runtime in self.all() {
                runtime.prepare(&modules).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Runtime {
    fn new(name: RuntimeName, path: PathBuf) -> Self {
        Self { name, path, state: watch::Sender::new(State::Waiting) }
    }

    async fn prepare(&self, modules: &Modules) {
        let state = match self.prepared(modules).await {
            Ok(module) => {
                tracing::info!(runtime = %self.name, digest = %module.digest, "a runtime is ready");
                State::Ready(module)
            }
            Err(reason) => {
                tracing::error!(runtime = %self.name, file = %self.path.display(), reason, "a runtime cannot be used");
                State::Failed(reason)
            }
        };
        self.state.send_replace(state);
    }

    async fn prepared(&self, modules: &Modules) -> Result<RuntimeModule, String> {
        let wasm = read(self.path.clone()).await?;
        let bytes = wasm.len() as u64;
        loop {
            match modules.prepare_runtime(wasm.clone()).await {
                Ok(digest) => return Ok(RuntimeModule { digest, bytes }),
                Err(error) if error.code == ErrorCode::Overloaded => sleep(AGAIN).await,
                Err(error) => return Err(error.message),
            }
        }
    }

    /// Returns its module, once it is compiled; waits for that up to the longest wait of a request.
    ///
    /// # Errors
    /// Fails if it cannot be used, or takes longer.
    pub async fn module(&self) -> Result<RuntimeModule, NoRuntime> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Waiting));
        let compiling = || NoRuntime::Compiling(self.name.clone());
        let settled = timeout(Duration::from_secs(WAIT_SECONDS_MAX), settled).await.map_err(|_| compiling())?;
        let settled = settled.map(|state| state.clone());
        match settled.map_err(|_| compiling())? {
            State::Ready(module) => Ok(module),
            State::Waiting => Err(compiling()),
            State::Failed(reason) => Err(NoRuntime::Broken { name: self.name.clone(), reason }),
        }
    }

    /// Returns its wasm, for a store that does not have it.
    ///
    /// # Errors
    /// Fails if its file is gone, or is another one than at the start.
    pub async fn wasm(&self, module: RuntimeModule) -> Result<Bytes, NoRuntime> {
        let broken = |reason: String| NoRuntime::Broken { name: self.name.clone(), reason };
        let wasm = read(self.path.clone()).await.map_err(broken)?;
        match fusebox_sandbox::digest(&wasm) == module.digest {
            true => Ok(wasm),
            false => Err(broken("its file was replaced since the start: restart the host".to_owned())),
        }
    }
}

async fn read(path: PathBuf) -> Result<Bytes, String> {
    let read = spawn_blocking(move || std::fs::read(&path).map_err(|error| unreadable(&path, &error))).await;
    read.map_err(|error| error.to_string())?.map(Bytes::from)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(names: &[&str]) -> Runtimes {
        Runtimes::new(names.iter().map(|name| (name.parse().unwrap(), PathBuf::from(name))))
    }

    #[test]
    fn the_newest_runtime_that_suits_is_chosen() {
        let all = runtimes(&["python3.9", "javascript", "python3.13", "python3.11"]);
        assert_eq!(all.names(), "javascript, python3.13, python3.11, python3.9");
        let choose = |language: &str, wanted: Option<&str>| {
            let wanted = wanted.map(|wanted| wanted.parse::<Requirement>().unwrap());
            all.choose(language, wanted.as_ref()).map(|runtime| runtime.name.to_string())
        };
        assert_eq!(choose("python", None).as_deref(), Ok("python3.13"));
        assert_eq!(choose("python", Some(">=3.10,<3.13")).as_deref(), Ok("python3.11"));
        assert_eq!(choose("python3.9", None).as_deref(), Ok("python3.9"));
        assert_eq!(choose("javascript", None).as_deref(), Ok("javascript"));
        for (language, wanted) in [("python3.12", None), ("python", Some(">=3.14")), ("python3.9", Some(">3.9.1,<3.9"))]
        {
            let told = choose(language, wanted).unwrap_err().to_string();
            assert!(told.contains(language) && told.contains("javascript, python3.13"), "{told}");
        }
        let told = runtimes(&[]).choose("python", None).unwrap_err().to_string();
        assert!(told.contains("make runtimes") && told.contains("--runtimes"), "{told}");
    }
}
