//! Tests of servers with a Redis that starts late, refuses, or comes back empty; and of its options.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use fusebox_harness::{Client, Program, eventually, guests, redis::RedisServer};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Maximum wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with its log in a file. It is killed at the end of the test.
struct Logged {
    child: Child,
    log: std::path::PathBuf,
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Logged {
    fn start(home: &TempDir, args: &[&str], url: &str) -> Self {
        let log = home.path().join(format!("{}.log", args[0]));
        let child = fusebox(home.path(), args, url).stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn();
        Self { child: child.unwrap(), log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn says(&self, words: &str) {
        let said = || async { self.said().contains(words).then_some(()) };
        eventually(words, PATIENCE, said).await.unwrap_or_else(|_| panic!("{words:?} in {}", self.said()));
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let end = || {
            let status = child.try_wait().unwrap();
            async move { status }
        };
        eventually("the process's end", PATIENCE, end).await.unwrap()
    }
}

fn fusebox(home: &Path, args: &[&str], url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_remove("FUSEBOX_STORE").args(args).args(["--store", url, "--data"]).arg(home.join("data"));
    command
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const DISPATCHER: [&str; 5] = ["dispatcher", "-m", "local", "-w", "1"];

#[tokio::test]
async fn servers_wait_for_their_redis_and_say_so_once() {
    let home = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]).unwrap();
    redis.kill().unwrap();
    let up = ["up", "--listen", "127.0.0.1:0", "-w", "1"];
    let waiting = [&SERVE[..], &DISPATCHER[..], &up].map(|args| Logged::start(&home, args, &redis.url()));
    for server in &waiting {
        server.says("waiting up to 60 s for the store: cannot reach Redis").await;
    }
    redis.restart().unwrap();
    for server in &waiting {
        server.says("the store is available").await;
        assert_eq!(server.said().matches("waiting up to").count(), 1, "{}", server.said());
    }
}

#[tokio::test]
async fn a_signal_or_the_bound_ends_the_wait() {
    let home = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]).unwrap();
    redis.kill().unwrap();
    for args in [&SERVE[..], &DISPATCHER[..]] {
        let mut server = Logged::start(&home, args, &redis.url());
        server.says("waiting up to").await;
        kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
        assert!(server.ended().await.success(), "{}", server.said());
    }
    for (wait, told) in [("1", "--store-wait"), ("0", "is it running?")] {
        let mut server = Logged::start(&home, &[&SERVE[..], &["--store-wait", wait]].concat(), &redis.url());
        assert!(!server.ended().await.success());
        assert!(server.said().contains(told) && server.said().contains("refuses connections"), "{}", server.said());
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&["--requirepass", "hunter2"]).unwrap();
    let url = redis.url().replace("redis://", "redis://:hunter4@");
    for args in [&SERVE[..], &DISPATCHER[..]] {
        let mut server = Logged::start(&home, &[args, &["--store-wait", "86400"]].concat(), &url);
        assert!(!server.ended().await.success());
        assert!(server.said().contains("refuses the user or the password"), "{}", server.said());
        assert!(!server.said().contains("hunter") && !server.said().contains("waiting"), "{}", server.said());
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_and_opens_no_door() {
    let home = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]).unwrap();
    let log = home.path().join("log");
    let args = [&SERVE[..], &["--admin-listen", "127.0.0.1:0"]].concat();
    let mut command = fusebox(home.path(), &args, &redis.url());
    command.stderr(File::create(&log).unwrap());
    let serve = Program::start(command, "listening").unwrap();
    let client = Client::new(serve.word("http://").unwrap());
    let admin = Client::new(serve.said("Health and metrics").unwrap().split_whitespace().last().unwrap());
    client.register("echo", "", &guests::echo()).await.unwrap();
    // The first key is made at the store, as another process makes it.
    let mut keys = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    keys.args(["keys", "create", "--scope", "admin", "--store", &redis.url()]);
    assert!(keys.output().unwrap().status.success());
    let closed =
        || async { (client.get("/v1/functions").await.ok()?.status == StatusCode::UNAUTHORIZED).then_some(()) };
    eventually("the first key to close the host", PATIENCE, closed).await.unwrap();

    redis.restart_empty().unwrap();
    let lost = || async {
        let metrics = admin.get("/metrics").await.ok()?;
        String::from_utf8_lossy(&metrics.body).contains("fusebox_store_lost 1").then_some(())
    };
    eventually("the metrics to say it", PATIENCE, lost).await.unwrap();
    for (name, client) in [("REST", &client), ("admin", &admin)] {
        let ready = client.get("/readyz").await.unwrap();
        let told = ready.json().unwrap()["detail"].to_string();
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {told}");
        assert!(told.contains("functions"), "{name}: {told}");
    }
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("is not the store that this process started with").count(), 1, "{said}");
    assert!(said.contains("ERROR") && said.contains("restart every process"), "{said}");
    let keyless = client.get("/v1/functions").await.unwrap();
    assert_eq!(keyless.status, StatusCode::UNAUTHORIZED, "who saw a key stays closed: {keyless}");
    let making = client.post_json("/v1/keys", &serde_json::json!({"scope": "admin"})).await.unwrap();
    assert_eq!(making.status, StatusCode::UNAUTHORIZED, "{making}");
    assert_eq!(redis.command(&["EXISTS", "fusebox:store", "fusebox:keyed"]).unwrap(), "0");
}

/// Returns the words of the `ACL SETUSER` line in the README, with a prefix and a password.
fn readme_rules(password: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let block = readme.split("```text\n").find(|block| block.starts_with("ACL SETUSER")).unwrap();
    let line = block.split("```").next().unwrap().replace("~*", "~acme:*").replace("&*", "&acme:*");
    line.split_whitespace().map(|word| word.replace("PASSWORD", password)).collect()
}

#[tokio::test]
async fn the_main_job_by_a_socket_with_a_prefix_and_the_permissions_of_the_readme() {
    let home = tempfile::tempdir().unwrap();
    let (socket, file) = (home.path().join("redis.sock"), home.path().join("password"));
    let redis = RedisServer::start(&["--unixsocket", socket.to_str().unwrap()]).unwrap();
    let password = "hunter2 #?/@%41:ü";
    let rules = readme_rules(password);
    redis.command(&rules.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    fs::write(&file, format!("{password}\r\n")).unwrap();
    let url = format!("unix://fusebox@{}", socket.display());
    let options = ["--store", &url, "--store-password-file", file.to_str().unwrap(), "--store-prefix", "acme"];
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fusebox")).args(args).args(options).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!told.contains("hunter2"), "{told}");
        (output, told)
    };
    let (_, told) = run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("redis.sock"), "{told}");
    assert_eq!(redis.command(&["DBSIZE"]).unwrap(), "0");
    let (_, dumped) = run(&["--dump-config", "serve"]);
    assert!(dumped.contains("store-prefix = \"acme\"") && dumped.contains("store-wait = 60"), "{dumped}");

    let start = |args: &[&str], ready: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        command
            .env_remove("FUSEBOX_STORE")
            .args(args)
            .args(options)
            .args(["--log", "info", "--data"])
            .arg(home.path().join("data"));
        command.stderr(File::create(home.path().join(format!("{}.log", args[0]))).unwrap());
        Program::start(command, ready).unwrap()
    };
    let rest = start(&SERVE, "listening");
    let _dispatcher = start(&DISPATCHER, "Dispatcher");
    let client = Client::new(rest.word("http://").unwrap());
    client.register("echo", "", &guests::echo()).await.unwrap();
    let task = client.submit("echo", b"through a socket").await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["status"], "COMPLETED", "{ended}");
    let invoked = client.post("/v1/functions/echo/invoke", "now").await.unwrap();
    assert_eq!((invoked.status, &invoked.body[..]), (StatusCode::OK, &b"now"[..]), "{invoked}");
    let (created, told) = run(&["keys", "create", "--scope", "admin"]);
    assert!(created.status.success(), "{told}");
    let keys = redis.command(&["KEYS", "*"]).unwrap();
    assert!(keys.lines().all(|key| key.starts_with("acme:")), "{keys}");
    for log in ["serve.log", "dispatcher.log"] {
        let said = fs::read_to_string(home.path().join(log)).unwrap();
        assert!(!said.contains("hunter2") && !said.contains("ERROR"), "{said}");
    }
}
