//! A compiled component, linked, with the export through which calls enter it.

use fusebox_core::{capability::Capability, error::ErrorCode, function::Abi};
use wasmtime::{
    Engine,
    component::{
        Component, ComponentExportIndex, InstancePre, Linker,
        types::{ComponentItem, Type},
    },
};
use wasmtime_wasi::{p2, p3};
use wasmtime_wasi_http::handler::ProxyPre;

use super::{
    State, names, offers,
    surface::{HANDLER, HTTP_2, HTTP_3, RUN_3},
};
use crate::ModuleError;

/// A component ready to be instantiated.
pub(crate) struct Program {
    pub(super) entry: Entry,
    /// Capabilities that its function must be granted.
    pub(super) needs: Vec<Capability>,
}

/// Worlds, each with the component and its export.
pub(super) enum Entry {
    Handler { instance: InstancePre<State>, handle: ComponentExportIndex },
    Command2(p2::bindings::CommandPre<State>),
    Command3(p3::bindings::CommandPre<State>),
    Http(ProxyPre<State>),
}

impl Program {
    /// Returns the ABI of the component's world.
    pub(crate) fn abi(&self) -> Abi {
        match self.entry {
            Entry::Handler { .. } => Abi::Component,
            Entry::Http(_) => Abi::Http,
            Entry::Command2(_) | Entry::Command3(_) => Abi::Command,
        }
    }

    /// Returns whether it is a command, which reads its input from stdin and writes its output to stdout.
    pub(super) fn is_command(&self) -> bool {
        self.abi() == Abi::Command
    }

    /// Links a component. Its imports and exports were checked by name before compilation; this finds the functions
    /// that an interface lacks, and wrong types.
    pub(crate) fn link(component: &Component, linker: &Linker<State>) -> Result<Self, ModuleError> {
        let engine = component.engine();
        let exports: Vec<String> =
            component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
        let imports = component.component_type();
        let needs = imports.imports(engine).filter_map(|(name, _)| offers::find(&names::track(name)));
        let needs = needs.flat_map(|offer| offer.needs).copied().collect();
        let instance = linker.instantiate_pre(component).map_err(|error| ModuleError {
            code: ErrorCode::UnknownImport,
            message: format!("the component imports something that the host does not provide: {error:#}"),
        })?;
        let found = |wanted: &str| exports.iter().find(|export| names::track(export) == wanted);
        let entry = if found(HTTP_3).is_some() {
            wasmtime_wasi_http::p3::bindings::ServicePre::new(instance).map(ProxyPre::P3).map(Entry::Http)
        } else if found(HTTP_2).is_some() {
            wasmtime_wasi_http::p2::bindings::ProxyPre::new(instance).map(ProxyPre::P2).map(Entry::Http)
        } else if let Some(handler) = found(HANDLER) {
            handler_of(engine, component, handler).map(|handle| Entry::Handler { instance, handle })
        } else if found(RUN_3).is_some() {
            p3::bindings::CommandPre::new(instance).map(Entry::Command3)
        } else {
            p2::bindings::CommandPre::new(instance).map(Entry::Command2)
        };
        let entry = entry.map_err(|error| ModuleError {
            code: ErrorCode::InvalidModule,
            message: format!("the component does not export what its world requires: {error:#}"),
        })?;
        Ok(Self { entry, needs })
    }
}

/// Returns the function of a handler of bytes, if it has the right type.
fn handler_of(engine: &Engine, component: &Component, name: &str) -> wasmtime::Result<ComponentExportIndex> {
    let wrong =
        || wasmtime::format_err!("{name} must export handle: func(input: list<u8>) -> result<list<u8>, list<u8>>");
    let kind = component.component_type();
    let exported = kind.get_export(engine, name);
    let Some(ComponentItem::ComponentInstance(exported)) = exported.map(|export| export.ty) else {
        return Err(wrong());
    };
    let handle = exported.get_export(engine, "handle").map(|export| export.ty);
    let Some(ComponentItem::ComponentFunc(handle)) = handle else { return Err(wrong()) };
    let is_bytes = |kind: &Type| matches!(kind, Type::List(list) if list.ty() == Type::U8);
    let is_result = |kind: &Type| match kind {
        Type::Result(result) => {
            result.ok().as_ref().is_some_and(is_bytes) && result.err().as_ref().is_some_and(is_bytes)
        }
        _ => false,
    };
    let params: Vec<Type> = handle.params().map(|(_, kind)| kind).collect();
    let results: Vec<Type> = handle.results().collect();
    if !matches!(&params[..], [input] if is_bytes(input)) || !matches!(&results[..], [result] if is_result(result)) {
        return Err(wrong());
    }
    let interface = component.get_export_index(None, name).ok_or_else(wrong)?;
    component.get_export_index(Some(&interface), "handle").ok_or_else(wrong)
}
