//! Scripts, with a stand-in for the runtime of a language: registration, faults, runs.

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_core::limits::{RECORD_BYTES, SCRIPT_BYTES_MAX};
use fusebox_harness::guests;
use serde_json::json;

use crate::support::{Answer, Rest, Slots, assert_problem};

const PYTHON: &str = "text/x-python";

async fn deploy(rest: &Rest, query: &str, kind: &str, source: &str) -> Answer {
    let path = format!("/v1/functions?name=f{query}");
    rest.send(Method::POST, &path, &[("content-type", kind)], source.to_owned()).await
}

/// Returns a form with a script and one file beside it.
fn form(path: &str) -> String {
    let mut tar = vec![0; 512];
    tar[..path.len()].copy_from_slice(path.as_bytes());
    tar[124..135].copy_from_slice(b"00000000004");
    tar[156] = b'0';
    tar[257..265].copy_from_slice(b"ustar\x0000");
    tar[148..156].fill(b' ');
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend([b"data", &[0; 508][..], &[0; 1_024]].concat());
    let tar = String::from_utf8(tar).unwrap();
    let part = |name: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    format!("{}{}{}--b--\r\n", part("source", "s: the script"), part("files", &tar), part("arg", "-v"))
}

#[tokio::test]
async fn a_script_is_registered_with_its_runtime_and_runs() {
    let rest = Rest::with_runtimes(&["python3.11", "python3.13", "javascript"]).await;
    let made = deploy(&rest, "&arg=-v&env=A%3D1", PYTHON, "echo").await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let view = made.json();
    assert_eq!((&view["language"], &view["runtime"]), (&json!("python"), &json!("python3.13")));
    assert_eq!((&view["abi"], &view["args"]), (&json!("command"), &json!(["run", "/app/handler.py", "-v"])));
    assert_eq!(view["limits"]["cpu_ms"], 5_000);
    assert_eq!(view["limits"]["memory_bytes"], 128 << 20);
    assert_eq!(rest.get("/v1/functions/f").await.json()["runtime"], "python3.13");
    let ran = rest.post("/v1/functions/f/invoke", "{\"a\": 1}").await;
    assert_eq!((ran.text(), ran.header("content-type")), ("{\"a\": 1}", "application/json"));
    let ran = rest.post("/v1/functions/f/invoke", "bytes").await;
    assert_eq!((ran.text(), ran.header("content-type")), ("bytes", "application/octet-stream"));
    for (query, kind, runtime, entry) in [
        ("&language=python3.11", "application/octet-stream", "python3.11", "/app/handler.py"),
        ("&requires_python=%3C3.13", "text/x-python; charset=utf-8", "python3.11", "/app/handler.py"),
        ("&entry=a_b.mjs", "text/javascript", "javascript", "/app/a_b.mjs"),
        ("&language=javascript", "text/plain", "javascript", "/app/handler.js"),
    ] {
        let view = deploy(&rest, query, kind, "echo").await.json();
        assert_eq!((&view["runtime"], &view["args"][1]), (&json!(runtime), &json!(entry)), "{view}");
    }
    let failed = deploy(&rest, "&content_type=text/html", PYTHON, "fail").await;
    assert_eq!(failed.status, StatusCode::CREATED);
    let failed = rest.post("/v1/functions/f/invoke", "").await;
    assert_problem(&failed, StatusCode::FAILED_DEPENDENCY, "guest-error");
    let detail = failed.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("line 1, in handle\nZeroDivisionError: division by zero"), "{detail}");
}

#[tokio::test]
async fn a_form_has_a_script_and_what_lies_beside_it() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    let send = async |query: &str, body: String| {
        let path = format!("/v1/functions?name=f{query}");
        rest.send(Method::POST, &path, &[("content-type", "multipart/form-data; boundary=b")], body).await
    };
    let made = send("&language=python", form("app/packages/six.py")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    assert_eq!(made.json()["args"], json!(["run", "/app/handler.py", "-v"]));
    assert_eq!(rest.post("/v1/functions/f/invoke", "").await.text(), "s: the script");
    let twice = send("&language=python", form("app/handler.py")).await;
    assert_problem(&twice, StatusCode::BAD_REQUEST, "invalid-setup");
    let no_language = send("", form("a")).await;
    assert_problem(&no_language, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    let module = send("&language=python", form("a").replace("\"source\"", "\"module\"")).await;
    assert_problem(&module, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
}

#[tokio::test]
async fn a_faulty_script_is_refused_with_its_place_and_nothing_is_registered() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    let refused = deploy(&rest, "", PYTHON, "! syntax").await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-script");
    let problem = refused.json();
    assert_eq!(problem["detail"], "handler.py:2:3: invalid syntax");
    assert_eq!((&problem["file"], &problem["line"], &problem["column"]), (&json!("handler.py"), &json!(2), &json!(3)));
    for (source, words) in [
        ("handler is missing", "handler.py: there is no function handle(input)"),
        ("x: it traps", "ended the interpreter"),
    ] {
        let refused = deploy(&rest, "", PYTHON, source).await;
        assert_problem(&refused, StatusCode::BAD_REQUEST, "invalid-script");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{source}: {detail}");
    }
    let bytes = rest.send(Method::POST, "/v1/functions?name=f&language=python", &[], vec![0xff]).await;
    assert_problem(&bytes, StatusCode::BAD_REQUEST, "invalid-script");
    let large = deploy(&rest, "", PYTHON, &"#".repeat(usize::try_from(SCRIPT_BYTES_MAX).unwrap() + 1)).await;
    assert_problem(&large, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
    for (query, kind, status, code) in [
        ("&language=ruby", PYTHON, StatusCode::BAD_REQUEST, "runtime-unavailable"),
        ("&language=python3.11", PYTHON, StatusCode::BAD_REQUEST, "runtime-unavailable"),
        ("&requires_python=%3E3.13,%3C3.13", PYTHON, StatusCode::BAD_REQUEST, "runtime-unavailable"),
        ("&requires_python=latest", PYTHON, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("&entry=a/b.py", PYTHON, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("&entry=a.js", PYTHON, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("&entry=a.py", "application/wasm", StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request"),
        ("&memory_bytes=0", PYTHON, StatusCode::BAD_REQUEST, "invalid-limits"),
    ] {
        assert_problem(&deploy(&rest, query, kind, "echo").await, status, code);
    }
    assert_eq!(rest.get("/v1/functions").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_host_without_runtimes_says_how_to_get_them() {
    let rest = Rest::new(Slots::Echo);
    let refused = deploy(&rest, "", PYTHON, "echo").await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "runtime-unavailable");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("make runtimes") && detail.contains("--runtimes"), "{detail}");
}

#[tokio::test]
async fn a_runtime_is_not_charged_to_its_scripts_tenants() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    for _ in 0..2 {
        assert_eq!(deploy(&rest, "", PYTHON, "echo").await.status, StatusCode::CREATED);
    }
    let view = rest.get("/v1/functions/f").await.json();
    let usage = rest.get("/v1/tenants/default/quotas").await.json();
    let texts = ["run", "/app/handler.py"].iter().map(|arg| arg.len() as u64 + 1).sum::<u64>();
    let one = RECORD_BYTES + view["files"]["bytes"].as_u64().unwrap() + texts;
    assert_eq!(usage["used"]["stored_bytes"], 2 * one, "{usage}");
}

#[tokio::test]
async fn a_script_learns_the_content_type_of_its_input() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    assert_eq!(deploy(&rest, "", PYTHON, "t: shows its environment").await.status, StatusCode::CREATED);
    let variables = async |kind: Option<&str>| {
        let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
        let ran = rest.send(Method::POST, "/v1/functions/f/invoke", &headers, "x").await;
        ran.text().split('\0').filter(|text| text.starts_with("CONTENT_TYPE")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(variables(Some("text/csv; header=present")).await, ["CONTENT_TYPE=text/csv; header=present"]);
    assert_eq!(variables(None).await, [""; 0]);
    let task = rest.send(Method::POST, "/v1/functions/f/tasks", &[("content-type", "text/csv")], "x").await.json();
    assert_eq!(task["content_type"], "text/csv");
    let batch = r#"[{"text":"x","content_type":"text/csv"},{"text":"x"},{"text":"x","content_type":"csv"}]"#;
    let rows = rest.post("/v1/functions/f/tasks/batch", batch).await.json();
    let codes: Vec<_> = (0..3).map(|row| rows["items"][row]["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!(null), json!("invalid-setup")]);
    let leased = rest.lease(3).await;
    let kinds: Vec<_> = leased.iter().map(|leased| leased.task.start.content_type.as_deref()).collect();
    assert_eq!(kinds, [Some("text/csv"), Some("text/csv"), None]);
    let bad = rest.send(Method::POST, "/v1/functions/f/invoke", &[("content-type", "csv")], "x").await;
    assert_problem(&bad, StatusCode::BAD_REQUEST, "invalid-setup");
    // Functions that do not learn of it keep nothing, whatever a client sends.
    let rest = rest.with_echo().await;
    let task = rest.send(Method::POST, "/v1/functions/echo/tasks", &[("content-type", "csv")], "x").await.json();
    assert_eq!(task.get("content_type"), None, "{task}");
}

#[tokio::test]
async fn a_key_covers_the_content_type_where_it_matters() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    assert_eq!(deploy(&rest, "", PYTHON, "echo").await.status, StatusCode::CREATED);
    let submit = async |kind: &str| {
        let headers = [("content-type", kind), ("idempotency-key", "k")];
        rest.send(Method::POST, "/v1/functions/f/tasks", &headers, "x").await
    };
    assert_eq!(submit("text/csv").await.status, StatusCode::ACCEPTED);
    assert_eq!(submit("text/csv").await.header("idempotency-replayed"), "true");
    assert_problem(&submit("text/plain").await, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
}

#[tokio::test]
async fn a_call_without_its_grant_is_answered_and_the_log_names_the_flag() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    for (query, code) in [("", "5"), ("&grants=kv", "1")] {
        assert_eq!(deploy(&rest, query, PYTHON, "k: asks for a value").await.status, StatusCode::CREATED);
        let ran = rest.send(Method::POST, "/v1/functions/f/invoke", &[("fusebox-log", "tail")], "").await;
        assert_eq!(ran.text(), code);
        let log = STANDARD.decode(ran.header("fusebox-log")).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert_eq!(log.contains("kv is not granted: deploy with --grant kv"), query.is_empty(), "{log}");
    }
    // A module of a tenant still needs its grants.
    let upload = rest.post("/v1/functions?name=m", guests::runtime()).await;
    assert_problem(&upload, StatusCode::BAD_REQUEST, "grant-required");
}
