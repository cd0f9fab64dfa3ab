//! Tests of fair sharing between tenants by slot time.

use super::*;

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Simulates one run of a tenant that holds a slot for the given time.
fn run(shares: &mut Shares, tenant: &TenantId, slot_us: u64) {
    shares.take(tenant, 1);
    shares.begins(tenant);
    let began = shares.now;
    shares.set_now(Millis(began.0 + slot_us / 1_000));
    let over = Over { tenant: tenant.clone(), sent_at: began, begun_at: Some(began), is_extra: false, next: None };
    shares.leaves(&over, Some(slot_us));
    shares.set_now(began);
}

#[test]
fn two_tenants_share_by_slot_time_and_not_by_count() {
    let (cheap, dear) = (tenant("cheap"), tenant("dear"));
    let mut shares = Shares::default();
    shares.set_ready(&cheap, 1_000_000);
    shares.set_ready(&dear, 1_000_000);
    let (mut cheap_us, mut dear_us) = (0_u64, 0_u64);
    for _ in 0..10_000 {
        let (next, ..) = shares.next().unwrap();
        let cost_us = if next == cheap { 100 } else { 10_000 };
        *(if next == cheap { &mut cheap_us } else { &mut dear_us }) += cost_us;
        run(&mut shares, &next, cost_us);
    }
    let ratio = dear_us as f64 / cheap_us as f64;
    assert!((0.8..1.25).contains(&ratio), "{cheap_us} us and {dear_us} us");
}

/// Lets one tenant run alone for 10 s, then another; returns the slot time that the newcomer gets in a row, in
/// microseconds.
fn in_a_row(late: &TenantId, before: impl FnOnce(&mut Shares)) -> u64 {
    const RUN_US: u64 = 1_000;
    let steady = tenant("steady");
    let mut shares = Shares::default();
    before(&mut shares);
    shares.set_ready(&steady, 1_000_000);
    for _ in 0..10_000 {
        let (next, ..) = shares.next().unwrap();
        run(&mut shares, &next, RUN_US);
    }
    shares.set_ready(late, 1_000);
    let mut in_a_row = 0;
    while shares.next().unwrap().0 == *late {
        run(&mut shares, late, RUN_US);
        in_a_row += 1;
    }
    in_a_row * RUN_US
}

#[test]
fn a_pause_earns_a_bounded_credit() {
    let late = tenant("late");
    let run_us = in_a_row(&late, |_| {});
    assert!((CREDIT_US_MAX / 2..CREDIT_US_MAX * 5 / 4).contains(&run_us), "{run_us}");
}

#[test]
fn who_has_used_its_share_has_no_credit() {
    let late = tenant("late");
    // The amount that its share until now would have been, charged at once.
    let used = |shares: &mut Shares| {
        shares.set_ready(&late, 1);
        run(shares, &late, 10_000_000);
    };
    let run_us = in_a_row(&late, used);
    assert!(run_us < CREDIT_US_MAX / 4, "{run_us}");
}

#[test]
fn what_becomes_ready_during_a_lease_step_waits_for_its_answer() {
    let (one, other) = (tenant("one"), tenant("other"));
    let mut shares = Shares::default();
    shares.set_ready(&one, 2);
    shares.take(&one, 1);
    assert_eq!(shares.next(), Some((one.clone(), 1, 1)), "the wave is open: other workers get their part");
    shares.close_wave();
    assert_eq!(shares.next(), None);
    shares.set_ready(&other, 1);
    assert_eq!(shares.next(), Some((other, 1, 2)), "who is being served has a part of the credit all the same");
    shares.answered(&one);
    assert_eq!(shares.ready(&one), 1);
    assert_eq!(shares.waiting.len(), 2);
}

#[test]
fn a_run_under_way_counts_as_it_goes() {
    let (sleeper, other) = (tenant("sleeper"), tenant("other"));
    let mut shares = Shares::default();
    shares.set_ready(&sleeper, 10);
    shares.take(&sleeper, 1);
    shares.begins(&sleeper);
    shares.set_now(Millis(4_000));
    shares.set_ready(&other, 10);
    // The newcomer catches up with the sleeper, less its credit; until now the sleeper's estimated cost was close to 0.
    run(&mut shares, &other, CREDIT_US_MAX - 1_000);
    assert_eq!(shares.next().unwrap().0, other);
    run(&mut shares, &other, 2_000);
    assert_eq!(shares.next().unwrap().0, sleeper, "its credit is spent");
    shares.set_now(Millis(4_002));
    assert_eq!(shares.next().unwrap().0, other, "the sleeper's run goes on");
}

#[test]
fn a_worker_cannot_say_that_a_run_held_its_slot_for_longer_than_it_had_it() {
    let late = tenant("late");
    let run_us = in_a_row(&late, |shares| {
        shares.set_ready(&late, 1);
        shares.take(&late, 1);
        let over = Over { tenant: late.clone(), sent_at: Millis(0), begun_at: None, is_extra: false, next: None };
        shares.leaves(&over, Some(u64::MAX));
    });
    assert!(run_us > CREDIT_US_MAX / 2, "{run_us}");
}
