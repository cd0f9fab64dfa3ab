//! `fusebox bench` as shipped: a small run of everything, the files it writes, and the comparison of two runs.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fusebox")).arg("bench").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_smoke_run_writes_a_report_and_is_as_good_as_itself() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let dir = out.to_str().unwrap();
    // Tests run in parallel, so the machine is busy.
    let ran = bench(&["--smoke", "--allow-busy", "--out", dir, "--output", "json"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let results: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(results, written);
    let rows = results["rows"].as_array().unwrap();
    for scenario in ["burst", "batch", "latency", "weak", "strong", "invoke", "payload", "cost"] {
        assert!(rows.iter().any(|row| row["scenario"] == scenario), "{scenario} was not measured");
    }
    assert!(rows.iter().all(|row| row["per_second"].as_f64().unwrap() > 0.0), "{rows:?}");
    for stored in ["waiting", "results", "functions"] {
        assert!(rows.iter().any(|row| row["beside"] == stored), "no cost beside {stored} was measured");
    }
    let memory = results["memory"].as_array().unwrap();
    for what in ["idle", "functions", "queued"] {
        for process in ["rest", "dispatcher", "host"] {
            let held = memory.iter().find(|held| held["what"] == what && held["process"] == process).unwrap();
            assert!(held["resident_bytes"].as_u64().unwrap() > 1 << 20, "{held}");
        }
    }
    assert!(results["busy"]["others_percent"].is_number() && results["host"]["cores"].as_u64().unwrap() > 0);

    let lines = fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(lines.lines().count(), rows.len() + 1);
    let table = fs::read_to_string(out.join("memory.csv")).unwrap();
    assert_eq!(table.lines().count(), memory.len() + 1);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Memory of a host") && page.contains("20 functions / 10, all of them called"));
    assert!(page.contains("<svg") && page.contains("everysec"));
    assert!(fs::read(out.join("burst.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(fs::read_to_string(out.join("latency.svg")).unwrap().contains("milliseconds"));

    let same = bench(&["compare", dir, dir, "--fail-below", "0.999"]);
    assert!(same.status.success() && text(&same.stdout).contains("1.00x"), "{}", text(&same.stderr));
    slower(&written, &out.join("slower.json"));
    let slower = bench(&["compare", dir, out.join("slower.json").to_str().unwrap(), "--fail-below", "0.95"]);
    assert_eq!(slower.status.code(), Some(1));
    assert!(text(&slower.stderr).contains("0.50x"), "{}", text(&slower.stderr));
}

/// Writes the same results at half the speed.
fn slower(results: &Value, file: &Path) {
    let mut results = results.clone();
    for row in results["rows"].as_array_mut().unwrap() {
        row["per_second"] = (row["per_second"].as_f64().unwrap() / 2.0).into();
    }
    fs::write(file, results.to_string()).unwrap();
}

#[test]
fn a_server_that_runs_is_measured_as_it_is() {
    let (server, _home) = super::server(&["--slots", "2"]);
    let ran = bench(&["burst", "invoke", "--smoke", "--allow-busy", "--server", server.url(), "--output", "json"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let results: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let rows = results["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["store"] == "server" && row["slots"] == 2), "{rows:?}");

    let filled = bench(&["cost", "--server", server.url()]);
    assert!(
        !filled.status.success() && text(&filled.stderr).contains("leave out --server"),
        "{}",
        text(&filled.stderr)
    );
    let nobody = bench(&["burst", "--smoke", "--server", "http://127.0.0.1:9"]);
    assert!(!nobody.status.success() && text(&nobody.stderr).contains("127.0.0.1:9"), "{}", text(&nobody.stderr));
}
