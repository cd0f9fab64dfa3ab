//! Filters of tasks on the command line.

use clap::Args;
use fusebox_api::filter::TaskFilter;
use fusebox_core::{
    id::{TaskId, WorkerId},
    tags::Tag,
};

/// Properties that tasks must have.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Of this function: a name, for all its versions, or a version id
    #[arg(long, help_heading = "Filter", value_name = "FUNCTION")]
    pub function: Option<String>,
    /// Of the version with this number
    #[arg(long, help_heading = "Filter", requires = "function", value_name = "NUMBER")]
    pub version: Option<u32>,
    /// With this status
    #[arg(long, help_heading = "Filter", value_parser = ["queued", "running", "completed", "failed"], ignore_case = true)]
    pub status: Option<String>,
    /// Failed with this error code, such as out-of-fuel
    #[arg(long, help_heading = "Filter", value_name = "CODE")]
    pub code: Option<String>,
    /// Run by this worker
    #[arg(long, help_heading = "Filter", value_name = "ID")]
    pub worker: Option<WorkerId>,
    /// With this tag; may be repeated, and then with all of them
    #[arg(long, help_heading = "Filter", value_name = "KEY=VALUE")]
    pub tag: Vec<Tag>,
    /// Accepted at this time or later: 2026-01-31T12:00:00Z, or a time ago such as 1h
    #[arg(long, help_heading = "Filter", value_name = "TIME")]
    pub since: Option<String>,
    /// Accepted before this time
    #[arg(long, help_heading = "Filter", value_name = "TIME")]
    pub until: Option<String>,
    /// Retries of this task
    #[arg(long, help_heading = "Filter", value_name = "TASK")]
    pub retry_of: Option<TaskId>,
    /// Of this tenant; for operators
    #[arg(long, help_heading = "Filter", value_name = "NAME")]
    pub tenant: Option<String>,
}

impl FilterArgs {
    /// Returns the filter as the API has it.
    #[must_use]
    pub fn filter(&self) -> TaskFilter {
        let Self { function, version, status, code, worker, tag, since, until, retry_of, tenant } = self.clone();
        TaskFilter {
            function,
            version,
            status: status.map(|status| status.to_ascii_uppercase()),
            code,
            worker: worker.map(|worker| worker.to_string()),
            tag: tag.iter().map(Tag::to_string).collect(),
            since,
            until,
            retry_of: retry_of.map(|task| task.to_string()),
            tenant,
        }
    }
}
