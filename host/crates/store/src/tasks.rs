//! Reads of tasks: their records, inputs, outputs and logs.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{id::TaskId, name::TenantId, task::Task};

use crate::{Find, Page, PageRequest, Result};

/// Reader of tasks.
#[async_trait]
pub trait Tasks: Send + Sync + 'static {
    /// Returns a task.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Task>>;
    /// Returns a task and its output.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn result(&self, tenant: &TenantId, task: TaskId) -> Result<Option<TaskResult>>;
    /// Returns the log of a task's last attempt; empty until the task has ended.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn log(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// Returns a task's input. It is kept until the task ends, and for a dead letter as long as its record.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn input(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Bytes>>;
    /// Returns a tenant's dead letters, most recent failure first: tasks that FAILED and were not cancelled.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn dead_letters(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>>;
    /// Returns a tenant's tasks, newest first.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn tasks(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Task>> {
        self.find(tenant, &Find::all(page.clone())).await
    }
    /// Returns those of a tenant's tasks that are searched for. A task that was accepted or has changed between two
    /// pages may be missing or belong to either.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`crate::Error`].
    async fn find(&self, tenant: &TenantId, asked: &Find) -> Result<Page<Task>>;
}

/// Task with its output.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// Record of the task.
    pub task: Task,
    /// Output, or the guest's error bytes; empty until the task has ended.
    pub output: Bytes,
}
