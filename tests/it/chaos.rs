//! `fusebox chaos` as shipped: 40 kill -9 over the three modes, and the proof that its check can fail.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

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

/// The one report that a run prints.
fn report(output: &Output) -> Value {
    let reports: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(reports.as_array().unwrap().len(), 1, "{reports}");
    reports[0].clone()
}

/// A run of nothing but kills, in which nothing may be found.
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
    println!(
        "{mode}: {killed} kills in {} s, {} accepted, {} retried, {} sent again",
        report["seconds"], report["accepted"], report["retried"], report["resent"]
    );
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

#[test]
fn one_process_on_its_own_store_survives_as_well() {
    let home = tempfile::tempdir().unwrap();
    let line = "--store embedded --mode local --rounds 10 --tasks 200 --seed 5";
    let output = chaos(line, home.path());
    assert_eq!(report(&output)["findings"], json!([]));

    // What was kept can be checked again, and a change of one result is found.
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

/// The check would be worth nothing if a store that forgets could pass it.
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
