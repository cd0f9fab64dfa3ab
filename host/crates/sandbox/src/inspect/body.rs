//! Bounds the cost of compiling a function: some of it grows with the square of the number of branches. What one
//! function may cost is bounded, and what all of them cost beyond their size.

use fusebox_core::limits::{
    BR_TABLE_TARGETS_MAX, BRANCHES_COST_MAX, FUNCTION_BODY_BYTES_MAX, FUNCTION_BRANCHES_MAX, FUNCTION_LOCALS_MAX,
    TRY_CATCHES_MAX,
};
use wasmparser::{FunctionBody, Operator};

use super::{invalid, too_complex};
use crate::ModuleError;

/// Cost of all functions of a module beyond their size: for each, the square of its branches.
#[derive(Default)]
pub(crate) struct Cost(u64);

impl Cost {
    /// Adds a function; refuses it if it, or the module so far, costs too much.
    pub(crate) fn add(&mut self, body: &FunctionBody<'_>) -> Result<(), ModuleError> {
        let at = body.range().start;
        let bytes = (body.range().end - at) as u64;
        if bytes > FUNCTION_BODY_BYTES_MAX {
            return Err(too_complex(
                &format!("a function of {bytes} bytes at offset {at:#x}"),
                FUNCTION_BODY_BYTES_MAX,
            ));
        }
        let mut locals = 0_u32;
        for group in body.get_locals_reader().map_err(invalid)? {
            locals = locals.saturating_add(group.map_err(invalid)?.0);
        }
        if locals > FUNCTION_LOCALS_MAX {
            let found = format!("a function with {locals} locals at offset {at:#x}");
            return Err(too_complex(&found, FUNCTION_LOCALS_MAX.into()));
        }
        let mut branches = Branches::default();
        let mut operators = body.get_operators_reader().map_err(invalid)?;
        while !operators.eof() {
            branches.count(&operators.read().map_err(invalid)?)?;
            if branches.total > FUNCTION_BRANCHES_MAX {
                let found = format!("a function with more than {FUNCTION_BRANCHES_MAX} branches at offset {at:#x}");
                return Err(too_complex(&found, FUNCTION_BRANCHES_MAX));
            }
        }
        self.0 += branches.total * branches.total;
        match self.0 > BRANCHES_COST_MAX {
            true => {
                Err(too_complex("functions whose branches, each number squared, add up to more", BRANCHES_COST_MAX))
            }
            false => Ok(()),
        }
    }
}

/// Blocks of a function, and the edges to handlers of exceptions: each call within a `try_table` may continue at each
/// of its handlers.
#[derive(Default)]
struct Branches {
    total: u64,
    /// Handlers of each open block.
    open: Vec<u64>,
    /// Sum over the open blocks.
    handlers: u64,
}

impl Branches {
    fn count(&mut self, operator: &Operator<'_>) -> Result<(), ModuleError> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.enter(0),
            Operator::TryTable { try_table } => {
                let catches = try_table.catches.len() as u64;
                if catches > TRY_CATCHES_MAX {
                    return Err(too_complex(&format!("a try_table with {catches} handlers"), TRY_CATCHES_MAX));
                }
                self.enter(catches);
            }
            Operator::End => self.handlers -= self.open.pop().unwrap_or_default(),
            Operator::BrTable { targets } if targets.len() > BR_TABLE_TARGETS_MAX => {
                let found = format!("a branch table of {} targets", targets.len());
                return Err(too_complex(&found, BR_TABLE_TARGETS_MAX.into()));
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::Throw { .. } | Operator::ThrowRef
                if self.handlers > 0 =>
            {
                self.total += 1 + self.handlers;
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, handlers: u64) {
        self.total += 1 + handlers;
        self.open.push(handlers);
        self.handlers += handlers;
    }
}
