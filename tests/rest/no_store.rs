//! Test double of a store that never responds.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    capability::{self, KvKey, Revision, SettingName},
    function::FunctionVersion,
    id::{DispatcherId, FunctionId, JobId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
    outcome::Failure,
    quota::QuotaSettings,
    task::Task,
    time::Millis,
};
use fusebox_store::{
    kv::{Granted, KeyPage, Kv, Namespace, NewValue, SettingAnswer, SettingKind, Value},
    *,
};

pub(crate) struct NoStore;

fn no<T>() -> Result<T> {
    Err(Error::Unavailable("it is a double".to_owned()))
}

#[async_trait]
impl Identity for NoStore {
    async fn add_tenant(&self, _: Acting, _: TenantId) -> Result<Acted<TenantAdded>> {
        no()
    }
    async fn tenants(&self) -> Result<Vec<Tenant>> {
        no()
    }
    async fn delete_tenant(&self, _: Acting, _: &TenantId) -> Result<Acted<bool>> {
        no()
    }
    async fn clear_tenant(&self, _: &TenantId) -> Result<Cleared> {
        no()
    }
    async fn set_quotas(&self, _: Acting, _: &TenantId, _: QuotaSettings) -> Result<Acted<bool>> {
        no()
    }
    async fn add_key(&self, _: Acting, _: NewKey) -> Result<Acted<KeyAdded>> {
        no()
    }
    async fn key(&self, _: KeyId) -> Result<Option<KnownKey>> {
        no()
    }
    async fn keys(&self, _: &TenantId) -> Result<Vec<Key>> {
        no()
    }
    async fn revoke_key(&self, _: Acting, _: &TenantId, _: KeyId) -> Result<Acted<Option<Key>>> {
        no()
    }
    /// Allows requests to pass the guard.
    async fn has_keys(&self) -> Result<bool> {
        Ok(false)
    }
    fn identity_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}

#[async_trait]
impl Fuel for NoStore {
    async fn draw_fuel(&self, _: &TenantId, _: u64, _: u64) -> Result<u64> {
        no()
    }
    async fn fuel_left(&self, _: &TenantId, _: u64) -> Result<u64> {
        no()
    }
    async fn give_back_fuel(&self, _: &TenantId, _: u64, _: u64) -> Result<()> {
        no()
    }
}

#[async_trait]
impl Usage for NoStore {
    async fn stored_bytes(&self, _: &TenantId) -> Result<u64> {
        no()
    }
    async fn holdings(&self, _: &[TenantId]) -> Result<Holdings> {
        no()
    }
    async fn room(&self) -> Result<Vec<Room>> {
        no()
    }
}

#[async_trait]
impl Functions for NoStore {
    async fn register(&self, _: NewFunction, _: Bytes) -> Result<Registered> {
        no()
    }
    async fn register_known(&self, _: NewFunction, _: u64) -> Result<Registered> {
        no()
    }
    async fn register_compiling(&self, _: NewFunction, _: Bytes, _: u64) -> Result<Registered> {
        no()
    }
    async fn function(&self, _: &TenantId, _: &FunctionRef) -> Result<Option<FunctionVersion>> {
        no()
    }
    async fn functions(&self, _: &TenantId, _: &PageRequest) -> Result<Page<FunctionVersion>> {
        no()
    }
    async fn versions(&self, _: &TenantId, _: &FunctionName, _: &PageRequest) -> Result<Page<FunctionVersion>> {
        no()
    }
    async fn delete_function(&self, _: &TenantId, _: &FunctionRef) -> Result<bool> {
        no()
    }
    async fn module(&self, _: &ModuleDigest) -> Result<Option<Bytes>> {
        no()
    }
}

#[async_trait]
impl Compiles for NoStore {
    async fn take_compiles(&self, _: usize, _: u64) -> Result<Vec<Compile>> {
        no()
    }
    async fn hold_compile(&self, _: FunctionId, _: u64) -> Result<bool> {
        no()
    }
    async fn settle(&self, _: FunctionId, _: Option<Failure>) -> Result<Option<FunctionVersion>> {
        no()
    }
    async fn charge_compile(&self, _: &TenantId, _: u64, _: u64) -> Result<i64> {
        no()
    }
}

#[async_trait]
impl Queue for NoStore {
    async fn accept(&self, _: Vec<NewTask>) -> Result<Vec<Accepted>> {
        no()
    }
    async fn replay(&self, _: Vec<NewTask>) -> Result<Vec<Accepted>> {
        no()
    }
    async fn lease(&self, _: LeaseRequest) -> Result<Vec<LeasedTask>> {
        no()
    }
    async fn renew(&self, _: Vec<Claim>, _: u64) -> Result<Vec<Renewal>> {
        no()
    }
    async fn finish(&self, _: Vec<Finish>) -> Result<Vec<Finished>> {
        no()
    }
    async fn purge(&self, _: Vec<(TenantId, TaskId)>) -> Result<Vec<Purged>> {
        no()
    }
    async fn cancel(&self, _: &TenantId, _: TaskId) -> Result<Cancelled> {
        no()
    }
    async fn tick(&self) -> Result<Ticked> {
        no()
    }
    async fn backlog(&self) -> Result<Vec<Backlog>> {
        no()
    }
    async fn unfinished(&self, _: &TenantId, _: FunctionId) -> Result<u64> {
        no()
    }
}

#[async_trait]
impl Tasks for NoStore {
    async fn task(&self, _: &TenantId, _: TaskId) -> Result<Option<Task>> {
        no()
    }
    async fn result(&self, _: &TenantId, _: TaskId) -> Result<Option<TaskResult>> {
        no()
    }
    async fn log(&self, _: &TenantId, _: TaskId) -> Result<Option<Bytes>> {
        no()
    }
    async fn input(&self, _: &TenantId, _: TaskId) -> Result<Option<Bytes>> {
        no()
    }
    async fn dead_letters(&self, _: &TenantId, _: &PageRequest) -> Result<Page<Task>> {
        no()
    }
    async fn find(&self, _: &TenantId, _: &Find) -> Result<Page<Task>> {
        no()
    }
}

#[async_trait]
impl Jobs for NoStore {
    async fn add_job(&self, _: Job, _: usize) -> Result<JobAdded> {
        no()
    }
    async fn job(&self, _: &TenantId, _: JobId) -> Result<Option<Job>> {
        no()
    }
    async fn jobs(&self, _: &TenantId) -> Result<Vec<Job>> {
        no()
    }
    async fn take_jobs(&self, _: usize, _: u64) -> Result<Vec<Job>> {
        no()
    }
    async fn save_job(&self, _: Job, _: u64) -> Result<bool> {
        no()
    }
    async fn stop_job(&self, _: &TenantId, _: JobId) -> Result<Option<Job>> {
        no()
    }
}

#[async_trait]
impl Presence for NoStore {
    async fn announce(&self, _: DispatcherId, _: Vec<WorkerInfo>, _: u64) -> Result<()> {
        no()
    }
    async fn workers(&self) -> Result<Crew> {
        no()
    }
}

impl Wakeups for NoStore {
    fn changed_hint(&self, _: TaskId) -> Hint {
        Box::pin(std::future::pending())
    }
    fn ended_hint(&self, _: TaskId) -> Hint {
        Box::pin(std::future::pending())
    }
    fn ready_hint(&self) -> ReadyHint {
        Box::pin(std::future::pending())
    }
    fn cancellations(&self) -> tokio::sync::broadcast::Receiver<TaskId> {
        tokio::sync::broadcast::channel(1).1
    }
}

#[async_trait]
impl Store for NoStore {
    async fn check(&self) -> Result<()> {
        no()
    }
    async fn now(&self) -> Result<Millis> {
        no()
    }
}

#[async_trait]
impl Kv for NoStore {
    async fn value(&self, _: &Namespace, _: &KvKey) -> Result<Option<Value>> {
        no()
    }
    async fn set_value(&self, _: &Namespace, _: NewValue) -> Result<Granted<Revision>> {
        no()
    }
    async fn delete_value(&self, _: &Namespace, _: &KvKey, _: capability::Expects) -> Result<Granted<bool>> {
        no()
    }
    async fn list_keys(
        &self,
        _: &Namespace,
        _: &capability::KvPrefix,
        _: &capability::KvCursor,
        _: usize,
    ) -> Result<Granted<KeyPage>> {
        no()
    }
    async fn setting(&self, _: &Namespace, _: SettingKind, _: &SettingName) -> Result<Option<Bytes>> {
        no()
    }
    async fn settings(&self, _: &Namespace, _: SettingKind) -> Result<Vec<(SettingName, Bytes)>> {
        no()
    }
    async fn set_setting(
        &self,
        _: &Namespace,
        _: SettingKind,
        _: &SettingName,
        _: Bytes,
        _: u64,
    ) -> Result<SettingAnswer> {
        no()
    }
    async fn unset(&self, _: &Namespace, _: SettingKind, _: &SettingName) -> Result<bool> {
        no()
    }
    async fn forget(&self, _: &Namespace) -> Result<()> {
        no()
    }
}
