//! Types of the REST API: requests, answers and problems, as the server and its clients share them.

pub mod batch;
pub mod filter;
pub mod functions;
pub mod jobs;
pub mod keys;
pub mod problem;
pub mod quotas;
pub mod scripts;
pub mod settings;
pub mod setup;
pub mod tasks;
pub mod tenants;
pub mod timeline;
pub mod workers;

use std::time::{Duration, UNIX_EPOCH};

use fusebox_core::time::Millis;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Page of a listing.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Rows per page, at most 1000.
    pub limit: Option<u32>,
    /// The `next` of the previous page.
    pub cursor: Option<String>,
}

/// Formats a time as RFC 3339 in UTC, with milliseconds.
#[must_use]
pub fn rfc3339(time: Millis) -> String {
    // The format's last year is 9999.
    let ms = time.0.min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
