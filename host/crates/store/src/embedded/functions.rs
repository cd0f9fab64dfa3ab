//! Function versions in the embedded store.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::ModuleDigest,
    name::{FunctionName, TenantId},
};

use super::EmbeddedStore;
use crate::{FunctionRef, Functions, NewFunction, Page, PageRequest, Registered, Result};

#[async_trait]
impl Functions for EmbeddedStore {
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered> {
        self.writer.grow(module.len(), move |steps| steps.register(new.clone(), &module)).await
    }

    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>> {
        self.reads.function(tenant, function)
    }

    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>> {
        let (tenant, page) = (tenant.clone(), page.clone());
        self.reads.aside(move |reads| reads.functions(&tenant, &page)).await
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>> {
        let (tenant, name, page) = (tenant.clone(), name.clone(), page.clone());
        self.reads.aside(move |reads| reads.versions(&tenant, &name, &page)).await
    }

    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool> {
        let (tenant, function) = (tenant.clone(), function.clone());
        self.writer.step(0, move |steps| steps.delete_function(&tenant, &function)).await
    }

    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>> {
        let digest = *digest;
        self.reads.aside(move |reads| reads.module(&digest)).await
    }
}
