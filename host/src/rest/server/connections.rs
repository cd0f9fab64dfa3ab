//! Shares of a node's connections. A connection belongs to the tenant of the key last used on it, or before that to its
//! address. Each tenant and each address may hold a quarter of all. Loopback and an operator's trusted proxies do not
//! count as addresses, since many clients use them. Connections never wait to be accepted: at the limit, the one that
//! has been idle longest is closed; if none is idle, new ones go to a small reserve, in which only health, readiness
//! and the operator's keys are served, and everything else is answered 503.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::http::{HeaderValue, header};
use fusebox_core::{error::ErrorCode, name::TenantId};
use tokio_util::sync::CancellationToken;

use super::{bounds::Bounds, pace::Pace};
use crate::{rest::error::Problem, tenancy::Caller};

/// Divisor of the limit that gives one holder's share.
const QUARTER: usize = 4;
/// Divisor of the limit that gives the reserve.
const RESERVE: usize = 16;

/// Holder of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    /// No tenant yet, from an address; for IPv6, from the /64 network, which one customer has.
    Address(IpAddr),
    /// No tenant yet, from an address that many clients share.
    Shared,
    /// Caller of a host without keys.
    Anyone,
    /// Tenant.
    Tenant(TenantId),
    /// Operator.
    Operator,
}

impl Holder {
    fn of(caller: &Caller) -> Self {
        match caller.key {
            None => Self::Anyone,
            Some(_) if caller.is_operator() => Self::Operator,
            Some(_) => Self::Tenant(caller.tenant.clone()),
        }
    }

    fn at(address: IpAddr, bounds: &Bounds) -> Self {
        let address = address.to_canonical();
        match address {
            _ if address.is_loopback() || bounds.trusted.iter().any(|network| network.contains(&address)) => {
                Self::Shared
            }
            IpAddr::V4(_) => Self::Address(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Address(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }

    const fn is_bounded(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Tenant(_))
    }

    const fn has_shown_a_key(&self) -> bool {
        matches!(self, Self::Tenant(_) | Self::Operator)
    }
}

/// Connections of a node.
pub(super) struct Connections {
    bounds: Bounds,
    /// Cancelled when the drain begins, which also cancels the token of each connection, so that one wait serves both
    /// ends.
    stop: CancellationToken,
    book: Mutex<Book>,
    /// Counter of uses, which orders connections by their last use without a clock.
    uses: AtomicU64,
}

#[derive(Default)]
struct Book {
    connections: HashMap<u64, Arc<Connection>>,
    held: HashMap<Holder, usize>,
    /// Number of connections outside of the reserve.
    ordinary: usize,
    next: u64,
}

/// One connection.
pub(crate) struct Connection {
    id: u64,
    address: IpAddr,
    connections: Arc<Connections>,
    holder: Mutex<Holder>,
    is_extra: AtomicBool,
    last_use: AtomicU64,
    /// Tells whether the client is between requests; set once requests are read.
    pace: OnceLock<Arc<Pace>>,
    /// Number of requests in progress, on an HTTP/2 connection.
    streams: AtomicUsize,
    closing: CancellationToken,
}

/// Keeps a connection counted until it is dropped.
pub(super) struct Open(pub(super) Arc<Connection>);

impl Connections {
    pub(super) fn new(bounds: Bounds, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { bounds, stop, book: Mutex::default(), uses: AtomicU64::new(0) })
    }

    /// Admits a connection; `None` if it must be closed.
    pub(super) fn open(self: &Arc<Self>, address: IpAddr) -> Option<Open> {
        let holder = Holder::at(address, &self.bounds);
        let mut book = self.book();
        if !self.has_room_for(&mut book, &holder, None) {
            return None;
        }
        let is_full = book.ordinary >= self.bounds.connections;
        let is_extra = is_full && !book.close_idle(|_| true, |connection| !connection.is_extra(), None);
        let extra = book.connections.len().saturating_sub(book.ordinary);
        if is_extra && extra >= self.reserve() && !book.close_idle(|_| true, Connection::is_extra, None) {
            return None;
        }
        let id = book.next;
        book.next += 1;
        book.ordinary += usize::from(!is_extra);
        *book.held.entry(holder.clone()).or_default() += 1;
        let connection = Arc::new(Connection {
            id,
            address: address.to_canonical(),
            connections: self.clone(),
            holder: Mutex::new(holder),
            is_extra: AtomicBool::new(is_extra),
            last_use: AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed)),
            pace: OnceLock::new(),
            streams: AtomicUsize::new(0),
            closing: self.stop.child_token(),
        });
        book.connections.insert(id, connection.clone());
        Some(Open(connection))
    }

    /// Returns true if a holder may have another connection; if necessary, closes its own that has been idle longest.
    fn has_room_for(&self, book: &mut Book, holder: &Holder, but: Option<u64>) -> bool {
        let most = (self.bounds.connections / QUARTER).max(1);
        let held = book.held.get(holder).copied().unwrap_or_default();
        !holder.is_bounded() || held < most || book.close_idle(|other| other == holder, |_| true, but)
    }

    fn reserve(&self) -> usize {
        (self.bounds.connections / RESERVE).max(1)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // The state is consistent wherever a holder could panic, so poisoning can be ignored.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Closes the connection that has been idle longest among those that match, first those without an authenticated
    /// key.
    fn close_idle(
        &mut self,
        of: impl Fn(&Holder) -> bool,
        among: impl Fn(&Connection) -> bool,
        but: Option<u64>,
    ) -> bool {
        let idle = self
            .connections
            .values()
            .filter(|connection| Some(connection.id) != but && connection.is_idle() && among(connection));
        let idle = idle.filter_map(|connection| {
            let holder = connection.holder();
            of(&holder).then(|| (holder.has_shown_a_key(), connection.last_use.load(Ordering::Relaxed), connection.id))
        });
        let Some((.., id)) = idle.min() else { return false };
        if let Some(connection) = self.remove(id) {
            connection.closing.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let connection = self.connections.remove(&id)?;
        self.ordinary -= usize::from(!connection.is_extra());
        self.leave(&connection.holder());
        Some(connection)
    }

    fn leave(&mut self, holder: &Holder) {
        if let Some(held) = self.held.get_mut(holder) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(holder);
            }
        }
    }
}

impl Connection {
    /// Records the caller that uses the connection.
    ///
    /// # Errors
    /// `Overloaded` if its tenant's share is in use, or if only the reserve is left.
    pub(crate) fn used_by(&self, caller: &Caller) -> Result<(), Problem> {
        self.last_use.store(self.connections.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        // Strangers are known by their addresses alone: a tenant's share is not theirs to take.
        let holder = if caller.is_public { self.holder().clone() } else { Holder::of(caller) };
        if *self.holder() == holder && !self.is_extra() {
            return Ok(());
        }
        self.belongs_to(holder)
    }

    fn belongs_to(&self, holder: Holder) -> Result<(), Problem> {
        let mut book = self.connections.book();
        // A connection that was closed meanwhile ends with this request.
        if !book.connections.contains_key(&self.id) {
            return Ok(());
        }
        if self.is_extra() && book.ordinary < self.connections.bounds.connections {
            self.is_extra.store(false, Ordering::Relaxed);
            book.ordinary += 1;
        }
        if self.is_extra() && holder != Holder::Operator {
            return Err(refused("the limit of open connections is reached: try again in a moment"));
        }
        let before = self.holder().clone();
        if before == holder {
            return Ok(());
        }
        if !self.connections.has_room_for(&mut book, &holder, Some(self.id)) {
            return Err(refused("the tenant's share of connections is in use: try again in a moment"));
        }
        book.leave(&before);
        *book.held.entry(holder.clone()).or_default() += 1;
        *self.holder() = holder;
        Ok(())
    }

    /// Returns the address of the client.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Sets the pace, which tells whether the client is between requests.
    pub(super) fn paced_by(&self, pace: &Arc<Pace>) {
        let _ = self.pace.set(pace.clone());
    }

    /// Records the number of requests in progress on an HTTP/2 connection.
    pub(super) fn carries(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }

    /// Waits until the connection must take no more requests: to give way to another one, or because the drain begins.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Waits until the connection must give way to another one; never ends because of a drain.
    pub(super) async fn gives_way(&self) {
        self.closing().await;
        if self.connections.stop.is_cancelled() {
            std::future::pending().await
        }
    }

    fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0 && self.pace.get().is_none_or(|pace| pace.waits())
    }

    fn is_extra(&self) -> bool {
        self.is_extra.load(Ordering::Relaxed)
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(detail: &'static str) -> Problem {
    let close = HeaderValue::from_static("close");
    Problem::new(ErrorCode::Overloaded, detail).with_header(header::CONNECTION, close)
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.0.connections.book().remove(self.0.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::Checked;

    const BOUNDS: Bounds = Bounds {
        connections: 8,
        trusted: &[],
        headers: std::time::Duration::MAX,
        keep_alive: std::time::Duration::MAX,
        stall: std::time::Duration::MAX,
    };

    fn open(connections: &Arc<Connections>, address: &str) -> Option<Open> {
        connections.open(address.parse().unwrap())
    }

    /// Marks a request as in progress on the connection.
    fn busy(open: Option<Open>) -> Open {
        let open = open.unwrap();
        open.0.paced_by(&Pace::new(BOUNDS));
        open
    }

    #[test]
    fn an_address_has_a_quarter_and_its_idle_ones_give_way() {
        let connections = Connections::new(BOUNDS, CancellationToken::new());
        let first = open(&connections, "203.0.113.7").unwrap();
        let _second = busy(open(&connections, "203.0.113.7"));
        let third = busy(open(&connections, "203.0.113.7"));
        assert!(first.0.closing.is_cancelled(), "it was idle");
        assert!(open(&connections, "203.0.113.7").is_none(), "all are in use");
        assert!(open(&connections, "203.0.113.8").is_some());
        drop(third);
        assert!(open(&connections, "203.0.113.7").is_some());
        let _network = [busy(open(&connections, "2001:db8::1")), busy(open(&connections, "2001:db8::2"))];
        assert!(open(&connections, "2001:db8::3").is_none(), "a network of IPv6 is one address");
        assert!(open(&connections, "2001:db8:0:1::1").is_some());
        drop(first);
    }

    #[test]
    fn loopback_and_trusted_proxies_are_no_address() {
        let trusted = Vec::leak(vec!["198.51.100.0/24".parse().unwrap()]);
        let connections = Connections::new(Bounds { trusted, ..BOUNDS }, CancellationToken::new());
        let addresses = ["127.0.0.1", "::1", "198.51.100.9", "::ffff:198.51.100.9"];
        let all: Vec<Open> =
            addresses.iter().cycle().take(8).map(|address| busy(open(&connections, address))).collect();
        assert!(all.iter().all(|open| !open.0.is_extra()));
    }

    #[test]
    fn where_all_are_in_use_the_reserve_is_left_and_counts_stay_right() {
        let connections = Connections::new(BOUNDS, CancellationToken::new());
        let all: Vec<Open> = (0..8).map(|_| busy(open(&connections, "127.0.0.1"))).collect();
        let extra = open(&connections, "127.0.0.1").unwrap();
        assert!(extra.0.is_extra());
        assert!(extra.0.used_by(&Caller::without_keys(Checked::now())).is_err());
        let next = busy(open(&connections, "127.0.0.1"));
        assert!(extra.0.closing.is_cancelled() && next.0.is_extra(), "the reserve's idle one gives way");
        assert!(open(&connections, "127.0.0.1").is_none(), "nothing is left");
        drop(all);
        assert!(next.0.used_by(&Caller::without_keys(Checked::now())).is_ok() && !next.0.is_extra());
        drop((next, extra));
        let book = connections.book();
        assert_eq!((book.connections.len(), book.held.len(), book.ordinary), (0, 0, 0));
    }
}
