//! Fault injection beyond signals: a proxy in front of each part that another one connects to, a separate wall clock for
//! each process, and a store whose room can be used up.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;
use fusebox_faults::{
    proxy::{Faults, Proxy},
    small_disk::SmallDisk,
    wall_clock::{Library, WallClock},
};

use super::{HOST, Part, Ports, Role, Shape};

/// Faults that can be injected into a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rigged {
    /// Answers can be lost.
    pub(crate) answers: bool,
    /// Clocks can be changed.
    pub(crate) clocks: bool,
    /// The store can be full.
    pub(crate) full: bool,
}

/// Size of the disk of an embedded store that can be full, in bytes: large enough for all tasks of a run, small enough
/// for this machine's memory.
const DISK_BYTES: u64 = 128 << 20;
/// Longest wait for an answer of Redis.
const REDIS_PATIENCE: Duration = Duration::from_secs(5);

/// Fault injection for a cluster.
pub(crate) struct Rig {
    /// For each connecting part: the part it connects to, and the proxy in between.
    wires: BTreeMap<Part, (Part, Proxy)>,
    clocks: BTreeMap<Part, WallClock>,
    /// Disk of the embedded store. Dropped with what is on it.
    disk: Option<SmallDisk>,
    /// Address of Redis, if there is one.
    redis: Option<SocketAddr>,
}

impl Rig {
    /// Sets up the requested fault injection, before the cluster's processes start.
    ///
    /// # Errors
    /// Fails if no port is free for a proxy, or no C compiler is installed for the clocks.
    pub(super) fn set_up(shape: &Shape, ports: &Ports) -> anyhow::Result<Self> {
        let redis = shape.redis.map(|_| (Ipv4Addr::LOCALHOST, ports.of(Role::Redis, 1)).into());
        let mut rig = Self { wires: BTreeMap::new(), clocks: BTreeMap::new(), disk: None, redis };
        if shape.rigged.full && redis.is_none() {
            let data = shape.data(HOST);
            std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
            rig.disk = Some(SmallDisk::mount(&data, DISK_BYTES)?);
        }
        for part in shape.parts().into_iter().filter(|_| shape.rigged.answers) {
            if let Some((asked, port)) = ports.asks(shape, part) {
                rig.wires.insert(part, (asked, Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?));
            }
        }
        if shape.rigged.clocks {
            let library =
                Library::build(&shape.home).context("without clocks that can be set: leave out the fault `clock`")?;
            for part in shape.parts() {
                rig.clocks.insert(part, library.clock(shape.home.join(format!("{part}.clock")))?);
            }
        }
        Ok(rig)
    }

    /// Returns the port of the proxy through which a part connects, if there is one.
    pub(super) fn way(&self, part: Part) -> Option<u16> {
        self.wires.get(&part).map(|(_, wire)| wire.address().port())
    }

    /// Returns environment variables for a part's process.
    pub(super) fn environment(&self, part: Part) -> Vec<(&'static str, String)> {
        self.clocks.get(&part).map(|clock| clock.environment().into()).unwrap_or_default()
    }

    /// Checks that a part's process, once started, uses its separate clock.
    ///
    /// # Errors
    /// Fails if it uses another one: changing the clock would then have no effect.
    pub(super) fn check(&self, part: Part) -> anyhow::Result<()> {
        self.clocks.get(&part).map_or(Ok(()), |clock| clock.reader().map(drop))
    }

    /// Starts to lose answers to a part: those of the part it connects to, and those of its workers to its messages. A
    /// part that connects to no other one loses its own answers to all.
    ///
    /// # Errors
    /// Fails if the part has no connection through a proxy.
    pub(crate) fn lose_answers(&self, part: Part) -> anyhow::Result<()> {
        self.each_wire(part, |wire, asks| {
            wire.set(if asks || part.role == Role::Redis { Faults::deaf_client() } else { Faults::deaf_target() });
        })
    }

    /// Lets answers through again, on new connections: those that lost answers are reset.
    ///
    /// # Errors
    /// Fails as [`Rig::lose_answers`] does.
    pub(crate) fn find_answers(&self, part: Part) -> anyhow::Result<()> {
        self.each_wire(part, |wire, _| {
            wire.reset();
            wire.heal();
        })
    }

    /// Uses up the room of a part's store: of Redis by a `maxmemory` that it exceeds.
    ///
    /// # Errors
    /// Fails if the part keeps no tasks, or Redis does not obey.
    pub(crate) fn fill(&self, part: Part) -> anyhow::Result<()> {
        match (&self.disk, self.redis) {
            (Some(disk), _) if part == HOST => disk.fill(),
            (_, Some(redis)) if part.role == Role::Redis => set_maxmemory(redis, "1mb"),
            _ => anyhow::bail!("{part} has no store that can be full"),
        }
    }

    /// Gives room back to a part's store.
    ///
    /// # Errors
    /// Fails as [`Rig::fill`] does.
    pub(crate) fn free(&self, part: Part) -> anyhow::Result<()> {
        match (&self.disk, self.redis) {
            (Some(disk), _) if part == HOST => disk.free(),
            (_, Some(redis)) if part.role == Role::Redis => set_maxmemory(redis, "0"),
            _ => anyhow::bail!("{part} has no store that can be full"),
        }
    }

    /// Applies `act` to each proxy of a part, with true if the part is the connecting side.
    fn each_wire(&self, part: Part, act: impl Fn(&Proxy, bool)) -> anyhow::Result<()> {
        let wires = self.wires.iter().filter(|(asker, (asked, _))| [*asker, asked].contains(&&part));
        let count = wires.map(|(asker, (_, wire))| act(wire, *asker == part)).count();
        anyhow::ensure!(count > 0, "{part} has no connection whose answers can be lost");
        Ok(())
    }

    /// Sets the clock of a part ahead of the machine's by `ahead_ms` milliseconds, or behind it if negative.
    ///
    /// # Errors
    /// Fails if the part has no separate clock.
    pub(crate) fn set_clock(&self, part: Part, ahead_ms: i64) -> anyhow::Result<()> {
        self.clocks.get(&part).with_context(|| format!("{part} has no clock of its own"))?.set(ahead_ms)
    }
}

/// Sets the bound of Redis' memory; 0 is none.
fn set_maxmemory(redis: SocketAddr, bytes: &str) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect_timeout(&redis, REDIS_PATIENCE)?;
    connection.set_read_timeout(Some(REDIS_PATIENCE))?;
    connection.write_all(format!("CONFIG SET maxmemory {bytes}\r\n").as_bytes())?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).context("Redis does not answer")?;
    anyhow::ensure!(answer == *b"+OK\r\n", "Redis does not set maxmemory: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
