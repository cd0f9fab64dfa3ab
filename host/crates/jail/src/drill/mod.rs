//! The escape drill: what native code could try that has broken out of WebAssembly, tried from inside a jail, and what came
//! of each. Everything is tried so that it does no harm where it is let through: on what does not exist, with arguments that
//! mean nothing, or undone at once.

mod attempts;
mod raw;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Inmate, Setting};

/// From where it is tried.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The inmate that tries: calls of its work are no attempts.
    pub inmate: Inmate,
    /// The directory that is left to a worker; `None` where no file is.
    pub cache: Option<PathBuf>,
}

/// Attempts that a process which looks names up and connects is not judged by.
const CONNECTING: &[&str] = &[
    "socket TCP",
    "socket TCP over IPv6",
    "socket UDP",
    "connect",
    "accept",
    "read /etc/passwd",
    "open a device",
    "list /",
    "statx of a path",
    "open, the old call",
    "open the current directory",
];
/// The same for one that connects to any port.
const ANYWHERE: &[&str] = &["connect to this machine"];
/// The same for one that starts programs.
const STARTING: &[&str] = &["fork", "execve", "run a program", "seccomp", "landlock_create_ruleset"];

impl Scene {
    /// The attempts that are this inmate's work.
    fn work(&self) -> [&'static [&'static str]; 2] {
        match self.inmate {
            Inmate::Compiler | Inmate::Slot | Inmate::Worker { .. } => [&[], &[]],
            Inmate::Proxy => [CONNECTING, ANYWHERE],
            Inmate::Helper { .. } => [CONNECTING, STARTING],
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not let through.
    Refused(String),
    /// It was let through, and failed for another reason.
    Reached(String),
    /// It was done.
    Done,
}

/// An attempt and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What was tried.
    pub attempt: String,
    /// Whether a jail must refuse it. The others must work, or nothing could run.
    pub forbidden: bool,
    /// What came of it.
    pub verdict: Verdict,
}

impl Row {
    /// Whether it is as a whole jail has it.
    #[must_use]
    pub fn is_right(&self) -> bool {
        match self.verdict {
            Verdict::Refused(_) => self.forbidden,
            Verdict::Reached(_) => false,
            Verdict::Done => !self.forbidden,
        }
    }
}

/// Tries everything, on this thread.
#[must_use]
pub fn run(scene: &Scene) -> Vec<Row> {
    let row = |attempt: &str, forbidden, tried: io::Result<()>| Row {
        attempt: attempt.to_owned(),
        forbidden,
        verdict: verdict(tried),
    };
    let calls = raw::CALLS.iter().map(|(attempt, number, arguments)| {
        let tried = raw::call(*number, arguments.map(|argument| argument.value()));
        row(attempt, true, tried.map(|answer| raw::undo(*number, answer)))
    });
    let scripted = attempts::ATTEMPTS.iter().map(|(attempt, forbidden, tried)| row(attempt, *forbidden, tried()));
    let mut rows: Vec<_> = calls.chain(scripted).collect();
    rows.extend(attempts::in_directory(scene.cache.as_deref()).into_iter().map(|(a, f, tried)| row(a, f, tried)));
    let work = scene.work().concat();
    rows.retain(|row| !work.contains(&row.attempt.as_str()));
    rows
}

/// A system call that a jail refuses ends with one of these, and hardly one that the kernel has looked at: whoever is root
/// is refused nothing, and without root the kernel refuses for us.
fn verdict(tried: io::Result<()>) -> Verdict {
    let Err(error) = tried else { return Verdict::Done };
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Verdict::Refused(error.to_string()),
        _ => Verdict::Reached(error.to_string()),
    }
}

/// Makes this process one whose kernel lacks Landlock, seccomp or both, for what is tried afterwards.
///
/// # Errors
/// Where this kernel has no seccomp to hide anything with.
pub fn withhold(landlock: bool, seccomp: bool) -> Result<(), String> {
    let mut calls = Vec::new();
    if landlock {
        calls.extend([libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self]);
    }
    if seccomp {
        calls.push(libc::SYS_seccomp);
    }
    crate::calls::withhold(&calls)
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "require" => Ok(Self::Require),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is none of auto, require and off")),
        }
    }
}
