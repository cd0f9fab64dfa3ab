//! Tests of the bytes that are counted for each tenant, and of their limit.

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, Refusal},
    error::ErrorCode,
    id::TaskId,
    limits::{RECORD_BYTES, VALUE_BYTES},
    name::TenantId,
    outcome::{Ended, Failure, Receipt},
    quota::UNLIMITED,
    task::{Fingerprint, Status},
};

use super::{
    FAILED_MS, LEASE_MS, Subject, accept, cancel, claim, end, finish,
    functions::{by_name, collect, delete},
    kv::{key, new, of},
    lease_one, new_function, new_task, register, replay, tenant,
};
use crate::{
    Accepted, Cancelled, FunctionRef, Holdings, NewFunction, NewTask, Purged, Registered, Verdict,
    kv::{Namespace, NewValue, SettingAnswer, SettingKind},
};

/// Size of the input of the suite's tasks, in bytes.
const INPUT_BYTES: u64 = 5;

/// Returns the bytes counted for a tenant.
pub(crate) async fn stored(subject: &dyn Subject, tenant: &TenantId) -> u64 {
    subject.store().stored_bytes(tenant).await.unwrap()
}

/// Returns the bytes of one task.
async fn bytes_of(subject: &dyn Subject, tenant: &TenantId, task: TaskId) -> u64 {
    subject.store().task(tenant, task).await.unwrap().unwrap().stored_bytes()
}

async fn purge(subject: &dyn Subject, tenant: &TenantId, task: TaskId) {
    assert_eq!(subject.store().purge(vec![(tenant.clone(), task)]).await.unwrap(), [Purged::Purged]);
}

pub(crate) async fn a_store_has_room(subject: &dyn Subject) {
    let places = subject.store().room().await.unwrap();
    assert!(!places.is_empty() && places.iter().all(|room| room.total_bytes > 0 && room.used_bytes > 0), "{places:?}");
}

pub(crate) async fn what_tenants_store_together_is_summed(subject: &dyn Subject) {
    let (first, second, empty) = (tenant("acme"), tenant("other"), tenant("empty"));
    for tenant in [&first, &second] {
        register(subject, tenant, "f").await;
    }
    let bytes = stored(subject, &first).await + stored(subject, &second).await;
    let holdings = subject.store().holdings(&[first, empty, second]).await.unwrap();
    assert_eq!(holdings, Holdings { tenants: 2, bytes });
}

pub(crate) async fn a_task_is_counted_once_with_what_is_stored_of_it(subject: &dyn Subject) {
    let (tenant, other) = (tenant("acme"), tenant("other"));
    let function = register(subject, &tenant, "f").await;
    let before = stored(subject, &tenant).await;
    assert_eq!(before, RECORD_BYTES + 1, "the version and its module");
    let task = new_task(subject, &function);
    accept(subject, task.clone()).await;
    let queued = before + RECORD_BYTES + INPUT_BYTES;
    assert_eq!(stored(subject, &tenant).await, queued);
    let changed = NewTask { fingerprint: Some(Fingerprint([1; 32])), ..task.clone() };
    let answers = subject.store().accept(vec![task.clone(), changed]).await.unwrap();
    assert_eq!(answers, [Accepted::Duplicate, Accepted::Conflict]);
    assert_eq!(stored(subject, &tenant).await, queued);
    let leased = lease_one(subject, &tenant).await;
    assert_eq!(stored(subject, &tenant).await, queued, "the input is kept for another attempt");
    finish(subject, claim(&leased), end("a result")).await;
    assert_eq!(stored(subject, &tenant).await, before + RECORD_BYTES + 8 + 3, "output and log");
    finish(subject, claim(&leased), end("another result")).await;
    assert_eq!(stored(subject, &tenant).await, before + bytes_of(subject, &tenant, task.id).await);
    purge(subject, &tenant, task.id).await;
    assert_eq!(stored(subject, &tenant).await, before);
    assert_eq!(stored(subject, &other).await, 0);
}

/// Returns a failed end, whose receipt has sizes of its own.
fn failure() -> Verdict {
    let failure =
        Failure { backtrace: vec!["at \u{e4}\n".to_owned()], ..Failure::new(ErrorCode::Trap, "it \"trapped\"") };
    let receipt = Receipt { output_bytes: 1 << 40, log_bytes: 1 << 40, ..Receipt::default() };
    let (output, log) = (Bytes::from_static(b"error"), Bytes::from_static(b"a log"));
    Verdict::End(Ended { failure: Some(failure), output, log, receipt })
}

/// Accepts a task for each way to end and ends all of them; returns their ids.
async fn ended_in_each_way(subject: &dyn Subject, tenant: &TenantId) -> Vec<TaskId> {
    let function = register(subject, tenant, "f").await;
    let new = || NewTask { attempts_max: 1, ..new_task(subject, &function) };
    let mut tasks = Vec::new();
    for verdict in [end("out"), failure(), Verdict::Retry { delay_ms: 0 }] {
        tasks.push(accept(subject, new()).await);
        finish(subject, claim(&lease_one(subject, tenant).await), verdict).await;
    }
    let released = accept(subject, new()).await;
    finish(subject, claim(&lease_one(subject, tenant).await), Verdict::Release).await;
    lease_one(subject, tenant).await;
    for task in [released, accept(subject, new()).await] {
        assert!(matches!(cancel(subject, tenant, task).await, Cancelled::Cancelled { .. }));
        tasks.push(task);
    }
    tasks.push(accept(subject, NewTask { expires_in_ms: LEASE_MS / 2, ..new() }).await);
    tasks.push(accept(subject, NewTask { delay_ms: 1, expires_in_ms: LEASE_MS / 2, ..new() }).await);
    subject.pass(LEASE_MS).await;
    subject.store().tick().await.unwrap();
    tasks
}

pub(crate) async fn each_end_leaves_what_it_is_counted_for(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let tasks = ended_in_each_way(subject, &tenant).await;
    let mut left = RECORD_BYTES + 1;
    for task in &tasks {
        let task = subject.store().task(&tenant, *task).await.unwrap().unwrap();
        assert!(task.status().is_ended(), "{task:?}");
        left += task.stored_bytes();
    }
    assert_eq!(stored(subject, &tenant).await, left);
    for task in &tasks[..3] {
        left -= bytes_of(subject, &tenant, *task).await;
        purge(subject, &tenant, *task).await;
        assert_eq!(stored(subject, &tenant).await, left);
    }
    subject.pass(FAILED_MS).await;
    subject.store().tick().await.unwrap();
    assert_eq!(stored(subject, &tenant).await, RECORD_BYTES + 1);
    delete(subject, &tenant, &by_name("f")).await;
    collect(subject).await;
    assert_eq!(stored(subject, &tenant).await, 0);
}

pub(crate) async fn a_batch_is_accepted_up_to_the_limit(subject: &dyn Subject) {
    let (tenant, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(subject, &tenant, "f").await, register(subject, &other, "f").await);
    let each = RECORD_BYTES + INPUT_BYTES;
    let stored_max = stored(subject, &tenant).await + 2 * each;
    let new = || NewTask { stored_max, ..new_task(subject, &function) };
    let batch = vec![new(), new(), new(), NewTask { stored_max, ..new_task(subject, &others) }, new()];
    let at = subject.now();
    let (accepted, refused) = (Accepted::New { at }, Accepted::BytesReached);
    let answers = subject.store().accept(batch.clone()).await.unwrap();
    assert_eq!(answers, [accepted, accepted, refused, accepted, refused]);
    assert_eq!(stored(subject, &tenant).await, stored_max);
    for at in [2, 4] {
        assert!(subject.store().task(&tenant, batch[at].id).await.unwrap().is_none());
    }
    assert_eq!(super::counts(subject, &tenant).await, (2, 0, 0));
    // What was accepted before is a duplicate, and takes no room from another one.
    let again = vec![batch[0].clone(), batch[2].clone()];
    assert_eq!(subject.store().accept(again).await.unwrap(), [Accepted::Duplicate, refused]);
    cancel(subject, &tenant, batch[0].id).await;
    purge(subject, &tenant, batch[0].id).await;
    assert_eq!(subject.store().accept(vec![batch[4].clone()]).await.unwrap(), [accepted]);
    assert_eq!(stored(subject, &tenant).await, stored_max);
}

pub(crate) async fn an_end_is_saved_beyond_the_limit_and_counts(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let stored_max = stored(subject, &tenant).await + RECORD_BYTES + INPUT_BYTES;
    accept(subject, NewTask { stored_max, ..new_task(subject, &function) }).await;
    let leased = lease_one(subject, &tenant).await;
    finish(subject, claim(&leased), end("more than there was before")).await;
    assert_eq!(super::status(subject, &tenant, leased.task.id).await, Status::Completed);
    assert!(stored(subject, &tenant).await > stored_max);
    let more = NewTask { stored_max, input: Bytes::new(), ..new_task(subject, &function) };
    assert_eq!(subject.store().accept(vec![more]).await.unwrap(), [Accepted::BytesReached]);
}

pub(crate) async fn a_replay_is_counted_within_the_limit(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let letter = accept(subject, new_task(subject, &function)).await;
    finish(subject, claim(&lease_one(subject, &tenant).await), failure()).await;
    let before = stored(subject, &tenant).await;
    let replay = replay::again(subject, &function, letter);
    let refused = NewTask { stored_max: before + RECORD_BYTES - 1, ..replay.clone() };
    assert_eq!(subject.store().replay(vec![refused]).await.unwrap(), [Accepted::BytesReached]);
    assert_eq!(stored(subject, &tenant).await, before);
    for answer in [Accepted::New { at: subject.now() }, Accepted::Duplicate] {
        assert_eq!(subject.store().replay(vec![replay.clone()]).await.unwrap(), [answer]);
        assert_eq!(stored(subject, &tenant).await, before + RECORD_BYTES + INPUT_BYTES);
    }
    cancel(subject, &tenant, replay.id).await;
    purge(subject, &tenant, replay.id).await;
    assert_eq!(stored(subject, &tenant).await, before);
    assert_eq!(subject.store().input(&tenant, letter).await.unwrap().unwrap(), "input");
}

pub(crate) async fn values_are_counted_within_the_limit(subject: &dyn Subject) {
    let of = of("acme", "f");
    let set = async |new: NewValue| subject.store().set_value(&of, new).await.unwrap().map(drop);
    let count = async || stored(subject, &of.tenant).await;
    set(new("ab", b"four")).await.unwrap();
    assert_eq!(count().await, VALUE_BYTES + 6);
    set(new("ab", b"longer")).await.unwrap();
    assert_eq!(count().await, VALUE_BYTES + 8);
    let stored_max = VALUE_BYTES + 8;
    let refused = [new("ab", b"longest"), new("c", b"")].map(|new| NewValue { stored_max, ..new });
    for new in refused {
        assert_eq!(set(new).await, Err(Refusal::Quota));
    }
    assert_eq!((count().await, subject.store().value(&of, &key("c")).await.unwrap()), (VALUE_BYTES + 8, None));
    set(NewValue { stored_max: 1, ..new("ab", b"short") }).await.unwrap();
    assert_eq!(count().await, VALUE_BYTES + 7, "less than before always has room");
    let ttl = Some(1_000.try_into().unwrap());
    set(NewValue { ttl, ..new("cd", b"ends") }).await.unwrap();
    assert_eq!(count().await, 2 * VALUE_BYTES + 7 + 6);
    subject.pass(1_000).await;
    set(new("ab", b"")).await.unwrap();
    assert_eq!(count().await, VALUE_BYTES + 2, "a set removes what has expired");
    let deleted = subject.store().delete_value(&of, &key("ab"), Expects::Anything).await.unwrap();
    assert_eq!((deleted, count().await), (Ok(true), 0));
}

pub(crate) async fn settings_are_counted_within_the_limit(subject: &dyn Subject) {
    let of = &of("acme", "f");
    let name = "name".parse().unwrap();
    let set = async |value: &'static [u8], stored_max| {
        subject.store().set_setting(of, SettingKind::Secret, &name, value.into(), stored_max).await.unwrap()
    };
    let count = async || stored(subject, &of.tenant).await;
    assert_eq!(set(b"value", VALUE_BYTES + 8).await, SettingAnswer::BytesReached);
    assert_eq!((count().await, subject.store().settings(of, SettingKind::Secret).await.unwrap()), (0, Vec::new()));
    assert_eq!(set(b"value", VALUE_BYTES + 9).await, SettingAnswer::Set);
    assert_eq!(set(b"v", 0).await, SettingAnswer::Set, "less than before always has room");
    assert_eq!(count().await, VALUE_BYTES + 5);
    let unset = async || subject.store().unset(of, SettingKind::Secret, &name).await.unwrap();
    assert_eq!((unset().await, count().await), (true, 0));
    assert_eq!((unset().await, count().await), (false, 0));
}

pub(crate) async fn what_is_forgotten_is_not_counted(subject: &dyn Subject) {
    let (mine, other) = (&of("acme", "f"), &of("acme", "g"));
    let fill = async |of: &Namespace| {
        for at in ["a", "b", "c"] {
            subject.store().set_value(of, new(at, at.as_bytes())).await.unwrap().unwrap();
        }
        for kind in [SettingKind::Config, SettingKind::Secret] {
            let name = "name".parse().unwrap();
            subject.store().set_setting(of, kind, &name, "value".into(), UNLIMITED).await.unwrap();
        }
    };
    fill(mine).await;
    let each = stored(subject, &mine.tenant).await;
    assert_eq!(each, 5 * VALUE_BYTES + 3 * 2 + 2 * 9);
    fill(other).await;
    assert_eq!(stored(subject, &mine.tenant).await, 2 * each);
    for left in [each, each] {
        subject.store().forget(mine).await.unwrap();
        assert_eq!(stored(subject, &mine.tenant).await, left);
    }
    subject.store().forget(other).await.unwrap();
    assert_eq!(stored(subject, &mine.tenant).await, 0);
}

pub(crate) async fn a_version_is_counted_within_the_limit_until_its_module_is_gone(subject: &dyn Subject) {
    let (one, two) = (tenant("one"), tenant("two"));
    let each = RECORD_BYTES + 6;
    let new = |tenant: &TenantId, stored_max| NewFunction { stored_max, ..new_function(subject, tenant, "module") };
    let add = async |new: NewFunction| subject.store().register(new, Bytes::from_static(b"module")).await.unwrap();
    assert_eq!(add(new(&one, each - 1)).await, Registered::BytesReached { max: each - 1 });
    assert_eq!(stored(subject, &one).await, 0);
    let first = new(&one, each);
    // Sent again, it is not counted again. Each version of a shared module is counted.
    for _ in 0..2 {
        assert!(matches!(add(first.clone()).await, Registered::Version(_)));
    }
    assert_eq!(stored(subject, &one).await, each);
    assert!(matches!(add(new(&one, 2 * each)).await, Registered::Version(_)));
    assert!(matches!(add(new(&two, each)).await, Registered::Version(_)));
    assert_eq!((stored(subject, &one).await, stored(subject, &two).await), (2 * each, each));
    delete(subject, &one, &FunctionRef::Id(first.id)).await;
    collect(subject).await;
    assert_eq!((stored(subject, &one).await, stored(subject, &two).await), (each, each));
    for tenant in [&one, &two] {
        delete(subject, tenant, &by_name("module")).await;
        collect(subject).await;
        assert_eq!(stored(subject, tenant).await, 0);
    }
}
