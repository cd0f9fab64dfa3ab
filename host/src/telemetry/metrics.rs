//! Every metric of the host, declared in one place. Counting is cheap: atomics, and no locks on the path of a run.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fusebox_core::{error::ErrorCode, outcome::Receipt, room, task::Status};
use fusebox_link::Counters;
use fusebox_store::{Backlog, Room};
use fusebox_ui::lines;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::egress::refused::Counters as EgressCounters;

/// Buckets in seconds, from a fast run to a long one.
const SECONDS_BUCKETS: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    status: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    accepted: Counter,
    refused: Counter,
    reports_refused: Counter,
    ended: Family<EndLabels, Counter>,
    invoked: Family<EndLabels, Counter>,
    registered: Counter,
    run_seconds: Histogram,
    queue_seconds: Histogram,
    compile_seconds: Histogram,
    fuel: Counter,
    clock_skew: Gauge<f64, AtomicU64>,
    store_lost: Gauge,
    store_room: Gauge<u64, AtomicU64>,
    store_used: Gauge<u64, AtomicU64>,
    store_full: Gauge,
    store_full_refusals: Counter,
    slots_busy: Gauge,
    waiting: Family<ReasonLabels, Gauge<u64, AtomicU64>>,
    ready: Gauge<u64, AtomicU64>,
    delayed: Gauge<u64, AtomicU64>,
    running: Gauge<u64, AtomicU64>,
    /// Counters owned by the transport, which counts in plain atomics.
    links: OnceLock<Arc<Counters>>,
    links_joined: Gauge<u64, AtomicU64>,
    links_refused: Gauge<u64, AtomicU64>,
    links_expired: Gauge<u64, AtomicU64>,
    messages_broken: Gauge<u64, AtomicU64>,
    /// Counters owned by the sender of guests' requests.
    egress: OnceLock<Arc<EgressCounters>>,
    egress_answered: Gauge<u64, AtomicU64>,
    egress_refused: Family<ReasonLabels, Gauge<u64, AtomicU64>>,
    log_lines_lost: Gauge<u64, AtomicU64>,
    /// Counted outside of the family, since every successful invocation counts here.
    invoked_well: AtomicU64,
}

impl Metrics {
    /// Declares every metric of a host with `slots` slots.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        let seconds = || Histogram::new(SECONDS_BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("fusebox"),
            requests: Family::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
            reports_refused: Counter::default(),
            ended: Family::default(),
            invoked: Family::default(),
            registered: Counter::default(),
            run_seconds: seconds(),
            queue_seconds: seconds(),
            compile_seconds: seconds(),
            fuel: Counter::default(),
            clock_skew: Gauge::default(),
            store_lost: Gauge::default(),
            store_room: Gauge::default(),
            store_used: Gauge::default(),
            store_full: Gauge::default(),
            store_full_refusals: Counter::default(),
            slots_busy: Gauge::default(),
            waiting: Family::default(),
            ready: Gauge::default(),
            delayed: Gauge::default(),
            running: Gauge::default(),
            links: OnceLock::new(),
            links_joined: Gauge::default(),
            links_refused: Gauge::default(),
            links_expired: Gauge::default(),
            messages_broken: Gauge::default(),
            egress: OnceLock::new(),
            egress_answered: Gauge::default(),
            egress_refused: Family::default(),
            log_lines_lost: Gauge::default(),
            invoked_well: AtomicU64::new(0),
        };
        metrics.declare(slots);
        metrics
    }

    fn declare(&mut self, slots: u32) {
        let registry = &mut self.registry;
        registry.register("http_requests", "Requests answered, by route and status", self.requests.clone());
        registry.register("tasks_accepted", "Tasks answered with an id", self.accepted.clone());
        registry.register("tasks_refused", "Tasks refused because the queue was full", self.refused.clone());
        registry.register("reports_refused", "Reports without their attempt's lease", self.reports_refused.clone());
        registry.register("tasks_ended", "Tasks that ended, by status and error code", self.ended.clone());
        registry.register("invokes", "Synchronous invocations that ran, by status and code", self.invoked.clone());
        registry.register("functions_registered", "Function versions registered", self.registered.clone());
        registry.register("links_joined", "Links opened by workers", self.links_joined.clone());
        registry.register("links_refused", "Connections that failed the handshake", self.links_refused.clone());
        registry.register("links_expired", "Connections that took too long to join", self.links_expired.clone());
        registry.register("messages_broken", "Malformed messages", self.messages_broken.clone());
        registry.register("egress_answered", "Requests of functions that were answered", self.egress_answered.clone());
        registry.register("egress_refused", "Requests of functions that failed", self.egress_refused.clone());
        registry.register("log_lines_lost", "Lines to stderr and stdout that were lost", self.log_lines_lost.clone());
        let seconds = Unit::Seconds;
        registry.register_with_unit("run", "Wall time of runs", seconds.clone(), self.run_seconds.clone());
        registry.register_with_unit("queue_wait", "Wait before a run", seconds.clone(), self.queue_seconds.clone());
        let compile = self.compile_seconds.clone();
        registry.register_with_unit("compile", "Time of module compilation", seconds.clone(), compile);
        let skew = "The store's time less this machine's";
        registry.register_with_unit("clock_skew", skew, seconds, self.clock_skew.clone());
        let lost = "1 if the store has lost its functions, keys and tasks since this process started";
        registry.register("store_lost", lost, self.store_lost.clone());
        let room = "Size of the store: of its disk, or the maxmemory of Redis";
        registry.register_with_unit("store_room", room, Unit::Bytes, self.store_room.clone());
        let used = "Bytes in use of the store's size, also by others";
        registry.register_with_unit("store_used", used, Unit::Bytes, self.store_used.clone());
        let full = "1 while the store is nearly full, and tenants with more than their share are refused more";
        registry.register("store_full", full, self.store_full.clone());
        let refusals = "Requests refused because the store was full, or nearly full and their tenant beyond its share";
        registry.register("store_full_refusals", refusals, self.store_full_refusals.clone());
        registry.register("fuel_used", "Fuel units used by runs that returned", self.fuel.clone());
        let all_slots: Gauge = Gauge::default();
        all_slots.set(slots.into());
        registry.register("slots", "Runs that can execute at once", all_slots);
        registry.register("slots_busy", "Runs in progress", self.slots_busy.clone());
        registry.register("tasks_ready", "Tasks ready to be leased", self.ready.clone());
        registry.register("tasks_delayed", "Delayed tasks", self.delayed.clone());
        let waiting = "Queued tasks by the reason for which their tenant's queue waits";
        registry.register("tasks_waiting", waiting, self.waiting.clone());
        registry.register("tasks_running", "Leased attempts", self.running.clone());
    }

    /// Counts a response.
    pub fn request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status }).inc();
    }

    /// Counts an accepted task.
    pub fn task_accepted(&self) {
        self.accepted.inc();
    }

    /// Counts a task refused because the queue was full.
    pub fn task_refused(&self) {
        self.refused.inc();
    }

    /// Adds the counters of the workers' port to the exposition.
    pub fn count_links(&self, counters: &Arc<Counters>) {
        let _ = self.links.set(counters.clone());
    }

    /// Adds the counters of guests' requests to the exposition.
    pub fn count_egress(&self, counters: &Arc<EgressCounters>) {
        let _ = self.egress.set(counters.clone());
    }

    /// Counts a report on an attempt whose lease the worker does not hold.
    pub fn report_refused(&self) {
        self.reports_refused.inc();
    }

    /// Counts the end of a task.
    pub fn task_ended(&self, status: Status, code: Option<ErrorCode>) {
        let code = code.map_or("", ErrorCode::as_str);
        self.ended.get_or_create(&EndLabels { status: status.as_str(), code }).inc();
    }

    /// Counts a synchronous invocation, and its run.
    pub fn invoked(&self, code: Option<ErrorCode>, receipt: &Receipt) {
        match code {
            None => drop(self.invoked_well.fetch_add(1, Ordering::Relaxed)),
            Some(code) => {
                let labels = EndLabels { status: Status::Failed.as_str(), code: code.as_str() };
                self.invoked.get_or_create(&labels).inc();
            }
        }
        self.ran(receipt);
    }

    /// Counts a run.
    pub fn ran(&self, receipt: &Receipt) {
        self.run_seconds.observe(seconds(receipt.wall_us));
        self.queue_seconds.observe(seconds(receipt.queue_us));
        self.fuel.inc_by(receipt.fuel.unwrap_or_default());
    }

    /// Counts a registered function version.
    pub fn function_registered(&self) {
        self.registered.inc();
    }

    /// Records the time of a compilation; zero, for a cached artifact, is not recorded.
    pub fn compiled(&self, time: Duration) {
        if !time.is_zero() {
            self.compile_seconds.observe(time.as_secs_f64());
        }
    }

    /// Sets the difference of the store's time to this machine's, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "a real skew needs no more than 52 bits of milliseconds")]
    pub fn clock_skew(&self, ms: i64) {
        self.clock_skew.set(ms as f64 / 1_000.0);
    }

    /// Sets whether the store lost its data since the start.
    pub fn store_lost(&self, is_lost: bool) {
        self.store_lost.set(is_lost.into());
    }

    /// Sets the room of the store's places, and whether one is nearly full.
    pub fn store_room(&self, places: &[Room], is_full: bool) {
        self.store_room.set(room::total_bytes(places));
        self.store_used.set(room::used_bytes(places));
        self.store_full.set(is_full.into());
    }

    /// Counts a request that was refused because the store is full.
    pub fn store_full_refused(&self) {
        self.store_full_refusals.inc();
    }

    /// Counts a slot as busy.
    pub fn slot_busy(&self) {
        self.slots_busy.inc();
    }

    /// Counts a slot as free.
    pub fn slot_free(&self) {
        self.slots_busy.dec();
    }

    /// Sets the numbers of queued tasks by the reason for which they wait.
    pub fn tasks_waiting(&self, by_reason: &[(&'static str, u64)]) {
        for (reason, tasks) in by_reason {
            self.waiting.get_or_create(&ReasonLabels { reason }).set(*tasks);
        }
    }

    /// Returns all metrics in the OpenMetrics text format, with the store's current backlog.
    ///
    /// # Errors
    /// Never fails in practice: it writes to memory.
    pub fn exposition(&self, backlog: &[Backlog]) -> Result<String, std::fmt::Error> {
        self.ready.set(backlog.iter().map(|tenant| tenant.ready).sum());
        self.delayed.set(backlog.iter().map(|tenant| tenant.delayed).sum());
        self.running.set(backlog.iter().map(|tenant| tenant.running).sum());
        if let Some(links) = self.links.get() {
            self.links_joined.set(links.accepted.load(Ordering::Relaxed));
            self.links_refused.set(links.refused_handshakes.load(Ordering::Relaxed));
            self.links_expired.set(links.expired_handshakes.load(Ordering::Relaxed));
            self.messages_broken.set(links.broken_messages.load(Ordering::Relaxed));
        }
        if let Some(egress) = self.egress.get() {
            self.egress_answered.set(egress.answered.load(Ordering::Relaxed));
            for (reason, count) in egress.refused() {
                self.egress_refused.get_or_create(&ReasonLabels { reason }).set(count);
            }
        }
        self.log_lines_lost.set(lines::lost());
        let labels = EndLabels { status: Status::Completed.as_str(), code: "" };
        self.invoked.get_or_create(&labels).inc_by(self.invoked_well.swap(0, Ordering::Relaxed));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a histogram's sum needs no more than 52 bits of microseconds")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}
