//! The embedded store: durable accepts a second with 1 and 64 clients, and the whole way of a task in batches; first with
//! an empty store, then with many tasks queued, to see whether the cost of a task grows. Then what those tasks cost in
//! memory and on disk, and how long the store takes to open.
//!
//! Run by `cargo bench --workspace --bench store`; `-- --smoke` for a short one, `-- --queued N` for another depth.
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use fusebox::{
    clock::Clock,
    random,
    store::{
        Accepted, Claim, Expects, Finish, LeaseRequest, NewFunction, NewTask, Options, Registered, Store as _, Verdict,
        embedded::EmbeddedStore,
    },
};
use fusebox_core::{
    function::{Abi, FunctionVersion, RunLimits},
    id::ModuleDigest,
    lifecycle::Fence,
    name::TenantId,
    outcome::Receipt,
    task::{Priority, TaskState},
    time::Millis,
};

const INPUT: [u8; 200] = [7; 200];
const OUTPUT: [u8; 200] = [8; 200];
const BATCH: usize = 64;

struct Plan {
    rounds: usize,
    round: Duration,
    queued: usize,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let smoke = args.iter().any(|arg| arg == "--smoke");
    let mut plan = match smoke {
        true => Plan { rounds: 1, round: Duration::from_millis(200), queued: 2_000 },
        false => Plan { rounds: 5, round: Duration::from_secs(2), queued: 1_000_000 },
    };
    if let Some(at) = args.iter().position(|arg| arg == "--queued") {
        plan.queued = args.get(at + 1).context("--queued needs a number")?.parse()?;
    }
    let dir = tempfile::tempdir()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(dir.path(), &plan))
}

async fn bench(dir: &Path, plan: &Plan) -> anyhow::Result<()> {
    let store = open(dir)?;
    let function = register(&store, "default").await?;
    let deep = register(&store, "deep").await?;
    println!("{} rounds of {:?} each, inputs and outputs of {} bytes; medians", plan.rounds, plan.round, INPUT.len());
    measure("empty store", &store, &function, &function, plan).await?;

    let (memory, disk, start) = (resident_bytes()?, store.disk_bytes()?, Instant::now());
    let mut queued = 0;
    while queued < plan.queued {
        accept(&store, &deep, 1_000.min(plan.queued - queued)).await?;
        queued += 1_000;
    }
    println!("queued {} more tasks in {:.1?}", plan.queued, start.elapsed());
    println!(
        "memory {:+.1} MB, disk {:+.1} MB",
        (resident_bytes()? as f64 - memory as f64) / 1e6,
        (store.disk_bytes()? as f64 - disk as f64) / 1e6
    );
    measure("that many queued", &store, &function, &deep, plan).await?;
    drop(Arc::into_inner(store));
    let start = Instant::now();
    drop(open(dir)?);
    println!("opened again in {:.1?}", start.elapsed());
    Ok(())
}

fn open(dir: &Path) -> anyhow::Result<Arc<EmbeddedStore>> {
    let options = Options { queued_tasks_max: u64::MAX, ..Options::default() };
    Ok(Arc::new(EmbeddedStore::open_with(dir, Clock::System, options)?))
}

/// Accepts go to the tenant of `function`, whole ways to that of `deep`, whose queue may be long.
async fn measure(
    what: &str,
    store: &Arc<EmbeddedStore>,
    function: &FunctionVersion,
    deep: &FunctionVersion,
    plan: &Plan,
) -> anyhow::Result<()> {
    let (mut one, mut many, mut cycles) = (Vec::new(), Vec::new(), Vec::new());
    let mut waits = Vec::new();
    for _ in 0..plan.rounds {
        one.push(accepts(store, function, 1, plan.round, &mut Vec::new()).await?);
        many.push(accepts(store, function, 64, plan.round, &mut waits).await?);
        cycles.push(whole_ways(store, deep, plan.round).await?);
    }
    waits.sort_unstable();
    println!("{what}:");
    println!("  accepts, 1 client     {:>8.0} a second  {one:.0?}", median(&one));
    println!("  accepts, 64 clients   {:>8.0} a second  {many:.0?}", median(&many));
    println!("    each answered in    p50 {:.1?}, p99 {:.1?}", waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!("  accept, lease, finish {:>8.0} tasks a second, {BATCH} a call  {cycles:.0?}", median(&cycles));
    Ok(())
}

/// Tasks accepted a second, one a call; each client sends the next when it has its answer.
async fn accepts(
    store: &Arc<EmbeddedStore>,
    function: &FunctionVersion,
    clients: usize,
    round: Duration,
    waits: &mut Vec<Duration>,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (store, function) = (store.clone(), function.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < round {
                    let sent = Instant::now();
                    accept(&store, &function, 1).await?;
                    waits.push(sent.elapsed());
                }
                anyhow::Ok(waits)
            })
        })
        .collect();
    let before = waits.len();
    for client in clients {
        waits.extend(client.await??);
    }
    Ok((waits.len() - before) as f64 / start.elapsed().as_secs_f64())
}

/// Tasks a second that are accepted, leased and finished, each step a batch.
async fn whole_ways(store: &EmbeddedStore, function: &FunctionVersion, round: Duration) -> anyhow::Result<f64> {
    let (start, mut ended) = (Instant::now(), 0);
    let worker = random::worker_id(Clock::System.now());
    while start.elapsed() < round {
        accept(store, function, BATCH).await?;
        let tokens = std::iter::repeat_with(random::lease_token).take(BATCH).collect();
        let request = LeaseRequest { tenant: function.tenant.clone(), worker, lease_ms: 10_000, tokens };
        let mut reports = Vec::new();
        for leased in store.lease(request).await? {
            let TaskState::Running(lease) = leased.task.state else { anyhow::bail!("a leased task runs") };
            let fence = Fence { attempt: leased.task.attempt, token: lease.token };
            let (output, log, receipt) = (Bytes::from_static(&OUTPUT), Bytes::new(), Receipt::default());
            let verdict = Verdict::End { failure: None, output, log, receipt };
            reports.push(Finish { claim: Claim { task: leased.task.id, fence }, verdict });
        }
        ended += store.finish(reports).await?.len();
    }
    Ok(ended as f64 / start.elapsed().as_secs_f64())
}

async fn register(store: &EmbeddedStore, tenant: &str) -> anyhow::Result<FunctionVersion> {
    let new = NewFunction {
        id: random::function_id(Clock::System.now()),
        tenant: tenant.parse::<TenantId>()?,
        name: "bench".parse()?,
        module: ModuleDigest([1; 32]),
        abi: Abi::Core,
        limits: RunLimits::default(),
    };
    match store.register(new, Bytes::from_static(b"module")).await? {
        Registered::Version(version) => Ok(version),
        Registered::QuotaReached { .. } => anyhow::bail!("the store is new"),
    }
}

async fn accept(store: &EmbeddedStore, function: &FunctionVersion, count: usize) -> anyhow::Result<()> {
    let now = Clock::System.now();
    let task = || NewTask {
        id: random::task_id(now),
        tenant: function.tenant.clone(),
        function: function.id,
        expects: Expects::Nothing,
        function_name: function.name.clone(),
        module: function.module,
        limits: function.limits,
        priority: Priority::Normal,
        attempts_max: 3,
        not_before: Millis(0),
        expires_at: now.plus(6 * 3_600_000),
        fingerprint: None,
        retry_of: None,
        input: Bytes::from_static(&INPUT),
    };
    let answers = store.accept(std::iter::repeat_with(task).take(count).collect()).await?;
    anyhow::ensure!(answers.iter().all(|answer| matches!(answer, Accepted::New { .. })), "a task was refused");
    Ok(())
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
