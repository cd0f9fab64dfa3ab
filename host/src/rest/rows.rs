//! The JSON shape of answers about many: one row for each that was asked for, in its order, each with its own fate.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{accept::Kept, error::Problem};

/// What became of one of many.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// `accepted` or `refused`.
    pub status: String,
    /// The task that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Whether an earlier request, or an earlier item of this one, made the task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// The task that it is another try of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RowError>,
}

/// Why one of many was refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RowError {
    /// A stable code.
    pub code: String,
    /// A sentence that says what to do.
    pub message: String,
}

/// What became of many.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// How many were accepted.
    pub accepted: u64,
    /// How many were refused.
    pub refused: u64,
    /// One row for each, in the order of the request.
    pub items: Vec<Row>,
    /// Where the rest starts, where one request does not do it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Row {
    /// The fate of one.
    pub(super) fn new(fate: &Result<Kept, Problem>) -> Self {
        let none = Self { status: String::new(), task: None, replayed: false, retry_of: None, error: None };
        match fate {
            Ok(Kept { id, new_at }) => {
                Self { status: "accepted".to_owned(), task: Some(id.to_string()), replayed: new_at.is_none(), ..none }
            }
            Err(problem) => {
                let error = RowError { code: problem.code().to_string(), message: problem.detail().to_owned() };
                Self { status: "refused".to_owned(), error: Some(error), ..none }
            }
        }
    }
}

impl Rows {
    /// All of them.
    #[must_use]
    pub fn new(items: Vec<Row>, next: Option<String>) -> Self {
        let refused = items.iter().filter(|row| row.error.is_some()).count();
        Self { accepted: (items.len() - refused) as u64, refused: refused as u64, items, next }
    }
}
