//! Imports and exports of a component's outermost level, which determine the world that it follows, and whether the
//! host provides what it imports.

use std::collections::BTreeSet;

use fusebox_core::{capability::Capability, error::ErrorCode, function::Abi};
use wasmparser::Payload;

use super::{names, offers};
use crate::{
    ModuleError,
    inspect::{error, invalid},
};

/// Interface of a handler of bytes.
pub(super) const HANDLER: &str = "fusebox:function/handler@0.1";
/// Interfaces of a handler of HTTP requests, of WASI 0.3 and 0.2.
pub(super) const HTTP_3: &str = "wasi:http/handler@0.3";
pub(super) const HTTP_2: &str = "wasi:http/incoming-handler@0.2";
/// Interfaces of a command.
pub(super) const RUN_3: &str = "wasi:cli/run@0.3";
pub(super) const RUN_2: &str = "wasi:cli/run@0.2";

/// Imports and exports found so far.
#[derive(Default)]
pub(super) struct Surface {
    exports: Vec<String>,
    needs: BTreeSet<Capability>,
}

impl Surface {
    /// Records imports and exports; rejects an import that is not provided.
    pub(super) fn note(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.note_import(import.map_err(invalid)?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note_import(&mut self, name: &str) -> Result<(), ModuleError> {
        if let Some(offer) = offers::find(&names::track(name)) {
            self.needs.extend(offer.needs);
            return Ok(());
        }
        check_age(name)?;
        let offered = offers::names().collect::<Vec<_>>().join(", ");
        let message = format!("the component imports {name}, which the host does not provide: it offers {offered}");
        Err(error(ErrorCode::UnknownImport, message))
    }

    /// Returns the ABI of the component's world, and the capabilities that its imports require.
    pub(super) fn verdict(self) -> Result<(Abi, Vec<Capability>), ModuleError> {
        let found = |wanted: &str| self.exports.iter().find(|export| names::track(export) == wanted);
        let worlds = [(HTTP_3, Abi::Http), (HTTP_2, Abi::Http), (HANDLER, Abi::Component)];
        let mut worlds = worlds.iter().filter_map(|(wanted, abi)| Some((found(wanted)?, *abi)));
        let abi = match (worlds.next(), worlds.next()) {
            (Some((first, _)), Some((second, _))) => {
                let message = format!("the component exports both {first} and {second}: leave one of them out");
                return Err(error(ErrorCode::InvalidModule, message));
            }
            (Some((_, abi)), None) => abi,
            (None, _) if found(RUN_3).or_else(|| found(RUN_2)).is_some() => Abi::Command,
            (None, _) => return Err(self.no_world()),
        };
        Ok((abi, self.needs.into_iter().collect()))
    }

    fn no_world(&self) -> ModuleError {
        if let Some(Err(old)) = self.exports.iter().map(|export| check_age(export)).find(Result::is_err) {
            return old;
        }
        let exports = if self.exports.is_empty() { "nothing".to_owned() } else { self.exports.join(", ") };
        let message = format!(
            "the component exports {exports}, and the host runs components that export {HANDLER}, {HTTP_2}, {HTTP_3}, \
             {RUN_2} or {RUN_3}: export one of them"
        );
        error(ErrorCode::InvalidModule, message)
    }
}

/// Rejects an interface of a toolchain that is too old, and says so.
fn check_age(name: &str) -> Result<(), ModuleError> {
    let is_old = name.starts_with("fermyon:spin/inbound-") || name.contains("@0.2.0-rc-2023-");
    if !is_old {
        return Ok(());
    }
    let message = format!(
        "the component uses {name}, made with a Spin SDK before 3 or a WASI of 2023: rebuild it with \
         a newer SDK"
    );
    Err(error(ErrorCode::UnsupportedModule, message))
}
