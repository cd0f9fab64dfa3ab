//! Classification of addresses: public internet, or a kind that is not public.
//!
//! An address is public if IANA's registries call it globally reachable and no cloud platform uses it internally. All
//! others are refused with their kind. IPv6 addresses that embed an IPv4 address are refused whatever they embed, since
//! a gateway would unpack it. A network-specific NAT64 prefix looks like any public one: operators with such a gateway
//! name its prefix with `--egress-deny`.

use std::{net::IpAddr, sync::LazyLock};

use ipnet::IpNet;

/// Parses a network, such as `10.1.0.0/16` or `fd00::/8`. A single address is a network of one.
///
/// # Errors
/// Fails if the text is no network, or has bits set after its prefix.
pub fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network: IpNet =
        parsed.map_err(|_| format!("{text:?} is not a network: write one such as 10.1.0.0/16 or fd00::/8"))?;
    match network.trunc() {
        start if start == network => Ok(network),
        start => Err(format!("{text} has bits set after its first {}: write {start}", network.prefix_len())),
    }
}

/// Kind of an address that is not public, for messages.
pub(super) type Kind = &'static str;

/// Networks that are not public. The first row that contains an address gives its kind.
const SPECIAL: [(&str, Kind); 30] = [
    // IANA's special-purpose registry for IPv4, multicast and reserved ranges.
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "a provider's own"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    // Everything above multicast, including the broadcast address.
    ("240.0.0.0/4", "reserved"),
    // IPv6. Those outside GLOBAL are refused anyway and are listed for their kind.
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "an IPv4 address in IPv6"),
    ("::/96", "an IPv4 address in IPv6"),
    ("64:ff9b::/96", "a NAT64 gateway's"),
    ("64:ff9b:1::/48", "a NAT64 gateway's"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    ("2001::/32", "a Teredo tunnel's"),
    // Protocol assignments: benchmarking, ORCHIDs and others. The few public ones among them serve no web pages.
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "a 6to4 tunnel's"),
    ("3fff::/20", "documentation"),
];

/// Unicast space that IANA has allocated for the public internet. Later allocations are refused until added here.
const GLOBAL: &str = "2000::/3";

/// Networks that cloud platforms use internally: metadata, credentials, agents, name servers. An operator's allowance
/// opens one only if it is no wider than the row. Sources: Microsoft's "What is IP address 168.63.129.16", IBM Cloud's
/// "service endpoints" for VPC, AWS's "instance metadata" and "pod identity", Google's "access VM metadata", Oracle's
/// instance metadata and its SDKs' IPv6 endpoint, Alibaba's, Scaleway's and Akamai's metadata pages.
const PLATFORMS: [(&str, Kind); 13] = [
    // AWS, Azure, Google, Oracle, DigitalOcean, Hetzner, Tencent, Scaleway and others: 169.254.169.254, 169.254.170.2, ...
    ("169.254.0.0/16", "link-local"),
    // OpenStack and Akamai: fe80::a9fe:a9fe.
    ("fe80::/10", "link-local"),
    // Azure's agent and name server.
    ("168.63.129.16/32", PLATFORM),
    // IBM Cloud's internal services, at addresses that are public elsewhere.
    ("161.26.0.0/16", PLATFORM),
    ("166.8.0.0/14", PLATFORM),
    // Alibaba: metadata.
    ("100.100.100.200/32", PLATFORM),
    ("fd00:100::100:200/128", PLATFORM),
    // Oracle: former and current metadata.
    ("192.0.0.192/32", PLATFORM),
    ("fd00:c1::a9fe:a9fe/128", PLATFORM),
    // AWS: metadata ::254, pod identity ::23, names ::253, time ::123.
    ("fd00:ec2::/32", PLATFORM),
    // Google: metadata.
    ("fd20:ce::254/128", PLATFORM),
    // Scaleway and Akamai: metadata.
    ("fd00:42::42/128", PLATFORM),
    ("fd00:a9fe:a9fe::1/128", PLATFORM),
];

const PLATFORM: Kind = "a cloud platform's own";

/// The tables, parsed once.
struct Networks {
    special: Vec<(IpNet, Kind)>,
    global: Option<IpNet>,
    platforms: Vec<(IpNet, Kind)>,
}

static NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
    let parsed =
        |rows: &[(&str, Kind)]| rows.iter().filter_map(|(text, kind)| Some((text.parse().ok()?, *kind))).collect();
    Networks { special: parsed(&SPECIAL), global: GLOBAL.parse().ok(), platforms: parsed(&PLATFORMS) }
});

/// Returns the row of [`PLATFORMS`] that contains the address.
pub(super) fn platform(address: IpAddr) -> Option<&'static (IpNet, Kind)> {
    NETWORKS.platforms.iter().find(|(network, _)| network.contains(&address))
}

/// Interface identifiers of ISATAP addresses (RFC 5214), whose last 32 bits are an IPv4 address.
const ISATAP: [u32; 2] = [0x0000_5efe, 0x0200_5efe];

/// Returns the kind of an address that is not public, `None` for a public one.
#[must_use]
pub fn not_public(address: IpAddr) -> Option<Kind> {
    let special = || NETWORKS.special.iter().find(|(network, _)| network.contains(&address));
    if let Some((_, kind)) = platform(address).or_else(special) {
        return Some(kind);
    }
    let IpAddr::V6(v6) = address else { return None };
    let [_, _, _, _, high, low, _, _] = v6.segments();
    if ISATAP.contains(&(u32::from(high) << 16 | u32::from(low))) {
        return Some("an IPv4 address in IPv6");
    }
    (!NETWORKS.global.is_some_and(|network| network.contains(&address))).then_some("reserved")
}

#[cfg(test)]
mod tests;
