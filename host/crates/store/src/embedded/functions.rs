//! Function versions in the embedded store.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::ModuleDigest,
    name::{FunctionName, TenantId},
};

use super::{EmbeddedStore, engine::Space, keys, reads::Reads, records};
use crate::{
    Error, FunctionRef, Functions, NewFunction, Page, PageRequest, Registered, Result,
    packed::{Packed, Unpacked},
};

impl Reads {
    /// Returns a module's wasm bytes.
    fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>> {
        let snapshot = self.snapshot()?;
        let key = keys::module(digest);
        let Some(record) = snapshot.get(Space::Records, &key)? else { return Ok(None) };
        let record = records::decode_module(&record)?;
        let Some(pieces) = record.pieces else { return snapshot.get(Space::Blobs, &key) };
        let mut module = Unpacked::new(record.is_deflated);
        for number in 0..pieces {
            let piece = snapshot.get(Space::Blobs, &keys::module_piece(digest, number))?;
            module
                .add(&piece.ok_or_else(|| Error::Corrupt(format!("piece {number} of module {digest} is missing")))?)?;
        }
        Ok(Some(module.end()))
    }
}

impl EmbeddedStore {
    async fn add(&self, new: NewFunction, module: Bytes, hold_ms: Option<u64>) -> Result<Registered> {
        self.add_packed(new, Packed::of(module).await?, hold_ms).await
    }

    async fn add_packed(&self, new: NewFunction, packed: Packed, hold_ms: Option<u64>) -> Result<Registered> {
        let bytes = usize::try_from(packed.stored_bytes() + new.files.len() as u64).unwrap_or(usize::MAX);
        self.writer.grow(bytes, move |steps| steps.register(new.clone(), &packed, hold_ms)).await
    }
}

#[async_trait]
impl Functions for EmbeddedStore {
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered> {
        self.add(new, module, None).await
    }

    async fn register_known(&self, new: NewFunction, module_bytes: u64) -> Result<Registered> {
        self.add_packed(new, Packed::known(module_bytes), None).await
    }

    async fn register_compiling(&self, new: NewFunction, module: Bytes, hold_ms: u64) -> Result<Registered> {
        self.add(new, module, Some(hold_ms)).await
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
