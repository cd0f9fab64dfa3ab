//! Tests of jobs: who holds them, their bounds, and how they end.

use fusebox_core::{
    error::ErrorCode,
    id::{JobId, WorkerId},
    name::TenantId,
    selection::{Runs, Selection},
    task::Status,
};
use fusebox_system::random;

use super::{Subject, identity::make_tenant, tenant};
use crate::{Act, Acting, JOBS_KEPT_MAX, Job, JobAdded, JobState};

const HOLD_MS: u64 = 1_000;

fn job(subject: &dyn Subject, tenant: &TenantId) -> Job {
    Job {
        id: JobId::new(subject.now(), random::bytes()),
        tenant: tenant.clone(),
        act: Act::Retry,
        filter: r#"{"status":"FAILED"}"#.to_owned(),
        selection: Selection {
            function: Some(Runs::Name("f".parse().unwrap())),
            status: Some(Status::Failed),
            code: Some(ErrorCode::Trap),
            worker: Some(WorkerId::from_bytes([1; 16])),
            tags: vec!["a=1".parse().unwrap()],
            until: Some(subject.now()),
            ..Selection::default()
        },
        cursor: None,
        changed: 0,
        skipped: 0,
        created_at: subject.now(),
        ended_at: None,
        state: JobState::Open,
        starts: 0,
    }
}

async fn add(subject: &dyn Subject, job: &Job) -> JobAdded {
    subject.store().add_job(job.clone(), 2).await.unwrap()
}

pub(crate) async fn a_job_is_held_by_one_and_taken_over(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), tenant("acme"));
    let new = job(subject, &acme);
    assert_eq!(store.take_jobs(9, HOLD_MS).await.unwrap(), []);
    assert_eq!((add(subject, &new).await, add(subject, &new).await), (JobAdded::Added, JobAdded::Added));
    assert_eq!(store.job(&acme, new.id).await.unwrap(), Some(new.clone()));
    assert_eq!(store.job(&tenant("other"), new.id).await.unwrap(), None);
    let first = store.take_jobs(9, HOLD_MS).await.unwrap().remove(0);
    assert_eq!(first, Job { starts: 1, ..new.clone() });
    assert_eq!(store.take_jobs(9, HOLD_MS).await.unwrap(), [], "it is held");
    let going_on = Job { cursor: Some("here".to_owned()), changed: 3, skipped: 1, ..first.clone() };
    subject.pass(HOLD_MS - 1).await;
    assert!(store.save_job(going_on.clone(), HOLD_MS).await.unwrap());
    subject.pass(HOLD_MS - 1).await;
    assert_eq!(store.take_jobs(9, HOLD_MS).await.unwrap(), [], "a save holds it for longer");
    subject.pass(1).await;
    let second = store.take_jobs(9, HOLD_MS).await.unwrap().remove(0);
    assert_eq!(second, Job { starts: 2, ..going_on.clone() }, "it goes on where it was saved");
    assert!(!store.save_job(Job { changed: 9, ..going_on }, HOLD_MS).await.unwrap(), "it is another's now");
    let done = Job { state: JobState::Done, ended_at: Some(subject.now()), ..second };
    assert!(store.save_job(done.clone(), HOLD_MS).await.unwrap());
    assert_eq!(store.job(&acme, new.id).await.unwrap(), Some(done.clone()));
    assert!(!store.save_job(done, HOLD_MS).await.unwrap(), "it has ended");
    subject.pass(HOLD_MS).await;
    assert_eq!(store.take_jobs(9, HOLD_MS).await.unwrap(), []);
}

pub(crate) async fn a_job_is_stopped(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), tenant("acme"));
    let new = job(subject, &acme);
    add(subject, &new).await;
    let held = store.take_jobs(1, HOLD_MS).await.unwrap().remove(0);
    assert_eq!(store.stop_job(&tenant("other"), new.id).await.unwrap(), None);
    let stopped = store.stop_job(&acme, new.id).await.unwrap().unwrap();
    assert_eq!((&stopped.state, stopped.ended_at), (&JobState::Stopped, Some(subject.now())));
    assert!(!store.save_job(held, HOLD_MS).await.unwrap());
    assert_eq!(store.stop_job(&acme, new.id).await.unwrap(), Some(stopped.clone()), "it stays stopped");
    assert_eq!(store.jobs(&acme).await.unwrap(), [stopped]);
}

pub(crate) async fn a_tenants_jobs_are_bounded(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), tenant("acme"));
    let mut ids = Vec::new();
    for _ in 0..JOBS_KEPT_MAX + 3 {
        let new = job(subject, &acme);
        ids.insert(0, new.id);
        assert_eq!(add(subject, &new).await, JobAdded::Added);
        store.stop_job(&acme, new.id).await.unwrap();
        subject.pass(1).await;
    }
    ids.truncate(JOBS_KEPT_MAX);
    let listed: Vec<_> = store.jobs(&acme).await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(listed, ids, "the latest are kept");
    for expected in [JobAdded::Added, JobAdded::Added, JobAdded::TooMany] {
        assert_eq!(add(subject, &job(subject, &acme)).await, expected);
    }
    assert_eq!(add(subject, &job(subject, &tenant("other"))).await, JobAdded::Added);
    assert_eq!(store.jobs(&acme).await.unwrap().len(), JOBS_KEPT_MAX);
    assert_eq!(store.take_jobs(2, HOLD_MS).await.unwrap().len(), 2);
}

pub(crate) async fn a_deleted_tenant_has_no_jobs(subject: &dyn Subject) {
    let (store, acme) = (subject.store(), make_tenant(subject, "acme").await);
    let new = job(subject, &acme);
    add(subject, &new).await;
    store.delete_tenant(Acting::Store, &acme).await.unwrap().unwrap();
    while !store.clear_tenant(&acme).await.unwrap().is_done {}
    assert_eq!((store.job(&acme, new.id).await.unwrap(), store.jobs(&acme).await.unwrap()), (None, vec![]));
    assert_eq!(add(subject, &job(subject, &acme)).await, JobAdded::NoTenant);
    assert_eq!(store.take_jobs(9, HOLD_MS).await.unwrap(), []);
}
