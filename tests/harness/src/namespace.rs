//! A network of its own for a process, joined to this machine by one cable that can be pulled: a real partition, where the
//! kernel loses packets. Needs root and `ip`; where they are not there, making one says what is missing.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::Context as _;

/// Apart within one process.
static MADE: AtomicU8 = AtomicU8::new(0);

/// A network namespace with a cable to this one. Dropping it removes both.
pub struct Namespace {
    name: String,
    /// This machine's end of the cable.
    cable: String,
    host: Ipv4Addr,
}

impl Namespace {
    /// Makes a namespace and its cable.
    ///
    /// # Errors
    /// Where this machine does not allow it: the message says why.
    pub fn new() -> anyhow::Result<Self> {
        anyhow::ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // 198.18.0.0/15 is for tests of networks (RFC 2544); four addresses are one cable's.
        let [.., high, low] = process.to_be_bytes();
        let net = [198, 18 + (high & 1), low, (number % 64) * 4];
        let host = Ipv4Addr::new(net[0], net[1], net[2], net[3] + 1);
        let inside = Ipv4Addr::new(net[0], net[1], net[2], net[3] + 2);
        let name = format!("fusebox-{process}-{number}");
        let (cable, end) = (format!("fb{process}h{number}"), format!("fb{process}n{number}"));
        ip(&format!("netns add {name}"))?;
        // From here on whatever was made is removed again when this is dropped.
        let made = Self { name, cable, host };
        let Self { name, cable, .. } = &made;
        ip(&format!("link add {cable} type veth peer name {end} netns {name}"))?;
        ip(&format!("addr add {host}/30 dev {cable}"))?;
        ip(&format!("link set {cable} up"))?;
        ip(&format!("-n {name} addr add {inside}/30 dev {end}"))?;
        ip(&format!("-n {name} link set {end} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(made)
    }

    /// This machine as the namespace sees it.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// A command that runs inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Pulls the cable: packets are lost in both directions, and no process is told.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn cut(&self) -> anyhow::Result<()> {
        ip(&format!("link set {} down", self.cable))
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        ip(&format!("link set {} up", self.cable))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with the namespace.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(line: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(line.split(' ')).output().context("there is no `ip`: install iproute2")?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "network namespaces are not allowed here: `ip {line}`: {}", error.trim());
    Ok(())
}
