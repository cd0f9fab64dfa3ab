//! Bodies, pages and waits are limited; requests above a limit are refused before they incur costs.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use fusebox_core::limits::{INPUT_BYTES_MAX, MODULE_BYTES_MAX, SEED_BODY_BYTES_MAX};

use crate::support::{Rest, Slots};

/// Returns a body without a declared length.
fn of_unknown_length(bytes: u64) -> Body {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let chunks = (0..bytes.div_ceil(1 << 20)).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
    Body::from_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn a_body_above_its_bound_is_refused_whether_or_not_it_says_so() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    for (path, most) in [
        ("/v1/functions?name=f", MODULE_BYTES_MAX),
        ("/v1/functions/echo/invoke", INPUT_BYTES_MAX),
        ("/v1/functions/echo/tasks", INPUT_BYTES_MAX),
        ("/register_function", SEED_BODY_BYTES_MAX),
        ("/execute_function", SEED_BODY_BYTES_MAX),
    ] {
        let declared = [("content-length", (most + 1).to_string())];
        let declared: Vec<_> = declared.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = rest.send(Method::POST, path, &declared, Body::empty()).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let answer = rest.post(path, of_unknown_length(most + 1)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(answer.json()["max_bytes"], most, "{path}");
    }
}

#[tokio::test]
async fn an_input_at_its_bound_is_taken() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let input = vec![7; usize::try_from(INPUT_BYTES_MAX).unwrap()];
    let answer = rest.post("/v1/functions/echo/invoke", input.clone()).await;
    assert!(answer.status == StatusCode::OK && answer.body == input);
}

#[tokio::test]
async fn a_listing_comes_in_pages() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let accepted = rest.post("/v1/functions/echo/tasks", format!("{n}")).await.json();
        ids.push(accepted["id"].as_str().unwrap().to_owned());
    }
    let (mut found, mut path) = (Vec::new(), "/v1/tasks?limit=2".to_owned());
    loop {
        let page = rest.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(items.iter().map(|task| task["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tasks?limit=2&cursor={next}");
    }
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    let huge = rest.get("/v1/tasks?limit=4000000000").await;
    assert_eq!(huge.status, StatusCode::OK, "a limit above the bound is taken down to it");
}

#[tokio::test]
async fn a_wait_ends_with_the_task_as_it_is() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let wait = [("prefer", "wait=0")];
    let answer = rest.send(Method::POST, "/v1/functions/echo/tasks", &wait, "x").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "nothing runs it here");
    assert_eq!(answer.json()["status"], "QUEUED");
}
