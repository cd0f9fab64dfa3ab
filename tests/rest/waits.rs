//! Waiting for several tasks: the end of a task wakes the request, and every wait is limited.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use fusebox_core::limits::WAIT_TASKS_MAX;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::{
    hand::{returned, trapped},
    support::{Answer, Rest, Slots, assert_problem},
};

const PATH: &str = "/v1/tasks/wait";

async fn wait(rest: &Rest, tasks: &[String], until: &str, seconds: u32) -> Answer {
    let prefer = format!("wait={seconds}");
    let body = json!({"tasks": tasks, "for": until}).to_string();
    rest.send(Method::POST, PATH, &[("prefer", &prefer)], body).await
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|task| task["status"].as_str().unwrap()).collect()
}

/// A wait that polls instead of being woken takes minutes here.
#[tokio::test]
async fn the_end_wakes_who_waits_for_any_or_all() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let started = Instant::now();
    for round in 0..20 {
        let ids = [rest.submit("a").await, rest.submit("b").await];
        let mut any = Box::pin(wait(&rest, &ids, "any", 50));
        let mut all = Box::pin(wait(&rest, &ids, "all", 50));
        assert!((&mut any).now_or_never().is_none() && (&mut all).now_or_never().is_none());
        let leased = rest.lease(2).await;
        // Tasks of the same millisecond are leased in either order.
        let of = |id: &str| leased.iter().find(|leased| leased.task.id.to_string() == id).unwrap();
        rest.report(of(&ids[1]), returned(format!("{round}"))).await;
        let any = any.await;
        assert_eq!(any.header("preference-applied"), "wait=50");
        assert_eq!((&any.json()["done"], statuses(&any.json())), (&true.into(), vec!["RUNNING", "COMPLETED"]));
        assert!((&mut all).now_or_never().is_none());
        rest.report(of(&ids[0]), trapped()).await;
        let all = all.await.json();
        assert_eq!((&all["done"], statuses(&all)), (&true.into(), vec!["FAILED", "COMPLETED"]));
        assert_eq!(all["items"][0]["error"]["code"], "trap");
        assert!(all["items"][1]["result"].is_string() && all["items"][0]["id"] == ids[0].as_str());
    }
    assert!(started.elapsed() < Duration::from_secs(15), "20 rounds took {:?}", started.elapsed());
}

#[tokio::test]
async fn without_a_preference_or_at_its_end_the_tasks_are_told_as_they_are() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let ids = [rest.submit("a").await];
    for until in ["all", "any"] {
        let late = wait(&rest, &ids, until, 0).await;
        assert_eq!((late.status, &late.json()["done"]), (StatusCode::OK, &false.into()));
        assert_eq!(statuses(&late.json()), ["QUEUED"]);
    }
    let now = rest.post_json(PATH, json!({"tasks": ids})).await;
    assert_eq!((&now.json()["done"], now.header("preference-applied")), (&false.into(), ""));
    let nothing = rest.post_json(PATH, json!({"tasks": []})).await.json();
    assert_eq!(nothing, json!({"done": true, "items": [], "missing": []}));
}

#[tokio::test]
async fn tasks_that_are_not_there_are_not_waited_for() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let foreign = rest.foreign_task().await.to_string();
    let absent = "0190d5a0-7b1a-7c3e-8f00-0123456789ab".to_owned();
    for until in ["all", "any"] {
        let answer = wait(&rest, &[foreign.clone(), absent.clone()], until, 50).await.json();
        assert_eq!(answer["missing"], json!([foreign, absent]));
        assert_eq!((&answer["items"], &answer["done"]), (&json!([]), &(until == "all").into()));
    }
}

#[tokio::test]
async fn results_together_have_a_bound() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(rest.submit("x").await);
        rest.run(returned(vec![7; 3 << 20])).await;
    }
    let answer = rest.post_json(PATH, json!({"tasks": ids})).await.json();
    let has_result: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|task| task["result"].is_string()).collect();
    assert_eq!(has_result, [true, true, false]);
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_refused() {
    let rest = Rest::new(Slots::Echo);
    let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    for body in [
        json!({"tasks": ["7"]}),
        json!({"tasks": id}),
        json!({"tasks": [id], "for": "some"}),
        json!({"tasks": [id], "until": "any"}),
        json!({}),
    ] {
        let answer = rest.post_json(PATH, body).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-request");
    }
    let most = rest.post_json(PATH, json!({"tasks": vec![id; WAIT_TASKS_MAX]})).await;
    assert_eq!(most.status, StatusCode::OK);
    let more = rest.post_json(PATH, json!({"tasks": vec![id; WAIT_TASKS_MAX + 1]})).await;
    assert_problem(&more, StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large");
}

#[tokio::test]
async fn tasks_that_are_waited_for_together_have_a_bound() {
    let rest = Rest::new(Slots::Echo).with_echo().await;
    let id = rest.submit("x").await;
    let many = vec![id.clone(); WAIT_TASKS_MAX];
    // A sixteenth of the waits is reserved for the operator.
    let mut waits: Vec<_> = (0..93).map(|_| Box::pin(wait(&rest, &many, "any", 50))).collect();
    for wait in &mut waits {
        assert!(wait.now_or_never().is_none());
    }
    assert_problem(&wait(&rest, &many, "any", 50).await, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
    rest.run(returned("")).await;
    assert_eq!(waits.pop().unwrap().await.json()["done"], true);
}
