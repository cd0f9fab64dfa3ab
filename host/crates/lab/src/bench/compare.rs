//! `fusebox bench compare`: compares two runs row by row, as ratios. Above 1 the second run is better: a higher rate or
//! a shorter time.

use std::path::PathBuf;

use clap::Args;
use fusebox_ui::{self as ui, OutputFormat, table::Table};
use serde::Serialize;

use super::{
    plan::Scenario,
    results::Results,
    row::{Kind, Row},
    stats::spread,
};

/// Arguments of `fusebox bench compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Earlier run: results.json, or its directory
    #[arg(value_name = "A")]
    before: PathBuf,
    /// Later run: results.json, or its directory
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Exit with 1 if a ratio is below this
    #[arg(long, value_name = "RATIO")]
    fail_below: Option<f64>,
}

/// A figure in both runs.
#[derive(Debug, PartialEq, Serialize)]
struct Ratio {
    what: String,
    figure: &'static str,
    before: f64,
    after: f64,
    /// Above 1 the later run is better.
    ratio: f64,
}

/// Comparison of two runs.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Comparison {
    ratios: Vec<Ratio>,
    only_before: Vec<String>,
    only_after: Vec<String>,
}

/// Compares two runs.
///
/// # Errors
/// Fails if there are no results, or a ratio is too low.
pub(super) fn run(args: &CompareArgs, format: OutputFormat) -> anyhow::Result<()> {
    let (before, after) = (Results::read(&args.before)?, Results::read(&args.after)?);
    for (results, path) in [(&before, &args.before), (&after, &args.after)] {
        if !results.publishable {
            ui::note(format!("{} was measured while {}", path.display(), results.busy.tell()));
        }
    }
    let comparison = Comparison::of(&before.rows, &after.rows);
    match format {
        OutputFormat::Json => ui::json(&comparison)?,
        OutputFormat::Text => ui::say(comparison.table())?,
    }
    let least = args.fail_below.unwrap_or(f64::NEG_INFINITY);
    let low: Vec<&Ratio> = comparison.ratios.iter().filter(|ratio| ratio.ratio < least).collect();
    match low.first() {
        None => Ok(()),
        Some(one) => {
            anyhow::bail!(
                "{} ratios are below {least}, such as {:.2}x of {} {}",
                low.len(),
                one.ratio,
                one.what,
                one.figure
            )
        }
    }
}

impl Comparison {
    fn of(before: &[Row], after: &[Row]) -> Self {
        let (left, right) = (figures(before), figures(after));
        let has = |of: &[Figure], wanted: &Figure| of.iter().any(|one| one.is(wanted));
        let missing = |of: &[Figure], from: &[Figure]| {
            let mut names: Vec<String> =
                of.iter().filter(|figure| !has(from, figure)).map(|figure| figure.what.clone()).collect();
            names.dedup();
            names
        };
        let mut ratios = Vec::new();
        for one in &left {
            let Some(other) = right.iter().find(|other| other.is(one)) else { continue };
            let ratio = if one.is_time { one.value / other.value } else { other.value / one.value };
            let (before, after) = (one.value, other.value);
            ratios.push(Ratio { what: one.what.clone(), figure: one.name, before, after, ratio });
        }
        Self { only_before: missing(&left, &right), only_after: missing(&right, &left), ratios }
    }

    fn table(&self) -> String {
        let mut table = Table::new(["ROW", "FIGURE", "A", "B", "RATIO"]);
        for Ratio { what, figure, before, after, ratio } in &self.ratios {
            let number = |value: &f64| format!("{value:.2}");
            table.row([what.clone(), (*figure).to_owned(), number(before), number(after), format!("{ratio:.2}x")]);
        }
        let none = || String::new();
        for what in &self.only_before {
            table.row([what.clone(), none(), "only here".to_owned(), none(), none()]);
        }
        for what in &self.only_after {
            table.row([what.clone(), none(), none(), "only here".to_owned(), none()]);
        }
        format!("{table}\nabove 1.00x, B is better; each figure is the median of its repeats")
    }
}

/// Median of a figure's repeats.
struct Figure {
    kind: Kind,
    what: String,
    name: &'static str,
    is_time: bool,
    value: f64,
}

impl Figure {
    fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }
}

/// Selects a figure of a row.
type Pick = fn(&Row) -> Option<f64>;

fn figures(rows: &[Row]) -> Vec<Figure> {
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in rows.iter().map(Row::kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut figures = Vec::new();
    for kind in kinds {
        let names: &[(&'static str, Pick, bool)] = match kind.scenario {
            Scenario::Latency => &[("p50 ms", |row| row.p50_ms, true), ("p99 ms", |row| row.p99_ms, true)],
            Scenario::Weak | Scenario::Strong => &[("seconds", |row| Some(row.seconds), true)],
            _ => &[("per second", |row| Some(row.per_second), false)],
        };
        for &(name, value, is_time) in names {
            let values: Vec<f64> = rows.iter().filter(|row| row.kind() == kind).filter_map(value).collect();
            if let Some([_, value, _]) = spread(&values) {
                figures.push(Figure { what: kind.to_string(), kind: kind.clone(), name, is_time, value });
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row;

    #[test]
    fn a_run_is_as_good_as_itself() {
        let rows = row::samples();
        let same = Comparison::of(&rows, &rows);
        assert!(same.ratios.iter().all(|ratio| (ratio.ratio - 1.0).abs() < 1e-9), "{same:?}");
        assert!(!same.ratios.is_empty() && same.only_before.is_empty() && same.only_after.is_empty());
        assert!(same.table().contains("1.00x"));
    }

    #[test]
    fn more_a_second_and_less_time_are_better_and_what_one_lacks_is_told() {
        let before = row::samples();
        let mut after = before.clone();
        let gone = after.pop().unwrap();
        for row in &mut after {
            (row.per_second, row.seconds) = (row.per_second * 2.0, row.seconds / 2.0);
            row.p50_ms = row.p50_ms.map(|ms| ms / 2.0);
            row.p99_ms = row.p99_ms.map(|ms| ms / 2.0);
        }
        let comparison = Comparison::of(&before, &after);
        assert!(comparison.ratios.iter().all(|ratio| (ratio.ratio - 2.0).abs() < 1e-9), "{comparison:?}");
        assert_eq!(comparison.only_before, [gone.kind().to_string()]);
        assert_eq!(Comparison::of(&after, &before).only_after, [gone.kind().to_string()]);
    }
}
