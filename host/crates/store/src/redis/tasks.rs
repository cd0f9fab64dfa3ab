//! Reads of tasks in Redis.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{id::TaskId, name::TenantId, task::Task};

use super::{RedisStore, keys, reads};
use crate::{Page, PageRequest, Result, TaskResult, Tasks};

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
        reads::page(&self.caller, &self.cache, keys::DEAD, tenant, page).await
    }

    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        reads::page(&self.caller, &self.cache, keys::TASKS, tenant, page).await
    }
}
