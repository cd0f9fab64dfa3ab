//! A version that is registered before it is compiled outlives a host that is killed meanwhile, and the command line
//! waits for it.

use fusebox_harness::{Server, ServerOptions, guests};
use reqwest::StatusCode;

/// More code than is compiled at once; it takes some seconds.
const MUCH: usize = 3_300_000;

#[tokio::test]
async fn a_kill_while_a_version_is_compiled_does_not_lose_it() {
    let home = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        binary: env!("CARGO_BIN_EXE_fusebox").into(),
        store: home.path().join("store"),
        args: Vec::new(),
    };
    let server = Server::start(options).unwrap();
    let client = server.client();
    let made = client.post("/v1/functions?name=slow", guests::slow_code(MUCH)).await.unwrap();
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made}");
    let view = made.json().unwrap();
    let server = server.kill_and_restart().unwrap();
    let client = server.client();
    assert_eq!(client.compiled(view["id"].as_str().unwrap()).await.unwrap(), "ready");
    let ran = client.post("/v1/functions/slow/invoke", "x").await.unwrap();
    assert_eq!(ran.status, StatusCode::OK, "{ran}");
}
