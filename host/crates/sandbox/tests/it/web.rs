//! HTTP requests to functions of each ABI.

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, RunLimits},
    http::Response,
    outcome::Outcome,
};
use fusebox_sandbox::Run;

use crate::support::{ample, answer, call, code, core, echo, refused, returned, run_call, sandbox, wasm};

const REQUEST: &[u8] = b"POST /a%20b?c=d&e\nx-mine: 1\nhost: h.example\nx-forwarded-prefix: /fn/f\n\nbody";

/// Sends a request to a module given as text.
fn send(text: &str, request: &[u8], limits: RunLimits) -> Run {
    let mut call = call(request, limits);
    call.invocation.is_http = true;
    run_call(sandbox(), &wasm(text), call)
}

fn response(run: &Run) -> Response {
    Response::parse(&Bytes::copy_from_slice(returned(run))).unwrap()
}

/// Returns the echo as a function that answers HTTP.
fn http(text: &str) -> String {
    text.replace("fusebox_handle", "fusebox_http")
}

/// Returns a function that gives this response.
fn answering(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let record = answer("(i32.const 0)", "(i32.const 4096)", &format!("(i32.const {})", text.len()));
    http(&core(&record)).replacen(
        "(func (export \"fusebox_alloc\")",
        &format!("(data (i32.const 4096) \"{bytes}\") (func (export \"fusebox_alloc\")"),
        1,
    )
}

/// Returns a command that writes this text and then its stdin.
fn command(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2) (data (i32.const 1024) "{bytes}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const {}))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 60000))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        text.len()
    )
}

#[test]
fn a_handler_of_http_is_told_by_its_export() {
    let abi = |text: &str| sandbox().inspect(&wasm(text)).unwrap().abi;
    assert_eq!((abi(&echo()), abi(&http(&echo()))), (Abi::Core, Abi::Http));
    let both = echo().replace("(memory", "(func (export \"fusebox_http\")) (memory");
    assert_eq!(refused(&wasm(&both)).code, ErrorCode::InvalidModule);
    let other = http(&echo()).replace("(param i32 i32)", "(param i32 i64)");
    assert_eq!(refused(&wasm(&other)).code, ErrorCode::InvalidModule);
}

#[test]
fn a_handler_gets_the_message_and_gives_one() {
    // The request is no response, and what it says about that shows what arrived.
    assert_eq!(code(&send(&http(&echo()), REQUEST, ample())), ErrorCode::GuestError);
    let run = send(&answering("404\ncontent-type: a/b\n\nno"), REQUEST, ample());
    let response = response(&run);
    assert_eq!((response.status, &response.body[..]), (404, b"no".as_slice()));
    assert_eq!(returned(&run), b"404\ncontent-type: a/b\n\nno", "as it was written");
}

#[test]
fn an_invoke_of_a_handler_is_its_bytes() {
    let run = run_call(sandbox(), &wasm(&http(&echo())), call(b"any bytes", ample()));
    assert_eq!(returned(&run), b"any bytes", "the host makes a request of them before");
}

#[test]
fn a_function_of_bytes_gets_the_body_and_its_output_is_the_body() {
    let text = response(&send(&echo(), REQUEST, ample()));
    assert_eq!((text.status, &text.body[..]), (200, b"body".as_slice()));
    assert_eq!(text.header("content-type").unwrap(), "text/plain; charset=utf-8");
    let bytes = response(&send(&echo(), b"GET /\n\n\xff", ample()));
    assert_eq!(
        (&bytes.body[..], &bytes.header("content-type").unwrap()[..]),
        (&b"\xff"[..], &b"application/octet-stream"[..])
    );
}

#[test]
fn a_command_answers_as_cgi_does() {
    let run = send(&command("Status: 201 Created\r\nX-A: 1\r\n\r\nseen: "), REQUEST, ample());
    let response = response(&run);
    assert_eq!((response.status, &response.body[..]), (201, b"seen: body".as_slice()));
    assert_eq!(response.header("x-a").unwrap(), "1");
    let run = send(&command("hello, "), REQUEST, ample());
    let failure = run.outcome.failure().unwrap();
    assert_eq!(failure.code, ErrorCode::GuestError);
    assert!(failure.message.contains("begins with header lines"), "{}", failure.message);
}

#[test]
fn what_is_no_response_is_an_error_of_the_function_that_says_why() {
    for (text, why) in [
        ("", "an empty line"),
        ("600\n\n", "200 to 599"),
        ("200\nx: a\rb\n\n", "without control characters"),
        ("200\ntransfer-encoding: chunked\n\n", "set by the host"),
    ] {
        let run = send(&answering(text), REQUEST, ample());
        let failure = run.outcome.failure().unwrap();
        assert!(failure.code == ErrorCode::GuestError && failure.message.contains(why), "{text:?}: {failure:?}");
    }
    let fault = send(&answering("500\n\noh"), REQUEST, ample());
    assert_eq!(fault.outcome, Outcome::GuestError { error: "500\n\noh".into(), exit_code: None });
    assert_eq!(fault.outcome.failure().unwrap().message, "the function answered with status 500");
}

#[test]
fn what_is_no_request_reaches_no_function() {
    for input in [&b""[..], b"GET /", b"GET a\n\n", b"GET /\nte: x\n\n"] {
        let run = send(&echo(), input, ample());
        let failure = run.outcome.failure().unwrap();
        assert!(failure.message.starts_with("the input is not an HTTP request"), "{failure:?}");
        assert_eq!(run.receipt.fuel, None, "nothing ran");
    }
}

#[test]
fn the_head_counts_toward_the_limit_of_the_output() {
    let limits = RunLimits { output_bytes: 20, ..ample() };
    assert_eq!(code(&send(&echo(), REQUEST, limits)), ErrorCode::OutputTooLarge);
}
