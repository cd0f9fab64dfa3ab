//! Addresses that guests may reach: the public internet and the operator's additions, without the operator's denials.

use std::{fmt, net::IpAddr, str::FromStr};

use fusebox_core::capability::HostPattern;
use ipnet::IpNet;

use super::address::{self, Kind, not_public, platform};

/// Denial by the operator, which holds for every function whatever its grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Every address of the network, by whatever name a request reaches it.
    Network(IpNet),
    /// Hosts as named in a request; at every port if the pattern has none.
    Host(HostPattern),
}

impl FromStr for Denial {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A single address is a network of one, and is denied under any name that resolves to it.
        address::network(text).map(Self::Network).or_else(|network| match text.parse() {
            Ok(host) => Ok(Self::Host(host)),
            Err(_) if text.contains('/') => Err(network),
            Err(_) => Err(format!(
                "{text:?} is neither a network such as 10.1.0.0/16 nor a host such as api.example.com or *.example.com:8443"
            )),
        })
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(formatter),
            Self::Host(host) => host.fmt(formatter),
        }
    }
}

/// Reason why an address must not be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Kind of an address that is not public.
    Kind(Kind),
    /// The denial that covers the address.
    Denied(String),
}

/// Rules that decide which addresses guests may reach.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    private: Vec<IpNet>,
    denied: Vec<Denial>,
}

impl Reachable {
    /// Allows the public internet and the `private` networks, except for what is `denied`.
    #[must_use]
    pub fn new(private: Vec<IpNet>, denied: Vec<Denial>) -> Self {
        Self { private, denied }
    }

    /// Checks a request's host, as named there, against the denied hosts.
    ///
    /// # Errors
    /// Fails with the matching denial.
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), String> {
        let denies = |denial: &&Denial| matches!(denial, Denial::Host(pattern) if pattern.denies(host, port));
        self.denied.iter().find(denies).map_or(Ok(()), |denial| Err(denial.to_string()))
    }

    /// Checks whether an address may be connected to.
    ///
    /// # Errors
    /// Fails with the reason if it may not.
    pub fn check(&self, address: IpAddr) -> Result<(), Closed> {
        self.check_denied(address)?;
        match not_public(address) {
            Some(kind) if !self.is_added(address) => Err(Closed::Kind(kind)),
            _ => Ok(()),
        }
    }

    /// Checks a connection's ends. If both have the same address, the connection leads to this machine by a public
    /// address of its own, and a server there, REST included, deserves the same protection as one on loopback.
    ///
    /// # Errors
    /// Fails with the reason if the connection is not allowed.
    pub fn check_connected(&self, own: IpAddr, peer: IpAddr) -> Result<(), Closed> {
        if own == peer && !self.is_added(peer) { Err(Closed::Kind("this machine's own")) } else { self.check(peer) }
    }

    fn check_denied(&self, address: IpAddr) -> Result<(), Closed> {
        // An IPv4-mapped IPv6 address leads to the same machine as the IPv4 address.
        let same = [address, address.to_canonical()];
        let denies =
            |denial: &&Denial| matches!(denial, Denial::Network(network) if same.iter().any(|a| network.contains(a)));
        self.denied.iter().find(denies).map_or(Ok(()), |denial| Err(Closed::Denied(denial.to_string())))
    }

    /// Returns true if an operator's network contains the address. For a platform's address the network must be no
    /// wider than the platform's row, so that `10.0.0.0/8` or `::/0` does not expose the machine's credentials by
    /// accident.
    fn is_added(&self, address: IpAddr) -> bool {
        let bits_min = platform(address).map_or(0, |(network, _)| network.prefix_len());
        self.private.iter().any(|network| network.contains(&address) && network.prefix_len() >= bits_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn reachable(private: &[&str], denied: &[&str]) -> Reachable {
        Reachable::new(
            private.iter().map(|text| address::network(text).unwrap()).collect(),
            denied.iter().map(|text| text.parse().unwrap()).collect(),
        )
    }

    #[test]
    fn an_operators_networks_are_reached_and_no_others() {
        let reachable = reachable(&["127.0.0.0/8", "fd00::/8"], &[]);
        for text in ["127.0.0.1", "127.1.2.3", "fd12::1", "1.1.1.1"] {
            assert_eq!(reachable.check(ip(text)), Ok(()), "{text}");
        }
        for text in ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1"] {
            assert!(reachable.check(ip(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wide_network_does_not_open_a_cloud_platforms_own_address() {
        let wide = reachable(&["0.0.0.0/0", "::/0"], &[]);
        for text in ["10.0.0.1", "100.64.0.1", "fd12::1"] {
            assert_eq!(wide.check(ip(text)), Ok(()), "{text}");
        }
        let platforms =
            ["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"];
        for text in platforms {
            assert!(matches!(wide.check(ip(text)), Err(Closed::Kind(_))), "{text}");
            assert_eq!(reachable(&[text], &[]).check(ip(text)), Ok(()), "{text} by its own name");
        }
    }

    #[test]
    fn this_machine_is_not_reached_by_its_public_address() {
        let own = ip("93.184.216.34");
        assert_eq!(Reachable::default().check_connected(own, own), Err(Closed::Kind("this machine's own")));
        assert_eq!(Reachable::default().check_connected(own, ip("1.1.1.1")), Ok(()));
        assert_eq!(Reachable::default().check_connected(own, ip("10.0.0.1")), Err(Closed::Kind("private")));
        assert_eq!(reachable(&["93.184.216.34"], &[]).check_connected(own, own), Ok(()));
    }

    #[test]
    fn what_is_denied_is_denied_whatever_is_allowed() {
        let reachable = reachable(&["10.0.0.0/8", "::ffff:0:0/96"], &["10.1.0.0/16", "1.1.1.1", "2606:4700::/32"]);
        assert_eq!(reachable.check(ip("10.2.0.1")), Ok(()));
        for text in ["10.1.0.1", "::ffff:10.1.0.1", "1.1.1.1", "2606:4700:4700::1111"] {
            assert!(matches!(reachable.check(ip(text)), Err(Closed::Denied(_))), "{text}");
            assert!(reachable.check_connected(ip("10.2.0.1"), ip(text)).is_err(), "{text}");
        }
        assert_eq!(reachable.check(ip("10.1.0.1")), Err(Closed::Denied("10.1.0.0/16".to_owned())));
    }

    #[test]
    fn hosts_are_denied_at_every_port_unless_one_is_named() {
        let reachable = reachable(&[], &["*.example.com", "api.example.org:8443"]);
        for (host, port, denied) in [
            ("a.example.com", 443, true),
            ("A.b.Example.com.", 8_080, true),
            ("example.com", 443, false),
            ("api.example.org", 8_443, true),
            ("api.example.org", 443, false),
            ("b.org", 80, false),
        ] {
            assert_eq!(reachable.check_host(host, port).is_err(), denied, "{host}:{port}");
        }
    }

    #[test]
    fn what_is_neither_a_network_nor_a_host_is_no_denial() {
        for (text, said) in
            [("10.0.0.1/8", "write 10.0.0.0/8"), ("a b", "neither a network"), ("*.com", "neither"), ("", "neither")]
        {
            let wrong = text.parse::<Denial>().unwrap_err();
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
        for text in ["10.0.0.0/8", "fd00::/8", "api.example.com", "*.example.com:8443"] {
            assert_eq!(text.parse::<Denial>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3".parse::<Denial>().unwrap().to_string(), "10.1.2.3/32");
    }
}
