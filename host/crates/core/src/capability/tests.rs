//! Tests of call encoding, host patterns and the text form of grants.

use alloc::{string::ToString as _, vec};

use super::*;

fn pattern(text: &str) -> HostPattern {
    text.parse().unwrap()
}

#[test]
fn a_host_is_meant_whole_and_at_its_port() {
    let plain = pattern("API.example.com");
    assert_eq!(plain.to_string(), "api.example.com");
    for (host, port, meant) in [
        ("api.example.com", 443, true),
        ("API.EXAMPLE.com.", 443, true),
        ("api.example.com", 80, false),
        ("xapi.example.com", 443, false),
        ("api.example.com.evil.org", 443, false),
        ("example.com", 443, false),
        ("", 443, false),
    ] {
        assert_eq!(plain.matches(host, port, 443), meant, "{host}:{port}");
    }
    assert!(plain.matches("api.example.com", 80, 80), "a scheme's own port");
    let with_port = pattern("api.example.com:8443");
    assert!(with_port.matches("api.example.com", 8443, 443) && !with_port.matches("api.example.com", 443, 443));
}

#[test]
fn a_wildcard_stands_for_at_least_one_label() {
    let wild = pattern("*.example.com");
    for (host, meant) in [
        ("a.example.com", true),
        ("a.b.Example.com", true),
        ("example.com", false),
        (".example.com", false),
        ("aexample.com", false),
        ("é.example.com", true),
        ("éexample.com", false),
        ("a.example.com.org", false),
    ] {
        assert_eq!(wild.matches(host, 443, 443), meant, "{host}");
    }
}

#[test]
fn what_is_no_host_is_no_pattern() {
    let long = "a".repeat(64);
    let bad =
        ["", "*", "*.", "*.com", "a..b", ".a", "a.", "a b", "a/b", "http://a.b", "u@a.b", "a.b:", "a.b:0", "a.b:+1"];
    for text in bad.into_iter().chain(["a.b:65536", "[::1]:80", "::1", "**.a.b", "a.*.b", "é.example.com", &long]) {
        assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
    }
}

#[test]
fn grants_are_read_and_written_alike_on_each_surface() {
    let list = "config,secrets,kv,http=a.example.com:8080,http=*.b.org";
    let grants = Grants::parse_list(list).unwrap();
    assert_eq!(grants.to_list(), list);
    assert_eq!(Grants::parse_list(" kv , ,kv ").unwrap().to_list(), "kv");
    let json = serde_json::to_string(&grants).unwrap();
    assert_eq!(json, r#"{"config":true,"secrets":true,"kv":true,"http":["a.example.com:8080","*.b.org"]}"#);
    assert_eq!(serde_json::from_str::<Grants>(&json).unwrap(), grants);
    let bytes = postcard::to_allocvec(&grants).unwrap();
    assert_eq!(postcard::from_bytes::<Grants>(&bytes).unwrap(), grants);
    assert!(Grants::parse_list("http").is_err(), "http needs a host");
    assert!(Grants::parse_list("everything").is_err());
    assert_eq!(Grants::parse_list("kv,http=mail.example.com:25"), Err(GrantError::Port(25)));
    let before = r#"{"http":["mail.example.com:25"]}"#;
    assert!(serde_json::from_str::<Grants>(before).is_ok(), "a record of before is still read");
    let many: vec::Vec<_> = (0..=HTTP_HOSTS).map(|n| alloc::format!("http=h{n}.example.com")).collect();
    assert_eq!(Grants::parse_list(&many.join(",")), Err(GrantError::TooManyHosts));
    assert!(Grants::parse_list(&many[1..].join(",")).is_ok());
}

const HTTP_HOSTS: usize = crate::limits::HTTP_HOSTS_MAX;

#[test]
fn what_is_missing_and_what_is_new_is_told() {
    let grants = Grants::parse_list("kv,http=a.example.com").unwrap();
    assert_eq!(grants.missing(&Capability::ALL), [Capability::Config, Capability::Secrets]);
    let before = Grants::parse_list("kv,config").unwrap();
    assert_eq!(grants.beyond(&before), [Grant::Http(pattern("a.example.com"))]);
    assert!(grants.allow_host("a.example.com", 443, 443) && !grants.allow_host("b.example.com", 443, 443));
    assert!(!Grants::default().allow(&HostCall::Config("x".parse().unwrap())));
}

#[test]
fn what_cannot_be_asked_for_cannot_be_decoded() {
    let key = |bytes: usize| KvKey::try_from(Bytes::from(vec![7; bytes]));
    assert_eq!((key(0), key(513)), (Err(Refusal::Invalid), Err(Refusal::TooLarge)));
    let call = HostCall::KvGet(key(512).unwrap());
    let bytes = postcard::to_allocvec(&call).unwrap();
    assert_eq!(postcard::from_bytes::<HostCall>(&bytes).unwrap(), call);
    let mut longer = bytes;
    // The length is encoded in the second and third byte: 512 is 0x80 0x04, 513 is 0x81 0x04.
    assert_eq!(longer[1..3], [0x80, 0x04]);
    longer[1] = 0x81;
    longer.push(7);
    assert!(postcard::from_bytes::<HostCall>(&longer).is_err());
    for ttl in [0, KV_TTL_MS_MAX + 1] {
        assert!(Ttl::try_from(ttl).is_err());
        assert!(postcard::from_bytes::<Ttl>(&postcard::to_allocvec(&ttl).unwrap()).is_err());
    }
    for name in ["", "a b", "a/b", "é", "..", &"x".repeat(129)] {
        assert!(name.parse::<SettingName>().is_err(), "{name:?}");
        assert!(postcard::from_bytes::<SettingName>(&postcard::to_allocvec(name).unwrap()).is_err());
    }
}

#[test]
fn a_guest_says_what_it_expects_with_one_number() {
    assert_eq!(Expects::from_guest(-1), Ok(Expects::Anything));
    assert_eq!(Expects::from_guest(0), Ok(Expects::Nothing));
    assert_eq!(Expects::from_guest(7), Ok(Expects::Revision(7)));
    assert_eq!(Expects::from_guest(-2), Err(Refusal::Invalid));
    assert_eq!(Expects::from_guest(i64::MIN), Err(Refusal::Invalid));
    assert!(Expects::Nothing.is_met(None) && !Expects::Nothing.is_met(Some(1)));
    assert!(Expects::Revision(1).is_met(Some(1)) && !Expects::Revision(1).is_met(Some(2)));
    assert!(!Expects::Revision(1).is_met(None) && Expects::Anything.is_met(None));
}

#[test]
fn no_log_shows_a_secret() {
    let answer = HostAnswer::Secret(Redacted::from(b"hunter2".to_vec()));
    assert_eq!(alloc::format!("{answer:?}"), "Secret(Redacted(..))");
}

#[test]
fn refusals_are_the_numbers_of_the_contract() {
    let all = [
        Refusal::Absent,
        Refusal::Conflict,
        Refusal::TooLarge,
        Refusal::Quota,
        Refusal::Refused,
        Refusal::Unavailable,
        Refusal::TimedOut,
        Refusal::Invalid,
    ];
    assert!(all.iter().zip(1..).all(|(refusal, number)| refusal.code() == -number));
}
