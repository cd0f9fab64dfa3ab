//! A private cluster: which processes there are, on which ports and data, and how each is started.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::sync::Mutex;

use super::schedule::{Part, Role};
use crate::{
    commands::process::{Process, Start},
    random,
};

/// A part may take so long to be ready, on a busy machine, with what it needs away for as long as anything is paused.
pub(super) const READY: Duration = Duration::from_secs(30);
/// Slots of each part that runs tasks: more than cores, since the tasks wait more than they compute.
const SLOTS: u32 = 8;
/// Below the ports that Linux gives to outgoing connections, so that none is taken while its process is away.
const PORTS: [u16; 2] = [10_000, 32_000];

/// How workers come by their tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// In the dispatcher's own slots.
    Local,
    /// The dispatcher sends.
    Push,
    /// The worker asks.
    Pull,
}

/// When Redis writes its log to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Before it answers.
    Always,
    /// Once a second.
    Everysec,
    /// When the system likes.
    No,
    /// It keeps no log: what it has is gone with it. Shows that the check finds what is lost.
    Off,
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The `fusebox` program.
    pub(super) program: PathBuf,
    pub(super) mode: Mode,
    /// `None`: one `fusebox up` with an embedded store instead of REST nodes, dispatchers and Redis.
    pub(super) redis: Option<Fsync>,
    /// Where stores, artifacts and logs go.
    pub(super) home: PathBuf,
}

/// A running cluster. Dropping it kills every process.
pub(super) struct Cluster {
    processes: BTreeMap<Part, Arc<Mutex<Process>>>,
    /// Where REST listens.
    pub(super) urls: Vec<String>,
}

impl Mode {
    /// As the command line names it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl Shape {
    /// The parts, in the order in which they are started.
    pub(super) fn parts(&self) -> Vec<Part> {
        let workers = if self.mode == Mode::Local { 0 } else { 3 };
        let counts = match self.redis {
            Some(_) => [(Role::Redis, 1), (Role::Rest, 2), (Role::Dispatcher, 2), (Role::Worker, workers)],
            None => [(Role::Redis, 0), (Role::Rest, 0), (Role::Host, 1), (Role::Worker, workers)],
        };
        let parts = counts.into_iter().flat_map(|(role, count)| (1..=count).map(move |number| Part { role, number }));
        parts.collect()
    }

    /// Where a role's kill can meet a run.
    pub(super) fn runs_tasks(&self, role: Role) -> bool {
        role == Role::Worker || self.mode == Mode::Local && matches!(role, Role::Dispatcher | Role::Host)
    }
}

impl Cluster {
    /// Starts every part and waits until all are ready.
    ///
    /// # Errors
    /// Where one does not start, or there is no Redis.
    pub(super) async fn start(shape: &Shape) -> anyhow::Result<Self> {
        if shape.redis.is_some() {
            find_redis()?;
        }
        let logs = shape.home.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
        let ports = Ports::choose(&shape.parts())?;
        let mut processes = BTreeMap::new();
        for part in shape.parts() {
            let start = ports.start(shape, part);
            let process = Process::start(start, READY).await.with_context(|| format!("start {part}"))?;
            processes.insert(part, Arc::new(Mutex::new(process)));
        }
        let rest = ports.0.iter().filter(|(part, _)| matches!(part.role, Role::Rest | Role::Host));
        let urls = rest.map(|(_, port)| format!("http://127.0.0.1:{port}")).collect();
        Ok(Self { processes, urls })
    }

    /// A part's process; who holds it does something to it.
    pub(super) fn process(&self, part: Part) -> anyhow::Result<Arc<Mutex<Process>>> {
        self.processes.get(&part).cloned().with_context(|| format!("there is no {part}"))
    }

    /// Every part.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        self.processes.keys().copied()
    }
}

/// The port of each part; a host has a second one for its workers, under the number after its own.
struct Ports(BTreeMap<Part, u16>);

const HOSTS_DISPATCHER: Part = Part { role: Role::Dispatcher, number: 1 };

impl Ports {
    /// Free ports, held until all are chosen so that none is chosen twice.
    fn choose(parts: &[Part]) -> anyhow::Result<Self> {
        let mut held = Vec::new();
        let mut ports = BTreeMap::new();
        let has_host = parts.iter().any(|part| part.role == Role::Host);
        for part in parts.iter().copied().chain(has_host.then_some(HOSTS_DISPATCHER)) {
            let listener = (0..1_000).find_map(|_| {
                let offset = u16::from_le_bytes(random::bytes()) % (PORTS[1] - PORTS[0]);
                TcpListener::bind(("127.0.0.1", PORTS[0] + offset)).ok()
            });
            let listener = listener.context("no port is free")?;
            ports.insert(part, listener.local_addr()?.port());
            held.push(listener);
        }
        Ok(Self(ports))
    }

    fn of(&self, role: Role, number: u8) -> u16 {
        self.0.get(&Part { role, number }).copied().unwrap_or_default()
    }

    /// How a part is started.
    fn start(&self, shape: &Shape, part: Part) -> Start {
        let data = shape.home.join(part.to_string());
        let (mode, data, port) = (shape.mode.as_str(), data.display(), self.of(part.role, part.number));
        let store = format!("redis://127.0.0.1:{}", self.of(Role::Redis, 1));
        let (line, ready) = match part.role {
            Role::Redis => return redis(shape, part, port),
            Role::Rest => {
                (format!("serve --listen 127.0.0.1:{port} --store {store} --data {data}"), "listening on http")
            }
            Role::Dispatcher => {
                (format!("dispatcher -m {mode} -p {port} -w {SLOTS} --store {store} --data {data}"), "Dispatcher (")
            }
            Role::Worker => {
                // Shared out among the dispatchers; a host has one.
                let dispatchers = if shape.redis.is_some() { 2 } else { 1 };
                let port = self.of(Role::Dispatcher, (part.number - 1) % dispatchers + 1);
                (format!("{mode}-worker {SLOTS} tcp://127.0.0.1:{port} --data {data}"), "Joined ")
            }
            Role::Host if shape.mode == Mode::Local => {
                (format!("up --listen 127.0.0.1:{port} -w {SLOTS} --store {data}"), "listening on http")
            }
            Role::Host => {
                let workers = self.of(Role::Dispatcher, 1);
                (format!("up -m {mode} --listen 127.0.0.1:{port} -p {workers} --store {data}"), "listening on http")
            }
        };
        let env = vec![
            // A task that lost many attempts would FAIL in good order; here it must not, so that FAILED means a bug.
            ("FUSEBOX_ATTEMPTS_MAX", "1000".to_owned()),
            ("FUSEBOX_LOG", "info".to_owned()),
        ];
        let args = line.split(' ').map(str::to_owned).collect();
        Start { program: shape.program.clone(), args, env, log: log(&shape.home, part), ready }
    }
}

fn redis(shape: &Shape, part: Part, port: u16) -> Start {
    let (appendonly, fsync) = match shape.redis {
        Some(Fsync::Everysec) => ("yes", "everysec"),
        Some(Fsync::No) => ("yes", "no"),
        Some(Fsync::Off) => ("no", "no"),
        Some(Fsync::Always) | None => ("yes", "always"),
    };
    let line = format!(
        "--bind 127.0.0.1 --port {port} --appendonly {appendonly} --appendfsync {fsync} --maxmemory-policy noeviction"
    );
    let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    // No snapshots: what a kill leaves is the log alone.
    args.extend(["--save", "", "--dir"].map(str::to_owned));
    args.push(shape.home.display().to_string());
    let log = log(&shape.home, part);
    Start { program: "redis-server".into(), args, env: Vec::new(), log, ready: "Ready to accept connections" }
}

fn log(home: &Path, part: Part) -> PathBuf {
    home.join("logs").join(format!("{part}.log"))
}

fn find_redis() -> anyhow::Result<()> {
    let version = std::process::Command::new("redis-server").arg("--version").output();
    version.map(drop).context(
        "there is no redis-server: install it (Debian, Ubuntu: `apt-get install redis-server`), or use --store embedded",
    )
}
