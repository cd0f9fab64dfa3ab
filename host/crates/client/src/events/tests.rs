//! Event streams as servers and proxies may frame them: any line ending, chunks that end anywhere, comments between.

use crate::{Client, ClientError, Event};
use axum::{Router, body::Body, routing::get};
use futures_util::stream;

const QUEUED: &str = r#"{"id":"t","function_id":"f","status":"QUEUED","attempt":0,"attempts_max":3,"priority":"normal","created_at":"now","ended_at":null,"error":null,"receipt":null}"#;

/// Events of a task: a comment, one in a single line, one whose data takes two, and one that never ends.
fn text() -> String {
    let (first, second) = QUEUED.split_at(QUEUED.find(r#""status""#).unwrap());
    format!(
        ": open\n\nevent: queued\nid: 1\ndata: {QUEUED}\n\nid:2\nevent:completed\ndata: {first}\ndata: {}\n\nevent: x\ndata: {{",
        second.replace("QUEUED", "COMPLETED")
    )
}

/// Reads a task's events from a server that sends these chunks.
async fn read(chunks: Vec<Vec<u8>>) -> Result<Vec<Event>, ClientError> {
    let body = async move || Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = axum::serve(listener, Router::new().route("/v1/tasks/t/events", get(body))).into_future();
    let reads = async {
        let mut events = client.events("t", None).await?;
        let mut all = Vec::new();
        while let Some(event) = events.next().await? {
            all.push(event);
        }
        Ok(all)
    };
    tokio::select! {
        all = reads => all,
        _ = server => unreachable!("the server runs for ever"),
    }
}

#[tokio::test]
async fn events_are_the_same_with_any_line_ending_and_in_chunks_of_any_size() {
    for ending in ["\n", "\r\n", "\r"] {
        let bytes = text().replace('\n', ending).into_bytes();
        for size in [1, 2, 7, bytes.len()] {
            let events = read(bytes.chunks(size).map(<[u8]>::to_vec).collect()).await.unwrap();
            let told: Vec<_> = events.iter().map(|event| (event.id.as_str(), event.task.status.as_str())).collect();
            assert_eq!(told, [("1", "QUEUED"), ("2", "COMPLETED")], "{ending:?} in chunks of {size}");
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let events = read(vec![format!("\u{feff}{}", text()).into_bytes()]).await.unwrap();
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_host_that_breaks_off_says_why() {
    let error =
        read(vec![b"event: problem\ndata: {\"code\":\"gone\",\"detail\":\"later\"}\n\n".to_vec()]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.to_string(), "gone: later");
}

#[tokio::test]
async fn an_event_that_never_ends_is_cut_off() {
    let error = read(vec![b"data: ".to_vec(), vec![b'x'; 1 << 20]]).await.unwrap_err();
    assert!(matches!(&error, ClientError::Protocol { reason, .. } if reason == "an event is too large"), "{error}");
}
