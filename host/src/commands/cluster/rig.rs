//! By what faults are done to a cluster that a signal to a process cannot do: a proxy before each part that another one
//! asks, and a wall clock of each process's own.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context as _;
use fusebox_faults::{
    proxy::{Faults, Proxy},
    wall_clock::{Library, WallClock},
};

use super::{Part, Ports, Role, Shape};

/// The faults that a cluster is made ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::commands) struct Rigged {
    /// Answers can be lost.
    pub(in crate::commands) answers: bool,
    /// Clocks can be set.
    pub(in crate::commands) clocks: bool,
}

/// See the module's documentation.
pub(in crate::commands) struct Rig {
    /// From the part that asks: the part that it asks, and the proxy before that.
    wires: BTreeMap<Part, (Part, Proxy)>,
    clocks: BTreeMap<Part, WallClock>,
}

impl Rig {
    /// Sets up what a cluster is made ready for, before its processes start.
    ///
    /// # Errors
    /// Where no port is free for a proxy, or there is no C compiler for the clocks.
    pub(super) fn set_up(shape: &Shape, ports: &Ports) -> anyhow::Result<Self> {
        let mut rig = Self { wires: BTreeMap::new(), clocks: BTreeMap::new() };
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

    /// The port by which a part asks, where that is a proxy's.
    pub(super) fn way(&self, part: Part) -> Option<u16> {
        self.wires.get(&part).map(|(_, wire)| wire.address().port())
    }

    /// Variables for the process of a part.
    pub(super) fn environment(&self, part: Part) -> Vec<(&'static str, String)> {
        self.clocks.get(&part).map(|clock| clock.environment().into()).unwrap_or_default()
    }

    /// Whether the process of a part, once it is started, has the clock that is its own.
    ///
    /// # Errors
    /// Where it goes by another: then setting that would show nothing.
    pub(super) fn check(&self, part: Part) -> anyhow::Result<()> {
        self.clocks.get(&part).map_or(Ok(()), |clock| clock.reader().map(drop))
    }

    /// From now on answers to a part are lost: those of whom it asks, and those of its workers to what it sends them. A
    /// part that asks nobody loses its own to all.
    ///
    /// # Errors
    /// Where it has no connection that is made ready for this.
    pub(in crate::commands) fn lose_answers(&self, part: Part) -> anyhow::Result<()> {
        self.each_wire(part, |wire, asks| {
            wire.set(if asks || part.role == Role::Redis { Faults::deaf_client() } else { Faults::deaf_target() });
        })
    }

    /// Answers arrive again, on new connections: those that had lost some are reset.
    ///
    /// # Errors
    /// As [`Rig::lose_answers`].
    pub(in crate::commands) fn find_answers(&self, part: Part) -> anyhow::Result<()> {
        self.each_wire(part, |wire, _| {
            wire.reset();
            wire.heal();
        })
    }

    /// Does something to each wire of a part, and says whether the part is the one that asks.
    fn each_wire(&self, part: Part, act: impl Fn(&Proxy, bool)) -> anyhow::Result<()> {
        let wires = self.wires.iter().filter(|(asker, (asked, _))| [*asker, asked].contains(&&part));
        let count = wires.map(|(asker, (_, wire))| act(wire, *asker == part)).count();
        anyhow::ensure!(count > 0, "{part} has no connection whose answers can be lost");
        Ok(())
    }

    /// Sets the clock of a part so many milliseconds ahead of the machine's, or behind it.
    ///
    /// # Errors
    /// Where it has none of its own.
    pub(in crate::commands) fn set_clock(&self, part: Part, ahead_ms: i64) -> anyhow::Result<()> {
        self.clocks.get(&part).with_context(|| format!("{part} has no clock of its own"))?.set(ahead_ms)
    }
}
