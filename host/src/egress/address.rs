//! Classification of addresses: public internet, or a kind that is not public.
//!
//! An address is public if IANA's registries call it globally reachable and no cloud platform uses it internally. All
//! others are refused with their kind. IPv6 addresses that embed an IPv4 address are refused whatever they embed, since
//! a gateway would unpack it. A network-specific NAT64 prefix looks like any public one: operators with such a gateway
//! name its prefix with `--egress-deny`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::LazyLock,
};

/// Network, such as `10.1.0.0/16` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Returns the length of the prefix in bits.
    pub(super) const fn bits(&self) -> u8 {
        self.bits
    }

    /// Returns true if the network contains the address. IPv4 networks contain no IPv6 addresses, not even mapped ones.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.bits) == Some(self.network)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network: write one such as 10.1.0.0/16 or fd00::/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = bits.unwrap_or_else(|| if network.is_ipv4() { 32 } else { 128 });
        match masked(network, bits) {
            Some(start) if start == network => Ok(Self { network, bits }),
            Some(start) => Err(format!("{text} has bits set after its first {bits}: write {start}/{bits}")),
            None => Err(wrong()),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

/// Clears all but the first `bits` of an address; `None` if it has fewer bits.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        _ => return None,
    })
}

/// Kind of an address that is not public, for messages.
pub(super) type Kind = &'static str;

/// IPv4 networks that are not public: IANA's special-purpose registry, multicast and reserved ranges.
const V4: [([u8; 4], u8, Kind); 16] = [
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "a provider's own"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "reserved"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "a 6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    // Everything above multicast, including the broadcast address.
    ([240, 0, 0, 0], 4, "reserved"),
    ([255, 255, 255, 255], 32, "broadcast"),
];

/// IPv6 networks that are not public. Those outside [`GLOBAL`] are refused anyway and are listed for their kind.
const V6: [([u16; 8], u8, Kind); 15] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "an IPv4 address in IPv6"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "an IPv4 address in IPv6"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "a NAT64 gateway's"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "a NAT64 gateway's"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "private"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "a Teredo tunnel's"),
    // Protocol assignments: benchmarking, ORCHIDs and others. The few public ones among them serve no web pages.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "a 6to4 tunnel's"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
];

/// Unicast space that IANA has allocated for the public internet. Later allocations are refused until added here.
const GLOBAL: Cidr = Cidr { network: IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)), bits: 3 };

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

/// [`PLATFORMS`], parsed once.
static PLATFORM_NETWORKS: LazyLock<Vec<(Cidr, Kind)>> =
    LazyLock::new(|| PLATFORMS.iter().filter_map(|(text, kind)| Some((text.parse().ok()?, *kind))).collect());

/// Returns the row of [`PLATFORMS`] that contains the address.
pub(super) fn platform(address: IpAddr) -> Option<&'static (Cidr, Kind)> {
    PLATFORM_NETWORKS.iter().find(|(network, _)| network.contains(address))
}

/// Interface identifiers of ISATAP addresses (RFC 5214), whose last 32 bits are an IPv4 address.
const ISATAP: [u32; 2] = [0x0000_5efe, 0x0200_5efe];

/// Returns the kind of an address that is not public, `None` for a public one.
#[must_use]
pub fn not_public(address: IpAddr) -> Option<Kind> {
    let is_in = |network: IpAddr, bits| Cidr { network, bits }.contains(address);
    if let Some((_, kind)) = platform(address) {
        return Some(kind);
    }
    match address {
        IpAddr::V4(_) => V4.iter().find(|(network, bits, _)| is_in((*network).into(), *bits)).map(|row| row.2),
        IpAddr::V6(v6) => {
            let named = V6.iter().find(|(network, bits, _)| is_in((*network).into(), *bits)).map(|row| row.2);
            let [_, _, interface, _] = words(v6);
            let named = named.or_else(|| ISATAP.contains(&interface).then_some("an IPv4 address in IPv6"));
            named.or_else(|| (!GLOBAL.contains(address)).then_some("reserved"))
        }
    }
}

/// Splits an IPv6 address into four words of 32 bits.
fn words(address: Ipv6Addr) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h] = address.segments().map(u32::from);
    [a << 16 | b, c << 16 | d, e << 16 | f, g << 16 | h]
}

#[cfg(test)]
mod tests;
