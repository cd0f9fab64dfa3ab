//! WASI preview 1, and the draft before it: arguments, environment, streams, files, clocks and random numbers. All calls
//! are implemented here, over memory of the run: no call reaches the system, except for time and random bytes.
//!
//! | module | holds |
//! |---|---|
//! | `calls` | the table of functions, each with its cost in fuel |
//! | `unstable` | functions of the draft `wasi_unstable` whose layouts differ |
//! | `errno`, `guest` | error numbers; access to the guest's memory |
//! | `strings`, `clocks` | arguments and environment; time and random numbers |
//! | `fds`, `io`, `stat`, `paths` | descriptors, reads and writes, facts about files, calls with paths |
//! | `streams` | stdin and stdout of a command that answers a client that is there |
//! | `poll` | waits, which end at the run's deadline or when it is stopped |

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{
    ending::Ending,
    files::{fs::Files, tree::Tree},
    limiter::Budget,
    log::Log,
    time,
};

mod calls;
mod clocks;
mod errno;
mod fds;
mod guest;
mod io;
mod paths;
mod poll;
mod stat;
mod streams;
mod strings;
mod unstable;

use errno::{Answer, Fail, IO};
use fds::Fds;
use strings::List;

/// Module name of preview 1.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";
/// Module name of the draft before.
pub(crate) const UNSTABLE: &str = "wasi_unstable";

pub(crate) use calls::{OFFERED, RENAME, WASI, add_to, path};
pub(crate) use fds::PREOPENS;
pub(crate) use io::grown;
pub(crate) use paths::NAME;
pub(crate) use streams::Streams;

/// Returns true if imports from a module are WASI's.
pub(crate) fn is_wasi(module: &str) -> bool {
    module == MODULE || module == UNSTABLE
}

/// WASI state of a run.
pub(crate) struct Wasi {
    args: Vec<String>,
    /// Variables as `NAME=VALUE`.
    env: Vec<String>,
    /// True once the function's configuration is among them.
    has_configuration: bool,
    /// Input that is not read yet.
    stdin: Bytes,
    /// Stdout; `None` if it is part of the log.
    output: Option<Output>,
    /// Streams of a run whose client is there, beside stdin and stdout.
    streams: Option<Streams>,
    log: Log,
    fds: Fds,
    pub(crate) files: Files,
}

/// Stdout of a command, up to a limit.
struct Output {
    buffer: BytesMut,
    bytes_max: u64,
}

/// Things that a run's WASI state is made of.
pub(crate) struct Parts {
    /// Arguments, the program's name first.
    pub(crate) args: Vec<String>,
    /// Environment variables: names and values.
    pub(crate) env: Vec<(String, String)>,
    /// Stdin.
    pub(crate) input: Bytes,
    /// Limit of stdout in bytes; `None` writes it to the log.
    pub(crate) output_bytes_max: Option<u64>,
    /// Log, which holds stderr.
    pub(crate) log: Log,
    /// Read-only files.
    pub(crate) tree: Arc<Tree>,
    /// Memory of the run.
    pub(crate) budget: Budget,
    /// Streams of a run whose client is there.
    pub(crate) streams: Option<Streams>,
}

impl Wasi {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { args, env, input, output_bytes_max, log, tree, budget, streams } = parts;
        let env = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let output = output_bytes_max.map(|bytes_max| Output { buffer: BytesMut::new(), bytes_max });
        let files = Files::new(tree, budget, time::unix_ns());
        Self { args, env, has_configuration: false, stdin: input, output, streams, log, fds: Fds::new(), files }
    }

    /// Removes and returns the bytes of stdout.
    pub(crate) fn take_output(&mut self) -> Bytes {
        self.output.as_mut().map(|output| std::mem::take(&mut output.buffer).freeze()).unwrap_or_default()
    }

    fn texts(&self, list: List) -> &[String] {
        match list {
            List::Args => &self.args,
            List::Env => &self.env,
        }
    }

    /// Moves bytes of stdin into a buffer; returns their number.
    fn read_stdin(&mut self, buffer: &mut [u8]) -> Answer<usize> {
        if self.stdin.is_empty() && !buffer.is_empty() {
            if self.streams.as_ref().is_some_and(Streams::awaits) {
                self.flush()?;
            }
            if let Some(streams) = &mut self.streams {
                self.stdin = streams.read()?.map_err(|_| Fail::Errno(IO))?;
            }
        }
        let read = self.stdin.split_to(buffer.len().min(self.stdin.len()));
        buffer.iter_mut().zip(&read).for_each(|(to, from)| *to = *from);
        Ok(read.len())
    }

    /// Appends bytes to stdout, or to the log.
    fn write_stdout(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        let Some(Output { buffer, bytes_max }) = &mut self.output else { return self.log.stderr(bytes) };
        if let Some(streams) = &mut self.streams {
            return streams.write(buffer, bytes, *bytes_max);
        }
        let size = buffer.len() as u64 + bytes.len() as u64;
        if size > *bytes_max {
            return Err(Ending::OutputTooLarge { bytes: size });
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes on what the client can have, unless that has to wait.
    pub(crate) fn tick(&mut self) -> Result<(), Ending> {
        match (&mut self.streams, &mut self.output) {
            (Some(streams), Some(Output { buffer, bytes_max })) => streams.tick(buffer, *bytes_max),
            _ => Ok(()),
        }
    }

    /// Passes on what the client can have, before the guest waits.
    fn flush(&mut self) -> Result<(), Ending> {
        match (&mut self.streams, &mut self.output) {
            (Some(streams), Some(Output { buffer, bytes_max })) => streams.flush(buffer, *bytes_max),
            _ => Ok(()),
        }
    }

    /// Passes on the end of a response that was passed on in part.
    pub(crate) fn end(&mut self) -> Result<(), Ending> {
        self.streams.as_mut().map_or(Ok(()), Streams::end)
    }
}
