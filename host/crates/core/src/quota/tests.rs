//! Tests of quotas, rates and tanks.

use alloc::string::ToString as _;

use super::*;

const ROOM: u64 = 1_000;

#[test]
fn what_is_set_goes_before_the_default_and_the_operator_is_not_slowed_down() {
    let settings = QuotaSettings { functions: Some(3), ..QuotaSettings::default() };
    let acme: TenantId = "acme".parse().unwrap();
    assert_eq!(
        Quotas::of(&acme, &settings, ROOM, Keep::DEFAULT),
        Quotas { functions: 3, stored_bytes: 100, ..Quotas::DEFAULT }
    );
    let own = Quotas::of(&TenantId::default_tenant(), &settings, ROOM, Keep::DEFAULT);
    assert_eq!(own, Quotas { functions: 3, stored_bytes: 500, ..Quotas::OPERATOR });
}

#[test]
fn no_tenant_may_store_more_than_half_of_the_room() {
    let acme: TenantId = "acme".parse().unwrap();
    let stored_bytes = |set: u64, room: u64| {
        Quotas::of(&acme, &QuotaSettings { stored_bytes: Some(set), ..QuotaSettings::NONE }, room, Keep::DEFAULT)
            .stored_bytes
    };
    assert_eq!((stored_bytes(7, ROOM), stored_bytes(499, ROOM), stored_bytes(900, ROOM)), (7, 499, 500));
    assert_eq!(stored_bytes(900, UNLIMITED), 900);
    assert_eq!(stored_bytes(900, 0), 0);
}

#[test]
fn a_bound_above_its_ceiling_is_refused_by_its_name_and_an_old_record_of_one_counts_as_the_ceiling() {
    let above = QuotaSettings { queued_tasks: Some(5_000_000), ..QuotaSettings::NONE };
    let error = above.check(Keep::MOST).unwrap_err();
    assert_eq!((error.name, error.max), ("queued_tasks", limits::QUEUED_TASKS_PER_TENANT_MAX));
    let acme: TenantId = "acme".parse().unwrap();
    assert_eq!(Quotas::of(&acme, &above, ROOM, Keep::MOST).queued_tasks, limits::QUEUED_TASKS_PER_TENANT_MAX);
    let most = Quotas::CEILING.map(Some);
    assert_eq!((most.check(Keep::MOST), Quotas::of(&acme, &most, UNLIMITED, Keep::MOST)), (Ok(()), Quotas::CEILING));
    let one_more = |bound: Option<u64>| bound.map(|bound| bound + 1);
    for above in [
        QuotaSettings { functions: one_more(most.functions), ..most },
        QuotaSettings { stored_bytes: one_more(most.stored_bytes), ..most },
        QuotaSettings { queued_tasks: one_more(most.queued_tasks), ..most },
        QuotaSettings { running_tasks: one_more(most.running_tasks), ..most },
        QuotaSettings { fuel_per_minute: one_more(most.fuel_per_minute), ..most },
        QuotaSettings { requests_per_second: one_more(most.requests_per_second), ..most },
        QuotaSettings { keep_results_s: one_more(most.keep_results_s), ..most },
        QuotaSettings { keep_failed_s: one_more(most.keep_failed_s), ..most },
    ] {
        assert!(above.check(Keep::MOST).is_err(), "{above:?}");
    }
}

#[test]
fn a_tenant_keeps_its_tasks_for_its_own_time_and_no_longer_than_its_host() {
    let (acme, host): (TenantId, _) = ("acme".parse().unwrap(), Keep { results_s: 3_600, failed_s: 7_200 });
    let of = |settings: &QuotaSettings| Quotas::of(&acme, settings, ROOM, host).keep();
    assert_eq!(of(&QuotaSettings::NONE), host);
    let own = QuotaSettings { keep_results_s: Some(60), ..QuotaSettings::NONE };
    assert_eq!((own.check(host), of(&own)), (Ok(()), Keep { results_s: 60, ..host }));
    let longer = QuotaSettings { keep_failed_s: Some(7_201), ..own };
    assert_eq!(longer.check(host).unwrap_err().to_string(), "keep_failed_s must be at most 7200, and is 7201");
    assert_eq!(of(&longer), Keep { results_s: 60, ..host }, "recorded while the host kept them longer");
    let short = QuotaSettings { keep_results_s: Some(59), ..QuotaSettings::NONE };
    assert_eq!(short.check(host).unwrap_err().to_string(), "keep_results_s must be at least 60, and is 59");
}

#[test]
fn a_burst_is_let_in_once_and_then_as_many_as_the_rate_allows() {
    let mut bucket = RequestBucket::full(10, Millis(0));
    for left in (0..10).rev() {
        assert_eq!(bucket.admit(10, Millis(0)), Admission::Admitted { left });
    }
    assert_eq!(bucket.admit(10, Millis(0)), Admission::Refused { wait_ms: 100 });
    assert_eq!(bucket.admit(10, Millis(99)), Admission::Refused { wait_ms: 1 });
    assert_eq!(bucket.admit(10, Millis(100)), Admission::Admitted { left: 0 });
    assert!(!bucket.is_full(10, Millis(1_099)) && bucket.is_full(10, Millis(1_100)));
    let admitted = (0..60_000).filter(|ms| matches!(bucket.admit(7, Millis(200 + ms)), Admission::Admitted { .. }));
    assert!((420..=428).contains(&admitted.count()));
    assert_eq!(RequestBucket::full(0, Millis(0)).admit(0, Millis(9)), Admission::Refused { wait_ms: 60_000 });
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_away_and_stops_nothing() {
    let mut bucket = RequestBucket::full(1, Millis(10_000));
    assert_eq!(bucket.admit(1, Millis(10_000)), Admission::Admitted { left: 0 });
    assert_eq!(bucket.admit(1, Millis(5_000)), Admission::Refused { wait_ms: 1_000 });
    assert_eq!(bucket.admit(1, Millis(6_000)), Admission::Admitted { left: 0 });
}

#[test]
fn a_tank_gives_a_minutes_worth_at_once_and_then_its_rate_whoever_draws() {
    let mut tank = FuelTank::full(6_000, Millis(0));
    let mut drawn = 0;
    for ms in (0..600_000).step_by(7) {
        drawn += tank.draw(6_000, 900, Millis(ms));
    }
    assert!((65_000..=66_000).contains(&drawn), "10 minutes and the first one's worth: {drawn}");
    let mut tank = FuelTank::full(10, Millis(0));
    assert_eq!(tank.draw(10, 25, Millis(0)), 10);
    tank.give_back(10, 25, Millis(0));
    assert_eq!(tank.fuel, 10, "never more than a minute's worth");
}

#[test]
fn little_is_asked_for_at_a_time_but_enough() {
    assert_eq!((draught(1_600, 7), draught(1_600, 700)), (100, 700));
    assert_eq!(refill_ms(60_000, 2_000), 2_000);
    assert_eq!(refill_ms(60_000, 1), limits::FUEL_ASK_MS_MIN);
    assert_eq!(refill_ms(60_000, u64::MAX), 3_750);
    assert_eq!(refill_ms(0, 5), 60_000);
}
