//! Imports and exports of a module, which determine its ABI and whether it may be called.

use std::collections::BTreeSet;

use super::*;
use fusebox_core::capability::Capability;
use wasmparser::{FuncType, types::Types};

const I32: wasmparser::ValType = wasmparser::ValType::I32;

/// Imports and exports found so far. Only the module name of WASI imports matters here; the linker knows the functions,
/// and rejects those that WASI lacks.
#[derive(Default)]
pub(super) struct Surface {
    exports: Vec<(String, ExternalKind, u32)>,
    uses_wasi: bool,
    is_plugin: bool,
    needs: BTreeSet<Capability>,
}

impl Surface {
    /// Records imports and exports; rejects an import that is not provided.
    pub(super) fn note(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import.map_err(invalid)?;
                    self.note_import(import.module, import.name, import.ty)?;
                }
                Ok(())
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    self.exports.push((export.name.to_owned(), export.kind, export.index));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_import(&mut self, module: &str, name: &str, kind: TypeRef) -> Result<(), ModuleError> {
        let is_function = matches!(kind, TypeRef::Func(_) | TypeRef::FuncExact(_));
        match module {
            imports::MODULE if is_function && imports::names().any(|offered| offered == name) => {
                self.needs.extend(imports::needs(name));
                Ok(())
            }
            wasi::MODULE | wasi::UNSTABLE
                if is_function && wasi::OFFERED.iter().any(|(offered, _)| *offered == name) =>
            {
                self.uses_wasi = true;
                Ok(())
            }
            extism::MODULE if is_function && extism::OFFERED.iter().any(|(offered, _)| *offered == name) => {
                self.is_plugin = true;
                Ok(())
            }
            extism::USER_MODULE => {
                let message = format!(
                    "the module imports {module}.{name}, a function that an embedder of Extism adds of its own: build \
                     the plug-in without it"
                );
                Err(error(ErrorCode::UnknownImport, message))
            }
            _ => {
                let offered = imports::names().collect::<Vec<_>>().join(", ");
                let message = format!(
                    "the module imports {module}.{name}, which the host does not provide: fusebox has {offered}, and \
                     {} is there as a whole",
                    wasi::MODULE
                );
                Err(error(ErrorCode::UnknownImport, message))
            }
        }
    }

    /// Returns the capabilities that the imports require.
    pub(super) fn needs(self) -> Vec<Capability> {
        self.needs.into_iter().collect()
    }

    /// Returns the ABI according to the names and types of the exports.
    pub(super) fn abi(&self, types: &Types) -> Result<Abi, ModuleError> {
        let has = |name: &str| self.exports.iter().any(|(export, ..)| export == name);
        if has("fusebox_handle") && has("fusebox_http") {
            let message =
                "the module exports fusebox_handle and fusebox_http: a function handles inputs or HTTP requests";
            Err(error(ErrorCode::InvalidModule, message))
        } else if has("fusebox_handle") {
            self.core(types, "fusebox_handle").map(|()| Abi::Core)
        } else if has("fusebox_http") {
            self.core(types, "fusebox_http").map(|()| Abi::Http)
        } else if self.is_plugin {
            self.named(types, Abi::Extism)
        } else if has("_start") {
            self.command(types)
        } else if self.uses_wasi || has("_initialize") {
            self.named(types, Abi::Reactor)
        } else {
            let message = "the module follows neither ABI: a core function exports memory, fusebox_alloc and \
                           fusebox_handle or fusebox_http (the guest SDK does that), a command exports _start";
            Err(error(ErrorCode::InvalidModule, message))
        }
    }

    fn core(&self, types: &Types, handler: &str) -> Result<(), ModuleError> {
        self.needs_memory()?;
        self.needs_function(types, "fusebox_alloc", &[I32], &[I32])?;
        self.needs_function(types, handler, &[I32, I32], &[I32])?;
        if self.exports.iter().any(|(name, ..)| name == "_initialize") {
            self.needs_function(types, "_initialize", &[], &[])?;
        }
        Ok(())
    }

    fn command(&self, types: &Types) -> Result<Abi, ModuleError> {
        self.needs_function(types, "_start", &[], &[])?;
        Ok(Abi::Command)
    }

    /// Checks a module whose runs name the function that they enter.
    fn named(&self, types: &Types, abi: Abi) -> Result<Abi, ModuleError> {
        let is_entry = |(name, kind, index): &(String, ExternalKind, u32)| {
            *kind == ExternalKind::Func && {
                let kind = types[types.as_ref().core_function_at(*index)].composite_type.unwrap_func();
                let results: Vec<bool> = kind.results().iter().take(2).map(|kind| *kind == I32).collect();
                named::is_entry(name, kind.params().len(), &results)
            }
        };
        match self.exports.iter().any(is_entry) {
            true => Ok(abi),
            false => {
                let message = "the module exports no function that a run can enter: one without parameters, with an \
                               i32 or nothing as its result";
                Err(error(ErrorCode::InvalidModule, message))
            }
        }
    }

    fn needs_memory(&self) -> Result<(), ModuleError> {
        match self.exports.iter().any(|(name, kind, _)| name == "memory" && *kind == ExternalKind::Memory) {
            true => Ok(()),
            false => Err(error(ErrorCode::InvalidModule, "the module exports no memory named \"memory\"")),
        }
    }

    fn needs_function(
        &self,
        types: &Types,
        name: &str,
        params: &[wasmparser::ValType],
        results: &[wasmparser::ValType],
    ) -> Result<(), ModuleError> {
        let wanted = FuncType::new(params.iter().copied(), results.iter().copied());
        let is_it = |(export, kind, index): &&(String, ExternalKind, u32)| {
            export == name
                && *kind == ExternalKind::Func
                && types[types.as_ref().core_function_at(*index)].composite_type.unwrap_func() == &wanted
        };
        match self.exports.iter().find(is_it) {
            Some(_) => Ok(()),
            None => {
                let message = format!("the module must export {name} as a function of type {wanted:?}");
                Err(error(ErrorCode::InvalidModule, message))
            }
        }
    }
}
