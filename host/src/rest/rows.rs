//! JSON types of responses about many items: one row per item of the request, in order, each with its own result.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{accept::Kept, error::Problem};

/// Result of one item.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// `accepted` or `refused`.
    pub status: String,
    /// Id of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// True if the task was created by an earlier request, or by an earlier item of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Dead letter that the task retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Reason for the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RowError>,
}

/// Reason for the refusal of one item.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RowError {
    /// Stable error code.
    pub code: String,
    /// Sentence that says what to do.
    pub message: String,
}

/// Results of many items.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// Number of accepted items.
    pub accepted: u64,
    /// Number of refused items.
    pub refused: u64,
    /// One row per item, in the order of the request.
    pub items: Vec<Row>,
    /// `cursor` of the request that continues, if one request does not cover all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Row {
    /// Returns the row of an item.
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
    /// Returns the rows with their totals.
    #[must_use]
    pub fn new(items: Vec<Row>, next: Option<String>) -> Self {
        let refused = items.iter().filter(|row| row.error.is_some()).count();
        Self { accepted: (items.len() - refused) as u64, refused: refused as u64, items, next }
    }
}
