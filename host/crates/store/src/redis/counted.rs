//! Limits of queued tasks and stored bytes per tenant, where no step sees the whole.
//!
//! On one server the step itself counts. On a Cluster a tenant's tasks, values and modules are spread over places, so the
//! host counts before it sends them: exactly if the tenant is near a limit, otherwise from a recent count. Hosts that
//! accept for one tenant at the same moment can together exceed a limit by what they have in flight.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fusebox_core::{name::TenantId, quota::UNLIMITED};

use super::{answers, caller::Caller};
use crate::Result;

/// Time for which a count is used.
const COUNT_FRESH: Duration = Duration::from_secs(1);
/// Largest number of cached counts; beyond it, all are dropped.
const TENANTS_MAX: usize = 10_000;

/// Numbers of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// Queued tasks.
    pub(super) tasks: u64,
    /// Stored bytes.
    pub(super) bytes: u64,
}

/// Amounts of a tenant that are to be added, and its limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) more: Amounts,
    pub(super) max: Amounts,
}

/// Comparison with the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Both limits are kept.
    Fits,
    /// There are too many queued tasks.
    QueueFull,
    /// There are too many stored bytes.
    BytesReached,
}

/// Recent counts of tenants, plus what was added since.
#[derive(Default)]
pub(super) struct Counted {
    tenants: Mutex<HashMap<TenantId, (Instant, Amounts)>>,
}

impl Counted {
    /// Compares each with its tenant's limits; earlier ones take precedence.
    pub(super) async fn fit(&self, caller: &Caller, asked: &[Asked<'_>]) -> Result<Vec<Fit>> {
        let mut sums: HashMap<&TenantId, Asked<'_>> = HashMap::new();
        for one in asked {
            let none = Asked { more: Amounts::default(), ..*one };
            let sum = sums.entry(one.tenant).or_insert(none);
            sum.more = sum.more.plus(one.more);
            sum.max = sum.max.least(one.max);
        }
        let near: BTreeSet<_> = sums.values().filter(|sum| !self.far(sum)).map(|sum| sum.tenant).collect();
        let near: Vec<_> = near.into_iter().collect();
        let mut left: HashMap<&TenantId, Amounts> = HashMap::new();
        for (tenant, known) in near.iter().zip(amounts(caller, &near).await?) {
            let Some(sum) = sums.get(tenant) else { continue };
            self.put(tenant, known.plus(sum.more));
            left.insert(tenant, sum.max.minus(known));
        }
        Ok(asked.iter().map(|one| left.get_mut(one.tenant).map_or(Fit::Fits, |left| left.take(one.more))).collect())
    }

    /// Returns the limit of stored bytes for a step that adds some outside of a batch: 0 if they do not fit.
    pub(super) async fn stored_max(&self, caller: &Caller, tenant: &TenantId, more: u64, max: u64) -> Result<u64> {
        if !caller.layout().is_partitioned() {
            return Ok(max);
        }
        let (more, max) = (Amounts { tasks: 0, bytes: more }, Amounts { tasks: UNLIMITED, bytes: max });
        let fit = self.fit(caller, &[Asked { tenant, more, max }]).await?;
        Ok(if fit == [Fit::Fits] { UNLIMITED } else { 0 })
    }

    /// Returns true if everything that is asked certainly fits, and counts it in that case.
    fn far(&self, asked: &Asked<'_>) -> bool {
        let mut tenants = self.lock();
        let Some((at, known)) = tenants.get_mut(asked.tenant) else { return false };
        let then = known.plus(asked.more);
        // A tenth is reserved for what other hosts accept meanwhile.
        let is_below = |then: u64, max: u64| then < max - max / 10;
        let fits = is_below(then.tasks, asked.max.tasks) && is_below(then.bytes, asked.max.bytes);
        let far = at.elapsed() < COUNT_FRESH && fits;
        if far {
            *known = then;
        }
        far
    }

    fn put(&self, tenant: &TenantId, known: Amounts) {
        let mut tenants = self.lock();
        if tenants.len() >= TENANTS_MAX {
            tenants.clear();
        }
        tenants.insert(tenant.clone(), (Instant::now(), known));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, (Instant, Amounts)>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the amounts of each tenant over all places.
pub(super) async fn amounts(caller: &Caller, tenants: &[&TenantId]) -> Result<Vec<Amounts>> {
    let mut sums = vec![Amounts::default(); tenants.len()];
    if tenants.is_empty() {
        return Ok(sums);
    }
    let names = || tenants.iter().map(|tenant| tenant.as_str());
    let calls = caller.layout().all().map(|place| caller.ask(caller.call(place, "amounts").args(names())));
    for answer in futures_util::future::try_join_all(calls).await? {
        let mut numbers = answers::list(answer)?.into_iter().map(answers::number);
        for sum in &mut sums {
            let mut next = || numbers.next().unwrap_or_else(|| Err(answers::unexpected("amounts")));
            *sum = sum.plus(Amounts { tasks: next()?, bytes: next()? });
        }
    }
    Ok(sums)
}

impl Amounts {
    const fn plus(self, other: Self) -> Self {
        Self { tasks: self.tasks.saturating_add(other.tasks), bytes: self.bytes.saturating_add(other.bytes) }
    }

    const fn minus(self, other: Self) -> Self {
        Self { tasks: self.tasks.saturating_sub(other.tasks), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn least(self, other: Self) -> Self {
        Self { tasks: self.tasks.min(other.tasks), bytes: self.bytes.min(other.bytes) }
    }

    /// Takes an amount if it is there.
    const fn take(&mut self, more: Self) -> Fit {
        if self.tasks < more.tasks {
            return Fit::QueueFull;
        }
        if self.bytes < more.bytes {
            return Fit::BytesReached;
        }
        *self = self.minus(more);
        Fit::Fits
    }
}
