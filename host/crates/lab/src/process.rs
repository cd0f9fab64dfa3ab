//! A child process, which can be paused, terminated, killed, and started again on the same port and data.

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

/// Pause before a process that ended before it was ready is started again: it may depend on a process that is not ready
/// yet.
const AGAIN: Duration = Duration::from_millis(200);
/// Interval at which a process that is to be told to end is asked whether it listens.
const LISTENS: Duration = Duration::from_millis(5);

/// Returns the path of the running program, to start it again: the kernel's link to its file, which stays valid even if
/// the file was deleted or replaced by another version.
///
/// # Errors
/// Fails if `/proc` is not mounted.
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    link.read_link().context("find this program: is /proc mounted?")?;
    Ok(link)
}

/// Command that starts the process, each time.
pub(super) struct Start {
    /// Program to run.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Variables added to the environment of this process, without those of Fusebox.
    pub(super) env: Vec<(&'static str, String)>,
    /// File that receives the output.
    pub(super) log: PathBuf,
    /// Text of the line that the process prints when it is ready.
    pub(super) ready: &'static str,
}

/// A child process. Dropping it kills the process.
pub(super) struct Process {
    start: Start,
    running: Option<Running>,
}

struct Running {
    child: Child,
    ready: watch::Receiver<bool>,
}

impl Process {
    /// Starts the process and waits until it is ready; starts it again if it ends before.
    ///
    /// # Errors
    /// Fails if the process is not ready within `patience`; the message includes the end of its log.
    pub(super) async fn start(start: Start, patience: Duration) -> anyhow::Result<Self> {
        let mut process = Self { start, running: None };
        process.restart(patience).await?;
        Ok(process)
    }

    /// Starts the process once more, as [`Process::start`] does.
    ///
    /// # Errors
    /// Fails as [`Process::start`] does.
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

    /// Starts the process without waiting until it is ready.
    ///
    /// # Errors
    /// Fails if the operating system cannot start the process.
    pub(super) fn spawn(&mut self) -> anyhow::Result<()> {
        let Start { program, args, env, log, ready } = &self.start;
        let log = OpenOptions::new().create(true).append(true).open(log).context("open a log")?;
        let mut command = Command::new(program);
        // Settings of the caller's own host must not reach the child.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"FUSEBOX_")) {
            command.env_remove(name);
        }
        // Compiling the runtimes beside the program would take time from what is measured.
        let without = self.start.log.parent().unwrap_or_else(|| Path::new("."));
        let mut child = command
            .args(args)
            .env("FUSEBOX_RUNTIMES", without)
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            // Ctrl-C should reach only this command, which ends its children itself.
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
        // The sender is dropped when the process ends.
        timeout_at(deadline, ready.wait_for(|ready| *ready)).await.is_ok_and(|said| said.is_ok())
    }

    /// Returns the exit status if the process has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut().and_then(|running| running.child.try_wait().ok().flatten())
    }

    /// Returns the process id while the process runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.id().context("the process is gone")?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// Fails if the operating system refuses.
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
    /// Fails if the process is already gone.
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

/// Returns the process group of every child. Its leader is a shell that waits for the end of its input. The input ends
/// with this program, however it ends, and the shell then kills the whole group.
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
            .context("start a shell that ends the processes that this program leaves behind")?,
    };
    Ok(i32::try_from(leader.insert(shell).id())?)
}

/// Copies a process's stdout to its log until it ends, and signals when it is ready.
async fn read(stdout: ChildStdout, mut log: File, ready: &'static str, said: watch::Sender<bool>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // If the log cannot be written, the process must still not block on its output.
        let _ = writeln!(log, "{line}");
        if line.contains(ready) {
            said.send_replace(true);
        }
    }
}

/// Whether a process has a handler of its own for a signal; the lowest bit of the mask is signal 1.
fn listens(id: u32, signal: Signal) -> bool {
    let process = i32::try_from(id).ok().and_then(|id| procfs::process::Process::new(id).ok());
    let status = process.and_then(|process| process.status().ok());
    status.is_some_and(|status| status.sigcgt >> (signal.as_raw() - 1) & 1 == 1)
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
