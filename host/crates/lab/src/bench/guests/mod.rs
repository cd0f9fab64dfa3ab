//! The measured functions: four of them, each with a different cost.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A function. Its output is determined by its input, so that every result can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Does nothing
    NoOp,
    /// Waits, in `poll_oneoff`
    Sleep,
    /// Computes
    Cpu,
    /// Returns its input
    Echo,
}

/// Amount of work of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Milliseconds that [`Function::Sleep`] waits.
    pub(super) sleep_ms: u32,
    /// Steps that [`Function::Cpu`] computes.
    pub(super) cpu_steps: u32,
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the name of the no-op with this number.
pub(super) fn numbered(number: u64) -> String {
    format!("{}-{number}", Function::NoOp.name())
}

impl Function {
    /// Name on the command line and in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NoOp => "no-op",
            Self::Sleep => "sleep",
            Self::Cpu => "cpu",
            Self::Echo => "echo",
        }
    }

    /// Name of the registered function.
    pub(super) fn name(self) -> String {
        format!("fusebox-bench-{}", self.as_str())
    }

    /// The module: the `.wat` beside this file, compiled, since a host accepts no text.
    pub(super) const fn module(self) -> &'static [u8] {
        match self {
            Self::NoOp => include_bytes!("noop.wasm"),
            Self::Sleep => include_bytes!("sleep.wasm"),
            Self::Cpu => include_bytes!("cpu.wasm"),
            Self::Echo => include_bytes!("echo.wasm"),
        }
    }

    /// Returns the input of every run; `payload` applies to functions that read no number.
    pub(super) fn input(self, work: Work, payload: usize) -> Vec<u8> {
        match self {
            Self::Sleep => work.sleep_ms.to_le_bytes().into(),
            Self::Cpu => work.cpu_steps.to_le_bytes().into(),
            // Letters, so that a batch can carry it as text.
            Self::NoOp | Self::Echo => (b'a'..=b'z').cycle().take(payload).collect(),
        }
    }

    /// Returns the expected output for that input.
    pub(super) fn output(self, work: Work, payload: usize) -> Vec<u8> {
        match self {
            Self::NoOp | Self::Sleep => Vec::new(),
            Self::Cpu => last_number(work.cpu_steps).to_le_bytes().into(),
            Self::Echo => self.input(work, payload),
        }
    }
}

fn last_number(steps: u32) -> u64 {
    (0..steps).fold(SEED, |x, _| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        x ^ (x << 17)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_its_text_compiled() {
        let texts = [
            (Function::NoOp, include_str!("noop.wat")),
            (Function::Sleep, include_str!("sleep.wat")),
            (Function::Cpu, include_str!("cpu.wat")),
            (Function::Echo, include_str!("echo.wat")),
        ];
        for (function, text) in texts {
            let compiled = fusebox_harness::guests::wasm(text);
            assert!(compiled == function.module(), "compile the .wat of {} anew", function.as_str());
        }
    }
}
