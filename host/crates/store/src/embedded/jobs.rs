//! Jobs in the embedded store.

use async_trait::async_trait;
use fusebox_core::{id::JobId, name::TenantId};

use super::{
    EmbeddedStore,
    engine::Space,
    keys,
    reads::Reads,
    records::{self, decode_open},
};
use crate::{Job, JobAdded, Jobs, Result};

/// Size of a job's record, an estimate, in bytes.
const JOB_BYTES: usize = 2 << 10;

impl Reads {
    fn job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>> {
        let record = self.snapshot()?.get(Space::Records, &keys::job(tenant, job))?;
        record.map(|record| decode_open("a job", &record)).transpose()
    }

    fn jobs(&self, tenant: &TenantId) -> Result<Vec<Job>> {
        let (prefix, snapshot) = (keys::jobs_of(tenant), self.snapshot()?);
        let entries = snapshot.entries_back(Space::Records, &prefix, &keys::past(&prefix))?;
        entries.map(|entry| records::decode_open("a job", &entry?.1?)).collect()
    }

    fn has_open_jobs(&self) -> Result<bool> {
        let (prefix, snapshot) = (keys::open_jobs(), self.snapshot()?);
        Ok(snapshot.keys(Space::Records, &prefix, &keys::past(&prefix))?.next().transpose()?.is_some())
    }
}

#[async_trait]
impl Jobs for EmbeddedStore {
    async fn add_job(&self, job: Job, open_max: usize) -> Result<JobAdded> {
        self.writer.grow(JOB_BYTES, move |steps| steps.add_job(&job, open_max)).await
    }

    async fn job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>> {
        self.reads.job(tenant, job)
    }

    async fn jobs(&self, tenant: &TenantId) -> Result<Vec<Job>> {
        self.reads.jobs(tenant)
    }

    async fn take_jobs(&self, max: usize, hold_ms: u64) -> Result<Vec<Job>> {
        // Usually there are none, and nothing is written then.
        match self.reads.has_open_jobs()? {
            true => self.writer.step(0, move |steps| steps.take_jobs(max, hold_ms)).await,
            false => Ok(Vec::new()),
        }
    }

    async fn save_job(&self, job: Job, hold_ms: u64) -> Result<bool> {
        self.writer.step(JOB_BYTES, move |steps| steps.save_job(&job, hold_ms)).await
    }

    async fn stop_job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>> {
        let tenant = tenant.clone();
        self.writer.step(JOB_BYTES, move |steps| steps.stop_job(&tenant, job)).await
    }
}
