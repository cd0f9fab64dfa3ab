//! The modules of `examples/` return the results stated in their READMEs. `make guests` builds them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use fusebox_harness::{Client, Server, Web};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::server;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the bytes of an example's module.
fn module(name: &str) -> Vec<u8> {
    let path = root().join("target/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
}

async fn registered(name: &str, query: &str) -> (Client, Server, TempDir) {
    let (server, home) = server(&[]);
    let client = server.client();
    client.register(name, query, &module(name)).await.unwrap();
    (client, server, home)
}

#[tokio::test]
async fn hello_greets_and_is_small() {
    assert!(module("hello").len() < 30_000, "{} bytes", module("hello").len());
    let (client, _server, _home) = registered("hello", "").await;
    let answer = client.post("/v1/functions/hello/invoke", "Ada").await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"Hello, Ada!".as_slice()));
}

#[tokio::test]
async fn text_that_is_no_utf8_is_a_guest_error() {
    let (client, _server, _home) = registered("hello", "").await;
    let answer = client.post("/v1/functions/hello/invoke", b"\xff\xfe".as_slice()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FAILED_DEPENDENCY, "guest-error"), "{answer}");
    assert!(answer.json().unwrap()["detail"].as_str().unwrap().contains("UTF-8"), "{answer}");
}

#[tokio::test]
async fn word_count_is_a_plain_program() {
    let (client, _server, _home) = registered("word-count", "").await;
    let function = client.get("/v1/functions/word-count").await.unwrap().json().unwrap();
    assert_eq!(function["abi"], "command");
    let answer = client.post("/v1/functions/word-count/invoke", "the cat and the hat").await.unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("the"), "{text}");
}

#[tokio::test]
async fn word_count_leaves_out_the_words_of_a_file() {
    let (server, _home) = server(&[]);
    let deploy = Command::new(env!("CARGO_BIN_EXE_fusebox"))
        .args(["deploy", "target/guests/word-count.wasm", "--name", "word-count"])
        .args(["--files", "examples/data/words:/words", "--url", server.client().base()])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(deploy.status.success(), "{deploy:?}");
    let path = "/v1/functions/word-count/invoke?arg=/words/common.txt";
    let answer = server.client().post(path, "the cat and the hat").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    let expected = " count  word\n     1  cat\n     1  hat\n\n1 lines, 2 words, 2 different\n";
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    let missing = server.client().post("/v1/functions/word-count/invoke?arg=/none.txt", "").await.unwrap();
    assert!(missing.code() == "guest-error" && missing.to_string().contains("/none.txt"), "{missing}");
}

#[tokio::test]
async fn thumbnail_makes_a_smaller_png() {
    let (client, _server, _home) = registered("thumbnail", "&fuel=20000000000&wall_ms=60000").await;
    let picture = std::fs::read_dir(root().join("examples/data"))
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|kind| kind == "png" || kind == "jpg"))
        .expect("a picture in examples/data");
    let answer = client.post("/v1/functions/thumbnail/invoke", std::fs::read(picture).unwrap()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.header("fusebox-receipt"));
    assert!(answer.body.starts_with(b"\x89PNG"));
    // Width and height of a PNG are the two big-endian numbers after the name of the header chunk.
    let side = |at: usize| u32::from_be_bytes(answer.body[at..at + 4].try_into().unwrap());
    assert!(side(16).max(side(20)) <= 256, "{} x {}", side(16), side(20));

    let refused = client.post("/v1/functions/thumbnail/invoke", "no picture").await.unwrap();
    assert_eq!(refused.code(), "guest-error", "{refused}");
}

#[tokio::test]
async fn markdown_becomes_html() {
    let (client, _server, _home) = registered("markdown", "").await;
    let answer = client.post("/v1/functions/markdown/invoke", "# Title\n\n*so*").await.unwrap();
    let html = String::from_utf8(answer.body).unwrap();
    assert!(html.contains("<h1>Title</h1>") && html.contains("<em>so</em>"), "{html}");
}

#[tokio::test]
async fn counter_loses_no_count() {
    let (client, _server, _home) = registered("counter", "&grants=kv").await;
    let counted = join_all((0..30).map(|_| client.post("/v1/functions/counter/invoke", "tea"))).await;
    let mut counts: Vec<u32> =
        counted.into_iter().map(|answer| String::from_utf8(answer.unwrap().body).unwrap().parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=30).collect::<Vec<_>>());
    let other = client.post("/v1/functions/counter/invoke", "cake").await.unwrap();
    assert_eq!(other.body, b"1");
    let refused = client.register("counter", "", &module("counter")).await.unwrap_err().to_string();
    assert!(refused.contains("grant-required") && refused.contains("kv"), "{refused}");
}

#[tokio::test]
async fn notify_sends_with_its_token() {
    let answers = [("/in", "HTTP/1.1 202 Accepted\r\ncontent-length: 6\r\n\r\nthanks".to_owned())];
    let web = Web::start(&answers).await.unwrap();
    let (server, _home) = server(&["--egress-allow-private", "127.0.0.0/8"]);
    let client = server.client();
    let grants = format!("&grants=config,secrets,http={}", web.address());
    client.register("notify", &grants, &module("notify")).await.unwrap();
    let notify = async || client.post("/v1/functions/notify/invoke", "green").await.unwrap();
    let set = async |path: &str, value: String| {
        let answer = client.send(Method::PUT, &format!("/v1/functions/notify/{path}"), &[], value).await.unwrap();
        assert!(answer.status.is_success(), "{answer}");
    };
    let unset = notify().await;
    assert!(unset.code() == "guest-error" && unset.to_string().contains("fusebox config"), "{unset}");
    set("config/url", format!("http://{}/in", web.address())).await;
    set("secrets/token", "hunter2".to_owned()).await;
    assert_eq!(notify().await.body, b"thanks");
    let seen = web.requests();
    assert!(
        seen[0].contains("\r\nauthorization: Bearer hunter2\r\n") && seen[0].ends_with("\r\n\r\ngreen"),
        "{seen:?}"
    );
    set("config/url", format!("http://{}/away", web.address())).await;
    assert!(notify().await.to_string().contains("answered 404"));
    set("config/url", "http://169.254.169.254/".to_owned()).await;
    assert!(notify().await.to_string().contains("not allowed"));
}

#[tokio::test]
async fn the_two_that_misbehave_meet_their_fuse() {
    let (client, _server, _home) = registered("spin-forever", "&wall_ms=200&fuel=300000000000").await;
    let answer = client.post("/v1/functions/spin-forever/invoke", "").await.unwrap();
    assert_eq!(answer.code(), "deadline-exceeded", "{answer}");
    client.register("eat-memory", "&memory_bytes=16777216", &module("eat-memory")).await.unwrap();
    let answer = client.post("/v1/functions/eat-memory/invoke", "").await.unwrap();
    assert_eq!(answer.code(), "out-of-memory", "{answer}");
    let problem: Value = answer.json().unwrap();
    assert!(problem["receipt"]["memory_bytes"].as_u64().unwrap() <= 16_777_216, "{problem}");
}
