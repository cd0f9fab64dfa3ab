//! Confinement of a worker before its first thread: it opens its resources, starts its helper and enters its jail.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use fusebox_core::function::RunLimits;
use fusebox_jail::{Inmate, Limit, Plan, Report, Setting};
use fusebox_sandbox::Unstarted;
use rustix::process::{Resource, geteuid};

use crate::{
    helper::{client::Helper, proxy::Proxy, vitals::Questions},
    node::{admin, egress_proxy::EgressProxyArgs, helper::HelperArgs, parts, worker::WorkArgs},
    worker::slots::EXTRA_SLOTS,
};
use fusebox_link::{Dial, Direct};

/// Limit of a worker's file descriptors: a memory image for each module in memory, and a few more.
const DESCRIPTORS_MAX: u64 = 8_192;
/// Limit of threads of the worker's user, including its other processes: far above the needs of slots, far below a
/// machine's capacity.
const THREADS_MAX: u64 = 16_384;
/// Writable memory of a worker beyond its slots: modules and inputs in memory, and a reserve.
const MEMORY_BYTES: u64 = 4 << 30;
/// Writable memory of a slot beyond its guest's memory: stack, table, output, log, and a reserve.
const SLOT_BYTES: u64 = 64 << 20;

/// A confined worker that has not started threads yet.
pub struct Confined {
    /// Sandbox in which guests run.
    pub sandbox: Unstarted,
    /// Compiles and connects for the jailed worker; `None` without a jail.
    pub helper: Option<Helper>,
    /// Sends HTTP requests of guests for the jailed worker; `None` without a jail.
    pub proxy: Option<Proxy>,
    /// Source of requests for health and metrics, if configured.
    pub admin: Option<Admin>,
    /// Layers of the jail that hold or are missing.
    pub report: Report,
}

/// Source of requests for a worker's health and metrics.
pub enum Admin {
    /// A listener of the worker itself.
    Own(TcpListener),
    /// The helper, which owns the listener.
    Helpers(Questions),
}

impl Confined {
    /// Returns the means of connecting to the worker's dispatchers.
    #[must_use]
    pub fn dial(&self) -> Box<dyn Dial> {
        match &self.helper {
            Some(helper) => Box::new(helper.clone()),
            None => Box::new(Direct),
        }
    }
}

/// Directory of a worker's compiled modules. It is separate from the host's: no unjailed process loads the files that
/// an escaped guest could plant there.
#[must_use]
pub fn cache_dir(data: &Path) -> PathBuf {
    data.join("worker-artifacts")
}

/// Prepares a worker and confines this process. Must be called while the process has one thread.
///
/// # Errors
/// Fails if a part of the worker cannot be created, or `--jail=require` is set and the kernel lacks a layer of the
/// jail.
pub fn worker(args: &WorkArgs) -> anyhow::Result<Confined> {
    let setting = Setting::from(args.jail);
    let dir = cache_dir(&args.data);
    let sandbox = parts::open_sandbox(dir.clone(), args.slots, RunLimits::CEILING, args.kinds.modules())?;
    let listener = args.admin.bind()?;
    admin::tell(listener.as_ref().and_then(|listener| listener.local_addr().ok()));
    if setting == Setting::Off {
        parts::allow_open_files();
        let admin = listener.map(Admin::Own);
        return Ok(Confined { sandbox, helper: None, proxy: None, admin, report: Report::default() });
    }
    let user = args.user.or_current();
    if geteuid().is_root() {
        hand_over(&dir, user.uid, user.gid).with_context(|| format!("give {} to user {user}", dir.display()))?;
    }
    let addresses =
        args.urls.iter().map(|url| fusebox_link::address(url).map(str::to_owned)).collect::<Result<_, _>>()?;
    let helper = HelperArgs { addresses, jail: args.jail, user };
    let program = parts::program()?;
    let helper = Helper::start(&program, &helper.arguments(), helper.addresses).context("start the worker's helper")?;
    let questions = listener.map(|listener| Questions::hand_over(&helper, &listener)).transpose();
    let admin = questions.context("hand the listener of --admin-listen over to the helper")?.map(Admin::Helpers);
    let proxy = EgressProxyArgs { egress: args.egress.clone(), jail: args.jail, user };
    let proxy = Proxy::start(&program, &proxy.arguments()).context("start the worker's egress proxy")?;
    let sandbox = sandbox.compile_with(Arc::new(helper.clone()));
    let report = Plan { inmate: Inmate::Worker { cache: dir }, user, limits: limits(args.slots) }.enter(setting)?;
    Ok(Confined { sandbox, helper: Some(helper), proxy: Some(proxy), admin, report })
}

fn limits(slots: u32) -> Vec<Limit> {
    let memory = u64::from(slots + EXTRA_SLOTS) * (RunLimits::CEILING.memory_bytes + SLOT_BYTES) + MEMORY_BYTES;
    vec![
        (Resource::Core, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Nproc, THREADS_MAX),
        // Not of the address space: pooled slots reserve far more of it than they ever touch.
        (Resource::Data, memory),
    ]
}

/// Gives the directory and its files to the user that this process becomes.
fn hand_over(dir: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    lchown(dir, Some(uid), Some(gid))?;
    for entry in fs::read_dir(dir)? {
        lchown(entry?.path(), Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Logs the layers of the jail that hold and those that are missing.
pub fn log(report: &Report) {
    let (holds, lacks) = (report.line(true), report.line(false));
    match (report.0.is_empty(), report.is_whole()) {
        (true, _) => {
            tracing::warn!("this process is not jailed: a guest that breaks out of WebAssembly has its user's rights")
        }
        (_, true) => tracing::info!(holds, "this process is jailed"),
        (_, false) => tracing::warn!(holds, lacks, "this process is jailed as far as this kernel supports it"),
    }
}
