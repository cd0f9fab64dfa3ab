//! Files of versions: a form with a tar, the digest that the version shows, and what is refused.

use axum::http::{Method, StatusCode};
use fusebox_harness::guests;
use serde_json::json;

use crate::support::{Answer, Rest, Slots, assert_problem};

const FORM: [(&str, &str); 1] = [("content-type", "multipart/form-data; boundary=b")];

/// Returns a form with these parts.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").into_bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    body
}

fn tar(path: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(4);
    header.set_cksum();
    tar.append(&header, &b"text"[..]).unwrap();
    tar.into_inner().unwrap()
}

async fn register(rest: &Rest, parts: &[(&str, &[u8])]) -> Answer {
    rest.send(Method::POST, "/v1/functions?name=tool&arg=first", &FORM, form(parts)).await
}

#[tokio::test]
async fn a_form_brings_files_and_parts_of_the_setup() {
    let (rest, wasm) = (Rest::new(Slots::Echo), guests::echo());
    let parts: [(&str, &[u8]); 4] =
        [("module", &wasm), ("files", &tar("fonts/a.ttf")), ("arg", b"second"), ("env", b"A=1")];
    let made = register(&rest, &parts).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let view = made.json();
    assert_eq!((&view["args"], &view["env"]), (&json!(["first", "second"]), &json!(["A=1"])));
    assert_eq!(view["files"]["digest"].as_str().unwrap().len(), 64);
    let again = register(&rest, &[("files", &tar("./fonts/a.ttf")), ("module", &wasm)]).await.json();
    assert_eq!(again["files"], view["files"], "the same files have the same digest");
    assert_eq!(rest.get("/v1/functions/tool").await.json()["files"], view["files"]);
}

#[tokio::test]
async fn a_form_that_cannot_be_deployed_registers_nothing() {
    let (rest, wasm) = (Rest::new(Slots::Echo), guests::echo());
    let good = tar("a");
    for (parts, status, code) in [
        (&[("module", &wasm[..]), ("files", &tar("../a"))][..], StatusCode::BAD_REQUEST, "invalid-setup"),
        (&[("module", &wasm), ("files", &tar("tmp/a"))], StatusCode::BAD_REQUEST, "invalid-setup"),
        (&[("module", &wasm), ("files", b"no tar")], StatusCode::BAD_REQUEST, "invalid-setup"),
        (&[("module", &wasm), ("env", b"A")], StatusCode::BAD_REQUEST, "invalid-setup"),
        (&[("files", &good)], StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        (&[("module", &wasm), ("module", &wasm)], StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        (&[("module", &wasm), ("fils", &good)], StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
    ] {
        assert_problem(&register(&rest, parts).await, status, code);
    }
    let broken = rest.send(Method::POST, "/v1/functions?name=tool", &FORM, "--b\r\n").await;
    assert_problem(&broken, StatusCode::BAD_REQUEST, "invalid-request");
    assert_eq!(rest.get("/v1/functions").await.json()["items"], json!([]));
}
