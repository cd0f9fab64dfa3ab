//! Runs in separate processes: identical results, and the effects of such a process's death. Failing runs in this
//! setting are covered by `fuse`.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Server, eventually, guests};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server;

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn isolated(more: &[&str]) -> (Server, TempDir) {
    server(&[&["--isolate", "process", "--jail", "require"], more].concat())
}

/// Kills processes; those that have already ended are ignored.
fn kill(processes: &[Pid]) {
    for process in processes {
        let _ = kill_process(*process, Signal::KILL);
    }
}

/// Returns the slot processes of `server`.
fn slots(server: &Server) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let children = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> =
        children.flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect();
    let is_slot = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(b"slot".as_slice())
    };
    pids.into_iter().filter(is_slot).filter_map(Pid::from_raw).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_as_they_do_on_threads() {
    let (server, _home) = isolated(&[]);
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let large = vec![7; 1 << 20];
    for input in [&b""[..], b"one", &large] {
        let answer = client.post("/v1/functions/echo/invoke", input).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, input));
        let task = client.submit("echo", input).await.unwrap();
        assert_eq!(client.ended(&task).await.unwrap()["result"], BASE64.encode(input));
    }
    assert!(!slots(&server).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_costs_its_run_alone() {
    let (server, _home) = isolated(&["--slots", "1"]);
    let client = server.client();
    client.register("slow", "", &guests::slow_echo()).await.unwrap();
    let task = client.submit("slow", b"twice").await.unwrap();
    eventually("its start", PATIENCE, || async { (client.busy_slots().await.ok()? == 1).then_some(()) }).await.unwrap();
    let killed = slots(&server);
    assert!(!killed.is_empty());
    kill(&killed);
    let ended = client.ended(&task).await.unwrap();
    assert_eq!((&ended["status"], &ended["result"]), (&"COMPLETED".into(), &BASE64.encode("twice").into()), "{ended}");
    assert!(ended["attempt"].as_u64() > Some(1), "the attempt that was lost counts: {ended}");
    assert!(slots(&server).iter().all(|pid| !killed.contains(pid)), "another process has taken its place");
    // The caller of an invoke is advised to retry.
    let url = client.base().to_owned();
    let invoke = tokio::spawn(async move {
        fusebox_harness::Client::new(url).post("/v1/functions/slow/invoke", "lost").await.unwrap()
    });
    let answer = eventually("the invoke's end", PATIENCE, || async {
        kill(&slots(&server));
        invoke.is_finished().then_some(())
    });
    answer.await.unwrap();
    let answer = invoke.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "overloaded"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
}
