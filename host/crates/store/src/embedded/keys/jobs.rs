//! Keys of jobs.

use fusebox_core::{id::JobId, name::TenantId, time::Millis};

use super::{Key, join};

/// `o`: prefix of a tenant's jobs, the earliest first.
pub(in crate::embedded) fn jobs_of(tenant: &TenantId) -> Key {
    super::of_tenant(b'o', tenant)
}

/// `o`: a job.
pub(in crate::embedded) fn job(tenant: &TenantId, job: JobId) -> Key {
    join(&[&jobs_of(tenant), job.as_bytes()])
}

/// `u`: prefix of the open jobs.
pub(in crate::embedded) fn open_jobs() -> Key {
    b"u".to_vec()
}

/// `u`: an open job.
pub(in crate::embedded) fn open_job(job: JobId) -> Key {
    join(&[b"u", job.as_bytes()])
}

/// Returns the job that a key ends with.
pub(in crate::embedded) fn last_job(key: &[u8]) -> Option<JobId> {
    key.last_chunk().copied().map(JobId::from_bytes)
}

/// Encodes the time until which a job is held, and its tenant.
pub(in crate::embedded) fn held(until: Millis, tenant: &TenantId) -> Vec<u8> {
    join(&[&until.0.to_be_bytes(), tenant.as_str().as_bytes()])
}

/// Splits the time until which a job is held, and its tenant.
pub(in crate::embedded) fn split_held(held: &[u8]) -> Option<(Millis, TenantId)> {
    let (until, tenant) = held.split_first_chunk()?;
    Some((Millis(u64::from_be_bytes(*until)), std::str::from_utf8(tenant).ok()?.parse().ok()?))
}
