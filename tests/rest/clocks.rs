//! Clocks of a REST node and of the store: only the store's determines times, however much they differ.

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use fusebox_core::time::Millis;
use fusebox_system::clock::Clock;
use serde_json::{Value, json};

use crate::{hand::returned, support::Rest};

/// Returns the responses about a task accepted by a node with a different clock.
async fn told(rest: &Rest, query: &str) -> Value {
    let path = format!("/v1/functions/echo/tasks{query}");
    let answer = rest.send(Method::POST, &path, &[], Body::from("x")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_submits_tasks_that_run_at_once_and_expire_in_their_time() {
    let start = Millis(1_750_000_000_000);
    for skew in [20, 60_000, 3_600_000, -6 * 3_600_000, -30 * 86_400_000] {
        let (store, node) = (Clock::manual(start), Clock::manual(start));
        node.step(skew);
        let rest = Rest::with_clocks(store.clone(), node).with_echo().await;
        let task = told(&rest, "").await;
        let now = rest.store.now().await.unwrap();
        let leased = rest.lease(2).await;
        assert_eq!(leased.len(), 1, "skew {skew}: it may be leased at once");
        assert_eq!((leased[0].task.created_at, leased[0].task.waited_ms()), (now, 0), "skew {skew}");
        rest.report(&leased[0], returned("out")).await;
        let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
        assert_eq!(rest.get(&path).await.json()["status"], "COMPLETED", "skew {skew}");

        let delayed = told(&rest, "?delay_ms=5000").await;
        assert_eq!(rest.lease(1).await.len(), 0, "skew {skew}");
        store.advance(5_000);
        rest.store.tick().await.unwrap();
        let leased = rest.lease(1).await;
        assert_eq!(leased.iter().map(|leased| leased.task.waited_ms()).collect::<Vec<_>>(), [5_000], "skew {skew}");
        assert_eq!(json!(leased[0].task.id.to_string()), delayed["id"]);
    }
}
