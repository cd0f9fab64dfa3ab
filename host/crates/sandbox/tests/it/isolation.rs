//! The canary: nothing of one run is seen by the next, though both use the same slot. One tenant's run fills all that it
//! can reach, and ends in one of three ways; another one's looks at all that it can reach.

use fusebox_core::{error::ErrorCode, function::RunLimits, name::TenantId};
use fusebox_sandbox::{Call, Options, Run, Sandbox};
use wasmtime::{Engine, Instance, Linker, Module, Store};

use crate::support::{ample, call, options, returned, run_call, wasm};

/// Times that a run fills and another one looks.
const ALTERNATIONS: usize = 10_000;
/// Of so many alternations one is over all the memory of a run by default; others are over so much that a slot is cleared
/// in both ways, by writing and by fresh pages.
const LARGE_EVERY: usize = 100;
const LARGE_PAGES: u16 = 1_024;
const SMALL_PAGES: u16 = 24;
/// Of so many fills one ends at its deadline, which takes a tick of the clock.
const DEADLINE_EVERY: usize = 20;
const PAGE_BYTES: u64 = 64 << 10;

const CANARY: &str = include_str!("canary.wat");

/// The same code as another module: slots prefer the module that they had.
fn variant(number: usize) -> Vec<u8> {
    wasm(&CANARY.replacen("(global $number", &format!("(global i32 (i32.const {number})) (global $number"), 1))
}

fn ask(tenant: &str, what: u8, end: u8, pages: u16, wall_ms: u32) -> Call {
    let [low, high] = pages.to_le_bytes();
    let limits = RunLimits { memory_bytes: u64::from(pages) * PAGE_BYTES, wall_ms, ..ample() };
    let mut call = call(&[what, end, low, high], limits);
    call.context.tenant = tenant.parse::<TenantId>().unwrap();
    call
}

/// Whether a fill came to its end before the run did.
fn was_full(run: &Run) -> bool {
    run.log.ends_with(b"INFO full\n")
}

#[test]
fn nothing_of_one_tenants_run_is_seen_by_the_next_tenants() {
    let home = tempfile::tempdir().unwrap();
    // The pool has one slot more than these: one in all, so that every run has the slot of the one before.
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
        // By turns the same module, and another one.
        let scanned = run_call(&sandbox, &modules[(round / 3) % 3], ask("bob", b's', b'r', pages, 60_000));
        assert_eq!(returned(&scanned), [0; 4], "round {round}, after {}", char::from(end));
    }
    println!(
        "{ALTERNATIONS} alternations ({returns} returned, {traps} trapped, {deadlines} at the deadline): 0 bytes seen"
    );
    // A machine so busy that a fill takes more than its 5 ms ends some of these before they are full.
    assert!(returns >= 4_000 && traps >= 4_000 && deadlines > 0, "{returns} {traps} {deadlines}");
}

/// An instance that is used again, which is what the sandbox never does.
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
        // What the record itself leaves behind is no one's secret.
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
    // Every word but those of the record, every element of the table, both globals.
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
