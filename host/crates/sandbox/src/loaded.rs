//! Compiled modules in memory: linked code, and the exports through which calls enter it.

use std::sync::Arc;

use fusebox_core::capability::Capability;
use wasmtime::{InstancePre, Module, ModuleExport};

use crate::{component, extism, host::Host};

/// A compiled module in memory, linked and ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct LoadedModule(pub(crate) Arc<Loaded>);

/// Linked code and its size.
pub(crate) struct Loaded {
    pub(crate) program: Program,
    /// Size of its code in bytes.
    pub(crate) bytes: u64,
}

/// Linked code, of either kind.
pub(crate) enum Program {
    Module(LinkedModule),
    Component(component::Program),
    /// One that the operator does not allow, with the reason. Its code is not loaded.
    Refused(String),
}

/// A core module, of any ABI.
pub(crate) struct LinkedModule {
    pub(crate) instance: InstancePre<Host>,
    pub(crate) entry: Entry,
    /// Capabilities that its function must be granted.
    pub(crate) needs: Vec<Capability>,
    /// True if its runs have WASI state.
    pub(crate) uses_wasi: bool,
}

/// Exports through which a call enters the module, as indices that require no lookup by name.
pub(crate) enum Entry {
    Core {
        memory: ModuleExport,
        alloc: ModuleExport,
        handle: ModuleExport,
        initialize: Option<ModuleExport>,
        is_http: bool,
    },
    Command {
        start: ModuleExport,
    },
    /// A plug-in or a reactor, entered by the name of an export.
    Named {
        module: Module,
        is_plugin: bool,
    },
}

impl Entry {
    /// Returns the exports through which calls enter a module.
    pub(crate) fn of(module: &Module) -> Option<Self> {
        let export = |name| module.get_export_index(name);
        let handlers = [("fusebox_handle", false), ("fusebox_http", true)];
        if let Some((handle, is_http)) = handlers.into_iter().find_map(|(name, is_http)| Some((export(name)?, is_http)))
        {
            let (memory, alloc) = (export("memory")?, export("fusebox_alloc")?);
            let initialize = export("_initialize");
            return Some(Self::Core { memory, alloc, handle, initialize, is_http });
        }
        let is_plugin = module.imports().any(|import| import.module() == extism::MODULE);
        match export("_start") {
            Some(start) if !is_plugin => Some(Self::Command { start }),
            _ => Some(Self::Named { module: module.clone(), is_plugin }),
        }
    }
}
