//! The OpenAPI document is complete and equals a snapshot, so that changes of the API are visible in review.

use axum::http::StatusCode;

use crate::support::{Rest, Slots};

#[tokio::test]
async fn the_document_is_served_and_rendered() {
    let rest = Rest::new(Slots::Echo);
    let document = rest.get("/openapi.json").await;
    assert_eq!(document.status, StatusCode::OK);
    let mut json = document.json();
    json["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!("openapi", json);
    let page = rest.get("/docs/").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html"));
}

#[tokio::test]
async fn every_operation_says_what_it_does() {
    let document = Rest::new(Slots::Echo).get("/openapi.json").await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
            assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{method} {path}");
        }
    }
}
