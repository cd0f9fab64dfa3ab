//! The first process of a container. The kernel gives it every orphan of its process namespace to bury, and no signal ends
//! it that it does not handle: so a server that is started as the first process becomes two. This one passes signals on and
//! buries whoever ends; the other one, its child, is the server.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use super::parts;

/// Signals that are passed on: those that servers act on.
const PASSED_ON: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2];
/// Shells and container runtimes tell a process that a signal ended by this and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Whether this is the first process of its namespace.
#[must_use]
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Starts this program again with the same arguments, and stays until that process ends; its exit code.
///
/// # Errors
/// Where it cannot be started.
pub fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::child())?;
        let mut streams = Vec::new();
        for passed in PASSED_ON {
            streams.push((passed, signal(SignalKind::from_raw(passed.as_raw()))?));
        }
        let mut server = Command::new(parts::program()?);
        // In a group of its own: what a terminal sends to this one is passed on, and must not come twice.
        let server = server.args(std::env::args_os().skip(1)).process_group(0).spawn().context("start the server")?;
        let server = i32::try_from(server.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        for (passed, mut stream) in streams {
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    // It may have ended by now.
                    let _ = kill_process(server, passed);
                }
            });
        }
        loop {
            if let Some(status) = bury(server) {
                let code = status.code().or_else(|| status.signal().map(|signal| ENDED_BY_SIGNAL + signal));
                return Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)));
            }
            ended.recv().await;
        }
    })
}

/// Buries every child that has ended; how the server did, where it is among them.
fn bury(server: Pid) -> Option<ExitStatus> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == server {
            return Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    None
}
