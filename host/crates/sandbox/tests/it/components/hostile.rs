//! Hostile components of the corpus, in this process: each ends as required. Whole hosts meet them in `tests/it`.

use std::time::Duration;

use fusebox_core::{error::ErrorCode, function::RunLimits};
use fusebox_hostile::{Hostile, Must, corpus};

use crate::support::{call, run_call, sandbox, timed};

/// Far more than the delays of a loaded machine, far less than the duration of an unbounded guest.
const SLACK: Duration = Duration::from_secs(20);

fn limits(hostile: &Hostile) -> RunLimits {
    let mut limits = RunLimits::default();
    for pair in hostile.limits.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap() {
            ("fuel", units) => limits.fuel = units.parse().unwrap(),
            ("wall_ms", ms) => limits.wall_ms = ms.parse().unwrap(),
            ("output_bytes", bytes) => limits.output_bytes = bytes.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    limits
}

/// Returns how the component ended: refused with a code, failed with a code, or completed.
fn met(hostile: &Hostile) -> (bool, Option<ErrorCode>, String) {
    match sandbox().prepare(&hostile.wasm) {
        Err(error) => (true, Some(error.code), error.message),
        Ok(prepared) if !prepared.inspected.needs.is_empty() => (true, Some(ErrorCode::GrantRequired), String::new()),
        Ok(_) => {
            let mut call = call(b"POST /\n\ninput", limits(hostile));
            call.invocation.is_http = hostile.family == "streams";
            let failure = run_call(sandbox(), &hostile.wasm, call).outcome.failure();
            (false, failure.as_ref().map(|failure| failure.code), failure.map(|it| it.message).unwrap_or_default())
        }
    }
}

#[test]
fn every_hostile_component_ends_as_it_must() {
    let mut faults = Vec::new();
    for hostile in corpus().iter().filter(|hostile| ["components", "streams"].contains(&hostile.family)) {
        let ((refused, code, said), took) = timed(|| met(hostile));
        let word = code.map(ErrorCode::as_str);
        let is_right = match hostile.must {
            Must::BeRefused(code) => refused && word == Some(code),
            Must::Fail(code) => !refused && word == Some(code),
            Must::Complete => !refused && word.is_none(),
            Must::CompleteOrBadPointer => !refused && matches!(word, None | Some("bad-pointer")),
        };
        if !is_right || took > SLACK {
            faults.push(format!("{} ({}): {word:?} after {took:?}: {said}", hostile.name, hostile.trick));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
