//! Real Redis servers for tests: a single one, a Sentinel with its servers, a Cluster, or shards, on free ports and in separate
//! directories. They end when the value is dropped, and also when the test's process is killed: a shell in between
//! waits for the end of its input and then kills the server. Knows nothing of the stored data.

mod sentinel;
mod shards;

use std::{
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use self::{
    sentinel::RedisSentinel,
    shards::{RedisShards, shards_url},
};
use crate::eventually_blocking;

/// Maximum time until a server responds, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Maximum number of attempts to start a server, since another process may take the free port first.
const STARTS_MAX: usize = 10;
/// Variable that names another server binary than `redis-server`, such as that of Valkey.
const BINARY: &str = "FUSEBOX_TEST_REDIS";
/// Start of the error of a command that the server refused.
const REFUSED: &str = "redis answered";
/// Kills the server when its input ends: with this process, or on request of the test.
const WATCH: &str = r#"exec 2>/dev/null; "$@" </dev/null >>server.log 2>&1 & echo $!; read -r _; kill -9 $!; wait $!"#;

/// A running server. Dropping it kills it.
pub struct RedisServer {
    watch: Option<Child>,
    pid: u32,
    port: u16,
    args: Vec<String>,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a durable server with further settings such as `["--maxmemory", "8mb"]`.
    ///
    /// # Errors
    /// Fails if it does not respond.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        let mut all = vec!["--appendonly", "yes", "--save", ""];
        all.extend(args);
        Self::start_with(&all, "")
    }

    /// Starts a Sentinel with this configuration and additional settings.
    ///
    /// # Errors
    /// Fails if it does not respond.
    pub fn start_sentinel(args: &[&str], config: &str) -> anyhow::Result<Self> {
        Self::start_with(&[&["--sentinel"], args].concat(), config)
    }

    fn start_with(args: &[&str], config: &str) -> anyhow::Result<Self> {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { watch: None, pid: 0, port: 0, args, dir: tempfile::tempdir()? };
        std::fs::write(server.dir.path().join("redis.conf"), config)?;
        for _ in 0..STARTS_MAX {
            server.port = free_port()?;
            if server.spawn()? {
                return Ok(server);
            }
        }
        anyhow::bail!("redis-server does not start: {}", server.log())
    }

    /// Starts the process; returns whether it responds.
    fn spawn(&mut self) -> anyhow::Result<bool> {
        let mut child = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(std::env::var_os(BINARY).unwrap_or_else(|| "redis-server".into()))
            .args(["./redis.conf", "--bind", "127.0.0.1", "--port"])
            .arg(self.port.to_string())
            .args(&self.args)
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start redis-server")?;
        let mut pid = String::new();
        BufReader::new(child.stdout.take().context("a shell's output")?).read_line(&mut pid)?;
        self.pid = pid.trim().parse().context("the server's process id")?;
        self.watch = Some(child);
        let answers = eventually_blocking("an answer of redis-server", START_PATIENCE, || {
            if !self.is_alive() {
                return Some(false);
            }
            // One that loads its data, or wants a password, answers, too, that it does.
            let answer = self.command(&["PING"]);
            let is_up = answer.is_ok() || answer.is_err_and(|error| error.to_string().starts_with(REFUSED));
            is_up.then_some(true)
        })?;
        if !answers {
            self.kill()?;
        }
        Ok(answers)
    }

    fn is_alive(&self) -> bool {
        // A process that has ended but has not been waited for is a zombie.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Returns its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address as a store URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// Fails if it cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            watch.wait()?;
        }
        Ok(())
    }

    /// Kills it and restarts it on its port and directory.
    ///
    /// # Errors
    /// Fails if it does not restart.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        anyhow::ensure!(self.spawn()?, "redis-server does not start again: {}", self.log());
        Ok(())
    }

    /// Kills it and starts it again with additional settings. It may still be loading its data afterwards.
    ///
    /// # Errors
    /// Fails if it does not start again.
    pub fn restart_with(&mut self, args: &[&str]) -> anyhow::Result<()> {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self.restart()
    }

    /// Kills it and starts it again on its port without its data.
    ///
    /// # Errors
    /// Fails if it does not start again.
    pub fn restart_empty(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        for left in ["appendonlydir", "dump.rdb"].map(|name| self.dir.path().join(name)) {
            match left.is_dir() {
                true => std::fs::remove_dir_all(left)?,
                false if left.exists() => std::fs::remove_file(left)?,
                false => {}
            }
        }
        self.restart()
    }

    /// Pauses it with SIGSTOP: connections stay open without responses.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes it.
    ///
    /// # Errors
    /// Fails if the process has ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends a command and returns the answer as text, one line for each element of a list, as `redis-cli` prints it.
    ///
    /// # Errors
    /// Fails if there is no answer, or it is an error.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        command(self.port, args)
    }
}

/// Sends a command to the server at a port; see [`RedisServer::command`].
///
/// # Errors
/// Fails if there is no answer, or it is an error.
pub fn command(port: u16, args: &[&str]) -> anyhow::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(START_PATIENCE))?;
    let mut text = format!("*{}\r\n", args.len());
    for arg in args {
        text.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    (&stream).write_all(text.as_bytes())?;
    let mut lines = Vec::new();
    read_answer(&mut BufReader::new(stream), &mut lines)?;
    Ok(lines.join("\n"))
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn read_answer(reader: &mut impl std::io::BufRead, lines: &mut Vec<String>) -> anyhow::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (kind, text) = line.trim_end().split_at_checked(1).context("an answer")?;
    match (kind, text.parse::<i64>()) {
        ("-", _) => anyhow::bail!("{REFUSED}: {text}"),
        ("$" | "*", Ok(-1)) => lines.push(String::new()),
        ("$", Ok(length)) => {
            let mut bytes = vec![0; usize::try_from(length)? + 2];
            reader.read_exact(&mut bytes)?;
            lines.push(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned());
        }
        ("*", Ok(length)) => {
            for _ in 0..length {
                read_answer(reader, lines)?;
            }
        }
        _ => lines.push(text.to_owned()),
    }
    Ok(())
}

/// Returns a free port below those that the system assigns to connections, one of which could otherwise take it while a
/// killed server restarts.
///
/// # Errors
/// Fails if there is none.
pub fn free_port() -> anyhow::Result<u16> {
    const FIRST: u64 = 10_000;
    const COUNT: u64 = 20_000;
    for _ in 0..100 {
        let port = u16::try_from(FIRST + RandomState::new().hash_one(()) % COUNT)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free")
}

/// A Cluster of three masters without replicas.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts it and waits until each node knows the whole cluster.
    ///
    /// # Errors
    /// Fails if the cluster does not form.
    pub fn start() -> anyhow::Result<Self> {
        let nodes = (0..3).map(|_| Self::node()).collect::<anyhow::Result<Vec<_>>>()?;
        for (node, (first, last)) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last])?;
        }
        for (node, epoch) in nodes.iter().zip(["1", "2", "3"]) {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", epoch])?;
        }
        for node in &nodes[1..] {
            let bus = node.command(&["CONFIG", "GET", "cluster-port"])?;
            let bus = bus.lines().nth(1).context("a bus port")?.to_owned();
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus])?;
        }
        let cluster = Self { nodes };
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    fn node() -> anyhow::Result<RedisServer> {
        for _ in 0..STARTS_MAX {
            let bus = free_port()?.to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
            // The port of the cluster bus may be taken in the meantime.
            if let Ok(server) = RedisServer::start(&args) {
                return Ok(server);
            }
        }
        anyhow::bail!("a node does not start")
    }

    /// Waits until each node sees every slot served.
    ///
    /// # Errors
    /// Fails if that takes too long.
    pub fn wait_until_whole(&self) -> anyhow::Result<()> {
        let whole = |node: &RedisServer| {
            let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        let all_whole = || self.nodes.iter().all(whole).then_some(());
        eventually_blocking("the cluster to come together", START_PATIENCE, all_whole)
    }

    /// Returns its address as a store URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Returns its nodes.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }
}
