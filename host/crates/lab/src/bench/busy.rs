//! Detects other load on the machine during a measurement: processor time that the kernel counts in total, minus that
//! of this command and everything it started. Figures from a busy machine are meaningless.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Context as _;
use procfs::{CpuTime, CurrentSI as _, KernelStats, process::Stat};
use rustix::param::clock_ticks_per_second;
use serde::{Deserialize, Serialize};

/// Largest share of the machine that other processes may use.
const PERCENT_MAX: f64 = 10.0;
/// Processor time of others, in seconds, that never counts as busy: in a short measurement a tick or two are many
/// percent.
const SECONDS_MIN: f64 = 0.1;
/// Most processes named in a message.
const NAMED_MAX: usize = 5;
/// Name of the parent of kernel threads.
const KERNEL: &str = "kthreadd";
/// Process names of a server that this command did not start.
const SERVER: [&str; 2] = ["fusebox", "redis-server"];

/// Processor time used by others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Busy {
    /// Share of all processors together.
    pub(super) others_percent: f64,
    /// Names and shares of the largest users.
    pub(super) busiest: Vec<Other>,
    /// True if the share is too large.
    pub(super) is_busy: bool,
}

/// Processor time used by another program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) percent: f64,
}

/// Processor time used since boot, in total and by process, in ticks.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    machine: Machine,
    processes: BTreeMap<i32, Process>,
}

/// The kernel's counters over all processors, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    /// Elapsed, including idle time.
    total: u64,
    /// Used by processes. Interrupts are left out: they belong to no process, and many come from the measurement's own
    /// traffic.
    used: u64,
    /// Used by other machines on the same hardware.
    stolen: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    name: String,
    parent: i32,
    /// Its own ticks.
    used: u64,
    /// Ticks of its ended children.
    children: u64,
}

impl Sample {
    /// Reads the counters.
    ///
    /// # Errors
    /// Fails if `/proc` cannot be read.
    pub(super) fn take() -> anyhow::Result<Self> {
        let machine = KernelStats::current().context("read the processor counters")?.total.into();
        let listed = procfs::process::all_processes().context("read the list of processes")?;
        // A process may end in the meantime.
        let stats = listed.filter_map(|process| process.ok()?.stat().ok());
        Ok(Self { machine, processes: stats.map(|stat| (stat.pid, stat.into())).collect() })
    }

    /// Returns the time that others have used since `before`; `own` is this process's id.
    pub(super) fn since(&self, before: &Self, own: i32, is_server: bool) -> Busy {
        let ticks = |after: u64, before: u64| super::load::to_f64(after.saturating_sub(before));
        let total = ticks(self.machine.total, before.machine.total).max(1.0);
        let used = ticks(self.machine.used, before.machine.used);
        let stolen = ticks(self.machine.stolen, before.machine.stolen);
        let (family, was) = (self.family(own, is_server), before.family(own, is_server));
        let ours = ticks(self.used_by(&family), before.used_by(&was));
        let others = (used - ours).max(0.0) + stolen;
        let percent = |ticks: f64| (ticks / total * 1_000.0).round() / 10.0;
        let mut names: BTreeMap<&str, f64> = BTreeMap::new();
        for (id, process) in self.processes.iter().filter(|(id, _)| !family.contains(id)) {
            let earlier = before.processes.get(id).filter(|earlier| earlier.name == process.name);
            let used = ticks(process.used, earlier.map_or(0, |earlier| earlier.used));
            *names.entry(&process.name).or_default() += used;
        }
        names.insert("the hypervisor", stolen);
        let mut busiest: Vec<Other> =
            names.into_iter().map(|(name, used)| Other { name: name.to_owned(), percent: percent(used) }).collect();
        busiest.retain(|other| other.percent > 0.0);
        busiest.sort_by(|one, other| other.percent.total_cmp(&one.percent));
        busiest.truncate(NAMED_MAX);
        let seconds = others / super::load::to_f64(clock_ticks_per_second());
        let is_busy = others / total * 100.0 > PERCENT_MAX && seconds >= SECONDS_MIN;
        Busy { others_percent: percent(others), busiest, is_busy }
    }

    /// A process and its descendants; for a server, its processes by name. Kernel threads are included, since they
    /// write the measurement's data to disk.
    fn family(&self, own: i32, is_server: bool) -> BTreeSet<i32> {
        let mut family = BTreeSet::from([own]);
        family.extend(self.processes.iter().find(|(_, one)| one.parent == 0 && one.name == KERNEL).map(|(id, _)| *id));
        let is_part = |process: &Process| is_server && SERVER.contains(&process.name.as_str());
        loop {
            let known = family.len();
            let found = self.processes.iter().filter(|(_, one)| family.contains(&one.parent) || is_part(one));
            let found: Vec<i32> = found.map(|(id, _)| *id).collect();
            family.extend(found);
            if family.len() == known {
                return family;
            }
        }
    }

    fn used_by(&self, family: &BTreeSet<i32>) -> u64 {
        family.iter().filter_map(|id| self.processes.get(id)).map(|process| process.used + process.children).sum()
    }
}

impl Busy {
    /// Formats the usage as a message.
    pub(super) fn tell(&self) -> String {
        let mut text = format!("other processes used {:.1} % of the CPU time", self.others_percent);
        let names = self.busiest.iter().map(|other| format!("{} {:.1} %", other.name, other.percent));
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            let _ = write!(text, ", most of all {}", names.join(", "));
        }
        text
    }

    /// Returns the busier of the two.
    pub(super) fn worse(self, other: Self) -> Self {
        if other.others_percent > self.others_percent || other.is_busy && !self.is_busy { other } else { self }
    }
}

impl From<CpuTime> for Machine {
    fn from(ticks: CpuTime) -> Self {
        let used = ticks.user + ticks.nice + ticks.system;
        let stolen = ticks.steal.unwrap_or_default();
        // Guest time is already included in the user time.
        let others = [ticks.iowait, ticks.irq, ticks.softirq].into_iter().flatten().sum::<u64>();
        Self { total: used + ticks.idle + others + stolen, used, stolen }
    }
}

impl From<Stat> for Process {
    fn from(stat: Stat) -> Self {
        let children = u64::try_from(stat.cutime + stat.cstime).unwrap_or_default();
        Self { name: stat.comm, parent: stat.ppid, used: stat.utime + stat.stime, children }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, parent: i32, used: u64, children: u64) -> Process {
        Process { name: name.to_owned(), parent, used, children }
    }

    fn sample(total: u64, used: u64, processes: &[(i32, Process)]) -> Sample {
        let machine = Machine { total, used, stolen: 0 };
        Sample { machine, processes: processes.iter().cloned().collect() }
    }

    #[test]
    fn the_kernels_counters_are_read() {
        let sample = Sample::take().unwrap();
        let own = &sample.processes[&i32::try_from(std::process::id()).unwrap()];
        assert!(own.parent > 0 && !own.name.is_empty(), "{own:?}");
        assert!(0 < sample.machine.used && sample.machine.used < sample.machine.total, "{:?}", sample.machine);
    }

    #[test]
    fn what_was_started_here_is_not_others() {
        let before = sample(
            1_000,
            100,
            &[(1, process("init", 0, 5, 0)), (10, process("bench", 1, 50, 0)), (11, process("redis", 10, 0, 0))],
        );
        let after = sample(
            1_200,
            260,
            &[
                (1, process("init", 0, 5, 0)),
                // One of its children has ended; its 20 ticks are included.
                (10, process("bench", 1, 90, 20)),
                (11, process("redis", 10, 60, 0)),
                (12, process("cc", 1, 30, 0)),
            ],
        );
        let busy = after.since(&before, 10, false);
        // 160 ticks were used, 40 + 20 + 60 of them by this command.
        assert!((busy.others_percent - 20.0).abs() < 0.01 && busy.is_busy, "{busy:?}");
        assert_eq!(busy.busiest, [Other { name: "cc".to_owned(), percent: 15.0 }]);
        assert!(busy.tell().contains("cc 15.0 %"));
    }

    #[test]
    fn a_servers_processes_are_measured_and_not_others() {
        let before = sample(1_000, 0, &[(2, process("fusebox", 1, 0, 0)), (10, process("bench", 1, 0, 0))]);
        let after = sample(1_100, 90, &[(2, process("fusebox", 1, 60, 0)), (10, process("bench", 1, 30, 0))]);
        assert!(after.since(&before, 10, false).is_busy);
        assert!(!after.since(&before, 10, true).is_busy);
    }

    #[test]
    fn what_the_kernel_writes_is_the_measurements_own() {
        let processes = |used| [(2, process("kthreadd", 0, 0, 0)), (9, process("kworker", 2, used, 0))];
        let (before, after) = (sample(1_000, 0, &processes(0)), sample(1_100, 50, &processes(50)));
        assert!(!after.since(&before, 10, false).is_busy);
    }

    #[test]
    fn a_tick_of_a_short_measurement_is_no_reason() {
        let before = sample(1_000, 0, &[(10, process("bench", 1, 0, 0))]);
        let after = sample(1_005, 3, &[(10, process("bench", 1, 2, 0))]);
        let busy = after.since(&before, 10, false);
        assert!((busy.others_percent - 20.0).abs() < 0.01 && !busy.is_busy, "{busy:?}");
    }
}
