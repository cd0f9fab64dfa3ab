//! The environment of the command line: variables, proxies, a host that restarts, files from other systems, stores
//! examined by `doctor`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
};

use fusebox_harness::{guests, redis::RedisServer};
use serde_json::{Value, json};

use crate::{
    cli::{fusebox, stderr, stdout},
    server,
};

fn command(line: &str, envs: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.env_clear().envs(envs.iter().copied()).args(line.split(' ')).stdin(Stdio::null());
    command
}

fn run(line: &str, envs: &[(&str, &str)]) -> Output {
    command(line, envs).output().unwrap()
}

/// Runs a command that reads `stdin`.
fn feed(url: &str, line: &str, stdin: &[u8]) -> Output {
    let mut child = command(line, &[("FUSEBOX_URL", url)]);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

/// A waiting command whose stderr is read line by line.
struct Waiter(Child, BufReader<ChildStderr>);

impl Waiter {
    fn start(url: &str, line: &str) -> Self {
        let mut child = command(line, &[("FUSEBOX_URL", url)]);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Self(child, BufReader::new(stderr))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for its end; returns the exit status and the remaining output.
    fn end(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.1.read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap(), out, err)
    }
}

#[tokio::test]
async fn waits_print_the_id_first_and_go_on_over_a_restart_of_the_host() {
    let (server, home) = server(&[]);
    server.client().register("echo", "", &guests::echo()).await.unwrap();
    let url = server.url().to_owned();
    let items = home.path().join("items.ndjson");
    std::fs::write(&items, "{\"text\":\"a\",\"delay_ms\":3600000}\n").unwrap();

    let mut invoke = Waiter::start(&url, "invoke echo --data a --task --delay 1h");
    let mut batch = Waiter::start(&url, &format!("batch echo {} --items --wait --output json", items.display()));
    let invoked = invoke.line().strip_prefix("task ").unwrap().to_owned();
    let accepted: Value = serde_json::from_str(&batch.line()).unwrap();
    let batched = accepted["tasks"][0].as_str().unwrap().to_owned();
    let late = run(&format!("tasks {invoked} --wait --timeout 100ms"), &[("FUSEBOX_URL", &url)]);
    assert_eq!(late.status.code(), Some(5), "{}", stderr(&late));
    assert!(stderr(&late).contains("--timeout: not ended within 100ms"), "{}", stderr(&late));
    let mut events = Waiter::start(&url, &format!("tasks events {invoked} --output json"));
    let mut first = String::new();
    let mut told = BufReader::new(events.0.stdout.take().unwrap());
    told.read_line(&mut first).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["id"], invoked.as_str());

    let server = server.kill_and_restart_there(|| {
        for waiter in [&mut invoke, &mut batch, &mut events] {
            let away = waiter.line();
            assert!(away.contains("the host does not answer ("), "{away}");
        }
    });
    let server = server.unwrap();
    for waiter in [&mut invoke, &mut batch, &mut events] {
        let back = waiter.line();
        assert!(back.contains("the host answers again"), "{back}");
    }
    for id in [&invoked, &batched] {
        stdout(&fusebox(server.url(), &format!("tasks {id} --cancel")));
    }
    let (status, _, said) = invoke.end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.starts_with("error: cancelled: "), "{said}");
    let (status, answer, said) = batch.end();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status.code(), &answer["items"][0]["status"]), (Some(3), &json!("FAILED")), "{said}");
    let mut last = String::new();
    told.read_line(&mut last).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["status"], "FAILED");
    assert_eq!(events.0.wait().unwrap().code(), Some(0));
    let nobody = fusebox("http://127.0.0.1:1", &format!("tasks {invoked} --wait"));
    assert_eq!(nobody.status.code(), Some(5), "a host that never answered is not waited for: {}", stderr(&nobody));
}

/// Serves one request like a host without functions; reports the request's first line and its key.
fn proxy() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let _ = sender.send(head.join("\n"));
            let body = r#"{"items":[],"next":null}"#;
            let _ =
                write!(&stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        }
    });
    (url, requests)
}

#[tokio::test]
async fn a_proxy_is_for_other_machines_and_a_key_in_clear_is_warned_of() {
    let (server, _home) = server(&[]);
    let (proxy, requests) = proxy();
    let with = |url: &str, no_proxy: &str| {
        let all = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let proxies = all.map(|name| (name, proxy.as_str()));
        let more = [("FUSEBOX_URL", url), ("FUSEBOX_API_KEY", "hunter2"), ("NO_PROXY", no_proxy)];
        run("functions --output json", &[&proxies[..], &more].concat())
    };
    let port = server.url().rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "127.0.0.1."] {
        let output = with(&format!("http://{host}:{port}"), "");
        // A key unknown to the host is refused by the host itself.
        let (said, code) = (stderr(&output), output.status.code());
        assert!(code == Some(0) || said.contains("unauthorized"), "{host}: {code:?} {said}");
        assert!(!said.contains("proxy"), "{host}: {said}");
    }
    assert!(requests.try_recv().is_err(), "nothing went to the proxy");

    let output = with("http://fusebox.example:8000", "");
    assert_eq!(stdout(&output).trim(), "[]");
    assert!(
        requests.recv().unwrap().starts_with("GET http://fusebox.example:8000/v1/functions?"),
        "as proxies are asked"
    );
    assert!(stderr(&output).contains("without TLS") && !stderr(&output).contains("hunter2"), "{}", stderr(&output));
    let output = with("http://no-such-host.invalid:8000", "other.example, .invalid");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(requests.try_recv().is_err(), "NO_PROXY is heeded");
}

/// Returns the variables named in a command's help.
fn variables(help: &str) -> Vec<String> {
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split([']', '=']).next());
    named.map(str::to_owned).collect()
}

#[test]
fn a_variable_that_is_empty_is_as_unset_and_no_help_shows_one_that_is_set() {
    let mut seen = std::collections::BTreeSet::new();
    for line in [
        "up",
        "serve",
        "dispatcher -m push",
        "push-worker 1 tcp://a:1",
        "deploy a.wasm",
        "invoke f",
        "tasks",
        "keys list",
        "doctor",
        "bench",
    ] {
        let help = stdout(&run(&format!("{line} --help"), &[]));
        let names = variables(&help);
        let line = format!("{line} --dump-config");
        let empty: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(stdout(&run(&line, &empty)), stdout(&run(&line, &[])), "{line}");
        let canary: Vec<_> = names.iter().map(|name| (name.as_str(), "hunter2")).collect();
        let canary: Vec<_> = canary.into_iter().filter(|(name, _)| *name != "FUSEBOX_CONFIG").collect();
        let help = stdout(&run(&line.replace("--dump-config", "--help"), &canary));
        assert!(!help.contains("hunter2"), "{help}");
        seen.extend(names);
    }
    for name in ["FUSEBOX_STORE", "FUSEBOX_API_KEY", "FUSEBOX_JOIN_TOKEN", "FUSEBOX_URL", "FUSEBOX_CORS_ORIGIN"] {
        assert!(seen.contains(name), "{name}: {seen:?}");
    }
}

#[test]
fn lists_are_dumped_whole_and_read_back() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("settings.toml");
    let line = "up --cors-origin https://a.example --cors-origin https://b.example,https://c.example --dump-config";
    let dumped = stdout(&run(line, &[]));
    let list = r#"cors-origin = ["https://a.example", "https://b.example", "https://c.example"]"#;
    assert!(dumped.contains(list), "{dumped}");
    std::fs::write(&file, format!("\u{feff}{dumped}")).unwrap();
    let again = stdout(&run(&format!("up --config {} --dump-config", file.display()), &[]));
    assert!(again.contains(&format!("{list}  # the file")), "{again}");
}

#[tokio::test]
async fn a_secret_loses_one_line_end_and_batches_of_other_systems_are_read() {
    let (server, home) = server(&[]);
    let client = server.client();
    client.register("keeper", "&grants=config,secrets,kv", &guests::keeper()).await.unwrap();
    for (stdin, kept) in [("a\r\n", "a"), ("a\n", "a"), ("a\r\n\r\n", "a\r\n"), ("a", "a")] {
        stdout(&feed(server.url(), "secrets set keeper KEY", stdin.as_bytes()));
        let answer = fusebox(server.url(), "invoke keeper --data sKEY");
        // The length precedes it, in 8 bytes.
        assert_eq!(&answer.stdout[8..], kept.as_bytes(), "{stdin:?}: {}", stderr(&answer));
    }
    client.register("echo", "", &guests::echo()).await.unwrap();
    let batch = |bytes: &[u8], more: &str| {
        let file = home.path().join("lines");
        std::fs::write(&file, bytes).unwrap();
        fusebox(server.url(), &format!("batch echo {} --wait --output json{more}", file.display()))
    };
    for (bytes, more) in [("\u{feff}a\r\n", ""), ("\u{feff}{\"text\":\"a\"}\r\n", " --items")] {
        let answer: Value = serde_json::from_str(&stdout(&batch(bytes.as_bytes(), more))).unwrap();
        assert_eq!(answer["items"][0]["result"], "YQ==", "{answer}");
    }
    let refused = batch(b"\xff\xfea\0\r\0\n\0", "");
    assert!(stderr(&refused).contains("UTF-16") && refused.status.code() == Some(1), "{}", stderr(&refused));
}

#[test]
fn doctor_understands_each_store_and_leaves_nothing() {
    let redis = RedisServer::start(&[]).unwrap();
    redis.command(&["ACL", "SETUSER", "me", "on", ">hunter2", "~*", "+@all"]).unwrap();
    let home = tempfile::tempdir().unwrap();
    let store = |address: &str, dir: &Path| {
        let output = command("doctor --listen 127.0.0.1:0 --output json", &[("FUSEBOX_STORE", address)])
            .current_dir(dir)
            .output();
        let output = output.unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert!(!format!("{findings}{}", stderr(&output)).contains("hunter2"), "{findings}");
        findings.as_array().unwrap().iter().find(|finding| finding["what"] == "store").unwrap().clone()
    };
    let found = store(&format!("redis://me:hunter2@127.0.0.1:{}", redis.port()), home.path());
    assert_eq!(found["verdict"], "warning", "{found}");
    assert!(found.to_string().contains("set maxmemory"), "{found}");
    redis.command(&["CONFIG", "SET", "maxmemory", "1gb"]).unwrap();
    let found = store(&format!("redis://me:hunter2@127.0.0.1:{}", redis.port()), home.path());
    assert_eq!(found["verdict"], "ok", "{found}");
    assert_eq!(redis.command(&["DBSIZE"]).unwrap(), "0");
    assert_eq!(redis.command(&["FUNCTION", "LIST"]).unwrap(), "", "no library is loaded");
    for address in [
        "redis+sentinel://me:hunter2@127.0.0.1:1/main",
        "redis+cluster://me:hunter2@127.0.0.1:1",
        "redis://me:hunter2@127.0.0.1:1",
    ] {
        let found = store(address, home.path());
        assert_eq!(found["verdict"], "missing", "{found}");
    }
    assert_eq!(store("some/new/dir", home.path())["verdict"], "ok");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is made");
}

#[test]
fn doctor_calls_no_limit_a_fault_that_up_lives_with() {
    let script = format!("ulimit -n 300; {} doctor --listen 127.0.0.1:0 --output json", env!("CARGO_BIN_EXE_fusebox"));
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("sh").args(["-c", &script]).current_dir(home.path()).output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "open files").unwrap();
    assert_eq!(files["verdict"], "ok", "{findings}");
    assert!(files["found"].as_str().unwrap().starts_with("300 allowed"), "{files}");
}

#[test]
fn a_store_is_migrated_and_what_cannot_be_one_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("store");
    let run = |words: &str| run(&format!("{words} --store {}", dir.display()), &[]);
    let refused = run("store migrate");
    assert!(!refused.status.success() && stderr(&refused).contains("there is no store"), "{}", stderr(&refused));
    assert!(!dir.exists(), "nothing is made");
    assert!(run("keys list").status.success());
    assert!(stdout(&run("store migrate")).contains("nothing to do: every record has layout"));
    std::fs::write(dir.join("format"), "another program's").unwrap();
    for words in ["store migrate", "keys list", "up --listen 127.0.0.1:0"] {
        let refused = run(words);
        let told = stderr(&refused);
        assert!(!refused.status.success() && told.contains("use the version that made it, or another store"), "{told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    }
}
