//! `fusebox chaos` as shipped: 40 kills with SIGKILL over the three modes, lost answers, clock steps, and evidence that its
//! checker can fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use fusebox_harness::eventually;
use serde_json::{Value, json};

/// Runs `fusebox chaos`; each argument is a word of `line`.
fn chaos(line: &str, keep: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fusebox"))
        .args(["chaos", "--output", "json"])
        .args(line.split(' '))
        .arg("--keep")
        .arg(keep)
        .output()
        .unwrap()
}

/// Returns the single report printed by a run.
fn report(output: &Output) -> Value {
    let reports: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(reports.as_array().unwrap().len(), 1, "{reports}");
    reports[0].clone()
}

/// Runs chaos with kills only, in which nothing may be found.
fn survives(mode: &str, kills: u64, seed: u64) {
    let home = tempfile::tempdir().unwrap();
    let line = format!("--mode {mode} --rounds {kills} --tasks 400 --faults kill --seed {seed}");
    let output = chaos(&line, home.path());
    let report = report(&output);
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let strikes = report["strikes"].as_object().unwrap();
    let killed: u64 = strikes.values().map(|strikes| strikes["killed"].as_u64().unwrap()).sum();
    assert!(killed >= kills, "{report:#}");
    assert_eq!(report["accepted"], report["completed"], "{report:#}");
}

#[test]
fn twelve_kills_lose_and_double_nothing_in_local_mode() {
    survives("local", 12, 1);
}

#[test]
fn fourteen_kills_lose_and_double_nothing_in_push_mode() {
    survives("push", 14, 2);
}

#[test]
fn fourteen_kills_lose_and_double_nothing_in_pull_mode() {
    survives("pull", 14, 3);
}

#[test]
fn pauses_and_drains_lose_nothing_either() {
    let home = tempfile::tempdir().unwrap();
    let output = chaos("--mode push --rounds 8 --tasks 200 --faults pause,terminate --seed 4", home.path());
    assert_eq!(report(&output)["findings"], json!([]));
    assert!(output.status.success());
}

/// A run of one kind of fault that must cost no run; `counted` is its column in the report.
fn costs_nothing(line: &str, counted: &str, strikes_min: u64) {
    let home = tempfile::tempdir().unwrap();
    let output = chaos(line, home.path());
    let report = report(&output);
    assert_eq!(report["findings"], json!([]), "{report:#}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let strikes = report["strikes"].as_object().unwrap();
    let struck: u64 = strikes.values().map(|strikes| strikes[counted].as_u64().unwrap()).sum();
    assert!(struck >= strikes_min, "{report:#}");
    assert_eq!(report["accepted"], report["completed"], "{report:#}");
}

#[test]
fn lost_answers_cost_no_run() {
    costs_nothing("--mode pull --rounds 12 --tasks 200 --faults answers --seed 7", "answers_lost", 12);
}

#[test]
fn clocks_that_are_set_cost_no_run() {
    costs_nothing("--mode push --rounds 12 --tasks 200 --faults clock --seed 8", "clock_set", 12);
    costs_nothing("--store embedded --mode local --rounds 6 --tasks 100 --faults clock --seed 9", "clock_set", 6);
}

#[test]
fn full_stores_cost_no_run() {
    costs_nothing("--mode pull --rounds 8 --tasks 200 --faults full --seed 10", "filled", 8);
    costs_nothing("--store embedded --mode local --rounds 6 --tasks 100 --faults full --seed 11", "filled", 6);
}

/// Leases in Redis go by its own clock: a step of that is a fault with a price, which is seen. So clocks are set, and the
/// check for what that costs can fail.
#[test]
fn a_redis_whose_clock_is_set_is_found_out() {
    let home = tempfile::tempdir().unwrap();
    let output = chaos("--mode push --rounds 1 --tasks 20 --faults clock --parts redis --seed 1", home.path());
    assert_eq!(output.status.code(), Some(1));
    let findings = report(&output)["findings"].clone();
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["rule"] == "lost-run"), "{findings:#}");
}

#[test]
fn one_process_on_its_own_store_survives_as_well() {
    let home = tempfile::tempdir().unwrap();
    let line = "--store embedded --mode local --rounds 10 --tasks 200 --seed 5";
    let output = chaos(line, home.path());
    assert_eq!(report(&output)["findings"], json!([]));

    // The stored history can be checked again, and a change of one result is detected.
    let kept = home.path().join("local/history.jsonl");
    let recheck = format!("--recheck {}", kept.display());
    let again = chaos(&recheck, home.path());
    assert_eq!(report(&again)["accepted"], report(&output)["accepted"]);
    let history = fs::read_to_string(&kept).unwrap();
    let (before, after) = history.split_once("\"result\":\"").unwrap();
    fs::write(&kept, format!("{before}\"result\":\"AAAA{after}")).unwrap();
    let forged = chaos(&recheck, home.path());
    assert_eq!(forged.status.code(), Some(1));
    let rules: Vec<Value> = report(&forged)["findings"].as_array().unwrap().iter().map(|f| f["rule"].clone()).collect();
    assert!(rules.contains(&json!("wrong-result")) && rules.contains(&json!("end-changed")), "{rules:?}");
}

/// Returns the number of processes that work in a directory or name it on their command line.
fn processes_of(home: &Path) -> usize {
    let name = home.display().to_string();
    let is_one = |process: PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let works_in = fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(home));
        works_in || String::from_utf8_lossy(&line).contains(&name)
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_one(entry.path())).count()
}

#[tokio::test]
async fn nothing_outlives_a_run_that_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().canonicalize().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_fusebox"))
        .args(["chaos", "--mode", "push", "--faults", "pause", "--keep"])
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let patience = Duration::from_secs(60);
    // Redis, two REST nodes, two dispatchers, three workers, and the run itself.
    let there = || async { (processes_of(&path) >= 9).then_some(()) };
    eventually("the cluster", patience, there).await.unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let gone = || async { (processes_of(&path) == 0).then_some(()) };
    eventually("its end", patience, gone).await.unwrap();
}

/// The checker would be worthless if a store that loses data passed it.
#[test]
fn a_store_without_a_log_is_found_out() {
    let home = tempfile::tempdir().unwrap();
    let line = "--mode local --rounds 2 --tasks 20 --faults kill --parts redis --fsync off --time-limit 20s --seed 6";
    let output = chaos(line, home.path());
    assert_eq!(output.status.code(), Some(1));
    let findings = report(&output)["findings"].clone();
    let lost = findings.as_array().unwrap().iter().filter(|finding| finding["rule"] == "lost").count();
    assert!(lost > 0, "{findings:#}");
    assert!(home.path().join("local/history.jsonl").exists());
}
