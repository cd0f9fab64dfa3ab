//! Large modules arrive through files; uploads of modules that another tenant has uploaded before do not reveal it.

use std::io::Write as _;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use flate2::{Compression, write::GzEncoder};
use fusebox::rest::room::RoomBounds;
use fusebox_harness::guests;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::support::{Rest, Slots, assert_problem};

/// Returns a byte that looks random, of a position.
fn mixed(at: u32) -> u8 {
    // The finalizer of MurmurHash3.
    let mixed = (at ^ at >> 16).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
    (mixed >> 24) as u8
}

/// Returns a module of about so many bytes, whose custom section cannot be compressed.
fn large(bytes: usize) -> Vec<u8> {
    let noise = (0..u32::try_from(bytes).unwrap()).map(mixed);
    let mut size = [0x80; 5];
    let content = bytes + 2;
    for (at, digit) in size.iter_mut().enumerate() {
        *digit |= (content >> (7 * at)).to_le_bytes()[0] & 0x7f;
    }
    size[4] &= 0x7f;
    let mut wasm = guests::echo();
    wasm.push(0);
    wasm.extend(size);
    wasm.extend([1, b'x']);
    wasm.extend(noise);
    wasm
}

#[tokio::test]
async fn a_large_module_arrives_through_a_file_that_leaves_nothing() {
    let rest = Rest::new(Slots::Echo);
    let wasm = large(3 << 20);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&wasm).unwrap();
    let zstd = compress_to_vec(&wasm[..], CompressionLevel::Fastest);
    let digest = fusebox_sandbox::digest(&wasm);
    for (coding, body) in [("identity", wasm.clone()), ("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let parts: Vec<_> = body.chunks(100_000).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect();
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let made = rest.send(Method::POST, "/v1/functions?name=f", &[("content-encoding", coding)], body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{coding}: {:?}", made.body);
        assert_eq!(made.json()["module"], digest.to_string(), "{coding}");
    }
    assert_eq!(rest.store.module(&digest).await.unwrap().unwrap(), wasm);
    let known = ["artifacts", "secrets.key", "store"];
    for entry in std::fs::read_dir(rest.home.path()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(known.iter().any(|known| name == *known), "{name:?} is left");
    }
}

#[tokio::test]
async fn disk_space_for_uploads_is_bounded_and_given_back() {
    let rest = Rest::with_room(RoomBounds { upload_bytes: 8 << 20, ..RoomBounds::default() });
    for _ in 0..3 {
        let refused = rest.post("/v1/functions?name=f", large(9 << 20)).await;
        assert_problem(&refused, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        let made = rest.post("/v1/functions?name=f", large(6 << 20)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    }
}

#[tokio::test]
async fn another_tenants_upload_of_the_same_bytes_shows_in_no_answer() {
    let rest = Rest::new(Slots::Echo);
    let upload = async |name: &str, key: &str| {
        let headers = [("authorization", key)];
        let path = format!("/v1/functions?name={name}");
        let answer = rest.send(Method::POST, &path, &headers, guests::echo()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.json()["compile_ms"].as_u64().unwrap()
    };
    let key = async |tenant: &str, headers: &[(&str, &str)]| {
        let body = format!(r#"{{"name":"k","scope":"admin","tenant":"{tenant}"}}"#);
        let made = rest.send(Method::POST, "/v1/keys", headers, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        format!("Bearer {}", made.json()["key"].as_str().unwrap())
    };
    assert_eq!(rest.post("/v1/tenants", r#"{"name":"acme"}"#).await.status, StatusCode::CREATED);
    let operator = key("default", &[]).await;
    let acme = key("acme", &[("authorization", operator.as_str())]).await;
    let first = upload("one", &operator).await;
    // A compile child takes at least a few milliseconds to start.
    assert!(first > 0);
    let started = std::time::Instant::now();
    let other = upload("theirs", &acme).await;
    // The recorded time, as if it were compiled again. It is less than the first upload's, which includes that upload's
    // wait for its turn.
    assert!(other > 0, "the artifact must not seem to be there");
    assert!(started.elapsed().as_millis() >= u128::from(other), "the answer must wait as long as it says");
    assert_eq!(upload("again", &acme).await, 0, "its own bytes are there");
    assert_eq!(upload("one", &operator).await, 0);
}
