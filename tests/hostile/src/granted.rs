//! Capabilities that require grants: used without a grant, in excess, or for forbidden targets.

use crate::{
    Hostile, Must,
    pointers::IMPORTS,
    write::{core, fusebox},
};

const KV: &str = "&grants=kv";
/// The names are granted, since the target's address decides.
const HTTP: &str = "&grants=http=127.0.0.1,http=localhost,http=169.254.169.254,http=0.0.0.0&wall_ms=2000";

/// Refusals as returned by imports: too large, quota used up, not allowed, invalid.
const TOO_LARGE: i64 = -3;
const QUOTA: i64 = -4;
const REFUSED: i64 = -5;
const INVALID: i64 = -8;

pub(crate) fn modules() -> Vec<Hostile> {
    let mut modules: Vec<Hostile> = IMPORTS.iter().filter(|import| !import.4.is_empty()).map(ungranted).collect();
    modules.extend(values());
    modules.extend(names());
    modules.extend(places());
    modules
}

/// Returns a registration without the grant that an import requires.
fn ungranted(&(name, params, result, ..): &(&str, &str, &str, &[usize], &str)) -> Hostile {
    let module = core(&fusebox(name, params, result), "");
    let name = format!("ungranted-{}", name.replace('_', "-"));
    Hostile::new(&name, "imports what it was not granted", module, Must::BeRefused("grant-required"))
}

/// Returns code that traps unless `call` returns `number`, for calls that must be refused.
fn gives(call: &str, number: i64) -> String {
    format!("(if (i64.ne {call} (i64.const {number})) (then unreachable))")
}

fn again(times: u32, body: &str) -> String {
    format!(
        "(loop $again {body} (local.set 2 (i32.add (local.get 2) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get 2) (i32.const {times}))))"
    )
}

/// Modules that use the function's own values.
fn values() -> Vec<Hostile> {
    let import = [
        fusebox("kv_get", "ii", "(result i64)"),
        fusebox("kv_set", "iiiiII", "(result i64)"),
        fusebox("kv_delete", "iiI", "(result i64)"),
        fusebox("kv_keys", "iiii", "(result i64)"),
    ]
    .concat();
    let made = |name: &str, trick, body: &str, limits, must| Hostile {
        limits,
        ..Hostile::new(name, trick, core(&import, body), must)
    };
    let set = |key: u32, value: u32, ttl: i64, expects: i64| {
        format!(
            "(call $kv_set (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const {value}) (i64.const {ttl}) \
             (i64.const {expects}))"
        )
    };
    // The counter is the key's prefix, so that every iteration uses a new key.
    let fresh = |value: u32| {
        format!(
            "(i32.store (i32.const 2048) (local.get 2)) (local.set 4 (call $kv_set (i32.const 2048) (i32.const 4) \
             (i32.const 0) (i32.const {value}) (i64.const 0) (i64.const -1)))"
        )
    };
    let refused_at_last = format!("(if (i64.ne (local.get 4) (i64.const {QUOTA})) (then unreachable))");
    let filling = again(300, &fresh(65_536)) + &refused_at_last;
    let much = "&grants=kv&fuel=300000000000&wall_ms=30000";
    let keys = |prefix: u32, after: u32| {
        format!("(call $kv_keys (i32.const 0) (i32.const {prefix}) (i32.const 0) (i32.const {after}))")
    };
    let spin = "(loop $ever (drop (call $kv_get (i32.const 0) (i32.const 8))) (br $ever))";
    vec![
        made("kv-key-empty", "a key of no bytes", &gives(&set(0, 1, 0, -1), INVALID), KV, Must::Complete),
        made("kv-key-large", "a key above its bound", &gives(&set(513, 1, 0, -1), TOO_LARGE), KV, Must::Complete),
        made(
            "kv-value-large",
            "a value above its bound",
            &gives(&set(8, 65_537, 0, -1), TOO_LARGE),
            KV,
            Must::Complete,
        ),
        made("kv-ttl-negative", "a time to live below 0", &gives(&set(8, 1, -1, -1), INVALID), KV, Must::Complete),
        made("kv-ttl-endless", "a time to live of ages", &gives(&set(8, 1, i64::MAX, -1), INVALID), KV, Must::Complete),
        made("kv-expects-odd", "a revision below -1", &gives(&set(8, 1, 0, i64::MIN), INVALID), KV, Must::Complete),
        made("kv-prefix-large", "a prefix above its bound", &gives(&keys(513, 0), TOO_LARGE), KV, Must::Complete),
        made("kv-place-large", "a place above its bound", &gives(&keys(0, 513), TOO_LARGE), KV, Must::Complete),
        Hostile {
            wall_ms: 30_000,
            ..made("kv-fill", "more values than a namespace may have", &filling, much, Must::Complete)
        },
        made("kv-flood-fuel", "asks without end", spin, "&grants=kv&fuel=200000000", Must::Fail("out-of-fuel")),
        Hostile {
            wall_ms: 200,
            ..made(
                "kv-flood-clock",
                "asks without end, with much fuel",
                spin,
                "&grants=kv&fuel=300000000000&wall_ms=200",
                Must::Fail("deadline-exceeded"),
            )
        },
    ]
}

/// Modules that use names of settings and the kept answer.
fn names() -> Vec<Hostile> {
    let import = [
        fusebox("answer", "ii", "(result i32)"),
        fusebox("config", "ii", "(result i64)"),
        fusebox("secret", "ii", "(result i64)"),
    ]
    .concat();
    let text = r#"(data (i32.const 64) "../../other/secrets/KEY\00\ff\fe")"#;
    let made = |name: &str, trick, body: &str, must| Hostile {
        limits: "&grants=config,secrets",
        ..Hostile::new(name, trick, core(&(import.clone() + text), body), must)
    };
    let call = |name: &str, ptr: u32, len: u32| format!("(call ${name} (i32.const {ptr}) (i32.const {len}))");
    let nothing = "(if (call $answer (i32.const 0) (i32.const 65536)) (then unreachable))";
    vec![
        made("config-path", "a name that is a path", &gives(&call("config", 64, 23), INVALID), Must::Complete),
        made("config-no-text", "a name that is no text", &gives(&call("config", 88, 2), INVALID), Must::Complete),
        made(
            "config-whole-memory",
            "a name of a whole memory",
            &gives(&call("config", 0, 131_072), INVALID),
            Must::Complete,
        ),
        made("secret-path", "a name that is a path", &gives(&call("secret", 64, 23), INVALID), Must::Complete),
        made("secret-zero", "a name that ends in a zero byte", &gives(&call("secret", 84, 4), INVALID), Must::Complete),
        made("answer-before-any", "an answer before there was one", nothing, Must::Complete),
        made(
            "answer-of-another",
            "the answer that a run before may have left",
            &format!("(drop {}) {nothing}", call("secret", 84, 3)),
            Must::Complete,
        ),
        made(
            "answer-flood",
            "an answer fetched without end",
            "(loop $ever (drop (call $answer (i32.const 0) (i32.const 131072))) (br $ever))",
            Must::Fail("out-of-fuel"),
        ),
    ]
}

/// Modules that send requests to forbidden targets, and malformed requests.
fn places() -> Vec<Hostile> {
    let made = |name: &str, trick, request: &str, number| {
        let import = fusebox("http", "ii", "(result i64)");
        let data = format!(r#"(data (i32.const 64) "{}")"#, request.replace('\n', "\\0a").replace('\r', "\\0d"));
        let call = format!("(call $http (i32.const 64) (i32.const {}))", request.len());
        Hostile {
            limits: HTTP,
            wall_ms: 2_000,
            ..Hostile::new(name, trick, core(&(import + &data), &gives(&call, number)), Must::Complete)
        }
    };
    let get = |url: &str| format!("GET {url}\n\n");
    vec![
        made("http-loopback", "this machine", &get("http://127.0.0.1:6379/"), REFUSED),
        made("http-localhost", "this machine by its name", &get("http://localhost/"), REFUSED),
        made("http-metadata", "a cloud's metadata", &get("http://169.254.169.254/latest/meta-data/"), REFUSED),
        made("http-any-address", "the address of no host", &get("http://0.0.0.0/"), REFUSED),
        made("http-decimal", "an address as one number", &get("http://2130706433/"), REFUSED),
        made("http-octal", "an address in octal", &get("http://0177.0.0.1/"), REFUSED),
        made("http-mapped", "an IPv4 address inside an IPv6 one", &get("http://[::ffff:127.0.0.1]/"), REFUSED),
        made("http-other-host", "a host that was not granted", &get("http://example.com/"), REFUSED),
        made("http-user-info", "a granted name before an @", &get("http://localhost@example.com/"), INVALID),
        made("http-file", "a scheme that is none", &get("file:///etc/passwd"), INVALID),
        made("http-no-request", "bytes that are no request", "\n\n\n", INVALID),
        made(
            "http-split",
            "a second request in a header",
            "GET http://localhost/\nx: a\r\n\r\nGET / HTTP/1.1\n\n",
            INVALID,
        ),
        made("http-own-host", "a Host header of its own", "GET http://localhost/\nhost: example.com\n\n", INVALID),
    ]
}
