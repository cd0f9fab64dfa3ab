//! Tests of fuel: one tank per tenant, for all nodes that draw.

use super::{Subject, tenant};

const PER_MINUTE: u64 = 60_000;

pub(crate) async fn a_tank_gives_what_it_has_and_fills_with_time(subject: &dyn Subject) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    assert_eq!(subject.store().fuel_left(&acme, PER_MINUTE).await.unwrap(), PER_MINUTE);
    let draw = async |fuel| subject.store().draw_fuel(&acme, PER_MINUTE, fuel).await.unwrap();
    assert_eq!(draw(50_000).await, 50_000, "it is full at first");
    assert_eq!(draw(50_000).await, 10_000);
    assert_eq!(draw(1).await, 0);
    assert_eq!(subject.store().draw_fuel(&other, PER_MINUTE, 7).await.unwrap(), 7, "another tenant has its own");
    subject.pass(2_000).await;
    let left = async || subject.store().fuel_left(&acme, PER_MINUTE).await.unwrap();
    assert_eq!((left().await, left().await), (2_000, 2_000), "a look draws nothing");
    assert_eq!(draw(9_000).await, 2_000);
    assert_eq!(left().await, 0);
    subject.store().give_back_fuel(&acme, PER_MINUTE, 500).await.unwrap();
    assert_eq!(draw(9_000).await, 500);
    subject.pass(300_000).await;
    assert_eq!(draw(u64::MAX >> 12).await, PER_MINUTE, "never more than a minute's worth");
}

pub(crate) async fn a_tank_follows_another_rate(subject: &dyn Subject) {
    let acme = tenant("acme");
    assert_eq!(subject.store().draw_fuel(&acme, PER_MINUTE, 10_000).await.unwrap(), 10_000);
    assert_eq!(
        subject.store().draw_fuel(&acme, 600, 10_000).await.unwrap(),
        600,
        "what is above the new bound is lost"
    );
    subject.pass(1_000).await;
    assert_eq!(subject.store().draw_fuel(&acme, 600, 10_000).await.unwrap(), 10);
}
