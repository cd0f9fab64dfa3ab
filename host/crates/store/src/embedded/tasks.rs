//! Reads of tasks in the embedded store.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{id::TaskId, name::TenantId, task::Task};

use super::EmbeddedStore;
use crate::{Find, Page, PageRequest, Result, TaskResult, Tasks};

#[async_trait]
impl Tasks for EmbeddedStore {
    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>> {
        self.reads.task(tenant, task)
    }

    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>> {
        self.reads.result(tenant, task)
    }

    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        self.reads.log(tenant, task)
    }

    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>> {
        self.reads.input(tenant, task)
    }

    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        let (tenant, page) = (tenant.clone(), page.clone());
        self.reads.aside(move |reads| reads.dead_letters(&tenant, &page)).await
    }

    async fn find(&self, tenant: &TenantId, asked: &Find) -> Result<Page<Task>> {
        let (tenant, asked) = (tenant.clone(), asked.clone());
        self.reads.aside(move |reads| reads.find(&tenant, &asked)).await
    }
}
