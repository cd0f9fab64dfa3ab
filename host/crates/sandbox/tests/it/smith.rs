//! Random modules from wasm-smith through the whole pipeline: what the check before compilation takes compiles, what
//! compiles runs, and every run ends within its limits.

use std::{path::Path, process::Command};

use fusebox_core::{
    error::ErrorCode,
    function::RunLimits,
    outcome::{Outcome, StopReason},
};

use crate::support::{call, run_call, sandbox, timed};

/// Each seed is a module; a failure names its own.
const SEEDS: u64 = 300;
const LIMITS: RunLimits =
    RunLimits { fuel: 20_000_000, wall_ms: 200, memory_bytes: 16 << 20, output_bytes: 64 << 10, log_bytes: 4 << 10 };
/// Far more than a loaded machine adds to 200 ms, far less than what a run without its fuse would take.
const WALL_MS_MAX: u128 = 5_000;

/// The modules of the seeds, from the program in `tests/smith`, which is no part of the workspace.
fn modules() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(root.join("tests/smith/Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("smith"))
        .args(["--", "0", &SEEDS.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut bytes = &output.stdout[..];
    let mut modules = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk::<4>() {
        let (module, rest) = rest.split_at(u32::from_le_bytes(*size).try_into().unwrap());
        modules.push(module.to_vec());
        bytes = rest;
    }
    modules
}

#[test]
fn random_modules_stay_within_their_limits() {
    let modules = modules();
    assert_eq!(modules.len() as u64, SEEDS);
    let (mut refused, mut returned) = (0, 0);
    for (seed, module) in modules.iter().enumerate() {
        if let Err(error) = sandbox().prepare(module) {
            assert_eq!(error.code, ErrorCode::ModuleTooComplex, "seed {seed} is valid: {error}");
            refused += 1;
            continue;
        }
        let (run, took) = timed(|| run_call(sandbox(), module, call(b"an input", LIMITS)));
        let panicked = run.outcome == Outcome::Stopped(StopReason::Interrupted);
        assert!(!panicked, "seed {seed} made the host panic");
        assert!(took.as_millis() < WALL_MS_MAX, "seed {seed} took {took:?}");
        assert!(run.usage.memory_bytes <= LIMITS.memory_bytes, "seed {seed}: {:?}", run.usage);
        returned += usize::from(run.outcome.failure().is_none());
    }
    println!(
        "{SEEDS} random modules: {refused} refused, {returned} returned, the others failed by themselves or by a limit"
    );
    // If most were refused, or all ended in one way, this would show little.
    assert!(refused < 150 && returned > 0, "{refused} {returned}");
}
