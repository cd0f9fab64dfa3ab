//! Responses that are none: bombs of headers, statuses and headers that cannot be sent, more than the limit.

use crate::{Hostile, Must, write::wasm};

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules = messages();
    modules.extend(generated());
    modules
}

/// Returns a module whose response is these bytes, at address 65,536.
fn answering(name: &str, trick: &'static str, response: &str, must: Must) -> Hostile {
    let bytes: String = response.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!(r#"(data (i32.const 65536) "{bytes}")"#);
    let record = format!(
        "(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 65536))
         (i32.store (i32.const 8) (i32.const {}))",
        response.len()
    );
    Hostile::new(name, trick, http(&data, &record, 4), must)
}

fn messages() -> Vec<Hostile> {
    let bad = Must::Fail("guest-error");
    let bomb: String = (0..101).map(|n| format!("x-{n}: a\n")).collect();
    let large = format!("200\nx: {}\n\n", "a".repeat(40 << 10));
    let cases: &[(&str, &'static str, &str)] = &[
        ("http-nothing", "an empty response", ""),
        ("http-no-end", "a head without its empty line", "200\nx: a\n"),
        ("http-header-bomb", "101 headers", &format!("200\n{bomb}\n")),
        ("http-header-large", "a header of 40 KiB", &large),
        ("http-status-word", "a status that is no number", "OK\n\n"),
        ("http-status-early", "a status that is not final", "100\n\n"),
        ("http-status-upgrade", "a status that hands over the connection", "101\nx: a\n\n"),
        ("http-status-huge", "a status of many digits", "99999999999999999999\n\n"),
        ("http-status-line", "a whole status line of HTTP/1.1", "HTTP/1.1 200 OK\n\n"),
        (
            "http-return-in-header",
            "a carriage return in a header, to split the response",
            "200\nx: a\rset-cookie: b=c\n\n",
        ),
        ("http-zero", "a zero byte in a header", "200\nx: a\0b\n\n"),
        ("http-name", "a space in a header's name", "200\nx y: a\n\n"),
        ("http-no-name", "a header without a name", "200\n: a\n\n"),
        ("http-folded", "a folded header", "200\nx: a\n b\n\n"),
        ("http-chunked", "a transfer coding of its own", "200\ntransfer-encoding: chunked\n\n0\r\n\r\n"),
        ("http-upgrade", "an upgrade of the connection", "200\nupgrade: h2c\n\n"),
        ("http-connection", "a header of the connection", "200\nconnection: keep-alive\n\n"),
        ("http-trailer", "a trailer that is a header of the connection", "200\nfusebox-trailer: te: a\n\n"),
        ("http-trailer-nested", "a trailer in a trailer", "200\nfusebox-trailer: fusebox-trailer: a: b\n\n"),
        ("http-fault", "a response that is an error of the function", "503\n\nno"),
    ];
    let mut modules: Vec<_> =
        cases.iter().map(|(name, trick, response)| answering(name, trick, response, bad)).collect();
    modules.push(answering("http-odd", "a body that looks like a head", "200\n\n\n\n\nx: a\r\n\0", Must::Complete));
    modules
}

fn generated() -> Vec<Hostile> {
    // Every byte of the memory is a letter, so that the head never ends.
    let endless = "(memory.fill (i32.const 65536) (i32.const 97) (i32.const 1000000))
        (i32.store (i32.const 65536) (i32.const 0x0a303032)) (i32.store (i32.const 0) (i32.const 0))
        (i32.store (i32.const 4) (i32.const 65536)) (i32.store (i32.const 8) (i32.const 1000000))";
    let claims = "(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 65536))
        (i32.store (i32.const 8) (i32.const 2000000))";
    let both = r#"(func (export "fusebox_handle") (param i32 i32) (result i32) (i32.const 0))"#;
    vec![
        Hostile::new(
            "http-endless-head",
            "a head of a million bytes",
            http("", endless, 17),
            Must::Fail("guest-error"),
        ),
        Hostile::new(
            "http-too-large",
            "a response above the limit",
            http("", claims, 64),
            Must::Fail("output-too-large"),
        ),
        Hostile::new("http-spin", "no response, ever", http("", "(loop (br 0))", 2), Must::Fail("out-of-fuel"))
            .by_fuel(),
        Hostile::new(
            "http-and-bytes",
            "both handlers of a core function",
            http(both, "", 2),
            Must::BeRefused("invalid-module"),
        ),
        Hostile::new(
            "http-type",
            "a handler of another type",
            wasm(
                r#"(module (memory (export "memory") 2)
                    (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
                    (func (export "fusebox_http") (param i64) (result i32) (i32.const 0)))"#,
            ),
            Must::BeRefused("invalid-module"),
        ),
    ]
}

/// Returns a function that answers HTTP, with this code and memory of so many pages.
fn http(more: &str, handle: &str, pages: u32) -> Vec<u8> {
    wasm(&format!(
        r#"(module (memory (export "memory") {pages}) {more}
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_http") (param i32 i32) (result i32) {handle} (i32.const 0)))"#
    ))
}
