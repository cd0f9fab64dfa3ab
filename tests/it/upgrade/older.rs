//! The previous release as the peer, in both directions: a task from start to end, and no messages unknown to it.

use std::{net::TcpListener, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::guests;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    PATIENCE, fusebox,
    peer::{Link, about, golden, golden_held, held_of, replaced, varint},
};
use crate::server;

/// Kind of the last message known to a dispatcher of version 3, and to a worker.
const NEWEST: [u8; 2] = [9, 9];
/// Lines of the golden file.
const JOIN: usize = 0;
const BEAT: usize = 1;
const ASK: usize = 3;
const RECEIVED: usize = 4;
const REPORTS: usize = 5;
const WELCOME: usize = 16;
const ASSIGN: usize = 18;
const RECORDED: usize = 21;

/// Receives until a message of this kind; all must be known to version 3.
fn until(link: &mut Link, kind: u8, newest: u8) -> Vec<u8> {
    loop {
        let message = link.receive().unwrap();
        assert!(message[0] == 1 && message[1] <= newest, "not of version 3: {message:?}");
        if message[1] == kind {
            return message;
        }
    }
}

/// Returns the next attempt, which arrives against the credit of the request or for the extra slot, as it happens.
fn assigned(link: &mut Link) -> Vec<u8> {
    loop {
        let message = link.receive().unwrap();
        if let Some(held) = held_of(&message) {
            return held;
        }
    }
}

fn until_the_end(link: &mut Link, newest: u8) {
    while let Some(message) = link.receive() {
        assert!(message[0] == 1 && message[1] <= newest, "not of version 3: {message:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_release_before_does_a_task_for_a_dispatcher_of_this_one() {
    let (mut server, _home) = server(&["-m", "pull", "-p", "0"]);
    let address = server.program().word("tcp://").unwrap().trim_start_matches("tcp://").to_owned();
    let client = server.client();
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"in").await.unwrap();
    let working = thread::spawn(move || {
        let mut link = Link::join(&address);
        link.send(&golden(JOIN));
        until(&mut link, 0, NEWEST[0]);
        link.send(&golden(BEAT));
        link.send(&golden(ASK));
        let held = assigned(&mut link);
        link.send(&about(RECEIVED, &held));
        link.send(&about(REPORTS, &held));
        let recorded = until(&mut link, 5, NEWEST[0]);
        assert_eq!(recorded, about(RECORDED, &held));
        link
    });
    let mut link = working.join().unwrap();
    let ended = client.ended(&task).await.unwrap();
    // As stated in the recorded report.
    assert_eq!((&ended["status"], &ended["result"]), (&json!("COMPLETED"), &json!(BASE64.encode("out"))), "{ended}");
    server.terminate().unwrap();
    until_the_end(&mut link, NEWEST[0]);
    assert!(server.exited(PATIENCE).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_this_release_does_a_task_for_a_dispatcher_of_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dispatching = thread::spawn(move || {
        let mut link = Link::let_in(&listener);
        until(&mut link, 0, NEWEST[1]);
        link.send(&golden(WELCOME));
        until(&mut link, 3, NEWEST[1]);
        let module = guests::echo();
        link.send(&assignment(&module));
        let fetch = until(&mut link, 6, NEWEST[1]);
        assert_eq!(fetch[2..], [&digest(&module)[..], &[1, 0]].concat(), "as wasm, from its first byte on");
        let size = varint(module.len() as u64);
        link.send(&[&[1, 6], &digest(&module)[..], &[1, 0], &size, &size, &module].concat());
        let reports = until(&mut link, 5, NEWEST[1]);
        let (ran, output) = ([&[1, 5, 1][..], &golden_held()].concat(), [2, b'i', b'n']);
        assert!(reports.starts_with(&ran) && reports.windows(3).any(|part| part == output), "{reports:?}");
        link.send(&golden(RECORDED));
        link
    });
    let (mut worker, _) = fusebox(&format!("pull-worker 1 tcp://{address}"), home.path(), "worker", "Joined");
    let mut link = dispatching.join().unwrap();
    worker.terminate().unwrap();
    until_the_end(&mut link, NEWEST[1]);
    assert!(worker.exited(PATIENCE).await.unwrap().success());
}

fn digest(module: &[u8]) -> [u8; 32] {
    Sha256::digest(module).into()
}

/// Returns the recorded assignment with this module, and with limits in which it can run.
fn assignment(module: &[u8]) -> Vec<u8> {
    let limits: Vec<u8> = [1_000_000_000, 60_000, 64 << 20, 1 << 20, 64 << 10].into_iter().flat_map(varint).collect();
    let recorded = [&[4; 32][..], &[1, 2, 3, 4, 5]].concat();
    replaced(&golden(ASSIGN), &recorded, &[&digest(module)[..], &limits].concat())
}
