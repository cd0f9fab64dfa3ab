//! HTTP requests of functions to a server of this test, in `up` and from push and pull workers, with and without the
//! operator's permission for loopback.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fusebox_harness::{Client, Program, Web, guests};
use serde_json::Value;

use crate::server;

const ALLOW: [&str; 2] = ["--egress-allow-private", "127.0.0.0/8"];
/// Number of the refusal as output by the guest.
const NOT_ALLOWED: &str = "5";

/// Starts a server with one regular response, and one redirect to a forbidden address.
async fn web() -> Web {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n";
    let answers = [("/hi", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"), ("/away", redirect)];
    Web::start(&answers.map(|(path, answer)| (path, answer.to_owned()))).await.unwrap()
}

async fn register(client: &Client, web: &Web) {
    let grants = format!("&grants=http={},http=localhost:{}", web.address(), web.address().port());
    client.register("fetch", &grants, &guests::http()).await.unwrap();
}

fn get(web: &Web, path: &str) -> String {
    format!("GET http://{}{path}\nx-own: 1\n\n", web.address())
}

/// Runs a request as a task; returns its output or its error.
async fn sent(client: &Client, request: &str) -> Result<String, String> {
    let task = client.submit("fetch", request.as_bytes()).await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    let result = ended["result"].as_str().map(|text| String::from_utf8(BASE64.decode(text).unwrap()).unwrap());
    match ended["status"] == "COMPLETED" {
        true => Ok(result.unwrap()),
        false => Err(ended["error"]["message"].as_str().unwrap().to_owned()),
    }
}

async fn requests_go_where_they_may(client: &Client, web: &Web) {
    let answer = sent(client, &get(web, "/hi")).await.unwrap();
    assert!(answer.starts_with("200\n") && answer.ends_with("\n\nhi"), "{answer}");
    let by_name = format!("GET http://localhost:{}/hi\n\n", web.address().port());
    assert!(sent(client, &by_name).await.unwrap().ends_with("\n\nhi"));
    let redirect = sent(client, &get(web, "/away")).await.unwrap();
    assert!(redirect.starts_with("302\nlocation: http://169.254.169.254/latest/\n"), "{redirect}");
    for elsewhere in ["http://127.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/", "https://example.com/"] {
        assert_eq!(sent(client, &format!("GET {elsewhere}\n\n")).await.unwrap_err(), NOT_ALLOWED, "{elsewhere}");
    }
    let seen = web.requests();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[0].contains("\r\nx-own: 1\r\n") && seen[0].contains(&format!("\r\nhost: {}\r\n", web.address())));
}

async fn nothing_is_reached(client: &Client, web: &Web) {
    for request in [get(web, "/hi"), format!("GET http://localhost:{}/hi\n\n", web.address().port())] {
        assert_eq!(sent(client, &request).await.unwrap_err(), NOT_ALLOWED, "{request}");
    }
    assert!(web.requests().is_empty(), "{:?}", web.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_sends_what_it_may() {
    let web = web().await;
    let (server, _home) = server(&ALLOW);
    let client = server.client();
    register(&client, &web).await;
    requests_go_where_they_may(&client, &web).await;
    // A sync invoke sends requests in the same way.
    let answer = client.post("/v1/functions/fetch/invoke", get(&web, "/hi")).await.unwrap();
    assert!(answer.body.ends_with(b"\n\nhi"), "{answer}");
    let metrics = String::from_utf8(client.get("/metrics").await.unwrap().body).unwrap();
    for line in ["fusebox_egress_answered 4", "fusebox_egress_refused{reason=\"host\"} 4"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_takes_the_operators_word() {
    let web = web().await;
    let off = ["--egress", "off", ALLOW[0], ALLOW[1]];
    let denied = [ALLOW[0], ALLOW[1], "--egress-deny", "127.0.0.1", "--egress-deny", "localhost"];
    for args in [&[][..], &off, &denied, &["--egress-allow-private", "10.0.0.0/8,fd00::/8"]] {
        let (server, _home) = server(args);
        register(&server.client(), &web).await;
        nothing_is_reached(&server.client(), &web).await;
    }
}

async fn a_worker_sends_what_it_may(mode: &str) {
    let web = web().await;
    let (server, home) = server(&["-m", mode, "-p", "0"]);
    let client = server.client();
    register(&client, &web).await;
    let url = server.program().word("tcp://").unwrap();
    let worker = |name: &str, more: &[&str]| {
        let data = home.path().join(name).display().to_string();
        let mut program = Command::new(env!("CARGO_BIN_EXE_fusebox"));
        program.args([&format!("{mode}-worker"), "1", &url, "--data", &data, "--log", "warn"]).args(more);
        Program::start(program, "Joined").unwrap()
    };
    let mut wary = worker("wary", &[]);
    nothing_is_reached(&client, &web).await;
    wary.kill().unwrap();
    let mut denied = worker("denied", &[ALLOW[0], ALLOW[1], "--egress-deny", "127.0.0.0/8,localhost"]);
    nothing_is_reached(&client, &web).await;
    denied.kill().unwrap();
    let _open = worker("open", &ALLOW);
    requests_go_where_they_may(&client, &web).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_worker_sends_what_it_may() {
    a_worker_sends_what_it_may("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_worker_sends_what_it_may() {
    a_worker_sends_what_it_may("pull").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_costs_the_run_its_time_and_no_more() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, _home) = server(&ALLOW);
    let client = server.client();
    let address = silent.local_addr().unwrap();
    client.register("fetch", &format!("&wall_ms=300&grants=http={address}"), &guests::http()).await.unwrap();
    let answer = client.post("/v1/functions/fetch/invoke", format!("GET http://{address}/\n\n")).await.unwrap();
    assert_eq!(answer.code(), "deadline-exceeded", "{answer}");
    let receipt: Value = answer.json().unwrap();
    assert!(receipt["receipt"]["wall_us"].as_u64().unwrap() < 2_000_000, "{receipt}");
}
