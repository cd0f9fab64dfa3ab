//! The behaviour of every store, as one named test each. Independent of any store: a [`Subject`] provides the store and
//! its clock.
//!
//! `conformance!(make)` defines the tests of one store; `make` is an async function that returns a new, empty subject.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    function::{Abi, FunctionVersion, Grants, RunLimits},
    id::{DispatcherId, ModuleDigest, TaskId, WorkerId},
    keep::Keep,
    lifecycle::Fence,
    name::TenantId,
    outcome::{Ended, Failure, Receipt},
    quota::UNLIMITED,
    setup::{Setup, Start},
    tags::Tags,
    task::{Fingerprint, Lease, Priority, Status, TaskState},
    time::Millis,
};

use super::{
    Accepted, Backlog, Claim, Expects, Finish, Finished, LeaseRequest, LeasedTask, NewFunction, NewTask, Options,
    Registered, Store, Verdict,
};
use fusebox_system::random;

pub(super) mod accept;
pub(super) mod backlog;
pub(super) mod compiles;
pub(super) mod deletion;
pub(super) mod find;
pub(super) mod fuel;
pub(super) mod full;
pub(super) mod functions;
pub(super) mod hints;
pub(super) mod identity;
pub(super) mod jobs;
pub(super) mod kv;
pub(super) mod lease;
pub(super) mod listings;
pub(super) mod migrate;
pub(super) mod model;
pub(super) mod purge;
pub(super) mod replay;
pub(super) mod report;
pub(super) mod setup;
pub(super) mod tenants;
pub(super) mod tick;
pub(super) mod usage;
pub(super) mod workers;

/// Duration of the suite's leases, in milliseconds.
pub(super) const LEASE_MS: u64 = 1_000;

/// Time for which the suite's completed and cancelled tasks are kept, in milliseconds.
pub(super) const RESULTS_MS: u64 = 10_000;
/// Time for which the suite's dead letters are kept, in milliseconds.
pub(super) const FAILED_MS: u64 = 20_000;
/// Both times.
const KEEP: Keep = Keep { results_s: 10, failed_s: 20 };

/// Store under test, with its clock.
#[async_trait]
pub(super) trait Subject: Send + Sync {
    /// The store.
    fn store(&self) -> &dyn Store;
    /// Current time of the store's clock.
    fn now(&self) -> Millis;
    /// Advances the store's clock.
    async fn pass(&self, ms: u64);
    /// Bounds of the store; small, since the suite reaches them.
    fn bounds(&self) -> Options;
}

/// Defines the tests of one store.
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance::conformance! { @tests $make;
            accept: a_task_waits_with_what_it_was_given, each_task_of_a_batch_is_answered,
                an_id_is_accepted_once, an_id_with_another_fingerprint_is_a_conflict, a_full_queue_refuses_until_a_task_leaves_it,
                a_tenants_own_bound_of_waiting_tasks_is_kept,
                a_task_of_a_missing_function_fails_at_once_or_runs;
            lease: an_attempt_has_all_that_a_run_needs, the_higher_priority_then_the_oldest_goes_first,
                no_more_are_leased_than_tokens_given, a_delayed_task_is_leased_only_when_it_is_due,
                a_retried_task_keeps_its_place, an_expired_task_is_not_leased,
                a_long_queue_with_gaps_is_leased_in_order, a_task_is_leased_once,
                a_request_sent_again_gets_what_its_tokens_hold,
                a_request_sent_again_leases_for_tokens_that_hold_nothing;
            report: a_beat_renews, a_beat_without_the_lease_is_lost, an_end_is_recorded_with_its_bytes,
                an_end_with_a_failure_fails, an_end_reported_again_is_a_duplicate, a_stale_attempt_changes_nothing,
                a_forged_token_changes_nothing, a_retry_waits_for_its_delay, a_retry_without_an_attempt_left_fails,
                a_release_gives_the_attempt_back, releases_without_end_use_up_the_attempts,
                reports_are_answered_in_order, a_waiting_task_is_cancelled, a_running_task_is_cancelled,
                an_ended_task_is_not_cancelled, a_missing_task_is_not_cancelled,
                a_dead_letter_keeps_its_input;
            purge: an_ended_task_is_purged_with_all_it_has, an_unfinished_task_is_not_purged,
                a_purged_id_is_accepted_again, each_purge_of_a_batch_is_answered;
            replay: a_replay_has_the_letters_input_and_is_made_once, what_is_no_dead_letter_is_not_replayed,
                large_letters_are_replayed_in_several_steps, a_replay_waits_where_there_is_room;
            tick: a_lapsed_lease_queues_the_task_again, a_last_lapsed_lease_fails_the_task,
                a_lapsed_lease_that_was_never_renewed_costs_no_attempt,
                a_delayed_task_is_promoted, a_waiting_task_expires_wherever_it_waits,
                an_ended_task_is_purged_after_its_time, each_task_is_kept_for_its_own_time,
                many_due_tasks_are_all_done_in_some_ticks;
            functions: versions_of_a_name_count_up, a_registration_sent_again_answers_the_same,
                a_deleted_version_gives_way_to_the_one_before, a_deleted_name_is_gone,
                version_numbers_are_never_used_again, a_module_is_kept_while_a_version_needs_it,
                a_deleted_module_is_counted_until_it_is_gone, a_deleted_module_that_a_task_needs_is_counted,
                tasks_of_a_deleted_function_still_run, the_quota_of_versions_is_kept, a_tenants_own_quotas_are_kept;
            setup: an_attempt_starts_as_its_version_and_its_request_say, a_start_counts_as_its_tasks_input,
                files_are_kept_and_counted_while_a_version_needs_them,
                a_runtime_is_kept_like_a_module_and_counts_for_no_tenant;
            compiles: a_name_resolves_to_its_newest_ready_version, a_failed_version_stays_until_it_is_deleted,
                a_compilation_is_taken_over_once_nobody_holds_it, a_module_is_counted_as_it_is_stored,
                a_compile_budget_is_charged_and_fills_with_time;
            fuel: a_tank_gives_what_it_has_and_fills_with_time, a_tank_follows_another_rate;
            listings: tasks_are_paged_newest_first, functions_are_paged_by_name, versions_are_paged_newest_first, a_foreign_cursor_gives_no_rows,
                a_page_has_its_bounds, dead_letters_are_paged_latest_first;
            find: tasks_are_found_by_each_property, a_search_looks_at_a_bounded_number_of_tasks,
                running_tasks_are_found_among_many, tags_are_kept_and_lead_to_their_tasks,
                tags_are_counted_for_as_long_as_their_task_is_there, a_purged_task_leaves_no_tag,
                attempts_without_a_report_are_recorded, the_latest_attempts_are_kept;
            tenants: reads_of_another_tenant_find_nothing, steps_of_another_tenant_change_nothing,
                tenants_have_queues_of_their_own, tenants_have_names_of_their_own;
            hints: each_end_wakes_who_waits_for_it, becoming_ready_wakes, only_a_running_tasks_cancellation_is_told,
                each_change_wakes_who_waits_for_it;
            identity: tenants_are_listed_by_name_and_the_default_one_is_always_there,
                a_deleted_tenant_has_no_good_key_and_its_name_stays_taken,
                a_key_is_found_by_its_id_and_listed_with_its_tenants, a_key_is_revoked_once_and_by_its_tenant_alone,
                a_replaced_key_stays_good_for_a_while, a_tenants_keys_are_bounded_and_the_first_to_end_makes_room,
                each_change_of_tenants_and_keys_is_told, quotas_are_kept_with_their_tenant,
                an_act_takes_a_good_admin_key_of_its_tenant_or_the_operators, an_act_of_a_key_that_has_ended_is_denied,
                without_a_key_only_the_first_one_is_made;
            usage: a_store_has_room, what_tenants_store_together_is_summed, a_task_is_counted_once_with_what_is_stored_of_it,
                each_end_leaves_what_it_is_counted_for, a_batch_is_accepted_up_to_the_limit,
                an_end_is_saved_beyond_the_limit_and_counts, a_replay_is_counted_within_the_limit,
                values_are_counted_within_the_limit, settings_are_counted_within_the_limit,
                what_is_forgotten_is_not_counted,
                a_version_is_counted_within_the_limit_until_its_module_is_gone;
            deletion: a_deleted_tenant_leaves_nothing_but_its_name, a_deletion_goes_on_after_a_crash_at_any_part,
                nothing_new_of_a_deleted_tenant_is_accepted, a_deleted_tenants_runs_are_stopped,
                a_deletion_takes_nothing_of_others;
            jobs: a_job_is_held_by_one_and_taken_over, a_job_is_stopped, a_tenants_jobs_are_bounded,
                a_deleted_tenant_has_no_jobs;
            workers: announced_workers_are_there_for_their_time;
            kv: a_value_is_kept_with_its_revision, what_is_expected_is_compared, a_value_is_gone_after_its_time,
                a_namespace_has_its_bounds, what_is_over_makes_room, namespaces_are_their_functions_own,
                a_deleted_value_is_gone, no_increment_is_lost, settings_are_set_listed_and_unset,
                settings_have_their_bound, what_is_forgotten_is_gone_but_its_revisions,
                each_forgotten_namespace_is_continued, keys_are_listed_in_pages;
            backlog: every_transition_is_counted, a_tenant_without_work_is_left_out;
        }

        #[test]
        fn a_store_does_what_the_model_does() {
            $crate::conformance::model::compare($make);
        }
    };
    (@tests $make:path; $($noun:ident: $($name:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                $crate::conformance::$noun::$name(&$make().await).await;
            }
        )+)+
    };
}
pub(super) use conformance;

/// Parses a tenant's name.
pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Returns a module whose bytes and digest are made from its name.
pub(super) fn module(name: &str) -> (ModuleDigest, Bytes) {
    let mut digest = [0; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    (ModuleDigest(digest), Bytes::copy_from_slice(name.as_bytes()))
}

/// Creates a registration of `name` with the module of the same name.
pub(super) fn new_function(subject: &dyn Subject, tenant: &TenantId, name: &str) -> NewFunction {
    NewFunction {
        id: random::function_id(subject.now()),
        tenant: tenant.clone(),
        name: name.parse().unwrap(),
        module: module(name).0,
        abi: Abi::Core,
        limits: RunLimits::default(),
        grants: grants(),
        setup: Setup::default(),
        files: Bytes::new(),
        versions_max: UNLIMITED,
        stored_max: UNLIMITED,
    }
}

/// Grants of every function in this suite.
pub(super) fn grants() -> Grants {
    Grants::parse_list("secrets,kv,http=*.example.com:8443").unwrap()
}

/// Registers `name` with the module of the same name.
pub(super) async fn register(subject: &dyn Subject, tenant: &TenantId, name: &str) -> FunctionVersion {
    let new = new_function(subject, tenant, name);
    match subject.store().register(new, module(name).1).await.unwrap() {
        Registered::Version(version) => version,
        refused => panic!("{refused:?}"),
    }
}

/// Creates a task as clients send it.
pub(super) fn new_task(subject: &dyn Subject, function: &FunctionVersion) -> NewTask {
    NewTask {
        id: random::task_id(subject.now()),
        tenant: function.tenant.clone(),
        function: function.id,
        expects: Expects::Nothing,
        function_name: function.name.clone(),
        module: function.module,
        limits: function.limits,
        priority: Priority::Normal,
        attempts_max: 3,
        delay_ms: 0,
        expires_in_ms: 3_600_000,
        fingerprint: None,
        retry_of: None,
        keep: KEEP,
        queued_max: UNLIMITED,
        stored_max: UNLIMITED,
        start: Start::default(),
        tags: Tags::default(),
        input: Bytes::from_static(b"input"),
    }
}

/// Gives a task an id like one that is made from an idempotency key, which can come again.
pub(super) fn made_from_a_key(new: NewTask) -> NewTask {
    let mut digest = [1; 32];
    digest[..16].copy_from_slice(new.id.as_bytes());
    NewTask { id: TaskId::from_digest(&digest), fingerprint: Some(Fingerprint(digest)), ..new }
}

/// Accepts a task and returns its id.
pub(super) async fn accept(subject: &dyn Subject, task: NewTask) -> TaskId {
    let id = task.id;
    assert_eq!(subject.store().accept(vec![task]).await.unwrap(), [Accepted::New { at: subject.now() }]);
    id
}

/// Registers a function of a tenant and accepts one task of it.
pub(super) async fn one_task(subject: &dyn Subject) -> (TenantId, TaskId) {
    let tenant = tenant("acme");
    let function = register(subject, &tenant, "f").await;
    let task = accept(subject, new_task(subject, &function)).await;
    (tenant, task)
}

/// Creates a request for up to `most` attempts.
pub(super) fn lease_request(tenant: &TenantId, most: usize) -> LeaseRequest {
    let tokens = std::iter::repeat_with(random::lease_token).take(most).collect();
    LeaseRequest {
        tenant: tenant.clone(),
        worker: WorkerId::from_bytes([7; 16]),
        dispatcher: DispatcherId::from_bytes([8; 16]),
        lease_ms: LEASE_MS,
        tokens,
        again: false,
    }
}

/// Leases up to `most` attempts.
pub(super) async fn lease(subject: &dyn Subject, tenant: &TenantId, most: usize) -> Vec<LeasedTask> {
    subject.store().lease(lease_request(tenant, most)).await.unwrap()
}

/// Leases the only attempt there is.
pub(super) async fn lease_one(subject: &dyn Subject, tenant: &TenantId) -> LeasedTask {
    let mut leased = lease(subject, tenant, 2).await;
    assert_eq!(leased.len(), 1);
    leased.remove(0)
}

/// Returns the lease of a leased task.
pub(super) fn lease_of(leased: &LeasedTask) -> Lease {
    match leased.task.state {
        TaskState::Running(lease) => lease,
        _ => panic!("a leased task runs"),
    }
}

/// Returns the claim of a lease's holder.
pub(super) fn claim(leased: &LeasedTask) -> Claim {
    let fence = Fence { attempt: leased.task.attempt, token: lease_of(leased).token };
    Claim { task: leased.task.id, fence }
}

/// Returns a successful end.
pub(super) fn end(output: &'static str) -> Verdict {
    let output = Bytes::from_static(output.as_bytes());
    let receipt = Receipt { fuel: Some(42), ..Receipt::default() };
    Verdict::End(Ended { failure: None, output, log: Bytes::from_static(b"log"), receipt })
}

/// Returns an end that makes a dead letter.
pub(super) fn failure(output: &'static str) -> Verdict {
    let failure = Some(Failure::new(ErrorCode::GuestError, "it failed"));
    let output = Bytes::from_static(output.as_bytes());
    Verdict::End(Ended { failure, output, log: Bytes::from_static(b"log"), receipt: Receipt::default() })
}

/// Reports on one attempt.
pub(super) async fn finish(subject: &dyn Subject, claim: Claim, verdict: Verdict) -> Finished {
    let answers = subject.store().finish(vec![Finish { claim, verdict }]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers[0]
}

/// Cancels a task.
pub(super) async fn cancel(subject: &dyn Subject, tenant: &TenantId, task: TaskId) -> super::Cancelled {
    subject.store().cancel(tenant, task).await.unwrap()
}

/// Returns a task's status.
pub(super) async fn status(subject: &dyn Subject, tenant: &TenantId, task: TaskId) -> Status {
    subject.store().task(tenant, task).await.unwrap().unwrap().status()
}

/// Returns the numbers of a tenant's ready, delayed and running tasks.
pub(super) async fn counts(subject: &dyn Subject, tenant: &TenantId) -> (u64, u64, u64) {
    let backlog = subject.store().backlog().await.unwrap();
    let found = backlog.iter().find(|backlog| backlog.tenant == *tenant);
    found.map_or((0, 0, 0), |Backlog { ready, delayed, running, .. }| (*ready, *delayed, *running))
}
