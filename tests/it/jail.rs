//! Jailed processes: they are locked up, work in that state, and report missing layers.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Program, eventually, guests};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server;

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_fusebox");

fn fusebox(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(BINARY).args(args).current_dir(home.path()).output().unwrap()
}

fn json(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&stdout).unwrap_or_else(|error| {
        panic!("{error}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Returns the attempts of a drill whose results differ from those of a complete jail.
fn wrong(drill: &Value) -> Vec<String> {
    let rows = drill["rows"].as_array().unwrap();
    assert!(rows.len() > 80, "the drill tries too little: {rows:?}");
    let is_refused = |row: &Value| row["verdict"]["refused"].is_string();
    let wrong = rows.iter().filter(|row| match row["forbidden"].as_bool().unwrap() {
        true => !is_refused(row),
        false => row["verdict"] != "done",
    });
    wrong.map(|row| format!("{}: {}", row["attempt"].as_str().unwrap(), row["verdict"])).collect()
}

#[test]
fn native_code_in_a_jail_gets_nowhere() {
    let report = json(&fusebox(&["--output", "json", "doctor", "--drill"]));
    for inmate in ["worker", "slot", "compiler", "helper", "proxy"] {
        let drill = &report["drills"][inmate];
        let layers = drill["layers"].as_array().unwrap();
        let lacks: Vec<_> = layers.iter().filter(|layer| layer["holds"] != true).collect();
        assert!(layers.len() == 5 && lacks.is_empty(), "this kernel lacks a part of the jail: {lacks:?}");
        assert_eq!(wrong(drill), Vec::<String>::new(), "{inmate}");
    }
    let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "jail of workers");
    assert_eq!(found.unwrap()["verdict"], "ok", "{found:?}");
}

#[test]
fn native_code_without_a_jail_gets_out() {
    let drill = json(&fusebox(&["drill", "worker", "--data", "data", "--jail", "off"]));
    let wrong = wrong(&drill).join("\n");
    for attempt in ["read /etc/passwd", "socket TCP", "fork", "run a program", "ptrace of the parent"] {
        assert!(wrong.contains(attempt), "{attempt} should be possible: {wrong}");
    }
}

/// Returns a field of `/proc/PID/status`.
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_helper(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    line.split(|byte| *byte == 0).nth(1) == Some(b"helper".as_slice())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_wholly_locked_up_compiles_runs_and_keeps_modules() {
    let (server, home) = server(&["-m", "push", "-p", "0"]);
    let url = server.program().word("tcp://").unwrap();
    let data = home.path().join("worker");
    let mut command = Command::new(BINARY);
    command.args(["push-worker", "2", &url, "--jail", "require", "--data"]).arg(&data);
    let worker = Program::start(command, "Joined").unwrap();
    let pid = worker.pid();
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Seccomp")), ("1".to_owned(), "2".to_owned()));
    let users: Vec<String> = status(pid, "Uid").split_whitespace().map(str::to_owned).collect();
    assert!(users.iter().all(|user| user != "0"), "{users:?}");
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"from inside").await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["result"], BASE64.encode("from inside"), "{ended}");
    let kept = fs::read_dir(data.join("worker-artifacts")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(kept.filter(|name| name.to_string_lossy().ends_with(".cwasm")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_helper_ends_finishes_what_runs_and_says_why() {
    let (server, home) = server(&["-m", "push", "-p", "0"]);
    let url = server.program().word("tcp://").unwrap();
    let client = server.client();
    client.register("slow", "", &guests::slow_echo()).await.unwrap();
    let log = home.path().join("log");
    let mut command = Command::new(BINARY);
    command.args(["push-worker", "1", &url, "--data"]).arg(home.path().join("worker"));
    command.stderr(fs::File::create(&log).unwrap());
    let mut worker = Program::start(command, "Joined").unwrap();
    // Its module is available once a task has run.
    let first = client.submit("slow", b"first").await.unwrap();
    assert_eq!(client.ended(&first).await.unwrap()["status"], "COMPLETED");
    let task = client.submit("slow", b"second").await.unwrap();
    eventually("the task's start", PATIENCE, || async {
        (client.task(&task).await.ok()?["status"] == "RUNNING").then_some(())
    })
    .await
    .unwrap();
    let helpers: Vec<u32> = children(worker.pid()).into_iter().filter(|pid| is_helper(*pid)).collect();
    assert_eq!((helpers.len(), children(worker.pid()).len()), (1, 2), "a helper and a proxy are all that it starts");
    kill_process(Pid::from_raw(helpers[0].cast_signed()).unwrap(), Signal::KILL).unwrap();
    let status = worker.exited(PATIENCE).await.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(!status.success() && said.contains("start the worker again"), "{status}: {said}");
    // Another worker repeats the runs that it could no longer report.
    let mut command = Command::new(BINARY);
    command.args(["push-worker", "1", &url, "--data"]).arg(home.path().join("worker"));
    let _second = Program::start(command, "Joined").unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["status"], "COMPLETED", "{ended}");
}

#[test]
fn a_worker_does_not_stay_root() {
    let output = fusebox(&["push-worker", "1", "tcp://127.0.0.1:1", "--user", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("UID:GID"), "{said}");
}
