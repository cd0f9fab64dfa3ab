//! The second wall. WebAssembly is the first; where a guest, or a module that is compiled, breaks out of it, the process it
//! finds itself in has given up nearly everything: its user, its files, the network, other processes, and all system calls
//! but those that running and compiling take. Knows no engine, network or tenant.
//!
//! | module | holds |
//! |---|---|
//! | `calls` | which system calls are left, by kind of inmate: seccomp |
//! | `files` | which files are left: Landlock, where the kernel has it |
//! | `person` | whose user it is |
//! | `limits` | what it may use of the machine |
//! | `survey` | what this kernel gives, without entering anything |
//! | `drill` | native system calls tried from inside, and what came of each |

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

/// How much a jail is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// What this kernel gives.
    #[default]
    Auto,
    /// All of it, or the process does not start.
    Require,
    /// Nothing.
    Off,
}

/// Who is locked up: decides which system calls and files are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inmate {
    /// Compiles one module, from and to the pipes it has: computes, and nothing else.
    Compiler,
    /// Runs guests for a parent process, whom it talks to over the sockets it has.
    Slot,
    /// Runs guests that come over a link; keeps compiled modules in a directory.
    Worker {
        /// The one directory that is left to it.
        cache: PathBuf,
    },
    /// Sends guests' HTTP requests for a worker, to whatever addresses it decides on: reads files, and makes connections.
    Proxy,
    /// Does for a worker what that cannot do any more: starts compile children and connects to some ports.
    Helper {
        /// The ports it may connect to.
        ports: Vec<u16>,
    },
}

/// What is to be given up, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is locked up.
    pub inmate: Inmate,
    /// Who it becomes where it is root.
    pub user: User,
    /// What it may use of the machine.
    pub limits: Vec<Limit>,
}

/// One layer of the wall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its name.
    pub name: &'static str,
    /// What holds now.
    pub holds: bool,
    /// What it is, or why it is not there.
    pub what: String,
}

/// What was given up, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report(pub Vec<Layer>);

/// Why a process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// A layer is missing and the whole jail is required.
    #[error("the jail is not whole: {0}; give this machine what is missing, or start with --jail=auto")]
    Lacks(String),
    /// Threads that run already would stay outside.
    #[error("the jail must be entered before any thread starts, and {0} run")]
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
    /// Whether every layer holds.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(|layer| layer.holds)
    }

    /// The layers that hold, or those that do not, in one line.
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
    /// Gives up what the plan says, for good. There must be one thread yet. An error leaves the process half inside: it
    /// must end.
    ///
    /// # Errors
    /// Where threads run already; where a layer is missing and `setting` is [`Setting::Require`].
    pub fn enter(&self, setting: Setting) -> Result<Report, JailError> {
        if setting == Setting::Off {
            return Ok(Report::default());
        }
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads > 1 {
            return Err(JailError::Threads(threads));
        }
        // A change of user undoes this, and the new user may not be able to look the files up.
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

/// Gains nothing by running another program, cannot be traced by others of its user, and ends with its parent if it did
/// before.
fn alone(dies_with_parent: bool) -> Result<String, String> {
    let signal = dies_with_parent.then_some(Signal::KILL);
    let done = rustix::thread::set_no_new_privs(true)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .and_then(|()| set_parent_process_death_signal(signal));
    done.map(|()| "none, not traceable".to_owned()).map_err(|error| error.to_string())
}
