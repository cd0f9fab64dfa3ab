//! Counts what a component is made of, before it is compiled: a component instantiates modules and other components,
//! several times and at any depth, and the compiler writes an adapter for each call between them. A small file could
//! ask for millions, so counts are those after expansion: what a definition contains counts at each instantiation.

use fusebox_core::{
    error::ErrorCode,
    limits::{
        COMPONENT_CANONICALS_MAX, COMPONENT_COUNT_MAX, COMPONENT_INSTANCES_MAX, COMPONENT_ITEMS_MAX,
        COMPONENT_NESTING_MAX, COMPONENT_TYPES_MAX, CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX,
    },
};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding, Instance, Payload,
};

use crate::{
    ModuleError,
    inspect::{error, invalid, too_complex},
};

/// Parts of a module or component that each of its instantiations makes again.
#[derive(Clone, Copy, Default)]
struct Parts {
    core_instances: u64,
    instances: u64,
    canonicals: u64,
    memories: u64,
    tables: u64,
}

impl Parts {
    fn add(&mut self, other: Self) {
        let sum = |into: &mut u64, more: u64| *into = into.saturating_add(more);
        sum(&mut self.core_instances, other.core_instances);
        sum(&mut self.instances, other.instances);
        sum(&mut self.canonicals, other.canonicals);
        sum(&mut self.memories, other.memories);
        sum(&mut self.tables, other.tables);
    }

    fn most(self, other: Self) -> Self {
        Self {
            core_instances: self.core_instances.max(other.core_instances),
            instances: self.instances.max(other.instances),
            canonicals: self.canonicals.max(other.canonicals),
            memories: self.memories.max(other.memories),
            tables: self.tables.max(other.tables),
        }
    }

    fn check(&self) -> Result<(), ModuleError> {
        bounded(self.core_instances, CORE_INSTANCES_MAX.into(), "core instances")?;
        bounded(self.instances, COMPONENT_INSTANCES_MAX.into(), "component instances")?;
        bounded(self.canonicals, COMPONENT_CANONICALS_MAX.into(), "lifted and lowered functions")?;
        bounded(self.memories, MEMORIES_MAX.into(), "memories")?;
        bounded(self.tables, TABLES_MAX.into(), "tables")
    }
}

/// A module or component whose end has not been read.
struct Open {
    is_module: bool,
    parts: Parts,
    /// Parts of the modules and components in its index spaces.
    modules: Vec<Parts>,
    components: Vec<Parts>,
}

/// Counts of a component's sections, in the order in which they are read.
#[derive(Default)]
pub(super) struct Shape {
    open: Vec<Open>,
    /// The largest module and component that has ended, for an index whose definition is not known: an import, or the
    /// export of an instance.
    largest: (Parts, Parts),
    definitions: u64,
    types: u64,
    items: u64,
}

impl Shape {
    /// Returns whether everything that began has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.open.is_empty() && self.definitions > 0
    }

    /// Returns whether the sections read now are those of the outermost component.
    pub(super) fn is_outermost(&self) -> bool {
        self.open.len() == 1
    }

    /// Returns whether the sections read now are those of a core module.
    pub(super) fn is_module(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_module)
    }

    /// Counts one section; rejects the component if a count is too large.
    pub(super) fn count(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(*encoding == Encoding::Module)?,
            Payload::End(_) => self.end()?,
            Payload::MemorySection(section) => self.top()?.parts.memories += u64::from(section.count()),
            Payload::TableSection(section) => self.top()?.parts.tables += u64::from(section.count()),
            Payload::ImportSection(section) => self.items += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            Payload::InstanceSection(section) => {
                self.items += u64::from(section.count());
                self.check_items()?;
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance.map_err(invalid)? {
                        let mut parts = self.module(module_index);
                        parts.core_instances += 1;
                        self.top()?.parts.add(parts);
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                self.items += u64::from(section.count());
                self.check_items()?;
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(invalid)? {
                        let mut parts = self.component(component_index);
                        parts.instances += 1;
                        self.top()?.parts.add(parts);
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                self.items += u64::from(section.count());
                self.check_items()?;
                for alias in section.clone() {
                    self.alias(&alias.map_err(invalid)?)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.top()?.parts.canonicals += u64::from(section.count());
            }
            Payload::ComponentImportSection(section) => {
                self.items += u64::from(section.count());
                self.check_items()?;
                for import in section.clone() {
                    self.unknown(import.map_err(invalid)?.ty.kind())?;
                }
            }
            Payload::ComponentExportSection(section) => {
                self.items += u64::from(section.count());
                self.check_items()?;
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    self.export(export.kind, export.index)?;
                }
            }
            _ => return Ok(()),
        }
        bounded(self.types, COMPONENT_TYPES_MAX.into(), "types")?;
        self.check_items()?;
        self.open.last().map_or(Ok(()), |open| open.parts.check())
    }

    fn begin(&mut self, is_module: bool) -> Result<(), ModuleError> {
        self.definitions += 1;
        bounded(self.definitions, COMPONENT_COUNT_MAX.into(), "modules and components")?;
        bounded(self.open.len() as u64, COMPONENT_NESTING_MAX.into(), "levels of nesting")?;
        let open = Open { is_module, parts: Parts::default(), modules: Vec::new(), components: Vec::new() };
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), ModuleError> {
        let Some(ended) = self.open.pop() else { return Ok(()) };
        ended.parts.check()?;
        let largest = if ended.is_module { &mut self.largest.0 } else { &mut self.largest.1 };
        *largest = largest.most(ended.parts);
        if let Some(outer) = self.open.last_mut() {
            let defined = if ended.is_module { &mut outer.modules } else { &mut outer.components };
            defined.push(ended.parts);
        }
        Ok(())
    }

    fn top(&mut self) -> Result<&mut Open, ModuleError> {
        self.open.last_mut().ok_or_else(|| error(ErrorCode::InvalidModule, "a section stands before the first header"))
    }

    fn check_items(&self) -> Result<(), ModuleError> {
        bounded(self.items, COMPONENT_ITEMS_MAX.into(), "imports, exports, aliases and instances")
    }

    fn module(&self, index: u32) -> Parts {
        self.defined(0, |open| &open.modules, index).unwrap_or(self.largest.0)
    }

    fn component(&self, index: u32) -> Parts {
        self.defined(0, |open| &open.components, index).unwrap_or(self.largest.1)
    }

    /// Returns the parts of a definition by its index in the component that encloses the current one `outward` times.
    fn defined(&self, outward: u32, space: fn(&Open) -> &Vec<Parts>, index: u32) -> Option<Parts> {
        let at = self.open.len().checked_sub(1)?.checked_sub(usize::try_from(outward).ok()?)?;
        space(self.open.get(at)?).get(usize::try_from(index).ok()?).copied()
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), ModuleError> {
        match alias {
            ComponentAlias::InstanceExport { kind, .. } => self.unknown(*kind),
            ComponentAlias::CoreInstanceExport { .. } => Ok(()),
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                let parts = self.defined(*count, |open| &open.modules, *index).unwrap_or(self.largest.0);
                self.top()?.modules.push(parts);
                Ok(())
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let parts = self.defined(*count, |open| &open.components, *index).unwrap_or(self.largest.1);
                self.top()?.components.push(parts);
                Ok(())
            }
            ComponentAlias::Outer { .. } => Ok(()),
        }
    }

    /// Adds an index whose definition is not known.
    fn unknown(&mut self, kind: ComponentExternalKind) -> Result<(), ModuleError> {
        let (module, component) = self.largest;
        match kind {
            ComponentExternalKind::Module => self.top()?.modules.push(module),
            ComponentExternalKind::Component => self.top()?.components.push(component),
            _ => {}
        }
        Ok(())
    }

    /// Adds the index that an export makes, of the same definition.
    fn export(&mut self, kind: ComponentExternalKind, index: u32) -> Result<(), ModuleError> {
        let (module, component) = (self.module(index), self.component(index));
        match kind {
            ComponentExternalKind::Module => self.top()?.modules.push(module),
            ComponentExternalKind::Component => self.top()?.components.push(component),
            _ => {}
        }
        Ok(())
    }
}

fn bounded(found: u64, most: u64, what: &str) -> Result<(), ModuleError> {
    if found > most { Err(too_complex(&format!("{found} {what}"), most)) } else { Ok(()) }
}
