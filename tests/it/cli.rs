//! The command line as used by people and scripts: results on stdout, notes on stderr, meaningful exit codes.

use std::{
    path::Path,
    process::{Command, Output},
};

use fusebox_harness::guests;
use serde_json::Value;

use crate::server;

/// Runs `fusebox`; each argument is a word of `line`.
pub(crate) fn fusebox(url: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    // The environment of the tests must not affect the command.
    command
        .env_clear()
        .args(line.split(' '))
        .env("FUSEBOX_URL", url)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn the_way_of_an_author() {
    let (server, home) = server(&[]);
    let run = |line: &str| fusebox(server.url(), line);
    std::fs::write(home.path().join("echo.wasm"), guests::echo()).unwrap();
    let module = home.path().join("echo.wasm");

    let deployed = stdout(&run(&format!("deploy {} --wall 500ms --memory 16MiB", module.display())));
    assert!(deployed.contains("echo version 1") && deployed.contains("fusebox invoke echo"), "{deployed}");
    assert_eq!(stdout(&run("invoke echo --data hello")), "hello");
    assert_eq!(stdout(&run("invoke echo --data as-a-task --task")), "as-a-task");
    let id = stdout(&run("invoke echo --data later --detach"));
    let id = id.trim();
    assert!(stdout(&run(&format!("tasks {id} --wait"))).contains("COMPLETED"));
    assert_eq!(stdout(&run(&format!("tasks {id} --result"))), "later");
    assert_eq!(stdout(&run(&format!("logs {id}"))), "");
    assert!(stdout(&run("tasks")).contains(id));

    let functions: Value = serde_json::from_str(&stdout(&run("functions --output json"))).unwrap();
    assert_eq!(functions[0]["name"], "echo");
    assert_eq!(functions[0]["limits"]["wall_ms"], 500);
    assert_eq!(functions[0]["limits"]["memory_bytes"], 16 << 20);
    let invoked: Value = serde_json::from_str(&stdout(&run("invoke echo --data x --output json"))).unwrap();
    assert_eq!((&invoked["output"], &invoked["receipt"]["output_bytes"]), (&"eA==".into(), &1.into()));
    stdout(&run("functions echo --delete"));
    assert!(stdout(&run("functions")).contains("no functions yet"));
}

#[tokio::test]
async fn exit_codes_say_whose_fault_it_was() {
    let (server, home) = server(&[]);
    let client = server.client();
    client.register("trap", "", &guests::trap()).await.unwrap();
    let nonsense = home.path().join("nonsense.wasm");
    std::fs::write(&nonsense, "nonsense").unwrap();
    for (line, code, word) in [
        ("invoke trap --data x", 3, "trap: "),
        ("invoke trap --data x --task", 3, "trap: "),
        ("invoke none --data x", 4, "function-not-found"),
        ("tasks 0190d5a0-7b1a-7c3e-8f00-0123456789ab", 4, "task-not-found"),
        ("invoke trap --data x --url http://127.0.0.1:1", 5, "fusebox up"),
        ("invoke trap --data x --url nowhere", 1, "http://"),
        (&format!("deploy {}", nonsense.display()), 1, "00 61 73 6d"),
        ("deploy /nowhere/at.all", 1, "/nowhere/at.all"),
        ("invoke trap --data x --delay 1s", 2, "--task"),
        ("invoke trap --data x --task --delay soon", 2, "--delay"),
        ("up --store postgres://127.0.0.1", 2, "directory"),
        ("invoke", 2, "Usage"),
        ("dance", 2, "unrecognized"),
    ] {
        let output = fusebox(server.url(), line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{line}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{line}");
    }
    let output = fusebox(server.url(), "invoke trap --data x --output json");
    let problem: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(problem["code"], "trap");
}

#[tokio::test]
async fn a_log_is_shown_also_of_a_run_that_failed() {
    let (server, _home) = server(&[]);
    server.client().register("trap", "", &guests::log_and_trap()).await.unwrap();
    for line in ["invoke trap --data careful --logs", "invoke trap --data careful --logs --task"] {
        let output = fusebox(server.url(), line);
        let said = stderr(&output);
        let after_the_id = said.strip_prefix("task ").and_then(|said| said.split_once('\n'));
        assert_eq!(after_the_id.is_some(), line.ends_with("--task"), "{said}");
        assert!(
            after_the_id.map_or(said.as_str(), |(_, said)| said).starts_with("WARN careful\nerror: trap: "),
            "{said}"
        );
    }
}

#[test]
fn doctor_finds_this_machine_fit() {
    let home = tempfile::tempdir().unwrap();
    let line = format!("doctor --listen 127.0.0.1:0 --store {} --output json", home.path().join("s").display());
    let findings: Value = serde_json::from_str(&stdout(&fusebox("", &line))).unwrap();
    let of = |what: &str| findings.as_array().unwrap().iter().find(|finding| finding["what"] == what).unwrap().clone();
    assert_eq!(of("sandbox")["verdict"], "ok", "{findings}");
    assert_eq!(of("store")["verdict"], "ok", "{findings}");
}

#[test]
fn the_demo_runs_from_end_to_end() {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shown = |path: &Path| path.display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_fusebox"))
        .args(["demo", "--guests", &shown(&root.join("target/guests")), "--data", &shown(&root.join("examples/data"))])
        .args(["--out", &shown(home.path())])
        .output()
        .unwrap();
    let text = stdout(&output);
    for word in ["Hello, Ada!", "200 of 200 COMPLETED", "deadline-exceeded", "out-of-memory", "Hello, again!"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for (mode, processes) in [("local", 1), ("push", 2), ("pull", 2)] {
        let row = text.lines().find(|line| line.starts_with(mode)).unwrap_or_else(|| panic!("{mode}: {text}"));
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[3..6], ["421", "420", "1"], "tasks, completed, failed: {row}");
        assert_eq!(cells[8].split(", ").count(), processes, "{row}");
    }
    assert!(std::fs::read(home.path().join("thumbnail.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(std::fs::read_to_string(home.path().join("page.html")).unwrap().contains("<h1"));
}
