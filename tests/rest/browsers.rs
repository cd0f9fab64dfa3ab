//! Headers of every response for browsers: security, cross-origin access, and the request id.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};

use crate::support::{Rest, Slots, routes};

#[tokio::test]
async fn every_answer_is_safe_to_open_in_a_browser() {
    let rest = Rest::new(Slots::Echo);
    let mut paths = routes();
    paths.extend([(Method::GET, "/nothing/here".to_owned()), (Method::PUT, "/healthz".to_owned())]);
    for (method, path) in paths {
        let answer = rest.send(method.clone(), &path, &[], Body::empty()).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{method} {path}");
        assert_eq!(answer.header("strict-transport-security"), "", "this is no TLS");
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn the_rendered_docs_may_run_their_own_scripts_and_have_no_others() {
    let rest = Rest::new(Slots::Echo);
    let answer = rest.get("/docs/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-security-policy").contains("script-src 'self';"));
    assert!(!answer.text().contains("<script>"), "a script of the page's own text would not run");
    for part in answer.text().split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(part.starts_with("./"), "{part} is not this host's");
    }
}

#[tokio::test]
async fn a_request_and_its_problem_have_one_id() {
    let rest = Rest::new(Slots::Echo);
    let answer = rest.send(Method::GET, "/v1/tasks/nonsense", &[("x-request-id", "mine-7")], Body::empty()).await;
    assert_eq!((answer.header("x-request-id"), &answer.json()["request_id"]), ("mine-7", &"mine-7".into()));
    let answer = rest.send(Method::GET, "/nothing", &[("x-request-id", "forged id=7")], Body::empty()).await;
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    assert_eq!(answer.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn pages_of_a_listed_origin_may_read_answers_and_no_others() {
    let rest = Rest::with_cors("https://app.example.com");
    let from = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let mine = from("https://app.example.com");
    let asked = rest.send(Method::OPTIONS, "/v1/functions/echo/invoke", &mine, Body::empty()).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    assert!(asked.header("access-control-allow-headers").contains("authorization"));
    let read = rest.send(Method::GET, "/healthz", &mine[..1], Body::empty()).await;
    assert_eq!((read.status, read.header("vary")), (StatusCode::OK, "origin"));
    assert_eq!(read.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(read.header("access-control-allow-credentials"), "");
    let others = from("https://app.example.com.evil.example");
    let asked = rest.send(Method::OPTIONS, "/v1/functions/echo/invoke", &others, Body::empty()).await;
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (StatusCode::FORBIDDEN, ""));
    let read = rest.send(Method::GET, "/healthz", &others[..1], Body::empty()).await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (StatusCode::FORBIDDEN, ""));
}
