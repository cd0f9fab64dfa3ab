//! Many at once: items of a batch, and one row of the answer for each, in order.

use fusebox_core::{tags::Tags, task::Priority};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::functions::LimitParams;

/// One task of a batch. At most one of `input`, `text` and `json` may be given; without any, the input is empty.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    /// Input in base64.
    pub input: Option<String>,
    /// Input as text.
    pub text: Option<String>,
    /// Input as JSON; its bytes are passed on unchanged.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<Box<RawValue>>,
    /// Function to run, if not the path's: version id or name.
    pub function: Option<String>,
    /// `low`, `normal` or `high`.
    #[schema(value_type = Option<String>)]
    pub priority: Option<Priority>,
    /// Milliseconds before the task may start, at most 7 days.
    pub delay_ms: Option<u64>,
    /// Limits, each at most the function's own.
    pub limits: Option<BatchLimits>,
    /// Arguments of the run, behind those of the version.
    #[serde(default)]
    pub args: Vec<String>,
    /// Name of the exported function to enter instead of the version's.
    pub export: Option<String>,
    /// Tags by which the task is found, beside those of the request; at most 16.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub tags: Tags,
    /// Content type of the input, which commands and scripts read.
    pub content_type: Option<String>,
    /// Idempotency key of this item.
    pub idempotency_key: Option<String>,
}

/// Limits of a run, each at most the function's own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchLimits {
    /// CPU budget in fuel units.
    pub fuel: Option<u64>,
    /// Wall time in milliseconds.
    pub wall_ms: Option<u32>,
    /// Linear memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Output in bytes.
    pub output_bytes: Option<u64>,
    /// Log kept, in bytes.
    pub log_bytes: Option<u64>,
    /// CPU time in milliseconds.
    pub cpu_ms: Option<u32>,
}

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

impl Rows {
    /// Returns the rows with their totals.
    #[must_use]
    pub fn new(items: Vec<Row>, next: Option<String>) -> Self {
        let refused = items.iter().filter(|row| row.error.is_some()).count();
        Self { accepted: (items.len() - refused) as u64, refused: refused as u64, items, next }
    }
}

impl From<BatchLimits> for LimitParams {
    fn from(limits: BatchLimits) -> Self {
        let BatchLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = limits;
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms }
    }
}

/// Wraps `null` in `Some`: JSON `null` is a valid input, unlike a missing member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
