//! Reads of tasks in Redis.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{id::TaskId, name::TenantId, task::Task};

use super::{RedisStore, find, reads};
use crate::{Find, Page, PageRequest, Result, TaskResult, Tasks};

#[async_trait]
impl Tasks for RedisStore {
    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>> {
        reads::task(&self.caller, &self.cache, tenant, task).await
    }

    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>> {
        reads::result(&self.caller, &self.cache, tenant, task).await
    }

    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        reads::bytes(&self.caller, &self.cache, tenant, task, "log").await
    }

    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        reads::bytes(&self.caller, &self.cache, tenant, task, "param_payload").await
    }

    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        find::dead_letters(&self.caller, &self.cache, tenant, page).await
    }

    async fn find(&self, tenant: &TenantId, asked: &Find) -> Result<Page<Task>> {
        find::find(&self.caller, &self.cache, tenant, asked).await
    }
}
