//! Tests of a master behind a Sentinel, and of its replica after the master is gone.

use std::time::Duration;

use fusebox_core::task::Status;
use fusebox_harness::{eventually, redis::RedisSentinel};

use super::faults::{impatient, unavailable};
use crate::{
    Finished, Queue as _, Store,
    conformance::{accept, claim, counts, end, finish, lease, new_task, register, tenant},
};

/// Time for a failover: half a second until the Sentinel notices, a few until the replica is the master.
const FAILOVER: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_failover_is_followed() {
    let servers = RedisSentinel::start().unwrap();
    let url = servers.url();
    let mut subject = impatient(servers, &url).await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    for _ in 0..10 {
        accept(&subject, new_task(&subject, &function)).await;
    }
    let leased = lease(&subject, &tenant, 1).await.remove(0);
    // Writes that have not reached the replica are lost with the master; the test is about the rest.
    subject.server.wait_until_replicated().unwrap();
    subject.server.master.kill().unwrap();
    unavailable(subject.store.accept(vec![new_task(&subject, &function)])).await;
    let works = || async { subject.store.accept(vec![new_task(&subject, &function)]).await.ok() };
    eventually("the replica to be the master", FAILOVER, works).await.unwrap();
    assert_eq!(counts(&subject, &tenant).await, (10, 0, 1));
    assert_eq!(finish(&subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
    let listens = || async {
        let listeners = subject.server.replica.command(&["PUBSUB", "NUMSUB", "fusebox:ended"]).unwrap();
        (listeners == "fusebox:ended\n1").then_some(())
    };
    eventually("the store to listen to the new master", FAILOVER, listens).await.unwrap();
    subject.store.check().await.unwrap();
}
