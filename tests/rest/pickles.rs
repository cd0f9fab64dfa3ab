//! Pickled functions in the routes of the Python platform, with a stand-in for the runtimes of Python: which runtime they
//! get, what is refused, and what a client reads of their ends.

use std::fs;

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    outcome::{Ended, Failure, Receipt},
    pickle,
};
use fusebox_harness::guests;
use fusebox_store::Verdict;
use serde_json::{Value, json};

use crate::{
    hand::returned,
    support::{Answer, Rest, assert_problem, python_path},
};

/// A pickle of the core's tests.
macro_rules! made {
    ($name:literal) => {
        include_bytes!(concat!("../../host/crates/core/src/pickle/tests/", $name, ".pickle")).as_slice()
    };
}

fn write_module(rest: &Rest, file: &str, source: &str) {
    let file = python_path(&rest.home).join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, source).unwrap();
}

async fn register(rest: &Rest, payload: &[u8]) -> Answer {
    // As Python writes it, with line breaks.
    let text: Vec<_> = STANDARD.encode(payload).into_bytes().chunks(76).map(<[u8]>::to_vec).collect();
    let payload = String::from_utf8(text.join(&b'\n')).unwrap() + "\n";
    rest.post_json("/register_function", json!({"name": "f", "payload": payload})).await
}

async fn registered(rest: &Rest, payload: &[u8]) -> Value {
    let answer = register(rest, payload).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let id = answer.json()["function_id"].as_str().unwrap().to_owned();
    rest.get(&format!("/v1/functions/{id}")).await.json()
}

async fn refused(rest: &Rest, payload: &[u8], code: &str) -> String {
    let answer = register(rest, payload).await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, code);
    answer.json()["detail"].as_str().unwrap().to_owned()
}

async fn execute(rest: &Rest, function: &Value, input: &[u8]) -> Answer {
    let body = json!({"function_id": function["id"], "payload": STANDARD.encode(input)});
    rest.post_json("/execute_function", body).await
}

#[tokio::test]
async fn a_pickle_gets_the_runtime_of_the_python_that_made_it() {
    let rest = Rest::with_runtimes(&["python3.11", "python3.13", "javascript"]).await;
    for (payload, runtime) in [
        (made!("dill-3.11"), "python3.11"),
        (made!("dill-protocol-2"), "python3.11"),
        (made!("cloudpickle-3.11"), "python3.11"),
        (made!("dill-3.13"), "python3.13"),
        // By reference: the newest.
        (made!("reference"), "python3.13"),
    ] {
        let view = registered(&rest, payload).await;
        assert_eq!((&view["runtime"], &view["language"]), (&json!(runtime), &json!("python")), "{view}");
        assert_eq!(view["args"], json!(["pickle", "/app/function.pickle"]));
        assert_eq!((&view["limits"]["cpu_ms"], &view["grants"]), (&json!(5_000), &json!([])));
    }
    // Every registration makes a version, as on the Python platform.
    assert_eq!(registered(&rest, made!("reference")).await["version"], 6);
}

#[tokio::test]
async fn what_no_python_of_this_host_runs_is_refused_and_nothing_is_registered() {
    let rest = Rest::with_runtimes(&["python3.11", "python3.13"]).await;
    for (payload, words) in [
        (made!("dill-3.10"), "made by Python 3.10; this host runs 3.11, 3.13"),
        (made!("cloudpickle-3.8"), "made by Python 3.8; this host runs 3.11, 3.13"),
        (made!("dill-3.14"), "made by Python 3.14; this host runs 3.11, 3.13"),
    ] {
        let detail = refused(&rest, payload, "runtime-unavailable").await;
        assert!(detail.starts_with("Invalid function payload: ") && detail.contains(words), "{detail}");
    }
    let whole = made!("dill-3.11");
    for (payload, words) in [
        (&whole[..whole.len() / 2], "it is not a pickle"),
        (b"\x80\x04.", "takes a value that is not there"),
        (b"\x80\x06N.", "its protocol 6 is unknown"),
        // The stand-in does not load protocol 3.
        (b"\x80\x03N.", "invalid syntax"),
    ] {
        let detail = refused(&rest, payload, "invalid-script").await;
        assert!(detail.starts_with("Invalid function payload: ") && detail.contains(words), "{detail}");
    }
    assert_eq!(rest.get("/v1/functions").await.json()["items"], json!([]));
    let none = Rest::with_runtimes(&["javascript"]).await;
    let detail = refused(&none, whole, "runtime-unavailable").await;
    assert!(detail.contains("this host has no Python") && detail.contains("--runtimes"), "{detail}");
}

#[tokio::test]
async fn modules_of_the_operator_lie_beside_the_pickle_that_names_them() {
    let rest = Rest::with_runtimes(&["python3.13"]).await;
    let alone = registered(&rest, made!("reference")).await["files"]["bytes"].as_u64().unwrap();
    write_module(&rest, "suite/__init__.py", "");
    write_module(&rest, "suite/calc.py", "import requests\nfrom .inner import double\n");
    write_module(&rest, "suite/inner.py", "def double(x): return 2 * x\n");
    let packed = registered(&rest, made!("reference")).await["files"]["bytes"].as_u64().unwrap();
    assert!(packed >= alone + 4 * 512, "three modules and their missing imports: {alone}, {packed}");
    write_module(&rest, "suite/inner.py", &"#".repeat(1 << 20));
    let detail = refused(&rest, made!("reference"), "invalid-script").await;
    assert!(detail.contains("more than 1048576 bytes together: import less in suite/"), "{detail}");
}

#[tokio::test]
async fn arguments_of_a_pickled_function_are_a_pickle() {
    let rest = Rest::with_runtimes(&["python3.11"]).await;
    let function = registered(&rest, made!("dill-3.11")).await;
    let arguments = made!("arguments");
    for input in [b"".as_slice(), b"text", &arguments[..arguments.len() - 9], b"\x80\x04\xff."] {
        let answer = execute(&rest, &function, input).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "invalid-request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("Invalid parameters payload: it is "), "{detail}");
    }
    let task = execute(&rest, &function, arguments).await;
    assert_eq!(task.status, StatusCode::OK, "{:?}", task.body);
    assert_eq!(&rest.lease(1).await[0].invocation.input[..], arguments);
    // Other functions take any bytes, as ever.
    let module = register(&rest, &guests::echo()).await.json();
    let module = json!({"id": module["function_id"]});
    assert_eq!(execute(&rest, &module, b"text").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_end_of_a_pickled_function_is_a_pickle() {
    let rest = Rest::with_runtimes(&["python3.11"]).await;
    let function = registered(&rest, made!("dill-3.11")).await;
    let failed = |code, output: &[u8]| {
        let failure = Some(Failure::new(code, "it failed"));
        let output = Bytes::copy_from_slice(output);
        Verdict::End(Ended { failure, output, log: Bytes::new(), receipt: Receipt::default() })
    };
    let error = |text: &str| pickle::runtime_error(text);
    for (verdict, status, result) in [
        (returned(b"\x80\x04N.".as_slice()), "COMPLETED", b"\x80\x04N.".to_vec()),
        (returned(b"".as_slice()), "COMPLETED", error("no-result: the function ended its interpreter")),
        (failed(ErrorCode::GuestError, b"\x80\x04K\x01."), "FAILED", b"\x80\x04K\x01.".to_vec()),
        (failed(ErrorCode::GuestError, b""), "FAILED", error("guest-error: it failed")),
        (failed(ErrorCode::DeadlineExceeded, b""), "FAILED", error("deadline-exceeded: it failed")),
        (failed(ErrorCode::OutOfFuel, b"\x80\x04N."), "FAILED", error("out-of-fuel: it failed")),
        (failed(ErrorCode::OutOfMemory, b""), "FAILED", error("out-of-memory: it failed")),
    ] {
        let task = execute(&rest, &function, made!("arguments")).await.json();
        let path = format!("/result/{}", task["task_id"].as_str().unwrap());
        assert_eq!(rest.get(&path).await.json()["result"], "", "before the end");
        rest.run(verdict).await;
        let answer = rest.get(&path).await.json();
        let found = STANDARD.decode(answer["result"].as_str().unwrap()).unwrap();
        assert_eq!((&answer["status"], found), (&json!(status), result), "{answer}");
    }
}
