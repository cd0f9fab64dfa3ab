//! Push and pull: real workers in separate processes run the attempts assigned by a host over the encrypted link.

use std::{
    fs::File,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Program, Server, eventually, guests};
use serde_json::Value;
use tempfile::TempDir;

use crate::{options, server};

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_fusebox");

/// Starts a host that accepts remote workers; returns it with the address for them.
pub(crate) fn host(mode: &str, more: &[&str]) -> (Server, TempDir, String) {
    let (server, home) = server(&[&["-m", mode, "-p", "0"], more].concat());
    let url = server.program().word("tcp://").unwrap();
    (server, home, url)
}

pub(crate) fn worker(mode: &str, slots: u32, url: &str, home: &TempDir, more: &[&str]) -> Program {
    let (command, slots) = (format!("{mode}-worker"), slots.to_string());
    let data = home.path().join(format!("{command}-data")).display().to_string();
    let mut program = Command::new(BINARY);
    program.args([&command[..], &slots, url, "--data", &data, "--log", "warn"]).args(more);
    Program::start(program, "Joined").unwrap()
}

/// Runs a worker that cannot join; returns its output.
fn refused(mode: &str, url: &str, home: &TempDir, more: &[&str]) -> Output {
    let data = home.path().join("refused").display().to_string();
    let command = format!("{mode}-worker");
    Command::new(BINARY).args([&command[..], "1", url, "--data", &data]).args(more).output().unwrap()
}

fn output_of(task: &Value) -> Vec<u8> {
    BASE64.decode(task["result"].as_str().unwrap()).unwrap()
}

async fn is_running(server: &Server, task: &str) {
    eventually("the task's start", PATIENCE, || async {
        let found = server.client().task(task).await.ok()?;
        (found["status"] == "RUNNING").then_some(())
    })
    .await
    .unwrap();
}

async fn tasks_wait_for_the_first_worker(mode: &str) {
    let (server, home, url) = host(mode, &[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let early = client.submit("echo", b"early").await.unwrap();
    let _worker = worker(mode, 2, &url, &home, &[]);
    assert_eq!(output_of(&client.ended(&early).await.unwrap()), b"early");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_wait_for_the_first_push_worker() {
    tasks_wait_for_the_first_worker("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_wait_for_the_first_pull_worker() {
    tasks_wait_for_the_first_worker("pull").await;
}

async fn workers_run_each_task_once(mode: &str) {
    let (server, home, url) = host(mode, &[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let _workers = [worker(mode, 2, &url, &home, &[]), worker(mode, 2, &url, &home, &[])];
    let mut tasks = Vec::new();
    for n in 0..200 {
        tasks.push((n, client.submit("echo", format!("input {n}").as_bytes()).await.unwrap()));
    }
    for (n, task) in tasks {
        let ended = client.ended(&task).await.unwrap();
        assert_eq!((ended["status"].as_str(), ended["attempt"].as_u64()), (Some("COMPLETED"), Some(1)));
        assert_eq!(output_of(&ended), format!("input {n}").into_bytes());
        assert!(ended["receipt"]["worker"].is_string(), "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn push_workers_run_each_task_once() {
    workers_run_each_task_once("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_workers_run_each_task_once() {
    workers_run_each_task_once("pull").await;
}

async fn failures_and_large_results_come_from_workers(mode: &str) {
    let (server, home, url) = host(mode, &[]);
    let client = server.client();
    client.register("trap", "", &guests::trap()).await.unwrap();
    client.register("large", "&output_bytes=6291456", &guests::echo()).await.unwrap();
    let _worker = worker(mode, 2, &url, &home, &[]);
    let failed = client.submit("trap", b"").await.unwrap();
    assert_eq!(client.ended(&failed).await.unwrap()["error"]["code"], "trap");
    let large = vec![7; 6 << 20];
    let task = client.submit("large", &large).await.unwrap();
    assert!(output_of(&client.ended(&task).await.unwrap()) == large);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_large_results_come_from_push_workers() {
    failures_and_large_results_come_from_workers("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_large_results_come_from_pull_workers() {
    failures_and_large_results_come_from_workers("pull").await;
}

async fn a_killed_workers_task_runs_elsewhere(mode: &str) {
    let (server, home, url) = host(mode, &[]);
    let client = server.client();
    client.register("sleep", "&wall_ms=300000&fuel=300000000000", &guests::sleep_an_hour()).await.unwrap();
    let mut doomed = worker(mode, 1, &url, &home, &[]);
    let task = client.submit("sleep", b"").await.unwrap();
    is_running(&server, &task).await;
    doomed.kill().unwrap();
    let _heir = worker(mode, 1, &url, &home, &[]);
    eventually("the second attempt", PATIENCE, || async {
        let found = client.task(&task).await.ok()?;
        (found["status"] == "RUNNING" && found["attempt"] == 2).then_some(())
    })
    .await
    .unwrap();
    let cancelled = client.send(reqwest::Method::DELETE, &format!("/v1/tasks/{task}"), &[], []).await.unwrap();
    assert_eq!(cancelled.json().unwrap()["error"]["code"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_push_workers_task_runs_elsewhere() {
    a_killed_workers_task_runs_elsewhere("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pull_workers_task_runs_elsewhere() {
    a_killed_workers_task_runs_elsewhere("pull").await;
}

async fn a_cancelled_run_frees_its_slot(mode: &str) {
    let (server, home, url) = host(mode, &[]);
    let client = server.client();
    let long = "&wall_ms=300000&fuel=300000000000";
    client.register("sleep", long, &guests::sleep_an_hour()).await.unwrap();
    client.register("spin", long, &guests::spin()).await.unwrap();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let _worker = worker(mode, 1, &url, &home, &[]);
    for function in ["sleep", "spin"] {
        let task = client.submit(function, b"").await.unwrap();
        is_running(&server, &task).await;
        let next = client.submit("echo", b"next").await.unwrap();
        client.send(reqwest::Method::DELETE, &format!("/v1/tasks/{task}"), &[], []).await.unwrap();
        // The only slot is free again only if the guest was really stopped.
        assert_eq!(output_of(&client.ended(&next).await.unwrap()), b"next", "after {function}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_frees_its_slot_in_push() {
    a_cancelled_run_frees_its_slot("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_frees_its_slot_in_pull() {
    a_cancelled_run_frees_its_slot("pull").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_gives_back_what_waits() {
    let (server, home, url) = host("push", &[]);
    let client = server.client();
    client.register("sleep", "&wall_ms=1000", &guests::sleep_an_hour()).await.unwrap();
    let mut leaving = worker("push", 1, &url, &home, &[]);
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(client.submit("sleep", b"").await.unwrap());
    }
    is_running(&server, &tasks[0]).await;
    leaving.terminate().unwrap();
    assert!(leaving.exited(PATIENCE).await.unwrap().success());
    let _staying = worker("push", 2, &url, &home, &[]);
    for task in &tasks {
        assert_eq!(client.ended(task).await.unwrap()["error"]["code"], "deadline-exceeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_killed_host_come_back() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(options(&home, &["-m", "push", "-p", "0"])).unwrap();
    let url = server.program().word("tcp://").unwrap();
    let port = url.rsplit(':').next().unwrap().to_owned();
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let _worker = worker("push", 2, &url, &home, &[]);
    server.kill().unwrap();
    let server = Server::start(options(&home, &["-m", "push", "-p", &port])).unwrap();
    let task = server.client().submit("echo", b"again").await.unwrap();
    assert_eq!(output_of(&server.client().ended(&task).await.unwrap()), b"again");
}

const TOKEN: [&str; 2] = ["--join-token", "correct horse battery"];

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_wrong_token_or_none_says_why_and_goes_on_trying() {
    let (_server, home, url) = host("push", &TOKEN);
    for wrong in [&["--join-token", "staple staple staple"][..], &[]] {
        let log = home.path().join(format!("log-{}", wrong.len()));
        let data = home.path().join("refused").display().to_string();
        let mut command = Command::new(BINARY);
        command.args(["push-worker", "1", &url, "--log", "error", "--data", &data]).args(wrong);
        let mut worker = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let said = eventually("the reason", PATIENCE, || async {
            std::fs::read_to_string(&log).ok().filter(|said| said.contains("set the same on both sides"))
        })
        .await
        .unwrap();
        assert!(!said.contains("staple") && !said.contains("correct"), "a token is never shown: {said}");
        assert_eq!(worker.try_wait().unwrap(), None, "it goes on trying");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_workers_are_counted_and_the_right_one_joins() {
    let (server, home, url) = host("push", &TOKEN);
    let mut wrong = Command::new(BINARY);
    wrong.args(["push-worker", "1", &url, "--log", "off", "--data"]).arg(home.path().join("refused"));
    let mut wrong = wrong.spawn().unwrap();
    let client = server.client();
    eventually("a refused link", PATIENCE, || async {
        let metrics = String::from_utf8(client.get("/metrics").await.ok()?.body).ok()?;
        let refused = metrics.lines().find_map(|line| line.strip_prefix("fusebox_links_refused "))?;
        (refused.parse::<u64>().ok()? >= 1).then_some(())
    })
    .await
    .unwrap();
    wrong.kill().unwrap();
    wrong.wait().unwrap();
    let _worker = worker("push", 1, &url, &home, &TOKEN);
}

#[test]
fn a_worker_of_another_mode_names_the_right_command() {
    let (_server, home, url) = host("push", &TOKEN);
    let output = refused("pull", &url, &home, &TOKEN);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("fusebox push-worker"), "{said}");
}

#[test]
fn an_address_without_its_scheme_is_refused_with_the_right_form() {
    let home = tempfile::tempdir().unwrap();
    let output = refused("push", "localhost:1", &home, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("tcp://HOST:PORT"), "{said}");
}

#[test]
fn a_port_for_everyone_needs_a_token() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store").display().to_string();
    let args = ["up", "-m", "push", "-p", "0", "--bind", "0.0.0.0", "--listen", "127.0.0.1:0", "--store", &store];
    let output = Command::new(BINARY).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("set a join token"), "{said}");
}
