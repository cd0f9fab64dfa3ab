//! Events that a server survives: unread output, a terminal that hangs up, a replaced binary, and running as the first
//! process of a container.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use fusebox_harness::{Client, Program, eventually, guests, redis::RedisServer};
use reqwest::StatusCode;
use rustix::{
    io::ioctl_fionbio,
    process::{Pid, Signal, kill_process},
};

/// Maximum wait for events that are expected soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that is killed if a test ends before it.
struct Killed(Child);

impl Killed {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        let end = || {
            let status = self.0.try_wait().unwrap();
            async move { status }
        };
        eventually("the process's end", PATIENCE, end).await.unwrap()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a port that is free now, for servers whose stdout is not read.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn up(home: &Path, port: u16, log: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(["up", "-w", "1", "--log", log, "--listen", &format!("127.0.0.1:{port}"), "--store"]);
    command.arg(home.join("store"));
    command
}

async fn well(client: &Client) {
    let well =
        || async { client.get("/readyz").await.is_ok_and(|answer| answer.status == StatusCode::OK).then_some(()) };
    eventually("a host that is ready", PATIENCE, well).await.unwrap();
}

/// Starts a host with the given stdout and stderr, and checks that it drains an active run when terminated.
async fn drains_a_run(stdout: Stdio, stderr: Stdio, unread: impl FnOnce()) {
    let home = tempfile::tempdir().unwrap();
    let port = port();
    let client = Client::new(format!("http://127.0.0.1:{port}"));
    let mut host = Killed(up(home.path(), port, "debug").stdout(stdout).stderr(stderr).spawn().unwrap());
    unread();
    well(&client).await;
    client.register("slow-echo", "", &guests::slow_echo()).await.unwrap();
    let task = client.submit("slow-echo", b"drained").await.unwrap();
    let runs = || async { (client.busy_slots().await.ok()? == 1).then_some(()) };
    eventually("a run", PATIENCE, runs).await.unwrap();
    host.signal(Signal::TERM);
    assert!(host.ended().await.success());
    let again = Program::start(up(home.path(), port, "warn"), "listening").unwrap();
    let task = client.ended(&task).await.unwrap();
    assert_eq!((&task["status"], &task["attempt"]), (&"COMPLETED".into(), &1.into()), "{task}");
    drop(again);
}

#[tokio::test]
async fn a_host_whose_streams_are_full_or_closed_serves_and_drains() {
    let full = || Stdio::from(File::create("/dev/full").unwrap());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    tokio::join!(
        drains_a_run(full(), full(), || {}),
        drains_a_run(closed(), closed(), || {}),
        // Its reader ends after the host has started to write.
        async {
            let (reader, writer) = std::io::pipe().unwrap();
            let also = writer.try_clone().unwrap();
            drains_a_run(writer.into(), also.into(), move || {
                BufReader::new(reader).read_line(&mut String::new()).unwrap();
            })
            .await;
        },
    );
}

/// Returns a full pipe with its reader, which does not read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4_096]).is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_host_whose_readers_do_not_read_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let port = port();
    let (_reader, writer) = full_pipe();
    let mut command = up(home.path(), port, "trace");
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut host = Killed(command.spawn().unwrap());
    let client = Client::new(format!("http://127.0.0.1:{port}"));
    well(&client).await;
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"on").await.unwrap();
    assert_eq!(client.ended(&task).await.unwrap()["status"], "COMPLETED");
    host.signal(Signal::TERM);
    assert!(host.ended().await.success());
}

/// Waits for a line of a log file.
async fn logged(log: &Path, words: &str) {
    let said = || async { fs::read_to_string(log).unwrap().contains(words).then_some(()) };
    let said = eventually(words, PATIENCE, said).await;
    said.unwrap_or_else(|error| panic!("{error}: {}", fs::read_to_string(log).unwrap()));
}

#[tokio::test]
async fn every_server_lives_through_sighup_and_takes_what_it_can() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let settings = home.path().join("settings.toml");
    fs::write(&settings, "log = \"info\"\nattempts-max = 3\n").unwrap();
    let start = |line: &str, ready: &str| {
        let name = line.split(' ').next().unwrap();
        let log = home.path().join(format!("{name}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.args(line.split(' ')).arg("--config").arg(&settings);
        command.arg("--data").arg(home.path().join(name)).stderr(File::create(&log).unwrap());
        (Program::start(command, ready).unwrap(), log)
    };
    let store = redis.url();
    let serve = start(&format!("serve --listen 127.0.0.1:0 --store {store}"), "http://");
    let host = home.path().join("store");
    let up = start(&format!("up --listen 127.0.0.1:0 -w 1 --isolate process --store {}", host.display()), "http://");
    let dispatcher = start(&format!("dispatcher -m push -p 0 --store {store}"), "tcp://");
    let address = dispatcher.0.word("tcp://").unwrap();
    let worker = start(&format!("push-worker 1 {address}"), "Joined");
    let servers = [&serve, &up, &dispatcher, &worker];
    for (server, log) in servers {
        server.hang_up().unwrap();
        logged(log, "SIGHUP:").await;
    }
    fs::write(&settings, "log = \"debug\"\nattempts-max = 4\n").unwrap();
    for (server, log) in servers {
        server.hang_up().unwrap();
        // The whole group, as a terminal does, including the processes of runs.
        for (child, _) in children(server.pid()) {
            kill_process(child, Signal::HUP).unwrap();
        }
        let is_worker = std::ptr::eq(log, &raw const worker.1);
        logged(log, if is_worker { "SIGHUP:" } else { "the log filter has changed" }).await;
    }
    logged(&serve.1, "settings=\"attempts-max\"").await;
    for url in [serve.0.word("http://").unwrap(), up.0.word("http://").unwrap()] {
        let client = Client::new(url);
        client.register("echo", "", &guests::echo()).await.unwrap();
        let task = client.submit("echo", b"on").await.unwrap();
        assert_eq!(client.ended(&task).await.unwrap()["attempt"], 1);
    }
}

/// Returns the children of a process, with their names.
fn children(of: u32) -> Vec<(Pid, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name may contain any characters, including parentheses.
        let (name, after) = stat.rsplit_once(')')?;
        let parent = after.split_whitespace().nth(1)?;
        let name = name.split_once('(')?.1.to_owned();
        (parent == of.to_string()).then_some((Pid::from_raw(pid)?, name))
    });
    processes.collect()
}

#[tokio::test]
async fn a_host_whose_file_was_replaced_registers_and_runs_on() {
    for isolate in ["none", "process"] {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("fusebox");
        fs::copy(env!("CARGO_BIN_EXE_fusebox"), &program).unwrap();
        let mut command = Command::new(&program);
        command.args(["up", "-w", "1", "--isolate", isolate, "--listen", "127.0.0.1:0", "--log", "warn", "--store"]);
        let host = Program::start(
            {
                command.arg(home.path().join("store"));
                command
            },
            "http://",
        )
        .unwrap();
        let client = Client::new(host.word("http://").unwrap());
        fs::remove_file(&program).unwrap();
        client.register("echo", "", &guests::echo()).await.unwrap();
        fs::write(&program, "another version").unwrap();
        client.register("slow-echo", "", &guests::slow_echo()).await.unwrap();
        for name in ["echo", "slow-echo"] {
            let answer = client.post(&format!("/v1/functions/{name}/invoke"), "on").await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"on".as_slice()), "{isolate} {name}");
        }
    }
}

#[tokio::test]
async fn the_first_process_of_a_container_buries_orphans_and_passes_signals_on() {
    let inside = |pid: u32, line: &str| {
        let pid = pid.to_string();
        Command::new("nsenter").args(["--target", &pid, "--pid", "--mount", "sh", "-c", line]).status()
    };
    let namespace = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let made = Command::new("unshare").args(namespace).arg("true").status();
    if !made.is_ok_and(|status| status.success()) {
        return println!("NOT CHECKED: process namespaces need root and `unshare`");
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(namespace).arg(env!("CARGO_BIN_EXE_fusebox"));
    command.args(["up", "-w", "1", "--listen", "127.0.0.1:0", "--log", "warn", "--store"]);
    command.arg(home.path().join("store"));
    let mut host = Program::start(command, "http://").unwrap();
    let client = Client::new(host.word("http://").unwrap());
    let first = children(host.pid())[0].0;
    let first_id = u32::try_from(first.as_raw_nonzero().get()).unwrap();
    // Its parent ends before it does.
    assert!(inside(first_id, "sleep 1000 &").unwrap().success());
    let orphan = || {
        let found = children(first_id).into_iter().find(|(_, name)| name == "sleep");
        async move { found }
    };
    let (orphan, _) = eventually("an orphan", PATIENCE, orphan).await.unwrap();
    kill_process(orphan, Signal::KILL).unwrap();
    let buried = || async { children(first_id).iter().all(|(child, _)| *child != orphan).then_some(()) };
    eventually("an orphan that is buried", PATIENCE, buried).await.unwrap();
    client.register("echo", "", &guests::echo()).await.unwrap();
    kill_process(first, Signal::TERM).unwrap();
    assert!(host.exited(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn every_process_tells_its_health_on_a_listener_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]).unwrap();
    let start = |line: &str, ready: &str| {
        let name = line.split(' ').next().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command.args(line.split(' ')).args(["--admin-listen", "127.0.0.1:0", "--log", "warn", "--data"]);
        command.arg(home.path().join(name));
        Program::start(command, ready).unwrap()
    };
    let store = redis.url();
    let serve = start(&format!("serve --listen 127.0.0.1:0 --store {store}"), "listening");
    let up = format!("up --listen 127.0.0.1:0 -w 1 --store {}", home.path().join("store").display());
    let up = start(&up, "listening");
    let dispatcher = start(&format!("dispatcher -m push -p 0 --store {store}"), "listening");
    // A server's own address comes first, since programs take it from the first line.
    let address = dispatcher.word("tcp://").unwrap();
    for server in [&serve, &up] {
        let own = Client::new(server.word("http://").unwrap());
        assert_eq!(own.get("/v1/functions").await.unwrap().status, StatusCode::OK);
    }
    let healths = [&serve, &up, &dispatcher].map(told);
    for jail in ["auto", "off"] {
        let worker = start(&format!("push-worker 1 {address} --jail {jail}"), "Health and metrics");
        tells(&Client::new(worker.word("http://").unwrap())).await;
    }
    for health in &healths {
        tells(health).await;
    }
    let other = healths[0].get("/v1/functions").await.unwrap();
    assert_eq!(other.status, StatusCode::NOT_FOUND, "nothing else is there");
}

/// Returns a client of the address at which a server reports its health.
fn told(server: &Program) -> Client {
    Client::new(server.said("Health and metrics").unwrap().split_whitespace().last().unwrap())
}

async fn tells(client: &Client) {
    well(client).await;
    assert_eq!(client.get("/healthz").await.unwrap().body, b"ok");
    let metrics = client.get("/metrics").await.unwrap();
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"), "{metrics}");
    assert!(String::from_utf8(metrics.body).unwrap().contains("fusebox_slots_busy"));
}

#[tokio::test]
async fn a_host_that_drains_says_so_serves_on_for_the_delay_and_lets_nobody_wait() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(["up", "-m", "push", "-p", "0", "--listen", "127.0.0.1:0", "--drain-delay", "2s", "--log", "warn"]);
    command.arg("--store").arg(home.path().join("store"));
    let mut host = Program::start(command, "http://").unwrap();
    let url = host.word("http://").unwrap();
    let client = Client::new(&url);
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"nobody runs it").await.unwrap();
    let path = format!("/v1/tasks/{task}");
    let (waiting, waiting_path) = (client.clone(), path.clone());
    let wait = tokio::spawn(async move {
        waiting.send(reqwest::Method::GET, &waiting_path, &[("prefer", "wait=50")], []).await.unwrap()
    });
    host.terminate().unwrap();
    let drains = || async {
        let ready = Client::new(&url).get("/readyz").await.unwrap();
        (ready.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    };
    eventually("a host that says it drains", PATIENCE, drains).await.unwrap();
    let fresh = Client::new(&url).get(&path).await.unwrap();
    assert_eq!(fresh.status, StatusCode::OK, "new connections are served on");
    let answer = tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.json().unwrap()["status"]), (StatusCode::OK, &"QUEUED".into()));
    assert!(host.exited(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut command = up(home.path(), port(), "warn");
    command.args(["--drain-delay", "10m"]);
    let mut host = Program::start(command, "http://").unwrap();
    let client = Client::new(host.word("http://").unwrap());
    well(&client).await;
    host.terminate().unwrap();
    let drains =
        || async { client.get("/readyz").await.is_ok_and(|answer| answer.status != StatusCode::OK).then_some(()) };
    eventually("a host that drains", PATIENCE, drains).await.unwrap();
    host.terminate().unwrap();
    assert!(host.exited(PATIENCE).await.unwrap().success());
}
