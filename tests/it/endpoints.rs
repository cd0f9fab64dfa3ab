//! Functions that answer HTTP, in every mode: core functions, commands by CGI, and functions of bytes; requests as
//! tasks; hostile responses; strangers who read slowly.

use std::io::{Read as _, Write as _};

use fusebox_harness::{Client, Server, guests};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::{cluster::Cluster, modes, server};

/// A core function with this memory whose `fusebox_http` executes `handle`, and returns the record at address 0.
fn http(more: &str, handle: &str) -> Vec<u8> {
    guests::wasm(&format!(
        r#"(module (memory (export "memory") 4) {more}
            (func (export "fusebox_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "fusebox_http") (param i32 i32) (result i32) {handle} (i32.const 0)))"#
    ))
}

/// A function that gives this response.
fn answering(response: &str) -> Vec<u8> {
    let bytes: String = response.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    http(
        &format!(r#"(data (i32.const 65536) "{bytes}")"#),
        &format!(
            "(i32.store (i32.const 4) (i32.const 65536)) (i32.store (i32.const 8) (i32.const {}))",
            response.len()
        ),
    )
}

/// A function whose response has status 200 and the request as its body: the head lies right before the input.
fn mirror() -> Vec<u8> {
    http(
        r#"(data (i32.const 1019) "200\0a\0a")"#,
        "(i32.store (i32.const 4) (i32.const 1019)) (i32.store (i32.const 8) (i32.add (local.get 1) (i32.const 5)))",
    )
}

/// A command that answers as CGI does, with its environment as the body.
fn cgi() -> Vec<u8> {
    guests::wasm(
        r#"(module
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 4)
            (data (i32.const 64) "Status: 203 So\0aContent-Type: text/plain\0d\0a\0a")
            (func $put (param i32 i32)
                (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
            (func (export "_start")
                (drop (call $sizes (i32.const 0) (i32.const 4)))
                (drop (call $environ (i32.const 4096) (i32.const 65536)))
                (call $put (i32.const 64) (i32.const 42))
                (call $put (i32.const 65536) (i32.load (i32.const 4)))))"#,
    )
}

async fn deploy(client: &Client) {
    let page = "200\ncontent-type: text/html\nx-a: 1\nx-a: 2\n\n<p>";
    client.register("page", "&public=true", &answering(page)).await.unwrap();
    client.register("fault", "", &answering("503\nretry-after: 7\n\nbusy")).await.unwrap();
    client.register("mirror", "", &mirror()).await.unwrap();
    client.register("cgi", "", &cgi()).await.unwrap();
    client.register("echo", "", &guests::echo()).await.unwrap();
    client.register("trap", "", &guests::trap()).await.unwrap();
}

async fn functions_of_every_kind_answer(client: &Client) {
    let page = client.get("/fn/page/").await.unwrap();
    assert_eq!((page.status, &page.body[..]), (StatusCode::OK, b"<p>".as_slice()), "{page}");
    assert_eq!(page.headers.get_all("x-a").iter().count(), 2);
    assert!(page.header("fusebox-receipt").contains("fuel"), "{:?}", page.headers);
    let head = client.send(Method::HEAD, "/fn/page/", &[], []).await.unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (StatusCode::OK, "3", 0));

    let mirror = client.send(Method::PATCH, "/fn/mirror/a?b=c", &[("x-mine", "1")], "body").await.unwrap();
    let text = String::from_utf8(mirror.body).unwrap();
    assert!(
        text.starts_with("PATCH /a?b=c\n") && text.contains("\nx-mine: 1\n") && text.ends_with("\n\nbody"),
        "{text}"
    );

    let cgi = client.send(Method::PUT, "/fn/cgi/a%20b?x=1&y", &[("x-mine", "7")], "body").await.unwrap();
    assert_eq!((cgi.status.as_u16(), cgi.header("content-type")), (203, "text/plain"), "{cgi}");
    let text = String::from_utf8(cgi.body).unwrap();
    for variable in ["REQUEST_METHOD=PUT", "PATH_INFO=/a b", "QUERY_STRING=x=1&y", "HTTP_X_MINE=7", "CONTENT_LENGTH=4"]
    {
        assert!(text.split('\0').any(|other| other == variable), "{variable}: {text:?}");
    }

    let echo = client.post("/fn/echo/any/path", "text").await.unwrap();
    assert_eq!((echo.status, echo.header("content-type")), (StatusCode::OK, "text/plain; charset=utf-8"), "{echo}");
    let echo = client.post("/fn/echo/", b"\xff".as_slice()).await.unwrap();
    assert_eq!((echo.header("content-type"), &echo.body[..]), ("application/octet-stream", b"\xff".as_slice()));

    let fault = client.get("/fn/fault/").await.unwrap();
    assert_eq!((fault.status.as_u16(), fault.header("retry-after"), &fault.body[..]), (503, "7", b"busy".as_slice()));
    let trap = client.get("/fn/trap/").await.unwrap();
    assert_eq!((trap.status, trap.code().as_str()), (StatusCode::BAD_GATEWAY, "trap"), "{trap}");
}

async fn requests_are_tasks(client: &Client) {
    let later = [("prefer", "respond-async")];
    let accepted = client.send(Method::POST, "/fn/cgi/hook?a", &later, "body").await.unwrap();
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted}");
    let location = accepted.header("location").to_owned();
    let path = format!("{location}/result");
    let result = client.send(Method::GET, &path, &[("prefer", "wait=50")], []).await.unwrap();
    assert_eq!((result.status, result.header("fusebox-status")), (StatusCode::OK, "203"), "{result}");
    assert!(String::from_utf8_lossy(&result.body).contains("PATH_INFO=/hook"), "{result}");
    let failed = client.send(Method::POST, "/fn/fault/", &later, []).await.unwrap().json().unwrap();
    let ended = client.ended(failed["id"].as_str().unwrap()).await.unwrap();
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&"FAILED".into(), &"guest-error".into()), "{ended}");
    assert!(ended["error"].to_string().contains("status 503"), "{ended}");
    let invoked = client.post("/v1/functions/mirror/invoke", "input").await.unwrap();
    let text = String::from_utf8(invoked.body).unwrap();
    assert!(text.starts_with("POST /\n") && text.ends_with("\n\ninput"), "{text}");
    assert_eq!(invoked.headers["fusebox-status"], "200");
}

async fn all(client: &Client) {
    deploy(client).await;
    functions_of_every_kind_answer(client).await;
    requests_are_tasks(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_http_in_the_hosts_own_slots() {
    let (server, _home) = server(&[]);
    all(&server.client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_http_in_processes_of_their_own() {
    let (server, _home) = server(&["--isolate", "process"]);
    all(&server.client()).await;
}

async fn functions_answer_http_with_workers(mode: &str) {
    let (server, home, url): (Server, TempDir, String) = modes::host(mode, &[]);
    let _worker = modes::worker(mode, 2, &url, &home, &[]);
    all(&server.client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_http_with_push_workers() {
    functions_answer_http_with_workers("push").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_http_with_pull_workers() {
    functions_answer_http_with_workers("pull").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_answer_http_through_a_node_of_a_cluster() {
    let mut cluster = Cluster::new();
    let client = cluster.rest();
    let (_dispatcher, url) = cluster.dispatcher("push", "0");
    let _worker = cluster.worker("push", &url);
    all(&client).await;
    let tasks = client.get("/v1/tasks").await.unwrap().json().unwrap();
    assert!(tasks["items"].as_array().unwrap().len() >= 2, "the requests that were tasks stay: {tasks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_responses_are_contained_behind_a_url_too() {
    let (server, _home) = server(&[]);
    let client = server.client();
    client.register("neighbour", "", &guests::echo()).await.unwrap();
    for hostile in fusebox_hostile::corpus().into_iter().filter(|hostile| hostile.family == "http") {
        let path = format!("/v1/functions?name={}{}", hostile.name, hostile.limits);
        if client.post(&path, hostile.wasm.clone()).await.unwrap().status != StatusCode::CREATED {
            continue;
        }
        let answer = client.get(&format!("/fn/{}/", hostile.name)).await.unwrap();
        let status = answer.status.as_u16();
        assert!(
            matches!((hostile.name.as_str(), status), ("http-odd", 200) | ("http-fault", 503) | (_, 502)),
            "{answer}"
        );
        assert_eq!((answer.header("set-cookie"), answer.header("upgrade")), ("", ""), "{}", hostile.name);
        let neighbour = client.post("/fn/neighbour/", "fine").await.unwrap();
        assert_eq!(neighbour.body, b"fine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_reads_nothing_holds_no_slot() {
    let (server, _home) = server(&["--slots", "1"]);
    let client = server.client();
    client.register("large", "&output_bytes=6291456&public=true", &guests::echo()).await.unwrap();
    let address = server.url().trim_start_matches("http://").to_owned();
    let mut connections = Vec::new();
    for _ in 0..8 {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let body = vec![b'x'; 2 << 20];
        write!(stream, "POST /fn/large/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len())
            .unwrap();
        stream.write_all(&body).unwrap();
        connections.push(stream);
    }
    // Each has its whole response somewhere, and the slot is free for others.
    let answer = client.post("/fn/large/", "mine").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, b"mine".as_slice()), "{answer}");
    let mut start = [0; 12];
    connections[0].read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}
