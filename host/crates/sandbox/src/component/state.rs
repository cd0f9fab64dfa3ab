//! Data of a component's run: what a run of any ABI has, and the resources and contexts of WASI.

use std::sync::Arc;

use bytes::Bytes;
use fusebox_core::{
    capability::Capability,
    limits::{HTTP_ANSWER_BYTES_MAX, HTTP_HEADERS_BYTES_MAX, RESOURCES_MAX},
};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    files::RunFiles,
    http::{Desk, Hooks},
};
use crate::{files::tree::Tree, host::Host};

/// State of one run, accessible to its host functions.
pub(crate) struct State {
    pub(crate) run: Host,
    pub(super) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(super) desk: Desk,
    pub(super) files: RunFiles,
    /// True once the function's configuration is in the environment.
    pub(super) has_configuration: bool,
    /// Fuel of the last host call's answer that has not been charged.
    pub(super) owed: u64,
}

impl State {
    /// Returns the state of a run with these read-only files. `stdin` is empty unless the component is a command, and so
    /// is `stdout` then.
    pub(super) fn new(
        run: Host,
        desk: Desk,
        tree: Arc<Tree>,
        stdin: Bytes,
        stdout: Option<&super::wasi::Output>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HTTP_HEADERS_BYTES_MAX);
        let wasi = super::wasi::context(&run.call.invocation, stdin, stdout, &run.log);
        let is_granted = run.call.invocation.grants.has(Capability::Http);
        let hooks = Hooks { desk: desk.clone(), is_granted };
        let files = RunFiles::new(tree, run.limiter.budget());
        Self { run, table, wasi, http, hooks, desk, files, has_configuration: false, owed: 0 }
    }

    /// Returns the size in bytes that the answer of one host call may have.
    pub(super) fn answer_bytes_max(&self) -> usize {
        HTTP_ANSWER_BYTES_MAX
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}
