//! Files of versions and the scratch of runs, in every mode: a command reads what was deployed with it, and each run has
//! an empty `/tmp` of its own. Kinds of modules that a worker does not run.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, Server, guests};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::{
    modes::{host, worker},
    server,
};

const FORM: [(&str, &str); 1] = [("content-type", "multipart/form-data; boundary=b")];

/// Returns a registration of a command with a file `words/greeting`.
fn form(greeting: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(greeting.len() as u64);
    tar.append_data(&mut header, "words/greeting", greeting.as_bytes()).unwrap();
    let (module, tar) = (guests::scribe(), tar.into_inner().unwrap());
    let part = |name: &str, content: &[u8]| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    [part("module", &module), part("files", &tar), b"--b--\r\n".to_vec()].concat()
}

async fn deploy(client: &Client, greeting: &str) {
    let made = client.send(Method::POST, "/v1/functions?name=scribe", &FORM, form(greeting)).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{made}");
}

async fn output(client: &Client) -> String {
    let task = client.submit("scribe", b"").await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["status"], "COMPLETED", "{ended}");
    String::from_utf8(BASE64.decode(ended["result"].as_str().unwrap()).unwrap()).unwrap()
}

async fn each_run_has_its_versions_files_and_a_scratch_of_its_own(client: &Client) {
    deploy(client, "hello").await;
    for _ in 0..3 {
        assert_eq!(output(client).await, "hello", "a file that a run left would be in the way of the next one");
    }
    deploy(client, "good day").await;
    assert_eq!(output(client).await, "good day", "the next version has its own files");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_the_hosts_process_have_files() {
    let (server, _home) = server(&[]);
    each_run_has_its_versions_files_and_a_scratch_of_its_own(&server.client()).await;
    let invoked = server.client().post("/v1/functions/scribe/invoke", "").await.unwrap();
    assert_eq!((invoked.status, &invoked.body[..]), (StatusCode::OK, &b"good day"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_processes_of_their_own_have_files() {
    let (server, _home) = server(&["--isolate", "process"]);
    each_run_has_its_versions_files_and_a_scratch_of_its_own(&server.client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_push_workers_have_files() {
    let (server, home, url) = host("push", &[]);
    let _worker = worker("push", 2, &url, &home, &[]);
    each_run_has_its_versions_files_and_a_scratch_of_its_own(&server.client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_pull_workers_have_files() {
    let (server, home, url) = host("pull", &[]);
    let _worker = worker("pull", 2, &url, &home, &[]);
    each_run_has_its_versions_files_and_a_scratch_of_its_own(&server.client()).await;
}

/// Token of a host whose workers get its artifacts.
const TOKEN: [&str; 2] = ["--join-token", "0123456789abcdef0123456789abcdef"];

/// Starts a host and a worker that runs core functions only; without a token the worker compiles for itself.
fn worker_of_core(token: &[&str]) -> (Server, TempDir, fusebox_harness::Program) {
    let (server, home, url) = host("pull", token);
    let worker = worker("pull", 2, &url, &home, &[&["--abi", "core"], token].concat());
    (server, home, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_fails_tasks_of_kinds_that_it_does_not_run_and_says_so() {
    for token in [&[][..], &TOKEN] {
        let (server, _home, _worker) = worker_of_core(token);
        let client = server.client();
        client.register("echo", "", &guests::echo()).await.unwrap();
        client.register("command", "", &guests::environment()).await.unwrap();
        let task = client.submit("command", b"").await.unwrap();
        let ended = client.ended(&task).await.unwrap();
        assert_eq!((&ended["status"], &ended["error"]["code"]), (&"FAILED".into(), &"bad-module".into()), "{ended}");
        let said = ended["error"]["message"].as_str().unwrap();
        assert!(said.contains("of the kind command") && said.contains("only core (--abi)"), "{said}");
        let task = client.submit("echo", b"in").await.unwrap();
        assert_eq!(client.ended(&task).await.unwrap()["result"], BASE64.encode("in"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_no_longer_runs_a_kind_fails_its_runs_in_every_isolation() {
    for isolation in ["none", "process"] {
        let home = tempfile::tempdir().unwrap();
        let start =
            |more: &[&str]| Server::start(crate::options(&home, &[&["--isolate", isolation], more].concat())).unwrap();
        let mut before = start(&[]);
        before.client().register("command", "", &guests::environment()).await.unwrap();
        before.terminate().unwrap();
        assert!(before.exited(Duration::from_secs(60)).await.unwrap().success());
        let server = start(&["--abi", "core"]);
        let refused = server.client().post("/v1/functions/command/invoke", "").await.unwrap();
        assert_eq!(refused.code(), "bad-module", "{isolation}: {refused}");
        assert!(refused.to_string().contains("only core (--abi)"), "{refused}");
    }
}
