//! A process that a command starts for itself: started, stopped for a while, told to end, killed, started again on the
//! same port and data.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// A process that ended before it was ready, since what it needs was not there yet, is started again so soon.
const AGAIN: Duration = Duration::from_millis(200);
/// Interval at which a process that is to be told to end is asked whether it listens.
const LISTENS: Duration = Duration::from_millis(5);

/// How a process is started, each time.
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(&'static str, String)>,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// It is ready when it prints a line with this.
    pub(super) ready: &'static str,
}

/// See the module's documentation. Dropping it kills it.
pub(super) struct Process {
    start: Start,
    running: Option<Running>,
}

struct Running {
    child: Child,
    ready: watch::Receiver<bool>,
}

impl Process {
    /// Starts it and waits until it is ready; starts it again where it ends first.
    ///
    /// # Errors
    /// Where it is not ready within `patience`; the message has the end of its log.
    pub(super) async fn start(start: Start, patience: Duration) -> anyhow::Result<Self> {
        let mut process = Self { start, running: None };
        process.restart(patience).await?;
        Ok(process)
    }

    /// Starts it once more, as [`Process::start`] does.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub(super) async fn restart(&mut self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.spawn()?;
            if self.ready(deadline).await {
                return Ok(());
            }
            let is_late = Instant::now() + AGAIN >= deadline;
            anyhow::ensure!(!is_late, "it is not ready after {patience:?}; its log ends: {}", tail(&self.start.log));
            sleep(AGAIN).await;
        }
    }

    /// Starts it and does not wait.
    ///
    /// # Errors
    /// Where the system does not start it.
    pub(super) fn spawn(&mut self) -> anyhow::Result<()> {
        let Start { program, args, env, log, ready } = &self.start;
        let log = OpenOptions::new().create(true).append(true).open(log).context("open a log")?;
        let mut command = Command::new(program);
        // What the caller has set for a host of its own must not reach these.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"FUSEBOX_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(args)
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            // Ctrl-C is for this command, which ends the others itself.
            .process_group(group()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let (said, is_ready) = watch::channel(false);
        let stdout = child.stdout.take().context("stdout is piped")?;
        tokio::spawn(read(stdout, log, ready, said));
        self.running = Some(Running { child, ready: is_ready });
        Ok(())
    }

    async fn ready(&mut self, deadline: Instant) -> bool {
        let Some(Running { ready, .. }) = &mut self.running else { return false };
        // The sender is gone where the process ended.
        timeout_at(deadline, ready.wait_for(|ready| *ready)).await.is_ok_and(|said| said.is_ok())
    }

    /// How it ended, where it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut().and_then(|running| running.child.try_wait().ok().flatten())
    }

    /// Its number, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where the process is gone.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.id().context("the process is gone")?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            Some(mut running) => Ok(running.child.kill().await?),
            None => Ok(()),
        }
    }

    /// Tells it to end and waits for that; `None` where it did not within `patience`, and was killed. One that has only
    /// just been started is given as long to listen for the signal first: without that it ends as one that was killed.
    ///
    /// # Errors
    /// Where it is gone already.
    pub(super) async fn terminate(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        while self.id().is_some_and(|id| !listens(id, Signal::TERM))
            && self.ended().is_none()
            && Instant::now() < deadline
        {
            sleep(LISTENS).await;
        }
        self.signal(Signal::TERM)?;
        let mut running = self.running.take().context("the process is gone")?;
        match tokio::time::timeout(patience, running.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => {
                running.child.kill().await?;
                Ok(None)
            }
        }
    }
}

/// The group of every process that is started here. A shell leads it, which waits for the end of its input: that comes with
/// the end of this program, however it ends, and then the whole group is killed.
fn group() -> anyhow::Result<i32> {
    static LEADER: Mutex<Option<std::process::Child>> = Mutex::new(None);
    let mut leader = LEADER.lock().unwrap_or_else(PoisonError::into_inner);
    let shell = match leader.take() {
        Some(shell) => shell,
        None => std::process::Command::new("sh")
            .args(["-c", "read -r _; kill -9 0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start a shell that ends what this program leaves behind")?,
    };
    Ok(i32::try_from(leader.insert(shell).id())?)
}

/// Copies a process's stdout to its log until it ends, and says when it is ready.
async fn read(stdout: ChildStdout, mut log: File, ready: &'static str, said: watch::Sender<bool>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written is no reason to let the process block.
        let _ = writeln!(log, "{line}");
        if line.contains(ready) {
            said.send_replace(true);
        }
    }
}

/// Whether a process has a handler of its own for a signal, as the system says in `SigCgt`, a mask with signal 1 lowest.
fn listens(id: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_has_just_been_started_listens_before_it_is_told_to_end() {
        let home = tempfile::tempdir().unwrap();
        // It is busy at first, and would end by the signal then.
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; trap 'exit 0' TERM; while :; do :; done";
        let args = ["-c", script].map(str::to_owned).to_vec();
        let start = Start { program: "sh".into(), args, env: Vec::new(), log: home.path().join("log"), ready: "never" };
        let mut process = Process { start, running: None };
        process.spawn().unwrap();
        let ended = process.terminate(Duration::from_secs(60)).await.unwrap();
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }
}
