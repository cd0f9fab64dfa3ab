//! Escape drill: actions that native code could try after breaking out of WebAssembly, tried from inside a jail. Every
//! attempt is harmless if it succeeds: its target does not exist, its arguments are meaningless, or it is reverted at
//! once.

mod attempts;
mod raw;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Inmate, Setting};

/// Environment of the drill.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Inmate that performs it; calls required by its work do not count as attempts.
    pub inmate: Inmate,
    /// Directory allowed to a worker; `None` if no files are.
    pub cache: Option<PathBuf>,
}

/// Attempts that are legitimate for an inmate that resolves names and connects.
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
/// Attempts that are legitimate for an inmate that connects to any port.
const ANYWHERE: &[&str] = &["connect to this machine"];
/// Attempts that are legitimate for an inmate that starts programs.
const STARTING: &[&str] = &["fork", "execve", "run a program", "seccomp", "landlock_create_ruleset"];

impl Scene {
    /// Returns the attempts that are part of this inmate's work.
    fn work(&self) -> [&'static [&'static str]; 2] {
        match self.inmate {
            Inmate::Compiler | Inmate::Slot | Inmate::Worker { .. } => [&[], &[]],
            Inmate::Proxy => [CONNECTING, ANYWHERE],
            Inmate::Helper { .. } => [CONNECTING, STARTING],
        }
    }
}

/// Result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The attempt was blocked.
    Refused(String),
    /// The attempt was not blocked, and failed for another reason.
    Reached(String),
    /// The attempt succeeded.
    Done,
}

/// An attempt and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the attempt.
    pub attempt: String,
    /// True if a jail must block the attempt; the others must succeed, since inmates need them.
    pub forbidden: bool,
    /// Result of the attempt.
    pub verdict: Verdict,
}

impl Row {
    /// Returns whether the result is that of a complete jail.
    #[must_use]
    pub fn is_right(&self) -> bool {
        match self.verdict {
            Verdict::Refused(_) => self.forbidden,
            Verdict::Reached(_) => false,
            Verdict::Done => !self.forbidden,
        }
    }
}

/// Performs all attempts on the current thread.
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

/// Classifies a result. These errors indicate a blocked call, since the kernel itself hardly returns them for these
/// attempts: root is refused nothing, and for another user a refusal by the kernel is as good as one by the jail.
fn verdict(tried: io::Result<()>) -> Verdict {
    let Err(error) = tried else { return Verdict::Done };
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Verdict::Refused(error.to_string()),
        _ => Verdict::Reached(error.to_string()),
    }
}

/// Simulates a kernel without Landlock, seccomp or both for subsequent attempts.
///
/// # Errors
/// Fails if this kernel lacks seccomp, which the simulation requires.
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
            _ => Err(format!("`{text}` is not one of auto, require and off")),
        }
    }
}
