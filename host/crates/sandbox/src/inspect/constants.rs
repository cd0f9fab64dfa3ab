//! Counts the parts of a module that each instantiation evaluates or lays out: expressions of globals, elements and
//! segment offsets, the elements themselves, and initial sizes. This costs time that fuel does not count and ticks do
//! not interrupt.

use fusebox_core::limits::{
    CONSTANT_OPERATORS_MAX, DATA_SEGMENTS_MAX, ELEMENTS_MAX, TABLE_ELEMENTS_MAX, TYPE_VALUES_MAX,
};
use wasmparser::{CompositeInnerType, ConstExpr, DataKind, DataSectionReader, ElementItems, ElementKind};

use super::{ModuleError, Payload, invalid, too_complex};
use crate::segments::Merged;

/// Data segments that the format allows.
const DATA_SEGMENTS_WRITTEN_MAX: u64 = 100_000;

/// Size of a page of linear memory.
const PAGE_BYTES: u64 = 64 << 10;

/// Totals over all sections.
#[derive(Default)]
pub(crate) struct Constants {
    operators: u64,
    elements: u64,
    type_values: u64,
}

impl Constants {
    /// Counts one section; rejects the module if a total is too large.
    pub(crate) fn count(&mut self, payload: &Payload<'_>, memory_bytes_max: u64) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for kind in group.map_err(invalid)?.into_types() {
                        if let CompositeInnerType::Func(function) = kind.composite_type.inner {
                            self.type_values += (function.params().len() + function.results().len()) as u64;
                        }
                    }
                    self.check()?;
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let first = table.map_err(invalid)?.ty.initial;
                    bounded(first, TABLE_ELEMENTS_MAX.into(), "a table that begins with", "elements")?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let first = memory.map_err(invalid)?.initial.saturating_mul(PAGE_BYTES);
                    bounded(first, memory_bytes_max, "a memory that begins with", "bytes")?;
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    self.expression(&global.map_err(invalid)?.init_expr)?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.segment(element.map_err(invalid)?)?;
                }
            }
            Payload::DataSection(section) => self.data(section)?,
            _ => {}
        }
        Ok(())
    }

    /// Counts data segments as they remain after neighbours are merged.
    fn data(&mut self, section: &DataSectionReader<'_>) -> Result<(), ModuleError> {
        bounded(section.count().into(), DATA_SEGMENTS_WRITTEN_MAX, "a data section with", "segments")?;
        let merged = Merged::new(section, 0).map_err(invalid)?;
        bounded(merged.runs.len() as u64, DATA_SEGMENTS_MAX.into(), "data in", "places more than 64 bytes apart")?;
        for first in merged.runs.iter().filter_map(|run| run.segments.first()) {
            if let DataKind::Active { offset_expr, .. } = &first.kind {
                self.expression(offset_expr)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, element: wasmparser::Element<'_>) -> Result<(), ModuleError> {
        if let ElementKind::Active { offset_expr, .. } = &element.kind {
            self.expression(offset_expr)?;
        }
        match element.items {
            ElementItems::Functions(functions) => self.elements += u64::from(functions.count()),
            ElementItems::Expressions(_, expressions) => {
                self.elements += u64::from(expressions.count());
                self.check()?;
                for expression in expressions {
                    self.expression(&expression.map_err(invalid)?)?;
                }
            }
        }
        self.check()
    }

    fn expression(&mut self, expression: &ConstExpr<'_>) -> Result<(), ModuleError> {
        let mut operators = expression.get_operators_reader();
        while !operators.eof() {
            operators.read().map_err(invalid)?;
            self.operators += 1;
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ModuleError> {
        bounded(self.type_values, TYPE_VALUES_MAX, "types with", "parameters and results")?;
        bounded(self.elements, ELEMENTS_MAX, "segments with", "elements")?;
        bounded(self.operators, CONSTANT_OPERATORS_MAX, "constant expressions with", "operators")
    }
}

fn bounded(found: u64, most: u64, before: &str, what: &str) -> Result<(), ModuleError> {
    if found > most { Err(too_complex(&format!("{before} {found} {what}"), most)) } else { Ok(()) }
}
