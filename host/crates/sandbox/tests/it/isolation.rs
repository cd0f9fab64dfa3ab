//! Canary test: a run observes nothing of the previous run in its slot. One tenant's run fills everything it can reach
//! and ends in one of three ways; another tenant's run searches everything it can reach.

use fusebox_core::{error::ErrorCode, function::RunLimits, name::TenantId};
use fusebox_sandbox::{Call, Options, Run, Sandbox};
use wasmtime::{Engine, Instance, Linker, Module, Store};

use crate::support::{ample, call, options, returned, run_call, wasm};

/// Number of pairs of a filling and a searching run.
const ALTERNATIONS: usize = 10_000;
/// Interval of alternations that use the whole default memory. The others use sizes at which a slot is cleared in both
/// ways, by writing and by fresh pages.
const LARGE_EVERY: usize = 100;
const LARGE_PAGES: u16 = 1_024;
const SMALL_PAGES: u16 = 24;
/// Interval of fills that end at their deadline, each of which takes a clock tick.
const DEADLINE_EVERY: usize = 20;
const PAGE_BYTES: u64 = 64 << 10;

const CANARY: &str = include_str!("canary.wat");

/// Returns the same code as a different module, since slots prefer the module that they ran last.
fn variant(number: usize) -> Vec<u8> {
    wasm(&CANARY.replacen("(global $number", &format!("(global i32 (i32.const {number})) (global $number"), 1))
}

fn ask(tenant: &str, what: u8, end: u8, pages: u16, wall_ms: u32) -> Call {
    let [low, high] = pages.to_le_bytes();
    let limits = RunLimits { memory_bytes: u64::from(pages) * PAGE_BYTES, wall_ms, ..ample() };
    let mut call = call(&[what, end, low, high], limits);
    call.invocation.tenant = tenant.parse::<TenantId>().unwrap();
    call
}

/// Returns whether the fill was complete before the run ended.
fn was_full(run: &Run) -> bool {
    run.log.ends_with(b"INFO full\n")
}

#[test]
fn nothing_of_one_tenants_run_is_seen_by_the_next_tenants() {
    let home = tempfile::tempdir().unwrap();
    // The pool has one slot more than configured: one in total, so every run uses the slot of its predecessor.
    let sandbox = Sandbox::new(Options { slots: 0, ..options(home.path()) }).unwrap();
    let modules: Vec<_> = (0..3).map(variant).collect();
    let (mut returns, mut traps, mut deadlines) = (0, 0, 0);
    for round in 0..ALTERNATIONS {
        let pages = if round % LARGE_EVERY == 0 { LARGE_PAGES } else { SMALL_PAGES };
        let (end, wall_ms) = match round {
            round if round % DEADLINE_EVERY == 1 => (b'l', 5),
            round if round % 2 == 0 => (b'r', 60_000),
            _ => (b't', 60_000),
        };
        let filled = run_call(&sandbox, &modules[round % 3], ask("alice", b'f', end, pages, wall_ms));
        let code = filled.outcome.failure().map(|failure| failure.code);
        match (end, code, was_full(&filled)) {
            (b'r', None, true) => returns += 1,
            (b't', Some(ErrorCode::Trap), true) => traps += 1,
            (b'l', Some(ErrorCode::DeadlineExceeded), full) => deadlines += usize::from(full),
            other => panic!("round {round}: {other:?} {:?}", filled.outcome),
        }
        // Alternates between the same module and a different one.
        let scanned = run_call(&sandbox, &modules[(round / 3) % 3], ask("bob", b's', b'r', pages, 60_000));
        assert_eq!(returned(&scanned), [0; 4], "round {round}, after {}", char::from(end));
    }
    println!(
        "{ALTERNATIONS} alternations ({returns} returned, {traps} trapped, {deadlines} at the deadline): 0 bytes seen"
    );
    // On a busy machine a fill may take longer than its 5 ms and be ended before it is complete.
    assert!(returns >= 4_000 && traps >= 4_000 && deadlines > 0, "{returns} {traps} {deadlines}");
}

/// An instance that is reused, as the sandbox never does.
struct Reused {
    store: Store<()>,
    instance: Instance,
}

impl Reused {
    fn new() -> Self {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("fusebox", "log", |_: u32, _: u32, _: u32| {}).unwrap();
        let mut store = Store::new(&engine, ());
        let module = Module::new(&engine, wasm(CANARY)).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, what: u8, pages: u16) -> u32 {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        let [low, high] = pages.to_le_bytes();
        memory.write(&mut self.store, 1_024, &[what, b'r', low, high]).unwrap();
        let handle = self.instance.get_typed_func::<(u32, u32), u32>(&mut self.store, "fusebox_handle").unwrap();
        handle.call(&mut self.store, (1_024, 4)).unwrap();
        let mut found = [0; 4];
        memory.read(&self.store, 16, &mut found).unwrap();
        // The result record itself contains no secret.
        memory.data_mut(&mut self.store)[..24].fill(0);
        u32::from_le_bytes(found)
    }

    fn plant(&mut self, what: &str) {
        self.instance.get_typed_func::<(), ()>(&mut self.store, what).unwrap().call(&mut self.store, ()).unwrap();
    }
}

#[test]
fn the_scan_finds_everything_that_an_instance_used_again_would_leak() {
    let mut reused = Reused::new();
    reused.call(b'f', SMALL_PAGES);
    let words = u32::from(SMALL_PAGES) * 8_192 - 3;
    // Every word except those of the record, every element of the table, and both globals.
    let found = reused.call(b's', SMALL_PAGES);
    assert!(found >= words - 1 + 20_000 + 2, "{found}");
}

#[test]
fn the_scan_finds_one_thing_that_is_left() {
    for plant in ["plant_byte", "plant_element", "plant_number", "plant_function"] {
        let mut reused = Reused::new();
        assert_eq!(reused.call(b's', SMALL_PAGES), 0, "a fresh instance is clean");
        reused.plant(plant);
        assert_eq!(reused.call(b's', SMALL_PAGES), 1, "{plant}");
    }
}
