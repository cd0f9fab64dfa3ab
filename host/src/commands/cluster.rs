//! A private cluster that a command starts for itself: which processes there are, on which ports and data, and how each
//! is started.

use std::{
    collections::BTreeMap,
    fmt,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

mod rig;

pub(super) use rig::Rigged;

use super::process::{Process, Start};
use crate::random;
use rig::Rig;

/// A task that lost many attempts would FAIL in good order; here it must not, so that FAILED means a bug.
pub(super) const ATTEMPTS_MAX: u32 = 1_000;
/// A part may take so long to be ready, on a busy machine, with what it needs away for as long as anything is paused.
pub(super) const READY: Duration = Duration::from_secs(30);
/// Below the ports that Linux gives to outgoing connections, so that none is taken while its process is away.
const PORTS: [u16; 2] = [10_000, 32_000];

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The store.
    Redis,
    /// A REST node.
    Rest,
    /// A dispatcher; in local mode it runs the tasks as well.
    Dispatcher,
    /// A push or pull worker.
    Worker,
    /// `fusebox up`: everything in one process.
    Host,
}

/// One process of a cluster, counted from 1 among those of its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) number: u8,
}

/// How workers come by their tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
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
    /// `None`: the embedded store, which only one `fusebox up` can have.
    pub(super) redis: Option<Fsync>,
    /// REST nodes, and as many dispatchers; none of them: one `fusebox up` instead.
    pub(super) nodes: u8,
    /// Push or pull workers; local mode has none.
    pub(super) workers: u8,
    /// Slots of each part that runs tasks.
    pub(super) slots: u32,
    /// The directory of compiled modules that all parts share, where each has not its own.
    pub(super) modules: Option<PathBuf>,
    /// The faults that it is made ready for.
    pub(super) rigged: Rigged,
    /// Where stores, artifacts and logs go.
    pub(super) home: PathBuf,
}

/// A running cluster. Dropping it kills every process.
pub(super) struct Cluster {
    processes: BTreeMap<Part, Arc<Mutex<Process>>>,
    /// By which faults are done to it.
    pub(super) rig: Rig,
    /// Where REST listens.
    pub(super) urls: Vec<String>,
}

impl Role {
    /// The word for people.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Rest => "rest",
            Self::Dispatcher => "dispatcher",
            Self::Worker => "worker",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role.as_str(), self.number)
    }
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
        let workers = if self.mode == Mode::Local { 0 } else { self.workers };
        let counts = [
            (Role::Redis, u8::from(self.redis.is_some())),
            (Role::Rest, self.nodes),
            (Role::Dispatcher, self.nodes),
            (Role::Host, u8::from(self.nodes == 0)),
            (Role::Worker, workers),
        ];
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
        let rig = Rig::set_up(shape, &ports)?;
        let mut processes = BTreeMap::new();
        for part in shape.parts() {
            let start = ports.start(shape, &rig, part);
            let process = Process::start(start, READY).await.with_context(|| format!("start {part}"))?;
            rig.check(part).with_context(|| format!("start {part}"))?;
            processes.insert(part, Arc::new(Mutex::new(process)));
        }
        let rest = ports.0.iter().filter(|(part, _)| matches!(part.role, Role::Rest | Role::Host));
        let urls = rest.map(|(_, port)| format!("http://127.0.0.1:{port}")).collect();
        Ok(Self { processes, rig, urls })
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

const HOST: Part = Part { role: Role::Host, number: 1 };
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

    /// Whom a part asks, where it asks another one, and the port of that.
    fn asks(&self, shape: &Shape, part: Part) -> Option<(Part, u16)> {
        let asked = match part.role {
            Role::Redis => return None,
            Role::Rest | Role::Dispatcher | Role::Host => shape.redis.map(|_| Part { role: Role::Redis, number: 1 })?,
            // Shared out among the dispatchers; a host has one.
            Role::Worker => Part { role: Role::Dispatcher, number: (part.number - 1) % shape.nodes.max(1) + 1 },
        };
        let port = self.of(asked.role, asked.number);
        Some(if asked == HOSTS_DISPATCHER && shape.nodes == 0 { (HOST, port) } else { (asked, port) })
    }

    /// How a part is started.
    fn start(&self, shape: &Shape, rig: &Rig, part: Part) -> Start {
        let data = shape.home.join(part.to_string());
        let modules = shape.modules.as_ref().unwrap_or(&data).display();
        let (mode, slots, port) = (shape.mode.as_str(), shape.slots, self.of(part.role, part.number));
        let asked = self.asks(shape, part).map_or(0, |(_, port)| rig.way(part).unwrap_or(port));
        let redis = format!("redis://127.0.0.1:{asked}");
        let (line, ready) = match part.role {
            Role::Redis => return redis_server(shape, rig, part, port),
            Role::Rest => (
                format!("serve --listen 127.0.0.1:{port} --drain-delay 0s --store {redis} --data {modules}"),
                "listening on http",
            ),
            Role::Dispatcher => {
                let line = format!("dispatcher -m {mode} -p {port} -w {slots} --store {redis} --data {modules}");
                (line, "Dispatcher (")
            }
            Role::Worker => (format!("{mode}-worker {slots} tcp://127.0.0.1:{asked} --data {modules}"), "Joined "),
            Role::Host => {
                let store = if shape.redis.is_some() { redis } else { data.display().to_string() };
                // With workers of their own processes, its slots are for sync invokes alone.
                let work = match shape.mode {
                    Mode::Local => format!("-w {slots}"),
                    Mode::Push | Mode::Pull => format!("-m {mode} -p {}", self.of(Role::Dispatcher, 1)),
                };
                let line = format!("up --listen 127.0.0.1:{port} {work} --store {store} --data {modules}");
                (line, "listening on http")
            }
        };
        let mut env = rig.environment(part);
        env.extend([("FUSEBOX_ATTEMPTS_MAX", ATTEMPTS_MAX.to_string()), ("FUSEBOX_LOG", "info".to_owned())]);
        let args = line.split(' ').map(str::to_owned).collect();
        Start { program: shape.program.clone(), args, env, log: log(&shape.home, part), ready }
    }
}

fn redis_server(shape: &Shape, rig: &Rig, part: Part, port: u16) -> Start {
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
    Start {
        program: "redis-server".into(),
        args,
        env: rig.environment(part),
        log,
        ready: "Ready to accept connections",
    }
}

fn log(home: &Path, part: Part) -> PathBuf {
    home.join("logs").join(format!("{part}.log"))
}

/// Whether Redis can be started.
///
/// # Errors
/// Where it is not installed.
pub(super) fn find_redis() -> anyhow::Result<()> {
    let version = std::process::Command::new("redis-server").arg("--version").output();
    version.map(drop).context(
        "there is no redis-server: install it (Debian, Ubuntu: `apt-get install redis-server`), or use --store embedded",
    )
}
