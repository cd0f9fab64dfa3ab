//! Bounds on what concurrent requests use together (body bytes, uploads on disk, event streams, waits, batches), and each tenant's share
//! of them. A request beyond a bound is answered 503 rather than exhausting memory or everyone else's share.
//!
//! A tenant with keys may use a quarter of each resource. A sixteenth is reserved for the operator's keys, which have a
//! share of their own. On a host without keys all callers are one tenant and may use all but the reserve. Health and
//! readiness need no share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fusebox_core::{error::ErrorCode, limits, name::TenantId};

use super::error::Problem;
use crate::tenancy::Caller;

/// Divisor of a resource that gives one tenant's share.
const QUARTER: u64 = 4;
/// Divisor of a resource that gives the reserve for the operator's keys.
const RESERVE: u64 = 16;

/// Capacity of each resource.
#[derive(Clone, Copy, Debug)]
pub struct RoomBounds {
    /// Bytes of large bodies that are arriving or in use.
    pub body_bytes: u64,
    /// Bytes on disk of modules that are arriving or in use.
    pub upload_bytes: u64,
    /// Open event streams.
    pub streams: u64,
    /// Requests that wait for tasks.
    pub waits: u64,
    /// Tasks waited for by these requests.
    pub awaited: u64,
    /// Batches being accepted.
    pub batches: u64,
}

impl Default for RoomBounds {
    fn default() -> Self {
        Self {
            body_bytes: limits::BODIES_BYTES_MAX,
            upload_bytes: limits::UPLOADS_BYTES_MAX,
            streams: limits::EVENT_STREAMS_MAX as u64,
            waits: limits::WAITS_MAX,
            awaited: limits::AWAITED_TASKS_MAX as u64,
            batches: limits::BATCHES_MAX,
        }
    }
}

/// Resources that the requests of a REST node share.
pub struct Room {
    bodies: Shares,
    uploads: Shares,
    streams: Shares,
    waits: Shares,
    awaited: Shares,
    batches: Shares,
}

/// Share of a waiting request and of the tasks it waits for.
pub struct Waiting {
    _wait: Share,
    _awaited: Share,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(RoomBounds::default())
    }
}

impl Room {
    /// Creates the resources, all unused.
    #[must_use]
    pub fn new(bounds: RoomBounds) -> Self {
        let shares = |whole, refusal| Shares(Arc::new(Inner { whole, refusal, taken: Mutex::default() }));
        Self {
            bodies: shares(bounds.body_bytes, "too many large bodies are in transit: try again in a moment"),
            uploads: shares(bounds.upload_bytes, "too many large modules are in transit: try again in a moment"),
            streams: shares(bounds.streams, "too many event streams are open: try again in a moment"),
            waits: shares(bounds.waits, "too many requests are waiting: try again in a moment"),
            awaited: shares(bounds.awaited, "too many tasks are being waited for: try again in a moment"),
            batches: shares(bounds.batches, "too many batches are being accepted: try again in a moment"),
        }
    }

    /// Reserves memory for the part of a large body received so far; the share grows with the body.
    pub(super) fn body(&self, caller: &Caller, bytes: u64) -> Result<Share, Problem> {
        self.bodies.take(caller, bytes)
    }

    /// Reserves disk space for the part of a large module received so far; the share grows with the module.
    pub(super) fn upload(&self, caller: &Caller, bytes: u64) -> Result<Share, Problem> {
        self.uploads.take(caller, bytes)
    }

    /// Reserves an event stream.
    pub(super) fn stream(&self, caller: &Caller) -> Result<Share, Problem> {
        self.streams.take(caller, 1)
    }

    /// Reserves a wait, and `tasks` tasks waited for at a time.
    pub(super) fn wait(&self, caller: &Caller, tasks: usize) -> Result<Waiting, Problem> {
        let wait = self.waits.take(caller, 1)?;
        Ok(Waiting { _wait: wait, _awaited: self.awaited.take(caller, tasks as u64)? })
    }

    /// Reserves the acceptance of a batch.
    pub(super) fn batch(&self, caller: &Caller) -> Result<Share, Problem> {
        self.batches.take(caller, 1)
    }
}

/// One resource, in its own unit, shared between tenants. Cheap to clone.
#[derive(Clone)]
struct Shares(Arc<Inner>);

struct Inner {
    whole: u64,
    refusal: &'static str,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u64,
    by: HashMap<Owner, u64>,
}

/// Owner of a share.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Owner {
    /// Caller of a host without keys.
    Anyone,
    /// Tenant, by any of its keys.
    Tenant(TenantId),
    /// Operator, by any of its keys.
    Operator,
}

impl Owner {
    fn of(caller: &Caller) -> Self {
        match caller.key {
            None if caller.is_public => Self::Tenant(caller.tenant.clone()),
            None => Self::Anyone,
            Some(_) if caller.is_operator() => Self::Operator,
            Some(_) => Self::Tenant(caller.tenant.clone()),
        }
    }
}

/// Part of a resource, returned when dropped.
pub struct Share {
    shares: Shares,
    owner: Owner,
    much: u64,
}

impl Shares {
    fn take(&self, caller: &Caller, much: u64) -> Result<Share, Problem> {
        let mut share = Share { shares: self.clone(), owner: Owner::of(caller), much: 0 };
        share.grow(much)?;
        Ok(share)
    }
}

impl Share {
    /// Adds `more` units.
    ///
    /// # Errors
    /// `Overloaded` if the owner's share or the whole resource is exhausted.
    pub(super) fn grow(&mut self, more: u64) -> Result<(), Problem> {
        let Inner { whole, refusal, .. } = &*self.shares.0;
        let kept = whole - whole / RESERVE;
        let (of_one, of_all) = match self.owner {
            Owner::Anyone => (kept, kept),
            Owner::Tenant(_) => ((whole / QUARTER).max(1), kept),
            Owner::Operator => ((whole / QUARTER).max(1), *whole),
        };
        let mut taken = self.shares.taken();
        let own = taken.by.get(&self.owner).copied().unwrap_or_default().saturating_add(more);
        let all = taken.all.saturating_add(more);
        if own > of_one || all > of_all {
            return Err(Problem::new(ErrorCode::Overloaded, *refusal));
        }
        taken.all = all;
        taken.by.insert(self.owner.clone(), own);
        drop(taken);
        self.much += more;
        Ok(())
    }

    /// Returns the number of units.
    pub(super) const fn much(&self) -> u64 {
        self.much
    }
}

impl Shares {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // The counts are consistent wherever a holder could panic, so poisoning can be ignored.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        taken.all = taken.all.saturating_sub(self.much);
        if let Some(own) = taken.by.get_mut(&self.owner) {
            *own = own.saturating_sub(self.much);
            if *own == 0 {
                taken.by.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::Checked;
    use fusebox_store::{KeyId, Scope};

    fn caller(tenant: &str, scope: Scope) -> Caller {
        let key = Some(KeyId([7; 8]));
        Caller { tenant: tenant.parse().unwrap(), scope, key, is_public: false, checked: Checked::now() }
    }

    fn room() -> Room {
        Room::new(RoomBounds {
            body_bytes: 1_600,
            upload_bytes: 1_600,
            streams: 16,
            waits: 16,
            awaited: 160,
            batches: 16,
        })
    }

    #[test]
    fn a_tenant_has_a_quarter_and_the_operator_room_where_there_is_none_left() {
        let room = room();
        let mut taken = Vec::new();
        for tenant in ["a", "b", "c", "d"] {
            let tenant = caller(tenant, Scope::Admin);
            while let Ok(share) = room.stream(&tenant) {
                taken.push(share);
            }
        }
        assert_eq!(taken.len(), 15, "a sixteenth is the operator's");
        assert!(room.stream(&caller("default", Scope::Invoke)).is_err());
        let operator = caller("default", Scope::Admin);
        let own = room.stream(&operator).unwrap();
        assert!(room.stream(&operator).is_err(), "it is full now");
        drop(own);
        assert!(room.stream(&operator).is_ok());
        drop(taken.remove(0));
        assert!(room.stream(&caller("b", Scope::Invoke)).is_err(), "its quarter is taken");
        assert!(room.stream(&caller("a", Scope::Invoke)).is_ok(), "whatever key it comes by");
    }

    #[test]
    fn a_share_grows_to_its_quarter_and_is_given_back_whole() {
        let room = room();
        let mut body = room.body(&caller("a", Scope::Invoke), 100).unwrap();
        body.grow(300).unwrap();
        assert!(body.grow(1).is_err());
        assert_eq!(body.much(), 400);
        drop(body);
        assert!(room.bodies.taken().by.is_empty(), "nothing is kept of who has nothing");
        assert!(room.body(&caller("a", Scope::Invoke), 400).is_ok());
    }

    #[test]
    fn without_keys_everyone_is_one_and_a_wait_is_bounded_by_its_tasks_too() {
        let room = room();
        let anyone = Caller::without_keys(Checked::now());
        assert!(room.body(&anyone, 1_501).is_err());
        assert!(room.body(&anyone, 1_500).is_ok());
        let waiting = room.wait(&anyone, 150).unwrap();
        assert!(room.wait(&anyone, 1).is_err());
        drop(waiting);
        assert!(room.waits.taken().by.is_empty());
        assert!(room.wait(&anyone, 151).is_err());
        assert!(room.waits.taken().by.is_empty(), "a wait that is refused takes nothing");
    }
}
