//! Cost of a task beside much stored data: two deployments, one with much and one with little, are measured
//! alternately, and the figure is their ratio.

use fusebox_ui as ui;
use indicatif::ProgressBar;

use super::{
    beside::{Beside, Stored},
    deployment::Deployment,
    fill::{self, Modules},
    guests::Function,
    measure,
    plan::{Case, StoreKind},
    row::Row,
    run::Bench,
    stats::spread,
};
use crate::cluster::Mode;

/// The two deployments of a comparison.
pub(super) struct Pair {
    pub(super) little: Deployment,
    pub(super) much: Deployment,
    levels: Vec<Beside>,
}

impl Pair {
    /// Fills both deployments.
    pub(super) async fn fill(
        mut little: Deployment,
        mut much: Deployment,
        levels: Vec<Beside>,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        for deployment in [&mut little, &mut much] {
            deployment.register_plain(Function::NoOp).await?;
        }
        let (few, many) = (levels[0], levels[1]);
        for (deployment, beside) in [(&mut little, few), (&mut much, many)] {
            match beside.stored {
                Stored::Waiting => fill::waiting(deployment, beside.count, bar).await?,
                Stored::Results => fill::results(deployment, beside.count, bar).await?,
                Stored::Functions => fill::functions(deployment, 0..beside.count, Modules::Own, bar).await?,
            }
        }
        Ok(Self { little, much, levels })
    }

    /// Measures the levels alternately, as often as any case is repeated.
    pub(super) async fn measure(&self, bench: &Bench<'_>, case: &Case) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for repeat in 1..=bench.repeats {
            for (at, beside) in self.levels.iter().enumerate() {
                let deployment = if at == 0 { &self.little } else { &self.much };
                let case = Case { beside: Some(*beside), ..*case };
                if repeat == 1 {
                    measure::warm(deployment, &case, bench.work).await?;
                }
                rows.push(measure::once(deployment, &case, bench.work, repeat).await?);
                bench.bar.inc(1);
            }
        }
        rows.sort_by_key(|row| (row.stored, row.called, row.repeat));
        Ok(rows)
    }
}

/// Cost of a task beside much data, as a multiple of the cost beside little.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ratio {
    /// The two levels.
    pub(super) what: String,
    pub(super) store: StoreKind,
    pub(super) mode: Mode,
    /// Minimum, median and maximum of the repeats.
    pub(super) ratio: [f64; 3],
}

/// Computes the ratios of these rows.
pub(super) fn ratios(rows: &[Row]) -> Vec<Ratio> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.beside.is_some()).collect();
    let pair = |one: &Row, other: &Row| (one.store, one.mode, one.beside) == (other.store, other.mode, other.beside);
    let level = |row: &Row| (row.stored, row.called);
    let mut ratios = Vec::new();
    for of_pair in rows.chunk_by(|one, next| pair(one, next)) {
        let Some(least) = of_pair.iter().map(|row| level(row)).min() else { continue };
        let base: Vec<&&Row> = of_pair.iter().filter(|row| level(row) == least).collect();
        for of_level in of_pair.chunk_by(|one, next| level(one) == level(next)) {
            let Some(first) = of_level.first().filter(|row| level(row) != least) else { continue };
            let costs = of_level.iter().filter_map(|row| {
                let base = base.iter().find(|base| base.repeat == row.repeat)?;
                Some(base.per_second / row.per_second)
            });
            let Some(ratio) = spread(&costs.collect::<Vec<_>>()) else { continue };
            let count = |count: Option<u64>| ui::count(count.unwrap_or_default());
            let stored = first.beside.map_or("", Stored::as_str);
            let all = if first.called == first.stored { ", all of them called" } else { "" };
            let what = format!("{} {stored} / {}{all}", count(first.stored), count(least.0));
            ratios.push(Ratio { what, store: first.store, mode: first.mode, ratio });
        }
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{beside::CALLED, plan::Setting};

    #[test]
    fn each_ratio_is_of_rounds_that_took_turns() {
        let setting = Setting { store: StoreKind::Redis, mode: Mode::Push, workers: 1, slots: 4, is_up: false };
        let mut rows = Vec::new();
        for beside in Stored::Functions.levels(100_000) {
            for repeat in 1..=3 {
                let case = Case { beside: Some(beside), ..Case::of_cost(setting, 64, 100) };
                let mut row = Row::of(&case, repeat);
                // The machine slows down from round to round; many functions cost a tenth more, calling all of them
                // half more.
                let slower = match beside {
                    Beside { count: CALLED, .. } => 1.0,
                    Beside { called: CALLED, .. } => 1.1,
                    _ => 1.5,
                };
                row.per_second = 1_000.0 / f64::from(repeat) / slower;
                rows.push(row);
            }
        }
        let ratios = ratios(&rows);
        assert_eq!(ratios.len(), 2);
        assert_eq!(ratios[0].what, "1,000 functions / 10");
        assert_eq!(ratios[1].what, "1,000 functions / 10, all of them called");
        assert!(ratios[0].ratio.iter().all(|ratio| (ratio - 1.1).abs() < 1e-9), "{ratios:?}");
        assert!(ratios[1].ratio.iter().all(|ratio| (ratio - 1.5).abs() < 1e-9), "{ratios:?}");
    }
}
