//! The conformance suite on the embedded store, and behaviour that only a store in a directory has: it survives kills
//! and belongs to one process.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use async_trait::async_trait;
use fusebox_core::{
    error::ErrorCode, lifecycle::Next, limits::RECORD_BYTES, name::TenantId, task::Status, time::Millis,
};
use tempfile::TempDir;

use super::EmbeddedStore;
use crate::{
    Acting, Error, Finished, FunctionRef, Functions as _, Identity as _, KeyAdded, KeyId, NewKey, NewTask, Options,
    Queue as _, Scope, SecretDigest, Store, Tasks as _, Ticked,
    conformance::{
        LEASE_MS, Subject, accept, cancel, claim, conformance, counts, end, finish, lease, lease_one, listings::page,
        new_task, one_task, register, status, tenant, usage::stored,
    },
};
use fusebox_system::{clock::Clock, random};

mod cuts;
mod deletion;
mod full;
mod layout;
mod snapshot;
mod tasks;

const OPTIONS: Options = Options { kv_entries_max: 20, kv_bytes_max: 200_000 };

struct Embedded {
    store: EmbeddedStore,
    clock: Clock,
    dir: TempDir,
}

#[async_trait]
impl Subject for Embedded {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn now(&self) -> Millis {
        self.store.clock.now()
    }

    async fn pass(&self, ms: u64) {
        self.clock.advance(ms);
    }

    fn bounds(&self) -> Options {
        OPTIONS
    }
}

fn open(dir: &Path, clock: &Clock) -> EmbeddedStore {
    EmbeddedStore::open_with(dir, clock.clone(), OPTIONS).unwrap()
}

async fn embedded() -> Embedded {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Millis(1_750_000_000_000));
    Embedded { store: open(dir.path(), &clock), clock, dir }
}

fn reopened(subject: Embedded) -> Embedded {
    let Embedded { store, clock, dir } = subject;
    drop(store);
    Embedded { store: open(dir.path(), &clock), clock, dir }
}

conformance!(embedded);

#[tokio::test]
async fn everything_survives_a_reopening() {
    let subject = embedded().await;
    let (tenant, ended) = one_task(&subject).await;
    let first = lease_one(&subject, &tenant).await;
    assert_eq!(finish(&subject, claim(&first), end("out")).await, Finished::Ended(Status::Completed));
    let function = register(&subject, &tenant, "f").await;
    let running = accept(&subject, new_task(&subject, &function)).await;
    let held = lease_one(&subject, &tenant).await;
    let ready = accept(&subject, new_task(&subject, &function)).await;
    subject.pass(1).await;
    let delayed = NewTask { delay_ms: 60_000, ..new_task(&subject, &function) };
    let delayed = accept(&subject, delayed).await;
    let cancelled = accept(&subject, new_task(&subject, &function)).await;
    cancel(&subject, &tenant, cancelled).await;

    let subject = reopened(subject);
    let statuses =
        [(ended, Status::Completed), (running, Status::Running), (ready, Status::Queued), (cancelled, Status::Failed)];
    for (task, expected) in statuses {
        assert_eq!(status(&subject, &tenant, task).await, expected);
    }
    assert_eq!(counts(&subject, &tenant).await, (1, 1, 1));
    assert_eq!(&subject.store.result(&tenant, ended).await.unwrap().unwrap().output[..], b"out");
    assert_eq!(subject.store.tasks(&tenant, &page(10, None)).await.unwrap().items.len(), 5);
    let name = FunctionRef::Name("f".parse().unwrap());
    assert_eq!(subject.store.function(&tenant, &name).await.unwrap(), Some(function.clone()));
    assert!(subject.store.module(&function.module).await.unwrap().is_some());
    assert_eq!(finish(&subject, claim(&held), end("held")).await, Finished::Ended(Status::Completed));
    assert_eq!(lease_one(&subject, &tenant).await.task.id, ready);
    subject.pass(60_000).await;
    subject.store.tick().await.unwrap();
    let leased = lease(&subject, &tenant, 9).await;
    assert_eq!(leased.iter().map(|leased| leased.task.id).collect::<Vec<_>>(), [ready, delayed]);
}

#[tokio::test]
async fn leases_of_the_process_before_are_given_back() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let tasks: Vec<_> = (0..1_200).map(|_| NewTask { attempts_max: 1, ..new_task(&subject, &function) }).collect();
    subject.store.accept(tasks).await.unwrap();
    let first = lease(&subject, &tenant, 1).await.remove(0);
    while !lease(&subject, &tenant, 256).await.is_empty() {}

    let subject = reopened(subject);
    assert_eq!(subject.store.reclaim_all_leases().await.unwrap(), 1_200);
    assert_eq!(subject.store.reclaim_all_leases().await.unwrap(), 0);
    assert_eq!(counts(&subject, &tenant).await, (1_200, 0, 0));
    assert_eq!(finish(&subject, claim(&first), end("late")).await, Finished::Stale);
    let again = lease(&subject, &tenant, 1).await.remove(0);
    assert_eq!((again.task.id, again.task.attempt), (first.task.id, 2));
}

#[tokio::test]
async fn a_directory_is_one_stores() {
    let subject = embedded().await;
    let again = EmbeddedStore::open(subject.dir.path(), subject.clock.clone());
    assert!(matches!(again, Err(Error::InUse { .. })));
    let Embedded { store, clock, dir } = subject;
    drop(store);
    open(dir.path(), &clock);
}

#[tokio::test]
async fn a_lock_that_outlives_its_store_for_a_moment_is_waited_for() {
    let Embedded { store, clock, dir } = embedded().await;
    drop(store);
    let lock = std::fs::File::open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let path = dir.path().to_owned();
    let opening = std::thread::spawn(move || EmbeddedStore::open(&path, clock).map(|_| ()));
    std::thread::yield_now();
    drop(lock);
    opening.join().unwrap().unwrap();
}

#[test]
fn a_directory_is_closed_to_others_and_made_where_it_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep").join("store");
    open(&dir, &Clock::System);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_cannot_be_a_store_is_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let refusal = |dir: &Path| match EmbeddedStore::open(dir, Clock::System) {
        Err(error @ Error::Open { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    };
    let file = home.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(refusal(&file).contains("cannot open the store in"));
    let dir = home.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    for (format, words) in [
        ("fusebox store 2\n", "its layout is \"fusebox store 2\", which this version of Fusebox does not know"),
        ("fusebox layout 9\n", "its layout is 9, and this version of Fusebox reads"),
        ("fusebox layout 3 and 2, migrating, steps done: 0\n", "run `fusebox store migrate`"),
        ("\u{fffd}", "use the version that made it, or another store"),
    ] {
        std::fs::write(dir.join("format"), format).unwrap();
        let told = refusal(&dir);
        assert!(told.contains(words) && !told.contains('\n'), "{format}: {told}");
        assert_eq!(std::fs::read_to_string(dir.join("format")).unwrap(), format);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing is made");
    }
}

#[test]
fn another_programs_directory_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    std::fs::write(home.path().join("db").join("ledger"), "theirs").unwrap();
    let told = EmbeddedStore::open(home.path(), Clock::System).err().unwrap().to_string();
    assert!(told.contains("db/ledger belongs to another program: choose another directory"), "{told}");
    assert_eq!(std::fs::read_to_string(home.path().join("db").join("ledger")).unwrap(), "theirs");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing is made");
}

#[tokio::test]
async fn what_a_kill_left_half_made_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    open(home.path(), &Clock::System);
    std::fs::remove_file(home.path().join("format")).unwrap();
    std::fs::write(home.path().join("db").join("1").join("data.mdb"), "half").unwrap();
    open(home.path(), &Clock::System).check().await.unwrap();
}

#[tokio::test]
async fn a_module_goes_with_the_last_that_needs_it() {
    let subject = embedded().await;
    let tenant = tenant("acme");
    let function = register(&subject, &tenant, "f").await;
    let wasm = || async { subject.store.module(&function.module).await.unwrap() };
    accept(&subject, new_task(&subject, &function)).await;
    let name = FunctionRef::Name("f".parse().unwrap());
    assert!(subject.store.delete_function(&tenant, &name).await.unwrap());
    assert!(wasm().await.is_some());
    let leased = lease_one(&subject, &tenant).await;
    finish(&subject, claim(&leased), end("out")).await;
    assert_eq!(wasm().await, None);
    let function = register(&subject, &tenant, "g").await;
    assert!(subject.store.delete_function(&tenant, &FunctionRef::Id(function.id)).await.unwrap());
    assert_eq!(subject.store.module(&function.module).await.unwrap(), None);
}

#[tokio::test]
async fn a_module_of_the_layout_before_is_read_shared_and_removed() {
    let subject = embedded().await;
    let (tenant, name) = (tenant("acme"), FunctionRef::Name("f".parse().unwrap()));
    let first = register(&subject, &tenant, "f").await;
    let digest = first.module;
    subject.store.writer.step(0, move |steps| steps.put_older_module(&digest, 1, b"f")).await.unwrap();
    let subject = reopened(subject);
    assert_eq!(subject.store.module(&digest).await.unwrap().unwrap(), "f");
    register(&subject, &tenant, "f").await;
    assert_eq!(stored(&subject, &tenant).await, 2 * (RECORD_BYTES + 1));
    assert_eq!(subject.store.module(&digest).await.unwrap().unwrap(), "f");
    assert!(subject.store.delete_function(&tenant, &name).await.unwrap());
    assert_eq!(stored(&subject, &tenant).await, 0);
    assert_eq!(subject.store.module(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_task_whose_function_is_not_its_tenants_fails_at_once() {
    let subject = embedded().await;
    let (owner, other) = (tenant("acme"), tenant("other"));
    let function = register(&subject, &owner, "f").await;
    let missing = NewTask { function: random::function_id(Millis(1)), ..new_task(&subject, &function) };
    let foreign = NewTask { tenant: other.clone(), ..new_task(&subject, &function) };
    for new in [missing, foreign] {
        let tenant = new.tenant.clone();
        let task = accept(&subject, new).await;
        let task = subject.store.task(&tenant, task).await.unwrap().unwrap();
        assert_eq!(task.failure().unwrap().code, ErrorCode::FunctionNotFound);
        assert_eq!(counts(&subject, &tenant).await, (0, 0, 0));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ends_nothing_early_and_stops_nothing() {
    let subject = embedded().await;
    let (tenant, waiting) = (tenant("acme"), |ms| ms + 1);
    let function = register(&subject, &tenant, "f").await;
    let key = NewKey {
        id: KeyId([1; 8]),
        tenant: TenantId::default_tenant(),
        scope: Scope::Invoke,
        name: String::new(),
        digest: SecretDigest([2; 32]),
        life_ms: Some(LEASE_MS),
        replaces: None,
    };
    let Ok(KeyAdded::Added(key)) = subject.store.add_key(Acting::Store, key).await.unwrap() else { panic!("made") };
    let running = accept(&subject, new_task(&subject, &function)).await;
    lease_one(&subject, &tenant).await;
    let expires_in_ms = waiting(LEASE_MS);
    let expiring = accept(&subject, NewTask { expires_in_ms, ..new_task(&subject, &function) }).await;
    let delayed = NewTask { delay_ms: waiting(LEASE_MS), ..new_task(&subject, &function) };
    let delayed = accept(&subject, delayed).await;
    let as_it_was = async || {
        assert_eq!(subject.store.tick().await.unwrap(), Ticked::default());
        assert_eq!(status(&subject, &tenant, running).await, Status::Running);
        assert_eq!(status(&subject, &tenant, expiring).await, Status::Queued);
        assert_eq!(counts(&subject, &tenant).await, (1, 1, 1));
        let known = subject.store.key(key.id).await.unwrap().unwrap();
        assert_eq!(known.key.ended_at(known.at), None);
    };
    for step in [3_600_000, -90_000_000, 86_400_000] {
        subject.clock.step(step);
        as_it_was().await;
    }
    subject.pass(LEASE_MS - 1).await;
    as_it_was().await;
    subject.clock.step(-3_600_000);
    subject.pass(1).await;
    assert_eq!(subject.store.tick().await.unwrap().lapsed, [(running, Next::Queued)], "time passes all the same");
    subject.pass(1).await;
    let ticked = subject.store.tick().await.unwrap();
    assert_eq!((ticked.promoted, ticked.expired), (1, 1));
    assert_eq!(status(&subject, &tenant, delayed).await, Status::Queued);
}

#[tokio::test]
async fn time_never_goes_back_from_one_process_to_the_next() {
    let mut subject = embedded().await;
    for _ in 0..3 {
        subject.pass(10_000).await;
        let (_, task) = one_task(&subject).await;
        let before = subject.now();
        subject.clock.step(-3_600_000);
        subject = reopened(subject);
        let now = subject.now();
        assert!(now >= before && now <= before.plus(2_000), "{before:?}, then {now:?}");
        assert_eq!(subject.store.tick().await.unwrap(), Ticked::default());
        assert_eq!(status(&subject, &tenant("acme"), task).await, Status::Queued);
    }
    subject.clock.step(86_400_000);
    let subject = reopened(subject);
    assert_eq!(subject.now(), subject.clock.now(), "a later clock is believed at a start");
}
