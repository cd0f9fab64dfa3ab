//! Tests of the parser of requests, with tricks that must fail.

use fusebox_core::{
    capability::Refusal,
    limits::{HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX},
};
use proptest::prelude::*;

use super::*;

fn parse(request: &str) -> Result<Outbound, Refused> {
    Outbound::parse(&Bytes::copy_from_slice(request.as_bytes()))
}

fn get(url: &str) -> Result<Outbound, Refused> {
    parse(&format!("GET {url}\n\n"))
}

/// Host and port as matched and connected to.
fn place(url: &str) -> String {
    let request = get(url).unwrap();
    format!("{}:{}", request.name(), request.port)
}

#[test]
fn a_request_has_its_parts() {
    let request =
        parse("POST https://api.example.com/a/b?c=d#e\naccept: text/plain\nx-two: 1\nx-two: 2\n\nbody\n\nmore");
    let request = request.unwrap();
    assert_eq!((request.method.as_str(), request.target.to_string().as_str()), ("POST", "/a/b?c=d"));
    assert!(request.is_tls && request.port == 443 && request.name() == "api.example.com");
    assert_eq!(request.headers.get_all("x-two").iter().count(), 2);
    assert_eq!(request.headers["host"], "api.example.com");
    assert_eq!(request.headers["connection"], "close");
    assert!(request.headers["user-agent"].to_str().unwrap().starts_with("fusebox/"));
    assert_eq!(&request.body[..], b"body\n\nmore");
    let own = parse("GET http://a.org:8080\nuser-agent: mine\n\n").unwrap();
    assert_eq!((own.headers["user-agent"].as_bytes(), own.target.path()), (b"mine".as_slice(), "/"));
    assert_eq!(own.headers["host"], "a.org:8080");
}

#[test]
fn an_address_is_one_in_every_notation() {
    for url in ["http://127.1/", "http://0x7f000001/", "http://2130706433", "http://0177.0.0.1", "http://127.0.0.1."] {
        assert_eq!(place(url), "127.0.0.1:80", "{url}");
    }
    for url in ["http://127.0.0.1:80/", "http://①②⑦.0.0.1/", "http://127%2e0.0.1"] {
        assert_eq!(place(url), "127.0.0.1:80", "{url}");
    }
    assert_eq!(place("http://[::ffff:127.0.0.1]/"), "[::ffff:7f00:1]:80");
    assert_eq!(place("https://[::1]:8443"), "[::1]:8443");
}

#[test]
fn a_name_is_the_same_in_every_notation() {
    for url in ["http://good.example/", "http://GOOD.example", "HTTP://Good.Example./", "http://good%2Eexample/"] {
        assert_eq!(place(url), "good.example:80", "{url}");
    }
    assert_eq!(place("https://ｇood。example"), "good.example:443");
    assert_eq!(place("https://bücher.example"), "xn--bcher-kva.example:443");
    // Looks the same but is another name: the Cyrillic о.
    assert_eq!(place("https://gооd.example"), "xn--gd-fmca.example:443");
    assert_eq!(place("http://evil.org/@good.example"), "evil.org:80");
    assert_eq!(place("http://evil.org#@good.example"), "evil.org:80");
    assert_eq!(place("http://evil.org?.good.example"), "evil.org:80");
    assert_eq!(place("http://good.example:80"), "good.example:80");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let bad = [
        "http://good.example@evil.org/",
        "http://good.example:pass@evil.org/",
        "http://good.example:80@evil.org/",
        "http://evil.org\\@good.example/",
        "http://good.example\t.evil.org/",
        "http:// good.example/",
        "http://good.example:0/",
        "http://good.example:65536/",
        "http://good.example:80:80/",
        "http://good_example..org/",
        "http://good.example../",
        "http:///",
        "http://*.example/",
        "http://[::1%25eth0]/",
        "http://1.2.3.4.5/",
        "ftp://good.example/",
        "file:///etc/passwd",
        "gopher://good.example/",
        "//good.example/",
        "good.example",
        "javascript:0",
    ];
    for url in bad {
        assert!(matches!(get(url), Err(Refused::Invalid(_))), "{url}: {:?}", get(url));
    }
}

#[test]
fn headers_of_the_connection_are_not_the_guests() {
    for name in ["Host", "content-length", "Transfer-Encoding", "connection", "TE", "Upgrade", "keep-alive", "Expect"] {
        let refused = parse(&format!("GET http://a.org/\n{name}: x\n\n"));
        assert_eq!(refused.map_err(|refused| refused.refusal()).err(), Some(Refusal::Invalid), "{name}");
    }
    for line in ["no colon", ": empty", "bad name: x", "x: a\rhost: b", "x: \0", "x\u{e9}: a", " x: folded", ""] {
        let refused = parse(&format!("GET http://a.org/\naccept: a\n{line}\n\n"));
        // An empty line ends the head, and the rest is body.
        assert_eq!(refused.is_ok(), line.is_empty(), "{line:?}");
    }
}

#[test]
fn a_head_is_bounded() {
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: a\n")).collect::<String>();
    assert!(parse(&format!("GET http://a.org/\n{}\n", headers(HTTP_HEADERS_MAX))).is_ok());
    assert!(parse(&format!("GET http://a.org/\n{}\n", headers(HTTP_HEADERS_MAX + 1))).is_err());
    assert!(get(&format!("http://a.org/{}", "a".repeat(HTTP_HEADERS_BYTES_MAX))).is_err());
}

#[test]
fn other_methods_are_refused() {
    for method in ["CONNECT", "TRACE", "get", "PRI", "", "GET\t", "G ET"] {
        assert!(parse(&format!("{method} http://a.org/\n\n")).is_err(), "{method:?}");
    }
    for head in ["", "\n\n", "GET\n\n", "GET http://a.org/", "GET http://a.org/\n", "GET http://a.org/ HTTP/1.1\n\n"] {
        assert!(parse(head).is_err(), "{head:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, tail in "[ -~\n]{0,80}") {
        let _ = Outbound::parse(&Bytes::from(bytes.clone()));
        let _ = Outbound::parse(&Bytes::from([b"GET http://".as_slice(), tail.as_bytes(), b"\n\n", &bytes].concat()));
    }

    /// However a URL is written, the Host header names what is matched and connected to.
    #[test]
    fn the_host_header_is_the_host(authority in "[a-z0-9.@:%\\[\\]/#?-]{1,30}") {
        if let Ok(request) = get(&format!("http://{authority}/")) {
            let host = request.headers["host"].to_str().unwrap();
            let plain = request.name();
            prop_assert!(host == plain || host == format!("{plain}:{}", request.port), "{authority}: {host} {plain}");
            prop_assert!(!plain.contains('@') && !plain.ends_with('.'));
        }
    }
}
