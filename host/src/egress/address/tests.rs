//! Tests of the classification of addresses: against a table, against the standard library, and against every bit
//! pattern of a refused network.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn public_addresses_are_reached() {
    for text in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"]
    {
        assert_eq!(not_public(ip(text)), None, "{text}");
    }
    for text in [
        "192.0.1.0",
        "198.17.255.255",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "168.63.129.15",
    ] {
        assert_eq!(not_public(ip(text)), None, "{text}");
    }
}

#[test]
fn others_are_refused_by_what_they_are() {
    let table = [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.255.0.1", "private"),
        ("100.64.0.1", "a provider's own"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.168.1.1", "private"),
        ("198.19.0.1", "benchmarking"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "an IPv4 address in IPv6"),
        ("::ffff:8.8.8.8", "an IPv4 address in IPv6"),
        ("::127.0.0.1", "an IPv4 address in IPv6"),
        ("64:ff9b::7f00:1", "a NAT64 gateway's"),
        ("64:ff9b:1::1", "a NAT64 gateway's"),
        ("100::1", "reserved"),
        ("168.63.129.16", "a cloud platform's own"),
        ("161.26.0.7", "a cloud platform's own"),
        ("166.11.255.255", "a cloud platform's own"),
        ("100.100.100.200", "a cloud platform's own"),
        ("192.0.0.192", "a cloud platform's own"),
        ("fd00:ec2::254", "a cloud platform's own"),
        ("fd00:ec2::23", "a cloud platform's own"),
        ("fd20:ce::254", "a cloud platform's own"),
        ("fd00:c1::a9fe:a9fe", "a cloud platform's own"),
        ("fd00:42::42", "a cloud platform's own"),
        ("fd00:a9fe:a9fe::1", "a cloud platform's own"),
        ("fd00:100::100:200", "a cloud platform's own"),
        ("fe80::a9fe:a9fe", "link-local"),
        ("fd12::1", "private"),
        ("2606:4700::5efe:7f00:1", "an IPv4 address in IPv6"),
        ("2606:4700::200:5efe:a00:1", "an IPv4 address in IPv6"),
        ("::ffff:0:127.0.0.1", "reserved"),
        ("fe80::1", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("2001::1", "a Teredo tunnel's"),
        ("2001:20::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "a 6to4 tunnel's"),
        ("3fff:fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("4000::1", "reserved"),
    ];
    for (text, kind) in table {
        assert_eq!(not_public(ip(text)), Some(kind), "{text}");
    }
}

#[test]
fn every_row_is_a_network() {
    for (text, _) in SPECIAL.iter().chain(&PLATFORMS).chain(&[(GLOBAL, "")]) {
        assert!(network(text).is_ok(), "{text}");
    }
}

#[test]
fn a_network_is_written_with_its_first_address() {
    for (text, shown) in [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::/0", "::/0")] {
        assert_eq!(network(text).unwrap().to_string(), shown);
    }
    assert!(network("10.0.0.1/8").unwrap_err().contains("write 10.0.0.0/8"));
    for wrong in ["", "10/8", "10.0.0.0/33", "10.0.0.0/-1", "fd00::/129", "localhost", "10.0.0.0/8/8"] {
        assert!(network(wrong).unwrap_err().contains("is not a network"), "{wrong}");
    }
}

/// Classification by the standard library, independent of the tables.
fn std_refuses(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.to_ipv4().is_some()
        }
    }
}

/// Address of a network of the table, with random bits after its prefix.
fn inside_a_refused_network() -> impl Strategy<Value = IpAddr> {
    (0..SPECIAL.len(), any::<u128>()).prop_map(|(row, noise)| match network(SPECIAL[row].0).unwrap() {
        IpNet::V4(network) => {
            let noise = u32::try_from(noise >> 96).unwrap() & network.hostmask().to_bits();
            Ipv4Addr::from_bits(network.network().to_bits() | noise).into()
        }
        IpNet::V6(network) => {
            Ipv6Addr::from_bits(network.network().to_bits() | noise & network.hostmask().to_bits()).into()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn whatever_the_standard_library_calls_special_is_refused(bits: u128, short: u32) {
        for address in [IpAddr::from(short.to_be_bytes()), IpAddr::from(bits.to_be_bytes())] {
            prop_assert!(not_public(address).is_some() || !std_refuses(address), "{address}");
        }
    }

    #[test]
    fn no_address_of_a_refused_network_is_reached(address in inside_a_refused_network()) {
        prop_assert!(not_public(address).is_some(), "{address}");
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_is_never_reached(a: u16, b: u16, c: u16, d: u16) {
        let inside = [
            Ipv4Addr::from_bits((u32::from(a) << 16) | u32::from(b)).to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x2002, a, b, 0, 0, 0, c, d),
            Ipv6Addr::new(0x2001, 0, a, b, 0, 0, c, d),
        ];
        for address in inside {
            prop_assert!(not_public(address.into()).is_some(), "{address}");
        }
    }
}
