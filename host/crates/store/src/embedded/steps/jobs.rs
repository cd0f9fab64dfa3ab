//! Jobs: who holds them, and how they go on.

use fusebox_core::{id::JobId, name::TenantId, time::Millis};

use super::Steps;
use crate::{
    JOBS_KEPT_MAX, Job, JobAdded, JobState, Result,
    embedded::{
        engine::Space,
        keys,
        records::{decode_open, encode_open},
    },
};

/// Largest number of open jobs examined in one step.
const EXAMINED_MAX: usize = 1_000;

impl Steps<'_> {
    /// Adds a job, unless its tenant has too many.
    pub(in crate::embedded) fn add_job(&mut self, job: &Job, open_max: usize) -> Result<JobAdded> {
        if self.is_gone(&job.tenant)? {
            return Ok(JobAdded::NoTenant);
        }
        if self.job(&job.tenant, job.id)?.is_some() {
            return Ok(JobAdded::Added);
        }
        let prefix = keys::jobs_of(&job.tenant);
        let mut ended = Vec::new();
        let mut open = 0;
        for key in self.group.keys(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
            let record = self.group.read(Space::Records, &key)?.map(|record| decode_open::<Job>("a job", record));
            match record {
                Some(Ok(known)) if known.is_open() => open += 1,
                // Damaged ones go first.
                _ => ended.push(key),
            }
        }
        if open >= open_max {
            return Ok(JobAdded::TooMany);
        }
        let beyond = (open + ended.len() + 1).saturating_sub(JOBS_KEPT_MAX);
        for key in ended.into_iter().take(beyond) {
            self.group.remove(Space::Records, key);
        }
        self.put_job(job)?;
        self.hold_job(job, Millis(0));
        Ok(JobAdded::Added)
    }

    /// Holds open jobs that nobody holds.
    pub(in crate::embedded) fn take_jobs(&mut self, max: usize, hold_ms: u64) -> Result<Vec<Job>> {
        let prefix = keys::open_jobs();
        let mut taken = Vec::new();
        for (key, held) in self.group.entries(Space::Records, &prefix, &keys::past(&prefix), EXAMINED_MAX)? {
            let held = held.ok().and_then(|held| keys::split_held(&held));
            let Some((id, (until, tenant))) = keys::last_job(&key).zip(held) else {
                self.group.remove(Space::Records, key);
                continue;
            };
            if until > self.now || taken.len() >= max {
                continue;
            }
            match self.job(&tenant, id)?.filter(Job::is_open) {
                Some(mut job) => {
                    job.starts = job.starts.saturating_add(1);
                    self.put_job(&job)?;
                    self.hold_job(&job, self.now.plus(hold_ms));
                    taken.push(job);
                }
                None => self.group.remove(Space::Records, key),
            }
        }
        Ok(taken)
    }

    /// Replaces a job that its caller holds. Returns false if it does not.
    pub(in crate::embedded) fn save_job(&mut self, job: &Job, hold_ms: u64) -> Result<bool> {
        let known = self.job(&job.tenant, job.id)?;
        if !known.is_some_and(|known| known.is_open() && known.starts == job.starts) {
            return Ok(false);
        }
        self.put_job(job)?;
        match job.is_open() {
            true => self.hold_job(job, self.now.plus(hold_ms)),
            false => self.group.remove(Space::Records, keys::open_job(job.id)),
        }
        Ok(true)
    }

    /// Stops a job.
    pub(in crate::embedded) fn stop_job(&mut self, tenant: &TenantId, id: JobId) -> Result<Option<Job>> {
        let Some(mut job) = self.job(tenant, id)? else { return Ok(None) };
        if job.is_open() {
            job.state = JobState::Stopped;
            job.ended_at = Some(self.now);
            self.put_job(&job)?;
            self.group.remove(Space::Records, keys::open_job(id));
        }
        Ok(Some(job))
    }

    fn job(&self, tenant: &TenantId, id: JobId) -> Result<Option<Job>> {
        let record = self.group.read(Space::Records, &keys::job(tenant, id))?;
        record.map(|record| decode_open("a job", record)).transpose()
    }

    fn put_job(&mut self, job: &Job) -> Result<()> {
        self.group.put(Space::Records, keys::job(&job.tenant, job.id), encode_open(job)?);
        Ok(())
    }

    fn hold_job(&mut self, job: &Job, until: Millis) {
        self.group.put(Space::Records, keys::open_job(job.id), keys::held(until, &job.tenant));
    }
}
