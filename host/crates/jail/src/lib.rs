//! Jail of processes that run or compile untrusted code. It is the second line of defence after WebAssembly: code that
//! breaks out of WebAssembly finds itself in a process that has dropped its user, its files, the network, other
//! processes, and all system calls except those for running and compiling. The crate knows no engine, network or
//! tenant.
//!
//! | module | holds |
//! |---|---|
//! | `calls` | allowed system calls by kind of inmate: seccomp |
//! | `files` | allowed files: Landlock, if the kernel supports it |
//! | `person` | user and group of the process |
//! | `limits` | resource limits |
//! | `survey` | features of this kernel, determined without entering a jail |
//! | `drill` | native system calls attempted from inside, and their results |

mod calls;
pub mod drill;
mod files;
mod limits;
mod person;
mod survey;

use std::{fmt, fs, path::PathBuf};

use rustix::process::{
    DumpableBehavior, Signal, parent_process_death_signal, set_dumpable_behavior, set_parent_process_death_signal,
};
use serde::Serialize;

pub use limits::{Limit, close_inherited, ignore_hangup};
pub use person::User;
pub use survey::{Survey, survey};

/// Required completeness of a jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// As complete as this kernel allows.
    #[default]
    Auto,
    /// Complete; otherwise the process does not start.
    Require,
    /// No jail.
    Off,
}

/// Kind of process in a jail; determines the allowed system calls and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inmate {
    /// Compiles one module through its pipes and does nothing else.
    Compiler,
    /// Runs guests for a parent process, with which it communicates over its open sockets.
    Slot,
    /// Runs guests received over a link, and stores compiled modules in a directory.
    Worker {
        /// The only directory it may access.
        cache: PathBuf,
    },
    /// Sends HTTP requests of a worker's guests to addresses of its choice: reads files and opens connections.
    Proxy,
    /// Performs operations that a jailed worker cannot: starts compile children and connects to certain ports.
    Helper {
        /// Ports to which it may connect.
        ports: Vec<u16>,
    },
}

/// Description of a jail.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kind of process.
    pub inmate: Inmate,
    /// User that it becomes if it is root.
    pub user: User,
    /// Resource limits.
    pub limits: Vec<Limit>,
}

/// One layer of a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Name of the layer.
    pub name: &'static str,
    /// True if the layer is in effect.
    pub holds: bool,
    /// Details of the layer, or the reason for its absence.
    pub what: String,
}

/// Result of entering a jail, one entry for each layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report(pub Vec<Layer>);

/// Error of entering a jail.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A layer is missing although a complete jail is required.
    #[error("the jail is incomplete: {0}; provide the missing parts, or start with --jail=auto")]
    Lacks(String),
    /// Threads are already running and would stay outside the jail.
    #[error("the jail must be entered before any thread starts, but {0} are running")]
    Threads(usize),
}

impl Layer {
    fn new(name: &'static str, entered: Result<String, String>) -> Self {
        let holds = entered.is_ok();
        let (Ok(what) | Err(what)) = entered;
        Self { name, holds, what }
    }
}

impl Report {
    /// Returns whether all layers are in effect.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(|layer| layer.holds)
    }

    /// Returns the layers that are in effect, or those that are not, on one line.
    #[must_use]
    pub fn line(&self, hold: bool) -> String {
        let layers = self.0.iter().filter(|layer| layer.holds == hold);
        let layers = layers.map(|layer| format!("{} ({})", layer.name, layer.what));
        layers.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Off => "off",
        })
    }
}

impl Plan {
    /// Enters the jail permanently. The process must have a single thread. On an error the process is partly jailed and
    /// must exit.
    ///
    /// # Errors
    /// Returns [`JailError::Threads`] if other threads are running, and [`JailError::Lacks`] if a layer is missing and
    /// `setting` is [`Setting::Require`].
    pub fn enter(&self, setting: Setting) -> Result<Report, JailError> {
        if setting == Setting::Off {
            return Ok(Report::default());
        }
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads > 1 {
            return Err(JailError::Threads(threads));
        }
        // Changing the user resets this signal, and may make the files of the ruleset inaccessible.
        let dies_with_parent = parent_process_death_signal().ok().flatten().is_some();
        let ruleset = files::ruleset(&self.inmate);
        let report = Report(vec![
            Layer::new("limits", limits::set(&self.limits)),
            Layer::new("user", self.user.become_it()),
            Layer::new("no new privileges", alone(dies_with_parent)),
            Layer::new("Landlock", ruleset.and_then(files::restrict)),
            Layer::new("seccomp", calls::restrict(&self.inmate)),
        ]);
        match setting == Setting::Require && !report.is_whole() {
            true => Err(JailError::Lacks(report.line(false))),
            false => Ok(report),
        }
    }
}

/// Prevents gaining privileges by executing programs, denies tracing to other processes of the user, and restores the
/// termination with the parent if it was set.
fn alone(dies_with_parent: bool) -> Result<String, String> {
    let signal = dies_with_parent.then_some(Signal::KILL);
    let done = rustix::thread::set_no_new_privs(true)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .and_then(|()| set_parent_process_death_signal(signal));
    done.map(|()| "none, not traceable".to_owned()).map_err(|error| error.to_string())
}
