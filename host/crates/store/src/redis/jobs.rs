//! Jobs in Redis, where all nodes share them.

use async_trait::async_trait;
use fusebox_core::{id::JobId, name::TenantId};
use redis::Value;

use super::{RedisStore, answers, caller::Call};
use crate::{Error, JOBS_KEPT_MAX, Job, JobAdded, JobState, Jobs, Result, Store as _, identity::tombstone};

/// Letters of a value in front of the record: whether the job is open, and the number of callers that have taken it.
const HEAD: usize = 11;

impl RedisStore {
    fn job_call(&self, function: &str) -> Call {
        self.caller.call(self.caller.layout().shared(), function)
    }

    async fn save(&self, job: &Job, starts: &str, hold_ms: u64) -> Result<bool> {
        let letter = if job.is_open() { "O" } else { "E" };
        let call = self.job_call("save_job").arg(job.tenant.as_str()).arg(job.id.to_string());
        let call = call.arg(starts).arg(letter).arg(encode(job)?).arg(hold_ms);
        Ok(answers::number(self.caller.ask(call).await?)? == 1)
    }
}

#[async_trait]
impl Jobs for RedisStore {
    async fn add_job(&self, job: Job, open_max: usize) -> Result<JobAdded> {
        let call = self.job_call("add_job").arg(job.tenant.as_str()).arg(job.id.to_string());
        let call = call.arg(encode(&job)?).arg(open_max).arg(JOBS_KEPT_MAX).arg(&tombstone(&job.tenant)[..]);
        match answers::text(self.caller.ask(call).await?)?.as_str() {
            "ADDED" => Ok(JobAdded::Added),
            "MANY" => Ok(JobAdded::TooMany),
            "NO_TENANT" => Ok(JobAdded::NoTenant),
            _ => Err(answers::unexpected("add_job")),
        }
    }

    async fn job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>> {
        let place = self.caller.layout().shared();
        let mut command = redis::cmd("HGET");
        command.arg(place.jobs(tenant)).arg(job.to_string());
        answers::optional_text(self.caller.send(place, &command).await?)?.map(|value| decode(&value)).transpose()
    }

    async fn jobs(&self, tenant: &TenantId) -> Result<Vec<Job>> {
        let place = self.caller.layout().shared();
        let mut command = redis::cmd("HVALS");
        command.arg(place.jobs(tenant));
        let mut jobs = read_all(self.caller.send(place, &command).await?)?;
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        Ok(jobs)
    }

    async fn take_jobs(&self, max: usize, hold_ms: u64) -> Result<Vec<Job>> {
        // A repeated call would not find those that are held by then.
        let call = self.job_call("take_jobs").arg(max).arg(hold_ms).once();
        read_all(self.caller.ask(call).await?)
    }

    async fn save_job(&self, job: Job, hold_ms: u64) -> Result<bool> {
        self.save(&job, &job.starts.to_string(), hold_ms).await
    }

    async fn stop_job(&self, tenant: &TenantId, job: JobId) -> Result<Option<Job>> {
        let Some(mut found) = self.job(tenant, job).await? else { return Ok(None) };
        if found.is_open() {
            found.state = JobState::Stopped;
            found.ended_at = Some(self.now().await?);
            if !self.save(&found, "", 0).await? {
                // It has ended meanwhile.
                return self.job(tenant, job).await;
            }
        }
        Ok(Some(found))
    }
}

fn encode(job: &Job) -> Result<String> {
    serde_json::to_string(job).map_err(|error| Error::Corrupt(format!("a job to be written: {error}")))
}

fn decode(value: &str) -> Result<Job> {
    let corrupt = || Error::Corrupt("a job".to_owned());
    let (head, record) = value.split_at_checked(HEAD).ok_or_else(corrupt)?;
    let starts = head.get(1..).and_then(|digits| digits.parse().ok()).ok_or_else(corrupt)?;
    let job: Job = serde_json::from_str(record).map_err(|_| corrupt())?;
    Ok(Job { starts, ..job })
}

fn read_all(values: Value) -> Result<Vec<Job>> {
    answers::list(values)?.into_iter().map(|value| decode(&answers::text(value)?)).collect()
}
