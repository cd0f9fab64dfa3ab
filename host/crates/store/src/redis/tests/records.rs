//! Tests of the data that other programs can read in Redis: the names of the Python platform, with plain commands; and
//! of the keys left when everything is over.

use std::time::Duration;

use fusebox_core::{
    error::ErrorCode,
    limits::RECORD_BYTES,
    outcome::{Ended, Failure, Receipt},
    task::Status,
    time::Millis,
};
use fusebox_harness::redis::RedisServer;
use futures_util::StreamExt as _;

use super::{Access, OPTIONS, node};
use crate::{
    Accepted, Finished, FunctionRef, Functions as _, NewFunction, NewTask, Queue as _, Registered, Tasks as _, Verdict,
    conformance::{
        FAILED_MS, RESULTS_MS, Subject, accept, cancel, claim, compiles::noise, counts, end, finish,
        functions::collect, kv::each_forgotten_namespace_is_continued, lease, lease_one, listings::page,
        made_from_a_key, new_function, new_task, one_task, register, status, tenant, usage::stored,
    },
    kv::{Kv as _, Namespace},
    packed::Packed,
    redis::{RedisStore, kinds, link::Patience, modules},
};
use fusebox_system::clock::Clock;

fn field(server: &RedisServer, key: &str, name: &str) -> String {
    server.command(&["HGET", key, name]).unwrap()
}

#[tokio::test]
async fn a_module_of_the_layout_before_is_read_shared_and_removed() {
    let subject = node().await;
    let (tenant, name) = (tenant("acme"), FunctionRef::Name("f".parse().unwrap()));
    let first = register(&subject, &tenant, "f").await;
    let key = format!("fusebox:module:{}", first.module);
    subject.server.command(&["DEL", &key]).unwrap();
    subject.server.command(&["HSET", &key, "versions", "1", "wasm", "f"]).unwrap();
    assert_eq!(subject.store.module(&first.module).await.unwrap().unwrap(), "f");
    register(&subject, &tenant, "f").await;
    assert_eq!(stored(&subject, &tenant).await, 2 * (RECORD_BYTES + 1));
    assert_eq!(field(&subject.server, &key, "versions"), "2");
    assert!(subject.store.delete_function(&tenant, &name).await.unwrap());
    collect(&subject).await;
    assert_eq!(stored(&subject, &tenant).await, 0);
    assert_eq!(subject.server.command(&["EXISTS", &key]).unwrap().trim(), "0");
}

#[tokio::test]
async fn pieces_of_a_module_whose_registration_never_came_expire() {
    let subject = node().await;
    let new = new_function(&subject, &tenant("acme"), "f");
    let packed = Packed::of(noise(1, 3 << 20)).await.unwrap();
    modules::stage(&subject.store.caller, &new, &packed).await.unwrap();
    let key = format!("fusebox:module:{}:{}", new.module, new.id);
    let left: u64 = subject.server.command(&["PTTL", &key]).unwrap().trim().parse().unwrap();
    assert!((1..=600_000).contains(&left));
    let refused = NewFunction { versions_max: 0, ..new };
    assert!(matches!(
        subject.store.register(refused, noise(1, 3 << 20)).await.unwrap(),
        Registered::QuotaReached { .. }
    ));
    assert_eq!(subject.server.command(&["EXISTS", &key]).unwrap().trim(), "0", "a refusal leaves none");
}

#[tokio::test]
async fn records_have_the_keys_and_fields_of_the_python_platform() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let task = accept(&subject, new_task(&subject, &function)).await;
    let server = &subject.server;
    let key = format!("function:{}", function.id);
    assert_eq!(
        (field(server, &key, "name"), field(server, &key, "module")),
        ("f".to_owned(), function.module.to_string())
    );
    let key = format!("fusebox:module:{}", function.module);
    assert_eq!((field(server, &key, "p0"), field(server, &key, "versions")), ("f".to_owned(), "1".to_owned()));
    let key = format!("task:{task}");
    let read = |name: &str| field(server, &key, name);
    assert_eq!((read("function_id"), read("param_payload")), (function.id.to_string(), "input".to_owned()));
    assert_eq!((read("status"), read("result")), ("QUEUED".to_owned(), String::new()));
    let leased = lease_one(&subject, &tenant).await;
    assert_eq!(status(&subject, &tenant, task).await, Status::Running);
    assert_eq!(read("status"), "QUEUED", "it may end before anyone could read it");
    subject.pass(99).await;
    subject.store.tick().await.unwrap();
    assert_eq!(read("status"), "QUEUED");
    subject.pass(1).await;
    subject.store.tick().await.unwrap();
    assert_eq!(read("status"), "RUNNING");
    finish(&subject, claim(&leased), end("out")).await;
    assert_eq!((read("status"), read("result"), read("log")), ("COMPLETED".into(), "out".into(), "log".into()));
    let (record, state, now) = (read("record"), read("state"), subject.now().0);
    let then = now - 100;
    let (fixed, kind) = record.split_at(42);
    assert_eq!(fixed, format!("{then:016}{:016}{:010}", then + 3_600_000, 5));
    let (words, uses) = (
        field(server, &format!("fusebox:kind:{kind}"), "words"),
        field(server, &format!("fusebox:kind:{kind}"), "uses"),
    );
    assert!(words.contains(" acme f normal 3 ") && words.ends_with(" 1000") && uses == "1", "{words}: {uses}");
    assert_eq!(kind, kinds::name(&words));
    assert!(state.starts_with("C0000000001") && state[33..].starts_with(&format!("{now:016}")), "{state}");
    assert_eq!(read("receipt"), "42 0 0 0 0 0 0 3 3 0 -");
    assert_eq!(&state[51..], "0000000000518", "bytes that are counted");
    assert_eq!(read("param_payload"), "");

    let failing = accept(&subject, new_task(&subject, &function)).await;
    let leased = lease_one(&subject, &tenant).await;
    let failure = Some(Failure::new(ErrorCode::Trap, "it \"trapped\""));
    let (output, log) = (bytes::Bytes::from_static(b"\x00\xff"), bytes::Bytes::new());
    finish(&subject, claim(&leased), Verdict::End(Ended { failure, output, log, receipt: Receipt::default() })).await;
    let error = field(server, &format!("task:{failing}"), "error");
    assert_eq!(error, r#"{"code":"trap","message":"it \"trapped\"","backtrace":[]}"#);
    assert_eq!(field(server, &format!("task:{failing}"), "status"), "FAILED");
}

#[tokio::test]
async fn each_accepted_id_is_published() {
    let subject = node().await;
    let client = redis::Client::open(subject.server.url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener.subscribe("Tasks").await.unwrap();
    let (tenant, first) = one_task(&subject).await;
    let function = register(&subject, &tenant, "f").await;
    let second = accept(&subject, new_task(&subject, &function)).await;
    let mut messages = listener.on_message();
    for task in [first, second] {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap();
        assert_eq!(message.get_payload::<String>().unwrap(), task.to_string());
    }
}

#[tokio::test]
async fn time_is_that_of_redis_unless_a_test_tells_it() {
    let server = RedisServer::start(&[]).unwrap();
    let store = RedisStore::connect(&server.url(), Access::default(), OPTIONS).await.unwrap();
    let subject = super::On { store, clock: Clock::System, server };
    let tenant = tenant("acme");
    let new = new_task(&subject, &register(&subject, &tenant, "f").await);
    let task = new.id;
    let before = subject.now();
    let accepted = subject.store.accept(vec![new]).await.unwrap();
    let after = subject.now();
    let created_at = subject.store.task(&tenant, task).await.unwrap().unwrap().created_at;
    assert_eq!(accepted, [Accepted::New { at: created_at }]);
    assert!(before <= created_at && created_at <= after, "{before} {created_at} {after}");
    let leased = lease_one(&subject, &tenant).await;
    assert_eq!(finish(&subject, claim(&leased), end("out")).await, Finished::Ended(Status::Completed));
}

#[tokio::test]
async fn nothing_of_ended_tasks_is_left_after_their_time() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let server = &subject.server;
    let keys = || {
        let keys = server.command(&["KEYS", "*"]).unwrap();
        let mut keys: Vec<_> = keys.lines().map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    };
    let before = keys();
    let completed = accept(&subject, new_task(&subject, &function)).await;
    let leased = lease_one(&subject, &tenant).await;
    assert_eq!(leased.task.id, completed);
    finish(&subject, claim(&leased), end("out")).await;
    let cancelled = accept(&subject, new_task(&subject, &function)).await;
    cancel(&subject, &tenant, cancelled).await;
    let delayed = NewTask { delay_ms: 500, ..new_task(&subject, &function) };
    accept(&subject, NewTask { expires_in_ms: 1_000, ..delayed }).await;
    let lapsing = accept(&subject, NewTask { attempts_max: 1, ..new_task(&subject, &function) }).await;
    let leased = lease_one(&subject, &tenant).await;
    assert_eq!(leased.task.id, lapsing);
    subject.store.renew(vec![claim(&leased)], 1_000).await.unwrap();
    subject.pass(1_000).await;
    let ticked = subject.store.tick().await.unwrap();
    assert_eq!((ticked.lapsed.len(), ticked.promoted, ticked.expired), (1, 1, 1));
    let records: Vec<_> = keys().into_iter().filter(|key| key.starts_with("task:")).collect();
    assert_eq!(records.len(), 4);
    subject.pass(FAILED_MS).await;
    assert_eq!(subject.store.tick().await.unwrap().purged, 4);
    assert_eq!(subject.store.backlog().await.unwrap(), []);
    assert_eq!(keys(), before);
    let name = FunctionRef::Name("f".parse().unwrap());
    assert!(subject.store.delete_function(&tenant, &name).await.unwrap());
    subject.pass(60_000).await;
    subject.store.tick().await.unwrap();
    assert_eq!(keys(), ["fusebox:layout", "fusebox:layouts", "fusebox:numbers:acme", "fusebox:store"]);
}

/// The list of a line keeps the entries of cancelled tasks until they are met, so who cancels what it submits has a bound.
#[tokio::test]
async fn entries_of_cancelled_tasks_are_bounded_and_end() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let new = || NewTask { queued_max: 3, ..new_task(&subject, &function) };
    let left = || subject.server.command(&["KEYS", "fusebox:*e*:acme*"]).unwrap();
    let first = accept(&subject, new()).await;
    for _ in 0..3 {
        let task = accept(&subject, new()).await;
        cancel(&subject, &tenant, task).await;
        assert_eq!(counts(&subject, &tenant).await, (1, 0, 0));
    }
    assert_eq!(subject.store.accept(vec![new()]).await.unwrap(), [Accepted::QueueFull]);
    assert_eq!(lease(&subject, &tenant, 9).await.iter().map(|leased| leased.task.id).collect::<Vec<_>>(), [first]);
    assert!(!left().contains("fresh") && !left().contains("gone"), "{}", left());
    let last = accept(&subject, new()).await;
    cancel(&subject, &tenant, last).await;
    assert!(left().contains("fresh") && left().contains("gone"), "{}", left());
    cancel(&subject, &tenant, first).await;
    assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
    assert!(!left().contains("fresh") && !left().contains("gone"), "{}", left());
}

/// Tasks that are never purged hold up no other, and take no more of a listing than their own ids.
#[tokio::test]
async fn a_listing_shrinks_around_tasks_that_stay() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let mut staying = Vec::new();
    for _ in 0..20 {
        let stays = NewTask { delay_ms: 1_000_000, ..new_task(&subject, &function) };
        staying.insert(0, stays.id);
        let passing = (0..50).map(|_| new_task(&subject, &function));
        subject.store.accept(passing.chain([stays]).collect()).await.unwrap();
        subject.pass(1).await;
    }
    let bytes = || {
        let members = subject.server.command(&["ZRANGE", "fusebox:tasks:acme", "0", "-1"]).unwrap();
        members.lines().map(str::len).sum::<usize>()
    };
    let before = bytes();
    assert_eq!(before, 20 * (16 + 51 * 36));
    for leased in lease(&subject, &tenant, 512).await.into_iter().chain(lease(&subject, &tenant, 512).await) {
        finish(&subject, claim(&leased), end("out")).await;
        subject.pass(1).await;
    }
    let (mut purged, mut calls) = (0, 0);
    while purged < 1_000 {
        subject.pass(RESULTS_MS / 50).await;
        purged += subject.store.tick().await.unwrap().purged;
        calls += 1;
    }
    assert!(calls > 20, "{calls} steps");
    let page = subject.store.tasks(&tenant, &page(100, None)).await.unwrap();
    assert_eq!(page.items.iter().map(|task| task.id).collect::<Vec<_>>(), staying);
    assert!(bytes() < before / 2, "{} of {before} bytes", bytes());
    // Each purge looks at some more of them.
    let alone = 20 * (16 + 36);
    for _ in 0..200 {
        accept(&subject, new_task(&subject, &function)).await;
        let leased = lease_one(&subject, &tenant).await;
        finish(&subject, claim(&leased), end("out")).await;
        subject.pass(RESULTS_MS + 1).await;
        assert_eq!(subject.store.tick().await.unwrap().purged, 1);
        if bytes() == alone {
            break;
        }
    }
    assert_eq!(bytes(), alone);
}

#[tokio::test]
async fn names_that_come_and_go_leave_one_record_of_their_tenant() {
    let subject = node().await;
    let of = |n| Namespace { tenant: tenant("acme"), function: format!("f{n}").parse().unwrap() };
    each_forgotten_namespace_is_continued(&subject).await;
    for n in 0..4 {
        register(&subject, &tenant("acme"), &format!("f{n}")).await;
        let name = FunctionRef::Name(format!("f{n}").parse().unwrap());
        assert!(subject.store.delete_function(&tenant("acme"), &name).await.unwrap());
        subject.store.forget(&of(n)).await.unwrap();
    }
    let left = |keys: &str| subject.server.command(&["KEYS", keys]).unwrap();
    assert_eq!(left("fusebox:value*").trim_end(), "fusebox:value_counts:acme");
    let numbers = subject.server.command(&["HGETALL", "fusebox:numbers:acme"]).unwrap();
    assert_eq!(numbers.lines().collect::<Vec<_>>(), ["", "4"], "one number, under no name");
}

/// An id used again by an idempotency key must not be purged when the earlier record would have been.
#[tokio::test]
async fn an_id_that_comes_again_is_purged_in_its_own_time() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let new = made_from_a_key(new_task(&subject, &function));
    accept(&subject, new.clone()).await;
    cancel(&subject, &tenant, new.id).await;
    // As if Redis had evicted the record just before a tick.
    subject.server.command(&["DEL", &format!("task:{}", new.id)]).unwrap();
    subject.pass(5_000).await;
    accept(&subject, new.clone()).await;
    cancel(&subject, &tenant, new.id).await;
    subject.pass(RESULTS_MS - 5_000).await;
    subject.store.tick().await.unwrap();
    assert!(subject.store.task(&tenant, new.id).await.unwrap().is_some());
    subject.pass(5_000).await;
    subject.store.tick().await.unwrap();
    assert!(subject.store.task(&tenant, new.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_clock_that_ran_ahead_holds_up_no_other_purge() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let late = accept(&subject, new_task(&subject, &function)).await;
    let (url, ahead) = (subject.server.url(), Clock::manual(Millis(subject.now().0 + 3_600_000)));
    let other = RedisStore::connect_with(&url, Access::default(), OPTIONS, Patience::default(), Some(ahead));
    other.await.unwrap().cancel(&tenant, late).await.unwrap();
    let ended = accept(&subject, new_task(&subject, &function)).await;
    cancel(&subject, &tenant, ended).await;
    subject.pass(RESULTS_MS).await;
    assert_eq!(subject.store.tick().await.unwrap().purged, 1);
    assert!(subject.store.task(&tenant, ended).await.unwrap().is_none());
    assert!(subject.store.task(&tenant, late).await.unwrap().is_some());
    subject.pass(3_600_000).await;
    assert_eq!(subject.store.tick().await.unwrap().purged, 1);
    assert!(subject.store.task(&tenant, late).await.unwrap().is_none());
}

#[tokio::test]
async fn a_replay_moves_no_input_out_of_redis_or_into_it() {
    let subject = node().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let mut replays = Vec::new();
    for _ in 0..3 {
        let new = NewTask { attempts_max: 1, input: vec![7; 3 << 20].into(), ..new_task(&subject, &function) };
        let letter = accept(&subject, new).await;
        let leased = lease_one(&subject, &tenant).await;
        finish(&subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
        let new = new_task(&subject, &function);
        replays.push(NewTask { id: new.id.beside(letter), retry_of: Some(letter), ..new });
    }
    let moved = || {
        let info = subject.server.command(&["INFO", "stats"]).unwrap();
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        number("total_net_input_bytes") + number("total_net_output_bytes")
    };
    let before = moved();
    for first in [true, false] {
        let answers = subject.store.replay(replays.clone()).await.unwrap();
        assert!(answers.iter().all(|answer| matches!(answer, Accepted::New { .. }) == first), "{answers:?}");
    }
    let moved = moved() - before;
    assert!(moved < 1 << 20, "{moved} bytes were moved");
}
