//! Functions that answer HTTP, at `/fn/` and on hosts of their own: access, what passes in either direction, and what
//! is refused. The slots here answer with the request's body where it is a response, otherwise with the request.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version},
};
use fusebox_core::limits::{INPUT_BYTES_MAX, STREAMED_BYTES_MAX};
use fusebox_harness::guests;
use fusebox_store::Scope;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::{
    hand::returned,
    support::{Answer, Rest, Slots, assert_problem},
};

/// A host with the function `open`, which is public, and `shut`, which is not.
async fn functions(rest: &Rest, key: Option<&str>) {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    for query in ["name=open&public=true", "name=shut"] {
        let answer = rest.send(Method::POST, &format!("/v1/functions?{query}"), &headers, guests::echo()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
    }
}

async fn open_host() -> Rest {
    let rest = Rest::new(Slots::Echo);
    functions(&rest, None).await;
    rest
}

/// A host with keys, the key of an operator, and the functions of its tenant `default`.
async fn closed_host() -> (Rest, String) {
    let rest = Rest::new(Slots::Echo);
    let key = rest.key("default", Scope::Admin, None).await;
    functions(&rest, Some(&key)).await;
    (rest, key)
}

async fn get(rest: &Rest, path: &str, headers: &[(&str, &str)]) -> Answer {
    rest.send(Method::GET, path, headers, Body::empty()).await
}

#[tokio::test]
async fn a_function_gets_the_request_and_its_answer_is_the_response() {
    let rest = open_host().await;
    let headers = [("x-mine", "1"), ("host", "localhost:8000")];
    let answer = rest.send(Method::PUT, "/fn/shut/a%20b/?c=d&e", &headers, "text").await;
    let expected = "PUT /a%20b/?c=d&e\nx-mine: 1\nhost: localhost:8000\nx-forwarded-prefix: /fn/shut\n\
                    spin-full-url: http://localhost:8000/fn/shut/a%20b/?c=d&e\nspin-path-info: /a%20b/\n\
                    fusebox-function: shut\n\ntext";
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, expected));
    assert!(answer.header("fusebox-receipt").starts_with('{'));
    assert!(get(&rest, "/fn/shut?x", &[]).await.text().starts_with("GET /?x\n"));
    let own = "307\nlocation: https://a.example/\nx-two: 1\nx-two: 2\ncontent-type: a/b\n\nmoved";
    let answer = rest.send(Method::POST, "/fn/shut/", &[], own).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::TEMPORARY_REDIRECT, "moved"));
    assert_eq!((answer.header("location"), answer.header("content-type")), ("https://a.example/", "a/b"));
    assert_eq!(answer.headers.get_all("x-two").iter().count(), 2);
}

#[tokio::test]
async fn trailers_follow_the_body_and_head_has_none() {
    let rest = open_host().await;
    let own = "200\nfusebox-trailer: x-sum: 7\n\nbody";
    let request = Request::post("/fn/open/").body(Body::from(own)).unwrap();
    let response = rest.open(request).await;
    assert_eq!(response.headers()["trailer"], "x-sum");
    assert!(!response.headers().contains_key("fusebox-trailer"));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(collected.to_bytes(), "body");
    let answer = rest.send(Method::HEAD, "/fn/open/", &[], own).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("trailer")), (StatusCode::OK, 0, ""));
}

/// A host whose slots pass on what they read, and the sender of a request's frames to it.
async fn live_host() -> (Rest, mpsc::Sender<Frame<Bytes>>, Body) {
    let rest = Rest::new(Slots::Live);
    functions(&rest, None).await;
    let (sender, mut frames) = mpsc::channel(1);
    let frames = stream::poll_fn(move |context| frames.poll_recv(context)).map(Ok::<_, std::io::Error>);
    (rest, sender, Body::new(StreamBody::new(frames)))
}

const RECEIPT: HeaderValue = HeaderValue::from_static("fusebox-receipt");

/// Returns the next bytes of a body.
async fn data(body: &mut Body) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn bodies_are_passed_on_in_both_directions_as_they_come() {
    let (rest, sender, body) = live_host().await;
    sender.send(Frame::data("a".into())).await.unwrap();
    let response = rest.open(Request::post("/fn/open/").body(body).unwrap()).await;
    assert_eq!((response.status(), &response.headers()["trailer"]), (StatusCode::OK, &RECEIPT));
    assert_eq!(response.headers()["content-security-policy"], "sandbox");
    assert!(!response.headers().contains_key("fusebox-receipt"), "it follows");
    let mut received = response.into_body();
    assert_eq!((&data(&mut received).await[..], &data(&mut received).await[..]), (&b"first\n"[..], &b"a"[..]));
    sender.send(Frame::data("b".into())).await.unwrap();
    assert_eq!(data(&mut received).await, "b");
    let trailers = [("x-sum", "7"), ("cookie", "a=1"), ("te", "x"), ("fusebox-receipt", "forged")];
    let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    sender.send(Frame::trailers(HeaderMap::from_iter(trailers))).await.unwrap();
    drop(sender);
    let trailers = received.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (2, &HeaderValue::from_static("7")));
    assert!(trailers["fusebox-receipt"].to_str().unwrap().starts_with('{'));
    assert!(received.frame().await.is_none());
}

#[tokio::test]
async fn a_failure_behind_the_head_cuts_the_response_off() {
    let (rest, sender, body) = live_host().await;
    sender.send(Frame::data("a".into())).await.unwrap();
    let mut received = rest.open(Request::post("/fn/open/").body(body).unwrap()).await.into_body();
    assert_eq!(data(&mut received).await, "first\n");
    sender.send(Frame::data("fail".into())).await.unwrap();
    assert_eq!(data(&mut received).await, "a");
    received.frame().await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_response_whose_status_is_its_failure_is_complete() {
    let (rest, sender, body) = live_host().await;
    sender.send(Frame::data("a".into())).await.unwrap();
    let mut received = rest.open(Request::post("/fn/open/").body(body).unwrap()).await.into_body();
    assert_eq!((&data(&mut received).await[..], &data(&mut received).await[..]), (&b"first\n"[..], &b"a"[..]));
    sender.send(Frame::data("fault".into())).await.unwrap();
    let trailers = received.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert!(trailers.contains_key("fusebox-receipt"));
    assert!(received.frame().await.is_none());
    let metrics = rest.get("/metrics").await;
    assert!(metrics.text().contains("guest-error"), "it counts as a failure: {}", metrics.text());
}

#[tokio::test]
async fn a_body_above_what_is_kept_whole_is_bounded_all_the_same() {
    let (rest, ..) = live_host().await;
    let large = vec![b'x'; usize::try_from(INPUT_BYTES_MAX).unwrap() + 1];
    let answer = rest.send(Method::POST, "/fn/open/", &[], large.clone()).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, large.len() + 6));
    let above = (STREAMED_BYTES_MAX + 1).to_string();
    let headers = [("content-length", above.as_str())];
    let answer = rest.send(Method::POST, "/fn/open/", &headers, Body::empty()).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
    let later = [("prefer", "respond-async")];
    let answer = rest.send(Method::POST, "/fn/open/", &later, large).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
}

#[tokio::test]
async fn head_gets_the_head_and_old_clients_the_whole() {
    let (rest, ..) = live_host().await;
    let head = rest.send(Method::HEAD, "/fn/open/", &[], Body::empty()).await;
    assert_eq!((head.status, head.header("content-type"), head.body.len()), (StatusCode::OK, "a/b", 0));
    let old = Request::get("/fn/open/").version(Version::HTTP_10).body(Body::empty()).unwrap();
    let old = rest.open(old).await;
    assert!(old.headers().contains_key("fusebox-receipt"));
    assert_eq!(old.into_body().collect().await.unwrap().to_bytes(), "whole");
}

#[tokio::test]
async fn a_response_that_cannot_be_sent_is_a_bad_gateway_that_says_why() {
    let rest = open_host().await;
    for (own, why) in [
        ("99\n\n", "200 to 599"),
        ("200\nupgrade: h2c\n\n", "set by the host"),
        ("200\nx: a\rb\n\n", "without control characters"),
        ("200\nx: a\n", "an empty line"),
        ("200\ncontent-length: 7\n\nbody", "Content-Length"),
    ] {
        let answer = rest.send(Method::POST, "/fn/open/", &[], own).await;
        assert_problem(&answer, StatusCode::BAD_GATEWAY, "guest-error");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.text());
    }
    let answer = rest.send(Method::POST, "/fn/open/", &[], "503\nretry-after: 7\n\nbusy").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
}

#[tokio::test]
async fn on_the_origin_of_the_api_a_function_acts_on_no_other_page() {
    let rest = open_host().await;
    let own = "200\nset-cookie: a=1\nclear-site-data: \"*\"\ncontent-type: text/html\ncache-control: max-age=9\n\n<p>";
    let answer = rest.send(Method::POST, "/fn/open/", &[], own).await;
    assert_eq!((answer.header("set-cookie"), answer.header("clear-site-data")), ("", ""));
    assert_eq!(answer.header("content-security-policy"), "sandbox");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "max-age=9");
    let ours = [("cookie", "session=1"), ("authorization", "Basic eA==")];
    let seen = get(&rest, "/fn/open/", &ours).await;
    assert!(!seen.text().contains("cookie") && seen.text().contains("authorization: Basic eA=="), "{}", seen.text());
}

#[tokio::test]
async fn a_public_function_needs_no_key_and_another_looks_absent() {
    let (rest, key) = closed_host().await;
    let bearer = format!("Bearer {key}");
    let keyed = [("authorization", bearer.as_str())];
    assert_eq!(get(&rest, "/fn/open/", &[]).await.status, StatusCode::OK);
    let shut = get(&rest, "/fn/shut/", &[]).await;
    assert_problem(&shut, StatusCode::UNAUTHORIZED, "unauthorized");
    let absent = get(&rest, "/fn/none/", &[("x-request-id", shut.header("x-request-id"))]).await;
    assert_eq!((absent.status, absent.text()), (shut.status, shut.text()));
    let seen = get(&rest, "/fn/shut/", &keyed).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(!seen.text().contains("authorization"), "{}", seen.text());
    assert_problem(&get(&rest, "/fn/none/", &keyed).await, StatusCode::NOT_FOUND, "function-not-found");
    let bad = [("authorization", "Bearer fb_0123456789abcdef_00")];
    assert_problem(&get(&rest, "/fn/open/", &bad).await, StatusCode::UNAUTHORIZED, "unauthorized");
    let theirs = [("authorization", "Bearer not-ours")];
    assert!(get(&rest, "/fn/open/", &theirs).await.text().contains("authorization: Bearer not-ours"));
    assert_eq!(get(&rest, "/fn/shut/", &theirs).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn strangers_are_charged_to_the_functions_tenant() {
    let (rest, key) = closed_host().await;
    let bearer = format!("Bearer {key}");
    let quotas = serde_json::json!({"requests_per_second": 5}).to_string();
    let path = "/v1/tenants/default/quotas";
    let set = rest.send(Method::PUT, path, &[("authorization", &bearer)], quotas).await;
    assert_eq!(set.status, StatusCode::OK);
    let mut refused = None;
    for _ in 0..200 {
        let answer = get(&rest, "/fn/open/", &[]).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    assert_problem(&refused.unwrap(), StatusCode::TOO_MANY_REQUESTS, "rate-limited");
    let owner = get(&rest, "/v1/functions", &[("authorization", &bearer)]).await;
    assert_eq!(owner.status, StatusCode::TOO_MANY_REQUESTS, "it is the tenant's rate");
}

#[tokio::test]
async fn a_request_and_its_head_are_bounded() {
    let rest = open_host().await;
    let most = usize::try_from(INPUT_BYTES_MAX).unwrap();
    let answer = rest.send(Method::POST, "/fn/open/", &[], vec![b'x'; most]).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
    let answer = rest.send(Method::POST, "/fn/open/", &[], vec![b'x'; most + 1]).await;
    assert_problem(&answer, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
    let names: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "a")).collect();
    assert_problem(&get(&rest, "/fn/open/", &many).await, StatusCode::BAD_REQUEST, "invalid-request");
    let large = "a".repeat(33 << 10);
    assert_problem(&get(&rest, "/fn/open/", &[("x", &large)]).await, StatusCode::BAD_REQUEST, "invalid-request");
    let traced = rest.send(Method::TRACE, "/fn/open/", &[], Body::empty()).await;
    assert_problem(&traced, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed");
}

#[tokio::test]
async fn slots_that_are_busy_or_broken_answer_as_for_invokes() {
    for (slots, status, code) in [
        (Slots::Busy, StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        (Slots::Ending, StatusCode::SERVICE_UNAVAILABLE, "shutting-down"),
        (Slots::Broken, StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    ] {
        let rest = Rest::new(slots);
        functions(&rest, None).await;
        assert_problem(&get(&rest, "/fn/open/", &[]).await, status, code);
    }
}

#[tokio::test]
async fn a_request_can_be_a_task_and_its_response_the_result() {
    let rest = open_host().await;
    let later = [("prefer", "respond-async"), ("idempotency-key", "k"), ("host", "localhost")];
    let accepted = rest.send(Method::POST, "/fn/open/hook?a=b", &later, "body").await;
    assert_eq!((accepted.status, accepted.header("preference-applied")), (StatusCode::ACCEPTED, "respond-async"));
    let location = accepted.header("location").to_owned();
    assert_eq!(location, format!("/v1/tasks/{}", accepted.json()["id"].as_str().unwrap()));
    let again = rest.send(Method::POST, "/fn/open/hook?a=b", &later, "body").await;
    assert_eq!((again.header("location"), again.header("idempotency-replayed")), (location.as_str(), "true"));
    let other = rest.send(Method::POST, "/fn/open/hook?a=c", &later, "body").await;
    assert_problem(&other, StatusCode::UNPROCESSABLE_ENTITY, "idempotency-conflict");
    let leased = rest.lease(1).await.remove(0);
    rest.report(&leased, returned("201\ncontent-type: text/csv\nset-cookie: a=b\n\na,b")).await;
    let input = String::from_utf8(leased.invocation.input.to_vec()).unwrap();
    assert!(
        leased.invocation.is_http && input.starts_with("POST /hook?a=b\n") && input.ends_with("\n\nbody"),
        "{input}"
    );
    let result = rest.get(&format!("{location}/result")).await;
    assert_eq!((result.status, result.text()), (StatusCode::OK, "a,b"));
    assert_eq!((result.header("content-type"), result.header("fusebox-status")), ("text/csv", "201"));
    assert_eq!(result.header("set-cookie"), "");
}

#[tokio::test]
async fn pages_of_a_listed_origin_may_call_functions_too() {
    let rest = Rest::with_cors("https://app.example.com");
    functions(&rest, None).await;
    let from = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
    let asked = rest.send(Method::OPTIONS, "/fn/open/", &from, Body::empty()).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    let read = rest.send(Method::GET, "/fn/open/", &from[..1], Body::empty()).await;
    assert_eq!(read.header("access-control-allow-origin"), "https://app.example.com");
    let other = [("origin", "https://evil.example")];
    assert_problem(&get(&rest, "/fn/open/", &other).await, StatusCode::FORBIDDEN, "foreign-origin");
    let own = rest.send(Method::OPTIONS, "/fn/open/", &[], "204\nallow: GET\n\n").await;
    assert_eq!((own.status, own.header("allow")), (StatusCode::NO_CONTENT, "GET"));
}

#[tokio::test]
async fn a_domain_gives_each_function_a_host_and_the_api_none() {
    let (rest, key) = closed_host().await;
    let bearer = format!("Bearer {key}");
    rest.store.add_tenant(fusebox_store::Acting::Store, "acme".parse().unwrap()).await.unwrap().unwrap();
    let acme = format!("Bearer {}", rest.key("acme", Scope::Admin, None).await);
    let mine = [("authorization", acme.as_str())];
    let path = "/v1/functions?name=hook&public=true";
    assert_eq!(rest.send(Method::POST, path, &mine, guests::echo()).await.status, StatusCode::CREATED);
    let rest = rest.on_domain("fn.example", false);
    let at = |host: &'static str, more: &[(&'static str, &str)]| {
        let headers: Vec<(String, String)> = [("host", host)]
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let rest = &rest;
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            get(rest, "/v1/functions?a=b", &headers).await
        }
    };
    let open = at("open.fn.example:8000", &[("cookie", "a=1")]).await;
    let expected = "GET /v1/functions?a=b\ncookie: a=1\nhost: open.fn.example:8000\n\
                    spin-full-url: http://open.fn.example:8000/v1/functions?a=b\nspin-path-info: /v1/functions\n\
                    fusebox-function: open\n\n";
    assert_eq!((open.status, open.text()), (StatusCode::OK, expected));
    assert_eq!((open.header("content-security-policy"), open.header("cache-control")), ("", ""));
    assert_eq!(at("shut.fn.example", &[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(at("shut.fn.example", &[("authorization", &bearer)]).await.status, StatusCode::OK);
    assert!(at("hook.acme.fn.example", &[]).await.text().contains("fusebox-function: hook"));
    assert_eq!(at("hook.fn.example", &[]).await.status, StatusCode::UNAUTHORIZED, "it is another tenant's");
    assert_eq!(at("hook.acme.fn.example", &[("authorization", &bearer)]).await.status, StatusCode::NOT_FOUND);
    for nothing in ["fn.example", "a.b.c.fn.example"] {
        assert_problem(&at(nothing, &[("authorization", &bearer)]).await, StatusCode::NOT_FOUND, "route-not-found");
    }
    let cookie = "200\nset-cookie: a=1\nset-cookie: b=2; Domain=fn.example\n\n";
    let set = rest.send(Method::POST, "/", &[("host", "open.fn.example")], cookie).await;
    assert_eq!(set.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1"]);
    let api = get(&rest, "/v1/functions", &[("host", "api.example"), ("authorization", &bearer)]).await;
    assert_eq!(api.status, StatusCode::OK, "the API keeps its own hosts");
}

#[tokio::test]
async fn the_listener_of_functions_has_no_api() {
    let rest = open_host().await.on_domain("fn.localhost", true);
    assert!(get(&rest, "/fn/open/a", &[]).await.text().starts_with("GET /a\n"));
    assert_eq!(get(&rest, "/fn/open/a", &[]).await.header("content-security-policy"), "");
    for path in ["/v1/functions", "/healthz", "/docs/", "/openapi.json", "/", "/register_function"] {
        assert_problem(&get(&rest, path, &[]).await, StatusCode::NOT_FOUND, "route-not-found");
    }
    let own = [("host", "open.fn.localhost:81"), ("origin", "http://open.fn.localhost:81")];
    assert_eq!(get(&rest, "/", &own).await.status, StatusCode::OK, "a function's page calls the function");
    let other = [("host", "open.fn.localhost"), ("origin", "http://shut.fn.localhost")];
    assert_problem(&get(&rest, "/", &other).await, StatusCode::FORBIDDEN, "foreign-origin");
}
