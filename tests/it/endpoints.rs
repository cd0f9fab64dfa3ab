//! Functions that answer HTTP, in every mode: core functions, commands by CGI, and functions of bytes; requests as
//! tasks; hostile responses; strangers who read slowly.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use fusebox_harness::{Client, Server, guests};
use fusebox_hostile::component;
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

/// Settings of a host whose runs are on its threads, and of one whose runs are in processes.
const PLACES: [&[&str]; 2] = [&[], &["--isolate", "process"]];

async fn hostile_responses_are_contained(place: &[&str]) {
    let (server, _home) = server(place);
    let client = server.client();
    client.register("neighbour", "", &guests::echo()).await.unwrap();
    for hostile in fusebox_hostile::corpus().into_iter().filter(|hostile| ["http", "streams"].contains(&hostile.family))
    {
        let path = format!("/v1/functions?name={}{}", hostile.name, hostile.limits);
        if client.post(&path, hostile.wasm.clone()).await.unwrap().status != StatusCode::CREATED {
            continue;
        }
        match client.get(&format!("/fn/{}/", hostile.name)).await {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let is_right = match (hostile.name.as_str(), status) {
                    ("http-odd", 200) | ("http-fault", 503) => true,
                    (name, 201) => name == "stream-unread",
                    (_, status) => status == 502,
                };
                assert!(is_right, "{}: {answer}", hostile.name);
                assert_eq!((answer.header("set-cookie"), answer.header("upgrade")), ("", ""), "{}", hostile.name);
            }
            // A part of a response was passed on, and then cut off.
            Err(_) => assert_eq!(hostile.family, "streams", "{}", hostile.name),
        }
        let neighbour = client.post("/fn/neighbour/", "fine").await.unwrap();
        assert_eq!(neighbour.body, b"fine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_responses_are_contained_behind_a_url_too() {
    hostile_responses_are_contained(PLACES[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_responses_of_processes_are_contained_behind_a_url_too() {
    hostile_responses_are_contained(PLACES[1]).await;
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

/// Reads from a connection until what has come ends with these bytes.
fn read_until(stream: &mut std::net::TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&read)));
        read.push(byte[0]);
    }
    read
}

/// Opens a connection and sends this.
fn connect(server: &Server, said: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{said}").unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_answers_while_its_client_still_sends() {
    for place in PLACES {
        let (server, _home) = server(place);
        let mirror = component::http("(call $mirror (local.get 0) (local.get 1))");
        server.client().register("mirror", "", &guests::wasm(&mirror)).await.unwrap();
        let head = "POST /fn/mirror/ HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut stream = connect(&server, &format!("{head}2\r\nab\r\n"));
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("trailer: fusebox-receipt"), "{head}");
        read_until(&mut stream, b"ab\r\n");
        write!(stream, "3\r\ncde\r\n0\r\n\r\n").unwrap();
        read_until(&mut stream, b"cde\r\n0\r\n");
        let trailers = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        assert!(trailers.starts_with("fusebox-receipt: {") && trailers.contains(r#""output_bytes":11"#), "{trailers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_larger_than_memory_pass_through_a_small_function() {
    for place in PLACES {
        let (server, _home) = server(place);
        let mirror = component::http("(call $mirror (local.get 0) (local.get 1))");
        let limits = "&memory_bytes=1048576&output_bytes=104857600&fuel=100000000000";
        server.client().register("mirror", limits, &guests::wasm(&mirror)).await.unwrap();
        let large = vec![b'x'; 16 << 20];
        let answer = server.client().post("/fn/mirror/", large.clone()).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, large.len() + 6), "{place:?}");
        assert!(answer.body.ends_with(&large));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_behind_the_head_shows_and_who_leaves_frees_the_slot() {
    for place in PLACES {
        let (server, _home) = server(&[&["--slots", "1"], place].concat());
        let client = server.client();
        let write = "(call $write (local.get 2) (i32.const 0) (i32.const 4096) (i32.const 8192))";
        let open = "(local.set 2 (call $open (call $head (local.get 1) (i32.const 200))))";
        let limits = "&wall_ms=300000&output_bytes=1073741824&cpu_ms=300000";
        // More than waits for a client, so that its client has the head.
        let fails = component::http(&format!(
            "{open} (loop {write} (local.set 3 (i32.add (local.get 3) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get 3) (i32.const 99)))) (unreachable)"
        ));
        client.register("fails", "", &guests::wasm(&fails)).await.unwrap();
        client
            .register("endless", limits, &guests::wasm(&component::http(&format!("{open} (loop {write} (br 0))"))))
            .await
            .unwrap();
        client
            .register("silent", limits, &guests::wasm(&component::http(&format!("{open} {write} (loop (br 0))"))))
            .await
            .unwrap();
        client.register("echo", "", &guests::echo()).await.unwrap();
        client.get("/fn/fails/").await.unwrap_err();
        for (name, only_half) in [("endless", false), ("endless", true), ("silent", true)] {
            let mut stream = connect(&server, &format!("GET /fn/{name}/ HTTP/1.1\r\nhost: localhost\r\n\r\n"));
            read_until(&mut stream, b"\r\n\r\n");
            if only_half {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            let kept = only_half.then_some(stream);
            // The slot would be taken for five minutes.
            let answer = client.post("/fn/echo/", "mine").await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, b"mine".as_slice()), "{name}: {answer}");
            drop(kept);
        }
    }
}
