//! Memory of a host: idle, per registered function that is never called, and for tasks queued without workers. Read
//! from `/proc`, for the processes that serve REST and dispatch.

use std::ops::Range;

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::{
    deployment::Deployment,
    fill::{self, Modules},
    guests::Function,
    plan::StoreKind,
};

/// Divisor for the warm-up: the first tenth is not counted, since its memory belongs to the program itself.
const WARM_UP: u64 = 10;
/// Queued tasks for each registered function.
const TASKS_A_FUNCTION: u64 = 100;

/// Memory of a process under a kind of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) store: StoreKind,
    /// Role of the process.
    pub(super) process: String,
    pub(super) what: What,
    /// Number of functions or tasks.
    pub(super) count: u64,
    /// Resident memory of the whole process at that point.
    pub(super) resident_bytes: u64,
    /// Bytes per function or task, counted after the first tenth; null for an idle host.
    pub(super) bytes_each: Option<f64>,
}

/// Load that occupies memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Idle,
    Functions,
    Queued,
}

impl What {
    /// Name in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Functions => "functions",
            Self::Queued => "queued tasks",
        }
    }
}

/// Number of functions and tasks to add, for a progress bar.
pub(super) const fn steps(much: u64) -> u64 {
    much + functions(much)
}

const fn functions(much: u64) -> u64 {
    let count = much / TASKS_A_FUNCTION;
    if count < WARM_UP { WARM_UP } else { count }
}

/// Measures a deployment without workers, with `much` queued tasks and a hundredth as many functions.
pub(super) async fn measure(
    deployment: &mut Deployment,
    store: StoreKind,
    much: u64,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Held>> {
    let mut held = Vec::new();
    for (process, resident_bytes) in resident(deployment).await? {
        held.push(Held { store, process, what: What::Idle, count: 0, resident_bytes, bytes_each: None });
    }
    deployment.register_plain(Function::NoOp).await?;
    for (what, count) in [(What::Functions, functions(much)), (What::Queued, much)] {
        let warm = count / WARM_UP;
        add(deployment, what, 0..warm, bar).await?;
        let before = resident(deployment).await?;
        add(deployment, what, warm..count, bar).await?;
        for ((process, resident_bytes), (_, before)) in resident(deployment).await?.into_iter().zip(before) {
            let each = (to_f64(resident_bytes) - to_f64(before)) / to_f64(count - warm);
            held.push(Held { store, process, what, count, resident_bytes, bytes_each: Some(each) });
        }
    }
    Ok(held)
}

async fn add(deployment: &mut Deployment, what: What, numbers: Range<u64>, bar: &ProgressBar) -> anyhow::Result<()> {
    match what {
        What::Idle => Ok(()),
        What::Functions => fill::functions(deployment, numbers, Modules::Shared, bar).await,
        What::Queued => fill::queued(deployment, numbers.end - numbers.start, bar).await,
    }
}

/// Resident memory of each of the host's processes.
async fn resident(deployment: &Deployment) -> anyhow::Result<Vec<(String, u64)>> {
    let of = |(name, id): (String, u32)| Ok((name, resident_bytes(id)?));
    deployment.host_processes().await?.into_iter().map(of).collect()
}

/// Returns the resident memory of a process.
pub(super) fn resident_bytes(id: u32) -> anyhow::Result<u64> {
    let status = procfs::process::Process::new(id.try_into()?).and_then(|process| process.status());
    let kib =
        status.with_context(|| format!("process {id} is gone"))?.vmrss.context("the system does not report memory")?;
    Ok(kib << 10)
}

#[expect(clippy::cast_precision_loss, reason = "memory is below 2^52 bytes")]
const fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// Formats a table for people: the header, and a row for each entry.
pub(super) fn table(held: &[Held]) -> ([&'static str; 5], Vec<[String; 5]>) {
    let head = ["MEMORY OF", "STORE", "WITH", "RESIDENT MB", "EACH"];
    let line = |held: &Held| {
        let with = match held.what {
            What::Idle => held.what.as_str().to_owned(),
            _ => format!("{} {}", fusebox_ui::count(held.count), held.what.as_str()),
        };
        let each = match (held.what, held.bytes_each) {
            (What::Queued, Some(bytes)) => format!("{bytes:.2} MB a million"),
            (_, Some(bytes)) => format!("{bytes:.0} bytes"),
            (_, None) => String::new(),
        };
        let resident = format!("{:.1}", to_f64(held.resident_bytes) / 1e6);
        [held.process.clone(), held.store.as_str().to_owned(), with, resident, each]
    };
    (head, held.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read() {
        assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
        assert!(resident_bytes(u32::MAX).is_err());
    }

    #[test]
    fn tasks_are_told_by_the_million() {
        let held = |what, bytes_each| Held {
            store: StoreKind::Embedded,
            process: "host".to_owned(),
            what,
            count: 10_000,
            resident_bytes: 50_000_000,
            bytes_each,
        };
        let (head, lines) =
            table(&[held(What::Idle, None), held(What::Queued, Some(2.5)), held(What::Functions, Some(812.4))]);
        assert_eq!(head[4], "EACH");
        assert_eq!(lines[0][2..], ["idle", "50.0", ""]);
        assert_eq!(lines[1][2..], ["10,000 queued tasks", "50.0", "2.50 MB a million"]);
        assert_eq!(lines[2][4], "812 bytes");
    }
}
