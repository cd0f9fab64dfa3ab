//! Tests of the search for tasks: by each property, in both orders, page by page; of tags and their index; and of what is
//! recorded of attempts.

use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    id::{DispatcherId, TaskId, WorkerId},
    limits::RECORD_BYTES,
    name::TenantId,
    outcome::{Ended, Failure, Receipt},
    tags::{Tag, Tags},
    task::{PAST_ATTEMPTS_MAX, PastAttempt, Status, Task, Why},
    time::Millis,
};

use super::{
    FAILED_MS, LEASE_MS, RESULTS_MS, Subject, accept, cancel, claim, end, failure, finish, lease, lease_of, lease_one,
    lease_request, listings::page, made_from_a_key, new_task, register, tenant, usage::stored,
};
use crate::{Find, NewTask, Order, Purged, Runs, Selection, Verdict};

/// Returns the ids of all pages of `rows` rows, and checks that each page goes on behind the one before.
async fn ids(subject: &dyn Subject, tenant: &TenantId, selection: &Selection, order: Order, rows: u32) -> Vec<TaskId> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let asked = Find { selection: selection.clone(), order, page: page(rows, cursor.clone()) };
        let part = subject.store().find(tenant, &asked).await.unwrap();
        assert!(part.items.len() <= rows as usize);
        found.extend(part.items.iter().map(|task| task.id));
        if part.next.is_none() {
            return found;
        }
        assert_ne!(part.next, cursor, "a page goes on");
        cursor = part.next;
    }
}

async fn found(subject: &dyn Subject, tenant: &TenantId, selection: Selection) -> Vec<TaskId> {
    let newest = ids(subject, tenant, &selection, Order::Newest, 2).await;
    let mut oldest = ids(subject, tenant, &selection, Order::Oldest, 3).await;
    oldest.reverse();
    assert_eq!(newest, oldest, "{selection:?}");
    assert_eq!(newest, ids(subject, tenant, &selection, Order::Newest, 1_000).await, "{selection:?}");
    newest
}

fn tags(text: &str) -> Tags {
    Tags::parse_list(text).unwrap()
}

fn with_tags(texts: &[&str]) -> Selection {
    Selection { tags: texts.iter().map(|text| text.parse::<Tag>().unwrap()).collect(), ..Selection::default() }
}

async fn task(subject: &dyn Subject, tenant: &TenantId, id: TaskId) -> Task {
    subject.store().task(tenant, id).await.unwrap().unwrap()
}

/// Tasks of two versions of `f` and of `g`, accepted one millisecond after the other: queued, delayed, running, completed,
/// failed and cancelled.
struct World {
    tenant: TenantId,
    functions: [FunctionVersion; 3],
    /// Oldest first.
    tasks: Vec<TaskId>,
    started_at: Millis,
}

async fn world(subject: &dyn Subject) -> World {
    let tenant = tenant("acme");
    let one = register(subject, &tenant, "f").await;
    let two = register(subject, &tenant, "f").await;
    let other = register(subject, &tenant, "g").await;
    let started_at = subject.now();
    let mut tasks = Vec::new();
    for function in [&one, &two, &other] {
        tasks.push(accept(subject, new_task(subject, function)).await);
        subject.pass(1).await;
    }
    let [completed, failed, running] = <[_; 3]>::try_from(lease(subject, &tenant, 3).await).unwrap();
    let receipt = Receipt { worker: Some(WorkerId::from_bytes([9; 16])), ..Receipt::default() };
    let ended = Ended { failure: None, output: "out".into(), log: Default::default(), receipt };
    finish(subject, claim(&completed), Verdict::End(ended)).await;
    finish(subject, claim(&failed), failure("error")).await;
    assert_eq!([completed.task.id, failed.task.id, running.task.id], tasks[..]);
    let retry = NewTask {
        retry_of: Some(failed.task.id),
        id: new_task(subject, &two).id.beside(failed.task.id),
        ..new_task(subject, &two)
    };
    tasks.push(retry.id);
    subject.store().replay(vec![retry]).await.unwrap();
    subject.pass(1).await;
    for new in [NewTask { delay_ms: 60_000, ..new_task(subject, &one) }, new_task(subject, &other)] {
        tasks.push(accept(subject, new).await);
        subject.pass(1).await;
    }
    cancel(subject, &tenant, tasks[5]).await;
    World { tenant, functions: [one, two, other], tasks, started_at }
}

pub(crate) async fn tasks_are_found_by_each_property(subject: &dyn Subject) {
    let World { tenant, functions: [one, two, _], tasks, started_at } = world(subject).await;
    let none = Selection::default;
    let runs = |function| Selection { function: Some(function), ..none() };
    let status = |status| Selection { status: Some(status), ..none() };
    let code = |code| Selection { code: Some(code), ..none() };
    let worker = |worker| Selection { worker: Some(WorkerId::from_bytes([worker; 16])), ..none() };
    let within =
        |since, until| Selection { since: Some(started_at.plus(since)), until: Some(started_at.plus(until)), ..none() };
    for (selection, expected) in [
        (none(), &[5, 4, 3, 2, 1, 0][..]),
        (runs(Runs::Version(one.id)), &[4, 0]),
        (runs(Runs::Version(two.id)), &[3, 1]),
        (runs(Runs::Name("f".parse().unwrap())), &[4, 3, 1, 0]),
        (runs(Runs::Name("h".parse().unwrap())), &[]),
        (status(Status::Queued), &[4, 3]),
        (status(Status::Running), &[2]),
        (status(Status::Completed), &[0]),
        (status(Status::Failed), &[5, 1]),
        (code(ErrorCode::GuestError), &[1]),
        (code(ErrorCode::Cancelled), &[5]),
        (code(ErrorCode::Trap), &[]),
        (Selection { status: Some(Status::Completed), ..code(ErrorCode::Cancelled) }, &[]),
        (worker(7), &[2]),
        (worker(9), &[0]),
        (within(1, 4), &[3, 2, 1]),
        (within(0, 1), &[0]),
        (within(4, 4), &[]),
        (within(5, 2), &[]),
        (Selection { status: Some(Status::Running), ..within(2, 3) }, &[2]),
        (Selection { status: Some(Status::Running), ..within(3, 9) }, &[]),
        (Selection { retry_of: Some(tasks[1]), ..none() }, &[3]),
        (Selection { function: Some(Runs::Name("g".parse().unwrap())), ..status(Status::Failed) }, &[5]),
    ] {
        let expected: Vec<_> = expected.iter().map(|at| tasks[*at]).collect();
        assert_eq!(found(subject, &tenant, selection.clone()).await, expected, "{selection:?}");
    }
    assert_eq!(found(subject, &super::tenant("other"), none()).await, []);
}

pub(crate) async fn a_search_looks_at_a_bounded_number_of_tasks(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let wanted = accept(subject, NewTask { tags: tags("a=1"), ..new_task(subject, &function) }).await;
    subject.pass(1).await;
    for _ in 0..11 {
        let many = (0..1_000).map(|_| new_task(subject, &function)).collect();
        subject.store().accept(many).await.unwrap();
        subject.pass(1).await;
    }
    let selection = Selection { retry_of: None, until: Some(subject.now()), ..Selection::default() };
    let rare = Selection { since: None, code: None, worker: Some(WorkerId::from_bytes([1; 16])), ..selection };
    let asked = Find { selection: rare.clone(), order: Order::Newest, page: page(10, None) };
    let first = subject.store().find(&tenant, &asked).await.unwrap();
    assert!(first.items.is_empty() && first.next.is_some(), "the search has a bound, and goes on");
    assert_eq!(ids(subject, &tenant, &rare, Order::Newest, 10).await, []);
    // An index leads to a task at once, however many there are.
    let asked = Find { selection: with_tags(&["a=1"]), order: Order::Newest, page: page(10, None) };
    let page = subject.store().find(&tenant, &asked).await.unwrap();
    assert_eq!((page.items.iter().map(|task| task.id).collect::<Vec<_>>(), page.next), (vec![wanted], None));
}

pub(crate) async fn running_tasks_are_found_among_many(subject: &dyn Subject) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(subject, &acme, "f").await, register(subject, &other, "f").await);
    accept(subject, new_task(subject, &others)).await;
    lease_one(subject, &other).await;
    let first = accept(subject, new_task(subject, &function)).await;
    subject.pass(1).await;
    for _ in 0..11 {
        let many = (0..1_000).map(|_| new_task(subject, &function)).collect();
        subject.store().accept(many).await.unwrap();
    }
    let leased = lease(subject, &acme, 3).await;
    assert_eq!(leased[0].task.id, first);
    // A renewed lease is kept in another way.
    subject.store().renew(vec![claim(&leased[0])], LEASE_MS).await.unwrap();
    let mut expected: Vec<_> = leased.iter().map(|leased| (leased.task.created_at, leased.task.id)).collect();
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().rev().map(|(_, id)| id).collect();
    let running = Selection { status: Some(Status::Running), ..Selection::default() };
    assert_eq!(found(subject, &acme, running.clone()).await, expected);
    let asked = Find { selection: running, order: Order::Newest, page: page(10, None) };
    assert_eq!(subject.store().find(&acme, &asked).await.unwrap().next, None, "nothing else is looked at");
}

pub(crate) async fn tags_are_kept_and_lead_to_their_tasks(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let mut tasks = Vec::new();
    for text in ["env=prod,order=7", "env=test", "", "env=prod", "order=7=8,empty="] {
        tasks.push(accept(subject, NewTask { tags: tags(text), ..new_task(subject, &function) }).await);
        subject.pass(1).await;
    }
    assert_eq!(task(subject, &tenant, tasks[0]).await.tags, tags("env=prod,order=7"));
    assert_eq!(task(subject, &tenant, tasks[2]).await.tags, Tags::default());
    let check = async || {
        for (texts, expected) in [
            (&["env=prod"][..], &[3, 0][..]),
            (&["env=prod", "order=7"], &[0]),
            (&["order=7", "env=prod"], &[0]),
            (&["order=7=8"], &[4]),
            (&["empty="], &[4]),
            (&["env=pro"], &[]),
            (&["order="], &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|at| tasks[*at]).collect();
            assert_eq!(found(subject, &tenant, with_tags(texts)).await, expected, "{texts:?}");
        }
    };
    check().await;
    let leased = lease(subject, &tenant, 5).await;
    assert_eq!(leased[0].task.tags, tags("env=prod,order=7"));
    check().await;
    for leased in &leased {
        finish(subject, claim(leased), Verdict::Retry { delay_ms: 0 }).await;
    }
    check().await;
    for leased in lease(subject, &tenant, 5).await {
        finish(subject, claim(&leased), end("out")).await;
    }
    check().await;
    assert_eq!(found(subject, &super::tenant("other"), with_tags(&["env=prod"])).await, []);
}

pub(crate) async fn tags_are_counted_for_as_long_as_their_task_is_there(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let before = stored(subject, &tenant).await;
    let more = tags("env=prod").stored_bytes();
    let tagged = || NewTask { tags: tags("env=prod"), ..new_task(subject, &function) };
    let refused = NewTask { stored_max: before + RECORD_BYTES + 5 + more - 1, ..tagged() };
    assert_eq!(subject.store().accept(vec![refused]).await.unwrap(), [crate::Accepted::BytesReached]);
    let whole = accept(subject, NewTask { stored_max: before + RECORD_BYTES + 5 + more, ..tagged() }).await;
    assert_eq!(stored(subject, &tenant).await, before + RECORD_BYTES + 5 + more);
    finish(subject, claim(&lease_one(subject, &tenant).await), end("out")).await;
    assert_eq!(stored(subject, &tenant).await, before + RECORD_BYTES + more + 6);
    let failed = accept(subject, tagged()).await;
    finish(subject, claim(&lease_one(subject, &tenant).await), failure("error")).await;
    let cancelled = accept(subject, tagged()).await;
    cancel(subject, &tenant, cancelled).await;
    let sum: u64 = [
        task(subject, &tenant, whole).await,
        task(subject, &tenant, failed).await,
        task(subject, &tenant, cancelled).await,
    ]
    .iter()
    .map(Task::stored_bytes)
    .sum();
    assert_eq!(stored(subject, &tenant).await, before + sum);
    let purged = subject.store().purge(vec![(tenant.clone(), cancelled)]).await.unwrap();
    assert_eq!(purged, [Purged::Purged]);
    subject.pass(FAILED_MS).await;
    subject.store().tick().await.unwrap();
    assert_eq!(stored(subject, &tenant).await, before);
}

pub(crate) async fn a_purged_task_leaves_no_tag(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let new = made_from_a_key(NewTask { tags: tags("env=prod"), ..new_task(subject, &function) });
    let first = accept(subject, new.clone()).await;
    finish(subject, claim(&lease_one(subject, &tenant).await), end("out")).await;
    subject.store().purge(vec![(tenant.clone(), first)]).await.unwrap();
    assert_eq!(found(subject, &tenant, with_tags(&["env=prod"])).await, []);
    subject.pass(5).await;
    // The id comes again, with another tag.
    accept(subject, NewTask { tags: tags("env=test"), ..new }).await;
    assert_eq!(found(subject, &tenant, with_tags(&["env=prod"])).await, []);
    finish(subject, claim(&lease_one(subject, &tenant).await), end("out")).await;
    subject.pass(RESULTS_MS - 1).await;
    subject.store().tick().await.unwrap();
    assert_eq!(found(subject, &tenant, with_tags(&["env=test"])).await, [first], "its own time is not over");
    subject.pass(1).await;
    subject.store().tick().await.unwrap();
    assert_eq!(found(subject, &tenant, with_tags(&["env=test"])).await, []);
}

pub(crate) async fn attempts_without_a_report_are_recorded(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let id = accept(subject, NewTask { attempts_max: 9, ..new_task(subject, &function) }).await;
    let (worker, dispatcher) = (WorkerId::from_bytes([7; 16]), Some(DispatcherId::from_bytes([8; 16])));
    let mut expected = Vec::new();
    for (attempt, why) in (1..).zip([Why::Lost, Why::Released, Why::Lapsed, Why::Lapsed]) {
        subject.pass(10).await;
        let leased = lease_one(subject, &tenant).await;
        let (started_at, is_renewed) = (subject.now(), attempt == 4);
        assert_eq!(lease_of(&leased).dispatcher, dispatcher);
        if is_renewed {
            subject.store().renew(vec![claim(&leased)], LEASE_MS).await.unwrap();
        }
        let running = task(subject, &tenant, id).await;
        assert_eq!((running.worker(), running.started_at()), (Some(worker), Some(started_at)));
        assert_eq!(running.past, expected);
        assert!(
            matches!(running.state, fusebox_core::task::TaskState::Running(lease) if lease.dispatcher == dispatcher)
        );
        subject.pass(LEASE_MS).await;
        match why {
            Why::Lost => drop(finish(subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await),
            Why::Released => drop(finish(subject, claim(&leased), Verdict::Release).await),
            Why::Lapsed | Why::Cancelled => drop(subject.store().tick().await.unwrap()),
        }
        expected.push(PastAttempt { attempt, worker, dispatcher, started_at, ended_at: subject.now(), why });
        assert_eq!(task(subject, &tenant, id).await.past, expected);
    }
    subject.pass(10).await;
    lease_one(subject, &tenant).await;
    let started_at = subject.now();
    subject.pass(10).await;
    cancel(subject, &tenant, id).await;
    expected.push(PastAttempt {
        attempt: 5,
        worker,
        dispatcher,
        started_at,
        ended_at: subject.now(),
        why: Why::Cancelled,
    });
    let cancelled = task(subject, &tenant, id).await;
    assert_eq!((cancelled.worker(), cancelled.started_at()), (Some(worker), Some(started_at)));
    assert_eq!(cancelled.past, expected);
}

pub(crate) async fn the_latest_attempts_are_kept(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let most = u32::try_from(PAST_ATTEMPTS_MAX).unwrap() + 2;
    let new = NewTask { attempts_max: most, tags: tags("a=1"), ..new_task(subject, &function) };
    let id = accept(subject, new).await;
    for _ in 0..most {
        finish(subject, claim(&lease_one(subject, &tenant).await), Verdict::Retry { delay_ms: 0 }).await;
    }
    let exhausted = task(subject, &tenant, id).await;
    let attempts: Vec<_> = exhausted.past.iter().map(|past| past.attempt).collect();
    assert_eq!(attempts, (3..=most).collect::<Vec<_>>());
    assert_eq!(exhausted.failure().map(|failure: &Failure| failure.code), Some(ErrorCode::AttemptsExhausted));
    assert_eq!(found(subject, &tenant, with_tags(&["a=1"])).await, [id]);
    assert_eq!(lease_request(&tenant, 1).dispatcher, DispatcherId::from_bytes([8; 16]));
}
