//! Components that handle HTTP requests: a message in, a message out, within the limits of a run.

use std::time::Duration;

use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, RunLimits},
    http::Response,
    outcome::Outcome,
};
use fusebox_hostile::component::{http, http_echo};

use crate::support::{ample, code, returned, run, sandbox, timed, wasm};

const GET: &[u8] = b"GET /a/b?c=d HTTP\n\n";

fn get(text: &str, limits: RunLimits) -> fusebox_sandbox::Run {
    run(text, b"GET /a/b?c=d\nhost: example.com\naccept: */*\n\n", limits)
}

#[test]
fn a_request_is_answered_with_status_headers_and_body() {
    assert_eq!(sandbox().inspect(&wasm(&http_echo())).unwrap().abi, Abi::Http);
    let answered = get(&http_echo(), ample());
    let response = Response::parse(&Bytes::copy_from_slice(returned(&answered))).unwrap();
    assert_eq!((response.status, &response.body[..]), (201, &b"/a/b?c=d"[..]));
    assert!(answered.receipt.fuel.is_some() && answered.receipt.memory_bytes > 0, "{:?}", answered.receipt);
}

#[test]
fn an_input_that_is_no_request_is_said_to_be_so() {
    for input in [&b""[..], b"hello", GET, b"GET /\nbroken\n\n", b"CONNECT /\n\n"] {
        let Outcome::GuestError { error, .. } = run(&http_echo(), input, ample()).outcome else { panic!("{input:?}") };
        assert!(error.starts_with(b"the input is no HTTP request: "), "{error:?}");
    }
}

#[test]
fn a_component_that_does_not_answer_fails_as_it_ended() {
    assert_eq!(code(&get(&http(""), ample())), ErrorCode::Trap);
    assert_eq!(code(&get(&http("(unreachable)"), ample())), ErrorCode::Trap);
    let after_head = "(drop (call $head (local.get 1) (i32.const 200))) (unreachable)";
    assert_eq!(code(&get(&http(after_head), ample())), ErrorCode::Trap);
    let cut_off = "(drop (call $head (local.get 1) (i32.const 200)))";
    assert_eq!(code(&get(&http(cut_off), ample())), ErrorCode::GuestError);
}

#[test]
fn the_limits_of_a_run_end_a_response_too() {
    let limits = RunLimits { wall_ms: 100, ..ample() };
    let (ended, took) = timed(|| get(&http("(drop (call $head (local.get 1) (i32.const 200))) (loop (br 0))"), limits));
    assert_eq!(ended.outcome, Outcome::DeadlineExceeded { limit_ms: 100 });
    assert!(took < Duration::from_secs(5), "{took:?}");
    let endless = "(local.set 2 (call $open (call $head (local.get 1) (i32.const 200))))
        (loop (call $write (local.get 2) (i32.const 0) (i32.const 4096) (i32.const 8192)) (br 0))";
    let ended = get(&http(endless), RunLimits { output_bytes: 100_000, ..ample() });
    assert_eq!(code(&ended), ErrorCode::OutputTooLarge);
    let ended = get(&http(endless), RunLimits { fuel: 3_000, output_bytes: 6 << 20, ..ample() });
    assert_eq!(code(&ended), ErrorCode::OutOfFuel);
    assert_eq!(code(&get(&http("(drop (call $head (local.get 1) (i32.const 100)))"), ample())), ErrorCode::GuestError);
}
