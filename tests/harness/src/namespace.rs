//! Network namespace of a process, connected to this machine by a virtual cable that can be cut: a real partition in
//! which the kernel drops packets. Requires root and `ip`; creating one fails with a message if either is missing.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

use anyhow::Context as _;

/// Number of namespaces created by this process, which makes their names unique.
static MADE: AtomicU8 = AtomicU8::new(0);

/// A network namespace connected to this machine. Dropping it removes both the namespace and the cable.
pub struct Namespace {
    name: String,
    /// This machine's end of the cable.
    cable: String,
    host: Ipv4Addr,
}

impl Namespace {
    /// Creates a namespace and its cable.
    ///
    /// # Errors
    /// Fails, with the reason, if this machine does not allow it.
    pub fn new() -> anyhow::Result<Self> {
        anyhow::ensure!(rustix::process::geteuid().is_root(), "network namespaces need root");
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // 198.18.0.0/15 is reserved for network tests (RFC 2544); each cable uses four addresses.
        let [.., high, low] = process.to_be_bytes();
        let net = [198, 18 + (high & 1), low, (number % 64) * 4];
        let host = Ipv4Addr::new(net[0], net[1], net[2], net[3] + 1);
        let inside = Ipv4Addr::new(net[0], net[1], net[2], net[3] + 2);
        let name = format!("fusebox-{process}-{number}");
        let (cable, end) = (format!("fb{process}h{number}"), format!("fb{process}n{number}"));
        ip(&format!("netns add {name}"))?;
        // From here on, dropping the value removes whatever was created.
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

    /// Returns this machine's address as seen from the namespace.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Returns a command that runs inside the namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Cuts the cable: packets are dropped in both directions without notice to any process.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn cut(&self) -> anyhow::Result<()> {
        ip(&format!("link set {} down", self.cable))
    }

    /// Reconnects the cable.
    ///
    /// # Errors
    /// Fails if the system refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        ip(&format!("link set {} up", self.cable))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Removing the namespace removes the cable.
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(line: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(line.split(' ')).output().context("there is no `ip`: install iproute2")?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "network namespaces are not allowed here: `ip {line}`: {}", error.trim());
    Ok(())
}
