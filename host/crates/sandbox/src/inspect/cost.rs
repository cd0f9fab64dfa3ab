//! Bounds the cost of compiling a module, or all modules of a component: the size of their code, the number of their
//! functions, and the branches of each, since some of the cost grows with the square of their number.

use fusebox_core::{
    error::ErrorCode,
    limits::{
        BR_TABLE_TARGETS_MAX, BRANCHES_COST_MAX, FUNCTION_BODY_BYTES_MAX, FUNCTION_LOCALS_MAX, MODULE_FUNCTIONS_MAX,
        TRY_CATCHES_MAX,
    },
};
use wasmparser::{FunctionBody, Operator, Payload};

use super::{error, invalid, too_complex};
use crate::{ModuleError, ModuleLimits};

/// Cost of the code read so far.
pub(crate) struct Cost {
    limits: ModuleLimits,
    code_bytes: u64,
    functions: u64,
    /// For each function, the square of its branches.
    branches: u64,
}

impl Cost {
    pub(crate) fn new(limits: ModuleLimits) -> Self {
        Self { limits, code_bytes: 0, functions: 0, branches: 0 }
    }

    /// Returns the size of the code.
    pub(crate) fn code_bytes(&self) -> u64 {
        self.code_bytes
    }

    /// Adds what a section announces: it precedes the functions, so a module with too many is refused without reading
    /// them.
    pub(crate) fn count(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                let most = self.limits.scaled(MODULE_FUNCTIONS_MAX);
                if self.functions > most {
                    return Err(too_complex(&format!("{} functions", self.functions), most));
                }
            }
            Payload::CodeSectionStart { size, .. } => {
                self.code_bytes += u64::from(*size);
                if self.code_bytes > self.limits.code_bytes {
                    return Err(too_much_code(self.code_bytes, self.limits.code_bytes));
                }
            }
            _ => {}
        }
        Ok(())
    }

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
        let most = self.limits.scaled(BRANCHES_COST_MAX);
        let mut branches = Branches::default();
        let mut operators = body.get_operators_reader().map_err(invalid)?;
        while !operators.eof() {
            branches.count(&operators.read().map_err(invalid)?)?;
            let cost = self.branches.saturating_add(branches.total.saturating_mul(branches.total));
            if cost > most {
                let found = format!(
                    "functions whose branches, each number squared, add up to {cost} at offset {at:#x}, where one has {} \
                     or more",
                    branches.total
                );
                return Err(too_complex(&found, most));
            }
        }
        self.branches += branches.total * branches.total;
        Ok(())
    }
}

fn too_much_code(bytes: u64, most: u64) -> ModuleError {
    let message = format!(
        "the module has {bytes} bytes of code, and the maximum is {most}: build it with optimisation for size, or split \
         it; data and debugging information do not count"
    );
    error(ErrorCode::ModuleTooComplex, message)
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
