//! Scripts in every mode, with a stand-in for the runtime of a language: the command line that deploys them, their check
//! in the sandbox, their runs in this process, in others, and on workers, and a host whose runtimes change.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, Server, guests};
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::{
    cli::{fusebox, stderr, stdout},
    cluster::Cluster,
    modes::worker,
};

/// Returns a directory with runtimes of these names.
fn runtimes(home: &Path, names: &[&str], wasm: &[u8]) -> PathBuf {
    let dir = home.join("runtimes");
    std::fs::create_dir_all(&dir).unwrap();
    names.iter().for_each(|name| std::fs::write(dir.join(format!("{name}.wasm")), wasm).unwrap());
    dir
}

/// Starts a host with runtimes.
fn host(more: &[&str]) -> (Server, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let dir = runtimes(home.path(), &["python3.13", "javascript"], &guests::runtime()).display().to_string();
    let server = Server::start(crate::options(&home, &[&["--runtimes", &dir], more].concat())).unwrap();
    (server, home)
}

/// Deploys a script by the command line, from a directory called `greeter`; returns what it prints.
fn deploy(url: &str, home: &TempDir, file: &str, text: &str, more: &str) -> std::process::Output {
    let dir = home.path().join("greeter");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(file), text).unwrap();
    fusebox(url, format!("deploy {}{more}", dir.join(file).display()).trim_end())
}

/// A script's task and invocation have their input, content type and files, in whichever mode this host is.
async fn a_script_runs(url: &str, home: &TempDir) {
    let client = Client::new(url.to_owned());
    stdout(&deploy(url, home, "handler.py", "t: shows its environment", " --env LEVEL=3"));
    let path = "/v1/functions/greeter/tasks?";
    let kind = [("content-type", "text/csv")];
    let task = client.send(reqwest::Method::POST, path, &kind, "a,b").await.unwrap().json().unwrap();
    let ended = client.ended(task["id"].as_str().unwrap()).await.unwrap();
    let shown = BASE64.decode(ended["result"].as_str().unwrap()).unwrap();
    assert_eq!(shown, b"LEVEL=3\0CONTENT_TYPE=text/csv\0", "{ended}");
    stdout(&deploy(url, home, "handler.py", "s: shows itself", ""));
    let invoked = client.post("/v1/functions/greeter/invoke", "").await.unwrap();
    assert_eq!((invoked.status, &invoked.body[..]), (StatusCode::OK, &b"s: shows itself"[..]), "{invoked}");
    let faulty = deploy(url, home, "handler.py", "! one\nab = = 1\n", "");
    assert!(
        stderr(&faulty).contains("handler.py:2:3: invalid syntax\n  2 | ab = = 1\n    |   ^"),
        "{}",
        stderr(&faulty)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_in_the_hosts_process() {
    let (server, home) = host(&[]);
    a_script_runs(server.url(), &home).await;
    let run = |line: &str| fusebox(server.url(), line);
    let deployed = stdout(&deploy(server.url(), &home, "handler.js", "e: outputs its input", ""));
    assert!(deployed.contains("greeter version 3") && deployed.contains("runs on javascript"), "{deployed}");
    assert_eq!(stdout(&run("invoke greeter --data hello")), "hello");
    let missing = deploy(server.url(), &home, "handler.py", "e", " --language python3.11");
    assert!(stderr(&missing).contains("no runtime python3.11") && stderr(&missing).contains("python3.13"));
    let packages = home.path().join("greeter/requirements.txt");
    std::fs::write(packages, "# no package\n").unwrap();
    stdout(&deploy(server.url(), &home, "handler.py", "e", ""));
    let doctor =
        fusebox(server.url(), &format!("doctor --listen 127.0.0.1:0 --runtimes {}/runtimes", home.path().display()));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("javascript, python3.13"), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_in_processes_of_their_own() {
    let (server, home) = host(&["--isolate", "process"]);
    a_script_runs(server.url(), &home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_on_push_and_pull_workers() {
    // A worker that compiles for itself, and one that gets the runtime's code.
    let token = ["--join-token", "0123456789abcdef0123456789abcdef"];
    for (mode, token) in [("push", &[][..]), ("pull", &token[..])] {
        let (server, home) = host(&[&["-m", mode, "-p", "0"], token].concat());
        let url = server.program().word("tcp://").unwrap();
        let _worker = worker(mode, 2, &url, &home, token);
        a_script_runs(server.url(), &home).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_checked_by_rest_nodes_and_run_by_dispatchers() {
    let home = tempfile::tempdir().unwrap();
    let dir = runtimes(home.path(), &["python3.13"], &guests::runtime()).display().to_string();
    let mut cluster = Cluster::new();
    let url = cluster.rest_with(&["--runtimes", &dir]);
    // A check needs no dispatcher.
    let faulty = deploy(&url, &home, "handler.py", "handler is missing", "");
    assert!(stderr(&faulty).contains("there is no function handle(input)"), "{}", stderr(&faulty));
    let (_dispatcher, _) = cluster.dispatcher("local", "0");
    a_script_runs(&url, &home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_keeps_the_runtime_that_it_was_made_with() {
    let (mut before, home) = host(&[]);
    stdout(&deploy(before.url(), &home, "handler.py", "e", ""));
    let old = before.client().get("/v1/functions/greeter").await.unwrap().json().unwrap();
    before.terminate().unwrap();
    assert!(before.exited(std::time::Duration::from_secs(60)).await.unwrap().success());
    // A runtime of the same name, with one more custom section.
    let newer = [&guests::runtime()[..], &[0, 2, 1, b'n']].concat();
    let dir = runtimes(home.path(), &["python3.13"], &newer).display().to_string();
    let server = Server::start(crate::options(&home, &["--runtimes", &dir])).unwrap();
    let run = |line: &str| fusebox(server.url(), line);
    assert_eq!(stdout(&run(&format!("invoke {} --data old", old["id"].as_str().unwrap()))), "old");
    stdout(&deploy(server.url(), &home, "handler.py", "e", ""));
    assert_eq!(stdout(&run("invoke greeter --data new")), "new");
    let new = server.client().get("/v1/functions/greeter").await.unwrap().json().unwrap();
    assert_ne!(old["module"], new["module"]);
    assert_eq!(old["runtime"], new["runtime"]);
    stdout(&run(&format!("functions {} --delete", new["id"].as_str().unwrap())));
    assert_eq!(stdout(&run("invoke greeter --data again")), "again");
}
