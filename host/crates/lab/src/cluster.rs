//! A private cluster started by a command: its processes, their ports and data, and how each one is started.

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
use fusebox_client::Client;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

mod rig;

pub(super) use rig::Rigged;

use super::process::{Process, Start};
use fusebox_system::random;
use rig::Rig;

/// Attempts per task: so many that lost attempts alone never exhaust them, and a FAILED task means a bug.
pub(super) const ATTEMPTS_MAX: u32 = 1_000;
/// Longest time until a part is ready, on a busy machine and with its dependencies paused.
pub(super) const READY: Duration = Duration::from_secs(30);
/// Range of ports, below those that Linux gives to outgoing connections, so that no port is taken while its process is
/// down.
const PORTS: [u16; 2] = [10_000, 32_000];

/// Role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The Redis server.
    Redis,
    /// A REST node.
    Rest,
    /// A dispatcher; in local mode it also runs the tasks.
    Dispatcher,
    /// A push or pull worker.
    Worker,
    /// `fusebox up`: everything in one process.
    Host,
}

/// One process of a cluster, numbered from 1 within its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) number: u8,
}

/// How workers receive tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Slots of the dispatcher's own process run them.
    Local,
    /// The dispatcher sends them.
    Push,
    /// The worker requests them.
    Pull,
}

/// When Redis writes its log to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// Before each answer.
    Always,
    /// Once a second.
    Everysec,
    /// At the operating system's discretion.
    No,
    /// Never, without a log: a kill loses all data. Proves that the check detects losses.
    Off,
}

/// Composition of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The `fusebox` program.
    pub(super) program: PathBuf,
    pub(super) mode: Mode,
    /// Redis with this setting, or `None` for the embedded store, which allows only one `fusebox up`.
    pub(super) redis: Option<Fsync>,
    /// Number of REST nodes, and also of dispatchers; 0 starts one `fusebox up` instead.
    pub(super) nodes: u8,
    /// Number of push or pull workers; ignored in local mode.
    pub(super) workers: u8,
    /// Slots of each part that runs tasks.
    pub(super) slots: u32,
    /// Directory of compiled modules that all parts share; `None` gives each part its own.
    pub(super) modules: Option<PathBuf>,
    /// Faults that can be injected.
    pub(super) rigged: Rigged,
    /// Directory for stores, artifacts and logs.
    pub(super) home: PathBuf,
}

/// A running cluster. Dropping it kills every process.
pub(super) struct Cluster {
    processes: BTreeMap<Part, Arc<Mutex<Process>>>,
    /// Fault injection for this cluster.
    pub(super) rig: Rig,
    /// Addresses of the REST API.
    pub(super) urls: Vec<String>,
}

impl Role {
    /// True if the part's own memory or disk keeps the tasks. A host keeps them where there is no Redis, and is the only
    /// part of its role then.
    pub(super) const fn keeps_tasks(self) -> bool {
        matches!(self, Self::Redis | Self::Host)
    }

    /// Name of the role in output.
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
    /// Name of the mode on the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl Shape {
    /// Lists the parts in the order of their start.
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

    /// Returns the directory of a part's data.
    fn data(&self, part: Part) -> PathBuf {
        self.home.join(part.to_string())
    }

    /// True if killing a process of this role can interrupt a run.
    pub(super) fn runs_tasks(&self, role: Role) -> bool {
        role == Role::Worker || self.mode == Mode::Local && matches!(role, Role::Dispatcher | Role::Host)
    }
}

impl Cluster {
    /// Starts every part and waits until all are ready.
    ///
    /// # Errors
    /// Fails if a part does not become ready, or Redis is not installed.
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

    /// Returns the address of the first REST node.
    ///
    /// # Errors
    /// Fails if the cluster has none.
    pub(super) fn url(&self) -> anyhow::Result<&str> {
        self.urls.first().map(String::as_str).context("the cluster has no REST node")
    }

    /// Creates a client of the first REST node.
    ///
    /// # Errors
    /// Fails if the cluster has none.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.url()?)?)
    }

    /// Ends every process in order: the workers first, so that their last reports are accepted.
    ///
    /// # Errors
    /// Fails if a process does not end by itself, or not with success.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let (workers, others): (Vec<_>, Vec<_>) =
            self.processes.into_iter().partition(|(part, _)| part.role == Role::Worker);
        for (part, process) in workers.into_iter().chain(others) {
            let status = process.lock().await.terminate(READY).await?;
            anyhow::ensure!(status.is_some_and(|status| status.success()), "{part} did not end as it should");
        }
        Ok(())
    }

    /// Returns a part's process. The lock serializes operations on it.
    pub(super) fn process(&self, part: Part) -> anyhow::Result<Arc<Mutex<Process>>> {
        self.processes.get(&part).cloned().with_context(|| format!("there is no {part}"))
    }

    /// Iterates over all parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        self.processes.keys().copied()
    }
}

/// Ports of the parts. A host has a second one for its workers, stored under the number after its own.
struct Ports(BTreeMap<Part, u16>);

const HOST: Part = Part { role: Role::Host, number: 1 };
const HOSTS_DISPATCHER: Part = Part { role: Role::Dispatcher, number: 1 };

impl Ports {
    /// Picks free ports, all held open until the last is chosen so that no port is chosen twice.
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

    /// Returns the part that `part` connects to, if any, and that part's port.
    fn asks(&self, shape: &Shape, part: Part) -> Option<(Part, u16)> {
        let asked = match part.role {
            Role::Redis => return None,
            Role::Rest | Role::Dispatcher | Role::Host => shape.redis.map(|_| Part { role: Role::Redis, number: 1 })?,
            // Workers are spread over the dispatchers; a host has only one.
            Role::Worker => Part { role: Role::Dispatcher, number: (part.number - 1) % shape.nodes.max(1) + 1 },
        };
        let port = self.of(asked.role, asked.number);
        Some(if asked == HOSTS_DISPATCHER && shape.nodes == 0 { (HOST, port) } else { (asked, port) })
    }

    /// Returns the command that starts a part.
    fn start(&self, shape: &Shape, rig: &Rig, part: Part) -> Start {
        let data = shape.data(part);
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
                // With workers in separate processes, the host's own slots only serve sync invokes.
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
    // No snapshots: only the log survives a kill.
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

/// Checks that Redis can be started.
///
/// # Errors
/// Fails if Redis is not installed.
pub(super) fn find_redis() -> anyhow::Result<()> {
    let version = std::process::Command::new("redis-server").arg("--version").output();
    version.map(drop).context(
        "there is no redis-server: install it (Debian, Ubuntu: `apt-get install redis-server`), or use --store embedded",
    )
}
