//! Runs all requested measurements: one deployment after the other, repeating each case until the machine was idle
//! throughout.

use anyhow::Context as _;
use fusebox_ui::{self as ui, progress};
use indicatif::ProgressBar;
use rustix::process::getpid;

use super::{
    BenchArgs,
    axes::Axes,
    beside::Beside,
    busy::{Busy, Sample},
    cost::Pair,
    deployment::{Deployment, Source},
    estimate,
    guests::Work,
    measure, memory,
    plan::{Case, Setting, Size, StoreKind},
    results::Results,
    row::Row,
};
use crate::cluster::find_redis;

/// Measurements of a case before the machine counts as busy.
const TRIES: u32 = 3;

/// State of a run.
pub(super) struct Bench<'a> {
    args: &'a BenchArgs,
    axes: Axes,
    size: Size,
    source: Source,
    /// Number of deployments started.
    started: usize,
    pub(super) work: Work,
    pub(super) repeats: u32,
    pub(super) bar: ProgressBar,
}

/// Runs all measurements.
///
/// # Errors
/// Fails if a deployment does not start, a task does not end as expected, or the machine is busy.
pub(super) async fn all(args: &BenchArgs) -> anyhow::Result<Results> {
    let (axes, size) = (args.axes(), args.size());
    let stores = stores(&axes, size);
    if stores.contains(&StoreKind::Redis) {
        find_redis()?;
    }
    let home = tempfile::tempdir().context("make a directory for the deployment")?;
    let source = args.source(home.path().canonicalize()?)?;
    let repeats = args.repeats.unwrap_or_else(|| size.repeats());
    let work = args.work();
    let bar = progress::bar("measuring", steps(&axes, size, repeats));
    ui::note(format!("measuring takes {}", estimate::tell(estimate::of(&axes, size, repeats, work))));
    let mut results = Results::begin(&stores);
    let mut bench = Bench { args, axes, size, source, started: 0, work, repeats, bar };
    bench.cases(&mut results).await?;
    bench.comparisons(&mut results).await?;
    bench.memories(&mut results).await?;
    bench.bar.finish_and_clear();
    Ok(results)
}

/// Lists the stores in use.
fn stores(axes: &Axes, size: Size) -> Vec<StoreKind> {
    let mut settings: Vec<Setting> = axes.cases(size).iter().map(|case| case.setting).collect();
    settings.extend(axes.comparisons(size).iter().map(|(case, _)| case.setting));
    settings.extend(axes.memories(size));
    let mut stores: Vec<StoreKind> = settings.iter().map(|setting| setting.store).collect();
    stores.sort_unstable();
    stores.dedup();
    stores
}

/// Steps of the progress bar: measurements and stored data.
fn steps(axes: &Axes, size: Size, repeats: u32) -> u64 {
    let repeats = u64::from(repeats);
    let filled = |levels: &[Beside]| levels.iter().take(2).map(|beside| beside.count).sum::<u64>();
    let compared = axes.comparisons(size);
    let compared = compared.iter().map(|(_, levels)| filled(levels) + levels.len() as u64 * repeats).sum::<u64>();
    let held = memory::steps(axes.much(size)) * axes.memories(size).len() as u64;
    axes.cases(size).len() as u64 * repeats + compared + held
}

impl Bench<'_> {
    /// Measures the cases, those of one deployment in succession.
    async fn cases(&mut self, results: &mut Results) -> anyhow::Result<()> {
        let cases = self.axes.cases(self.size);
        for of_one in cases.chunk_by(|one, next| one.setting == next.setting) {
            let Some(first) = of_one.first() else { continue };
            let mut deployment = self.deploy(first).await?;
            deployment.register(of_one).await?;
            for case in of_one {
                self.bar.set_message(case.what());
                measure::warm(&deployment, case, self.work)
                    .await
                    .with_context(|| format!("measure {}", case.what()))?;
                let what = case.what();
                let measured = self.quietly(&what, async |is_first| {
                    let mut rows = Vec::new();
                    for repeat in 1..=self.repeats {
                        rows.push(measure::once(&deployment, case, self.work, repeat).await?);
                        self.bar.inc(u64::from(is_first));
                    }
                    Ok(rows)
                });
                let (rows, busy) = measured.await?;
                results.add(rows, busy);
            }
        }
        Ok(())
    }

    /// Measures pairs of deployments alternately.
    async fn comparisons(&mut self, results: &mut Results) -> anyhow::Result<()> {
        for (case, levels) in self.axes.comparisons(self.size) {
            let beside = levels.first().copied();
            let case = Case { beside, ..case };
            let (little, much) = (self.deploy(&case).await?, self.deploy(&case).await?);
            self.bar.set_message(format!("filling the store, for {}", case.what()));
            let pair = Pair::fill(little, much, levels, &self.bar).await.context("fill a store")?;
            self.bar.set_message(case.what());
            let measured = self.quietly(&case.what(), async |_| pair.measure(self, &case).await).await?;
            let (rows, busy) = measured;
            results.add(rows, busy);
        }
        Ok(())
    }

    /// Measures the memory of hosts without workers.
    async fn memories(&mut self, results: &mut Results) -> anyhow::Result<()> {
        for setting in self.axes.memories(self.size) {
            let mut deployment = self.start(setting).await.context("start the deployment")?;
            self.bar.set_message(format!("memory {}", setting.store.as_str()));
            let much = self.axes.much(self.size);
            let held = memory::measure(&mut deployment, setting.store, much, &self.bar).await?;
            results.memory.extend(held);
        }
        Ok(())
    }

    async fn deploy(&mut self, case: &Case) -> anyhow::Result<Deployment> {
        self.bar.set_message(format!("starting the deployment for {}", case.what()));
        self.start(case.setting).await.with_context(|| format!("start the deployment for {}", case.what()))
    }

    async fn start(&mut self, setting: Setting) -> anyhow::Result<Deployment> {
        self.started += 1;
        Deployment::of(&self.source, setting, self.started).await
    }

    /// Repeats the measurement until the machine was idle throughout. Passes true to `measure` on the first attempt.
    async fn quietly(
        &self,
        what: &str,
        mut measure: impl AsyncFnMut(bool) -> anyhow::Result<Vec<Row>>,
    ) -> anyhow::Result<(Vec<Row>, Busy)> {
        let own = getpid().as_raw_nonzero().get();
        for attempt in 1.. {
            let before = Sample::take()?;
            let rows = measure(attempt == 1).await.with_context(|| format!("measure {what}"))?;
            let busy = Sample::take()?.since(&before, own, self.args.server.is_some());
            if !busy.is_busy || self.args.allow_busy {
                return Ok((rows, busy));
            }
            anyhow::ensure!(
                attempt < TRIES,
                "{}: the figures would be meaningless: stop those processes, or mark the report with --allow-busy",
                busy.tell()
            );
            ui::note(format!("{}: measuring {what} again", busy.tell()));
        }
        anyhow::bail!("no attempt was made")
    }
}

impl Results {
    /// Adds rows, and the load of the machine during them.
    fn add(&mut self, rows: Vec<Row>, busy: Busy) {
        self.rows.extend(rows);
        self.publishable &= !busy.is_busy;
        self.busy = std::mem::take(&mut self.busy).worse(busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{beside::Stored, plan::Scenario};

    #[test]
    fn the_bar_counts_what_is_stored_and_what_is_measured() {
        let axes = Axes {
            scenarios: vec![Scenario::Cost],
            stores: vec![StoreKind::Embedded],
            beside: vec![Stored::Results],
            much: Some(500),
            ..Axes::default()
        };
        // Two levels, three times each.
        assert_eq!(steps(&axes, Size::Quick, 3), 500 + 2 * 3);
        assert_eq!(stores(&axes, Size::Quick), [StoreKind::Embedded]);
    }
}
