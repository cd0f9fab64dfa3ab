//! A server at its `maxmemory`.

use super::faults::impatient_node;
use crate::conformance::full;

#[tokio::test]
async fn a_full_server_refuses_what_stores_more_and_everything_else_goes_on() {
    let subject = impatient_node(&["--maxmemory", "24mb"]).await;
    let (mut stored, reason) = full::fill(&subject).await;
    assert!(reason.contains("raise its maxmemory"), "{reason}");
    for _ in 0..2 {
        full::goes_on(&subject, &mut stored).await;
    }
    assert!(full::is_freed(&subject, &mut stored).await);
}
