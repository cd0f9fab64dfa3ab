//! Host calls with arbitrary arguments. Two guests, one for each ABI, interpret their input as a script: a byte that
//! selects the import, 9 words of 4 bytes as arguments, and so on to the end.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{Grants, HostAnswer, HostCall, Redacted, Refusal},
    function::RunLimits,
    id::ModuleDigest,
    invocation::Invocation,
    name::TenantId,
    outcome::{Outcome, StopReason},
    time::Millis,
};
use fusebox_hostile::{fusebox_functions, wasi_functions};
use fusebox_sandbox::{Call, Guest, HostCalls, LoadedModule, WaitLimit};

use crate::sandbox;

const ARGUMENTS: usize = 9;
/// Size of a step of a script: the import and its arguments.
const STEP_BYTES: usize = 1 + 4 * ARGUMENTS;
/// Longer scripts find nothing that shorter ones do not.
const SCRIPT_BYTES_MAX: usize = 40 * STEP_BYTES;
/// Address of the script in the guest's memory of 128 KiB.
const SCRIPT_AT: usize = 4_096;
/// Runs end early, which allows many of them; sleeping is among the calls.
const LIMITS: RunLimits = RunLimits {
    fuel: 60_000_000,
    wall_ms: 20,
    memory_bytes: 1 << 20,
    output_bytes: 4_096,
    log_bytes: 1_024,
    cpu_ms: 20,
};

static GUESTS: LazyLock<[LoadedModule; 2]> = LazyLock::new(|| {
    let core = guest(
        "fusebox",
        &fusebox_functions(),
        r#"(func (export "fusebox_alloc") (param i32) (result i32) (i32.const 4096))
           (func (export "fusebox_handle") (param i32 i32) (result i32) (call $play (local.get 1)) (i32.const 0))"#,
    );
    // One vector: the script's address, and the maximum length.
    let command = guest(
        "wasi_snapshot_preview1",
        &wasi_functions(),
        r#"(func (export "_start")
             (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 60000))
             (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (call $play (i32.load (i32.const 8))))"#,
    );
    [core, command].map(|text| {
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("the guest: {error}\n{text}"));
        let prepared = sandbox().prepare(&wasm).unwrap_or_else(|error| panic!("the guest: {error}"));
        let loaded = sandbox().load(&prepared.inspected.digest).ok().flatten();
        loaded.unwrap_or_else(|| panic!("the guest was compiled and is not there"))
    })
});

/// Returns a guest that imports these functions (name, parameters and result) and interprets scripts.
fn guest(module: &str, functions: &[(&str, &str, &str)], entry: &str) -> String {
    let mut imports = String::new();
    let mut calls = String::new();
    for (number, (name, params, result)) in functions.iter().enumerate() {
        let kinds: String = params.chars().map(|letter| if letter == 'I' { " i64" } else { " i32" }).collect();
        let _ = write!(imports, r#"(import "{module}" "{name}" (func ${name} (param{kinds}) {result}))"#);
        let argument = |(place, letter)| {
            let load = if letter == 'I' { "i64.load32_s" } else { "i32.load" };
            format!("({load} offset={} (local.get $at))", 1 + 4 * place)
        };
        let arguments: String = params.chars().enumerate().map(argument).collect();
        let dropped = if result.is_empty() { "" } else { "(drop)" };
        let _ = write!(
            calls,
            "(if (i32.eq (local.get $which) (i32.const {number})) (then (call ${name} {arguments}) {dropped}))"
        );
    }
    let count = functions.len();
    format!(
        r#"(module {imports} (memory (export "memory") 2) {entry}
            (func $play (param $size i32) (local $at i32) (local $end i32) (local $which i32)
                (local.set $at (i32.const {SCRIPT_AT}))
                (local.set $end (i32.add (local.get $at) (local.get $size)))
                (block (loop
                    (br_if 1 (i32.gt_u (i32.add (local.get $at) (i32.const {STEP_BYTES})) (local.get $end)))
                    (local.set $which (i32.rem_u (i32.load8_u (local.get $at)) (i32.const {count})))
                    {calls}
                    (local.set $at (i32.add (local.get $at) (i32.const {STEP_BYTES})))
                    (br 0)))))"#
    )
}

/// Host calls that answer everything except calls with a key of one byte.
struct Answers;

impl HostCalls for Answers {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let value = Bytes::from_static(b"an answer");
        match call {
            HostCall::Config(_) => Ok(HostAnswer::Config(value)),
            HostCall::Secret(_) => Ok(HostAnswer::Secret(Redacted(value))),
            HostCall::KvGet(key) if key.as_bytes().len() == 1 => Err(Refusal::Absent),
            HostCall::KvGet(_) => Ok(HostAnswer::Value { revision: u64::MAX, value }),
            HostCall::KvSet { .. } => Ok(HostAnswer::Set(u64::MAX)),
            HostCall::KvDelete { .. } => Ok(HostAnswer::Deleted(true)),
            HostCall::KvKeys { after, .. } => Ok(HostAnswer::Keys { keys: Vec::new(), next: after }),
            HostCall::Configs => Ok(HostAnswer::Configs(Vec::new())),
            HostCall::Http(_) => Ok(HostAnswer::Http(value)),
        }
    }
}

/// Runs the target. See the crate's documentation.
pub fn run(data: &[u8]) {
    let Some((which, script)) = data.split_first() else { return };
    let script = &script[..script.len().min(SCRIPT_BYTES_MAX)];
    let guest = &GUESTS[usize::from(which % 2)];
    let run = sandbox().run(guest, call(script));
    assert_ne!(run.outcome, Outcome::Stopped(StopReason::Interrupted), "a host call panicked");
    assert!(run.receipt.memory_bytes <= LIMITS.memory_bytes, "{:?}", run.receipt);
    assert!(run.log.len() < 2 * 1_024, "a log of {} bytes", run.log.len());
}

fn call(script: &[u8]) -> Call {
    let invocation = Invocation::plain(
        TenantId::default_tenant(),
        "fuzzed".parse().unwrap_or_else(|error| panic!("a name: {error:?}")),
        ModuleDigest([0; 32]),
        LIMITS,
        Grants::parse_list("config,secrets,kv,http=example.com").unwrap_or_else(|error| panic!("grants: {error}")),
        Bytes::copy_from_slice(script),
    );
    Call { deadline: Millis(0), host_calls: Some(Arc::new(Answers)), ..Call::new(invocation) }
}

/// Returns the seeds: each import once with each of these values for all its parameters. See the crate's documentation.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let words: [u32; 7] = [0, 1, 8, 131_071, 131_072, 0x8000_0000, u32::MAX];
    let counts = [fusebox_functions().len(), wasi_functions().len()];
    let mut seeds = Vec::new();
    for (which, count) in (0_u8..).zip(counts) {
        for number in (0..=u8::MAX).take(count) {
            let step = |word: u32| [vec![number], word.to_le_bytes().repeat(ARGUMENTS)].concat();
            seeds.push([vec![which], words.map(step).concat()].concat());
        }
    }
    seeds
}
