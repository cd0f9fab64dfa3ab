//! Per-tenant rates of this node: requests per second, and concurrent invocations. A refusal carries `Retry-After` and
//! the widely read `RateLimit-Limit`, `-Remaining` and `-Reset`: the fields of the drafts up to the seventh; few
//! clients read the fields of later drafts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderName, HeaderValue, header};
use foldhash::fast::RandomState;
use fusebox_core::{
    error::ErrorCode,
    limits::COUNTED_TENANTS_MAX,
    name::TenantId,
    quota::{Admission, RequestBucket, UNLIMITED},
    room::Bound,
    time::Millis,
};

use super::error::Problem;
use crate::tenancy::QuotaBook;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Counts requests and invocations per tenant.
pub struct Meter {
    quotas: Arc<QuotaBook>,
    requests: Mutex<HashMap<TenantId, RequestBucket>>,
    invokes: Arc<Mutex<HashMap<TenantId, u64, RandomState>>>,
}

impl Meter {
    /// Creates the meter of this node.
    #[must_use]
    pub fn new(quotas: Arc<QuotaBook>) -> Self {
        Self { quotas, requests: Mutex::default(), invokes: Arc::default() }
    }

    /// Returns the quotas of the tenants.
    #[must_use]
    pub fn quotas(&self) -> &QuotaBook {
        &self.quotas
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `RateLimited` above the tenant's rate.
    pub(super) fn request(&self, tenant: &TenantId, now: Millis) -> Result<(), Problem> {
        let per_second = self.quotas.of(tenant).requests_per_second;
        if per_second == UNLIMITED {
            return Ok(());
        }
        let mut buckets = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= COUNTED_TENANTS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|tenant, bucket| !bucket.is_full(self.quotas.of(tenant).requests_per_second, now));
        }
        let bucket = buckets.entry(tenant.clone()).or_insert_with(|| RequestBucket::full(per_second, now));
        match bucket.admit(per_second, now) {
            Admission::Admitted { .. } => Ok(()),
            Admission::Refused { wait_ms } => {
                let detail = format!("this tenant may send {per_second} requests a second: try again in {wait_ms} ms");
                Err(refused(ErrorCode::RateLimited, detail, per_second, wait_ms))
            }
        }
    }

    /// Counts an invocation until the returned guard is dropped.
    ///
    /// # Errors
    /// `RunningQuota` above the tenant's limit.
    pub(super) fn invoke(&self, tenant: &TenantId) -> Result<Invoking, Problem> {
        let most = self.quotas.of(tenant).running_tasks;
        let mut invokes = self.invokes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = invokes.entry(tenant.clone()).or_default();
        if *count >= most {
            let detail = format!("{most} invocations of this tenant are running, its limit: try again in a moment");
            return Err(refused(ErrorCode::RunningQuota, detail, most, 1_000));
        }
        *count += 1;
        Ok(Invoking { invokes: self.invokes.clone(), tenant: tenant.clone() })
    }
}

/// Guard of an invocation in progress.
pub(super) struct Invoking {
    invokes: Arc<Mutex<HashMap<TenantId, u64, RandomState>>>,
    tenant: TenantId,
}

impl Drop for Invoking {
    fn drop(&mut self) {
        let mut invokes = self.invokes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = invokes.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                invokes.remove(&self.tenant);
            }
        }
    }
}

/// `Retry-After` of a quota that a deletion makes room in, in milliseconds.
pub(super) const DELETED_MS: u64 = 60_000;

/// Builds the problem for a tenant that would store more bytes than it may: `max` is the bound that the store compared.
pub(super) fn bytes_reached(quotas: &QuotaBook, tenant: &TenantId, max: u64) -> Problem {
    if let Bound::Share(_) = quotas.bound(tenant) {
        return Problem::store_full(format!(
            "the store is nearly full, and the tenant would store more than {max} bytes, its fair share: delete ended \
             tasks, values or versions, or try again later"
        ));
    }
    let detail =
        format!("the tenant would store more than {max} bytes, its quota: delete ended tasks, values or versions");
    refused(ErrorCode::StorageQuota, detail, max, DELETED_MS)
}

/// Builds the problem for an exceeded limit, with the headers described above.
pub(super) fn refused(code: ErrorCode, detail: String, limit: u64, wait_ms: u64) -> Problem {
    let wait_s = wait_ms.div_ceil(1_000).max(1);
    Problem::new(code, detail)
        .with("limit", limit)
        .with_header(header::RETRY_AFTER, wait_s.into())
        .with_header(LIMIT, limit.into())
        .with_header(REMAINING, HeaderValue::from_static("0"))
        .with_header(RESET, wait_s.into())
}
