//! Error responses: problem details (RFC 9457).

use serde::Deserialize;

use crate::tasks::ReceiptView;

/// Body of an error response, as a client reads it. Members that some codes add beyond these are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// Stable code for programs.
    pub code: String,
    /// Explanation of the problem, and its remedy.
    pub detail: String,
    /// HTTP status.
    pub status: u16,
    /// Resources used by the run, if one ran.
    pub receipt: Option<ReceiptView>,
    /// Output of a run that failed by itself, in base64: stdout of a command, or the error that a function returned.
    pub output: Option<String>,
    /// Wasm frames of a trap, innermost first.
    #[serde(default)]
    pub backtrace: Vec<String>,
    /// File of a script's fault.
    pub file: Option<String>,
    /// Line of the fault, from 1.
    pub line: Option<u32>,
    /// Column of the fault, from 1.
    pub column: Option<u32>,
    /// End of the run's log, if one ran.
    #[serde(default)]
    pub log: String,
}
