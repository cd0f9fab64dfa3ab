//! The first process of a container. The kernel makes it the parent of every orphan in its process namespace, and
//! ignores signals that it has no handler for. A server started as the first process therefore becomes two: this one
//! forwards signals and reaps ended processes; its child is the server.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::node::parts;

/// Forwarded signals: those that servers handle.
const PASSED_ON: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2];
/// Exit code base for a process ended by a signal, to which shells and container runtimes add the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// True if this is the first process of its namespace.
#[must_use]
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Starts this program again with the same arguments, waits for its end and returns its exit code.
///
/// # Errors
/// Fails if the process cannot be started.
pub fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::child())?;
        let mut streams = Vec::new();
        for passed in PASSED_ON {
            streams.push((passed, signal(SignalKind::from_raw(passed.as_raw()))?));
        }
        let mut server = Command::new(parts::program()?);
        // In a separate process group: a terminal's signals reach this process, which forwards them, and must not
        // arrive twice.
        let server = server.args(std::env::args_os().skip(1)).process_group(0).spawn().context("start the server")?;
        let server = i32::try_from(server.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        for (passed, mut stream) in streams {
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    // The server may have ended by now.
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

/// Reaps every child that has ended; returns the server's status if it is among them.
fn bury(server: Pid) -> Option<ExitStatus> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == server {
            return Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    None
}
