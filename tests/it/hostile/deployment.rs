//! A host in one mode with two slots, in its own process or in a worker.

use std::process::Command;

use anyhow::Context as _;
use fusebox_harness::{Client, Program, Server};
use procfs::process::Process;
use tempfile::TempDir;

use crate::server;

const SLOTS: u64 = 2;
/// Memory of a run if a function sets no limit.
const RUN_BYTES: u64 = 64 << 20;
/// Memory of a process in addition to its runs: bodies in transit, and loaded modules.
const BESIDE_RUNS_BYTES: u64 = 384 << 20;

/// A running host. Its worker ends first.
pub(super) struct Deployment {
    mode: &'static str,
    worker: Option<Program>,
    server: Server,
    /// Start times of the processes, since a process id may be reused.
    began: Vec<(u32, u64)>,
    base_bytes: u64,
    _home: TempDir,
}

impl Deployment {
    pub(super) fn start(mode: &'static str) -> Self {
        let (server, home) = match mode {
            "local" => server(&["-w", "2"]),
            _ => server(&["-m", mode, "-p", "0"]),
        };
        let worker = (mode != "local").then(|| {
            let url = server.program().word("tcp://").unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
            command.args([&format!("{mode}-worker")[..], "2", &url, "--log", "error", "--data"]);
            command.arg(home.path().join("worker"));
            Program::start(command, "Joined").unwrap()
        });
        let mut deployment = Self { mode, worker, server, began: Vec::new(), base_bytes: 0, _home: home };
        deployment.began = deployment.pids().map(|pid| (pid, birth(pid).unwrap())).collect();
        deployment.base_bytes = deployment.pids().map(|pid| peak_bytes(pid).unwrap()).max().unwrap_or_default();
        deployment
    }

    pub(super) fn client(&self) -> Client {
        self.server.client()
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        [self.server.pid()].into_iter().chain(self.worker.as_ref().map(Program::pid))
    }

    /// Checks that each process is the original one and within its memory limit.
    pub(super) fn still_the_same(&self) -> anyhow::Result<()> {
        for (pid, began) in &self.began {
            anyhow::ensure!(birth(*pid)? == *began, "process {pid} is another one");
            let (peak, most) = (peak_bytes(*pid)?, self.base_bytes + SLOTS * RUN_BYTES + BESIDE_RUNS_BYTES);
            anyhow::ensure!(peak <= most, "process {pid} had {peak} bytes of memory, and {most} is the most");
        }
        Ok(())
    }

    /// Returns a summary of its memory use.
    pub(super) fn memory(&self) -> String {
        let peaks: Vec<_> =
            self.pids().filter_map(|pid| peak_bytes(pid).ok()).map(|peak| format!("{} MiB", peak >> 20)).collect();
        format!("{}: peak memory {} (at the start {} MiB)", self.mode, peaks.join(" and "), self.base_bytes >> 20)
    }
}

fn process(pid: u32) -> anyhow::Result<Process> {
    Process::new(pid.try_into()?).context("the process is gone")
}

/// Returns the start time of a process in ticks of the system; fails if it has ended or is a zombie.
fn birth(pid: u32) -> anyhow::Result<u64> {
    let stat = process(pid)?.stat()?;
    anyhow::ensure!(stat.state != 'Z', "process {pid} has ended");
    Ok(stat.starttime)
}

/// Returns the peak resident memory of a process.
fn peak_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(process(pid)?.status()?.vmhwm.context("a peak")? << 10)
}
