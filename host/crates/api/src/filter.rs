//! Filter of tasks: the query of listings, and the JSON body of acts on many tasks.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Properties that tasks must have, all of those that are given. Without any, every task is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilter {
    /// Function: a name, for all its versions, or a version id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Number of a version, together with a name as `function`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `QUEUED`, `RUNNING`, `COMPLETED` or `FAILED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Error code of a failed task, such as `out-of-fuel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Id of the worker that runs the task or ran its last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Tag `key=value`; may be repeated, and then the task has all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[param(required = false)]
    pub tag: Vec<String>,
    /// Earliest time of acceptance: RFC 3339, such as `2026-01-31T12:00:00Z`, or a time ago, such as `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Time before which the task was accepted, in the same forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Id of the task that it retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Tenant of the tasks, by default the caller's; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

impl TaskFilter {
    /// Returns the filter as pairs of a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let Self { function, version, status, code, worker, tag, since, until, retry_of, tenant } = self.clone();
        let version = version.map(|version| version.to_string());
        let single = [
            ("function", function),
            ("version", version),
            ("status", status),
            ("code", code),
            ("worker", worker),
            ("since", since),
            ("until", until),
            ("retry_of", retry_of),
            ("tenant", tenant),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name, value?)));
        single.chain(tag.into_iter().map(|tag| ("tag", tag))).collect()
    }
}

/// Order of a listing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Ordering {
    /// `newest`, the default, or `oldest` accepted first.
    pub order: Option<String>,
}

/// Grouping of counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Grouping {
    /// `status`, the default, `function` or `code`.
    pub by: Option<String>,
    /// The `next` of the previous response.
    pub cursor: Option<String>,
}

/// Numbers of tasks by group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskStats {
    /// `status`, `function` or `code`.
    pub by: String,
    /// Groups, the largest first.
    pub groups: Vec<TaskCount>,
    /// Number of tasks that were counted.
    pub total: u64,
    /// False if the bound of tasks that one request looks at was reached: `next` goes on, and counts the rest alone.
    pub complete: bool,
    /// The `cursor` of the request that goes on; null if all were counted.
    pub next: Option<String>,
}

/// Number of tasks of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCount {
    /// Status, error code, or name of the function; of a deleted version its id. Empty for tasks without an error code.
    pub key: String,
    /// Number of tasks.
    pub tasks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_in_a_query_and_in_json() {
        let json = r#"{"function":"f","version":2,"status":"FAILED","tag":["a=1","b=2"],"since":"1h"}"#;
        let filter: TaskFilter = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        let pairs = [
            ("function", "f"),
            ("version", "2"),
            ("status", "FAILED"),
            ("since", "1h"),
            ("tag", "a=1"),
            ("tag", "b=2"),
        ];
        assert_eq!(filter.pairs(), pairs.map(|(name, value)| (name, value.to_owned())));
        assert!(serde_json::from_str::<TaskFilter>(r#"{"state":"FAILED"}"#).is_err());
    }
}
