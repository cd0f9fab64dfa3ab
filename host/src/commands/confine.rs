//! What a worker does before its first thread: opens what it needs, starts its helper, and locks itself up.

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

use super::{admin, egress_proxy::EgressProxyArgs, helper::HelperArgs, parts, work::WorkArgs};
use crate::{
    helper::{client::Helper, proxy::Proxy, vitals::Questions},
    worker::slots::EXTRA_SLOTS,
};
use fusebox_link::{Dial, Direct};

/// Descriptors of a worker: a memory image for each module in memory, and a few more.
const DESCRIPTORS_MAX: u64 = 8_192;
/// Threads of a worker's user, its other processes' included: far above what slots take, far below what a machine has.
const THREADS_MAX: u64 = 16_384;
/// Writable memory of a worker beside its guests': modules and inputs in memory, and room.
const MEMORY_BYTES: u64 = 4 << 30;
/// Writable memory of a slot beside its guest's: stack, table, output, log, and room.
const SLOT_BYTES: u64 = 64 << 20;

/// A worker that is locked up and has no threads yet.
pub struct Confined {
    /// Runs its guests.
    pub sandbox: Unstarted,
    /// Does what it cannot do any more; `None` where it is not locked up.
    pub helper: Option<Helper>,
    /// Sends its guests' requests; `None` where it is not locked up.
    pub proxy: Option<Proxy>,
    /// Where its health is asked for, where that is wanted.
    pub admin: Option<Admin>,
    /// What it has given up.
    pub report: Report,
}

/// Where a worker's health is asked for.
pub enum Admin {
    /// On a listener of its own.
    Own(TcpListener),
    /// Through its helper, which has the listener.
    Helpers(Questions),
}

impl Confined {
    /// Connects to the worker's dispatchers.
    #[must_use]
    pub fn dial(&self) -> Box<dyn Dial> {
        match &self.helper {
            Some(helper) => Box::new(helper.clone()),
            None => Box::new(Direct),
        }
    }
}

/// The directory of a worker's compiled modules. It is the workers' own: what a guest that has broken out could leave there
/// is loaded by no process that is not locked up itself.
#[must_use]
pub fn cache_dir(data: &Path) -> PathBuf {
    data.join("worker-artifacts")
}

/// Prepares a worker and locks this process up. There must be no other thread.
///
/// # Errors
/// Where its parts cannot be made, or the whole jail is required and the kernel lacks some of it.
pub fn worker(args: &WorkArgs) -> anyhow::Result<Confined> {
    let setting = Setting::from(args.jail);
    let dir = cache_dir(&args.data);
    let sandbox = parts::open_sandbox(dir.clone(), args.slots, RunLimits::CEILING)?;
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
        // Not of address space, of which pooled slots reserve much more than they ever touch.
        (Resource::Data, memory),
    ]
}

/// Gives the directory and the files in it to the user that this process becomes.
fn hand_over(dir: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    lchown(dir, Some(uid), Some(gid))?;
    for entry in fs::read_dir(dir)? {
        lchown(entry?.path(), Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Says what was given up.
pub fn log(report: &Report) {
    let (holds, lacks) = (report.line(true), report.line(false));
    match (report.0.is_empty(), report.is_whole()) {
        (true, _) => tracing::warn!(
            "this process is not locked up: a guest that breaks out of WebAssembly has its user's rights"
        ),
        (_, true) => tracing::info!(holds, "this process is locked up"),
        (_, false) => tracing::warn!(holds, lacks, "this process is locked up as far as this kernel lets it"),
    }
}
