//! The charts of a run: bars from zero at the median of the repeats, with a line from the minimum to the maximum.

use super::{
    cost::{self, Ratio},
    load::to_f64,
    plan::Scenario,
    row::Row,
    stats::spread,
};

/// A chart as plain data.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// File name without its extension.
    pub(super) name: String,
    pub(super) title: String,
    /// Label of the x axis.
    pub(super) x: &'static str,
    /// Label of the y axis, with its unit.
    pub(super) y: &'static str,
    pub(super) groups: Vec<String>,
    pub(super) series: Vec<Series>,
    /// Ideal result: its label, and its height for each group.
    pub(super) ideal: Option<(&'static str, Vec<Option<f64>>)>,
    /// True if other processes used the machine, so that the figures are unreliable.
    pub(super) is_busy: bool,
}

/// Bars of one color.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// Minimum, median and maximum for each group.
    pub(super) bars: Vec<Option<[f64; 3]>>,
}

type Text = fn(&Row) -> String;
type Value = fn(&Row) -> Option<f64>;

impl Chart {
    /// Builds the charts of these rows, without empty ones.
    pub(super) fn of(rows: &[Row]) -> Vec<Self> {
        let of = |scenario: Scenario| -> Vec<&Row> { rows.iter().filter(|row| row.scenario == scenario).collect() };
        let per_second: Value = |row| Some(row.per_second);
        let mut charts = Vec::new();
        for (scenario, title) in [
            (Scenario::Burst, "Durable tasks, one HTTP request each, first request to last end"),
            (Scenario::Batch, "Durable tasks in batches of 500, first request to last end"),
            (Scenario::Invoke, "Sync invokes"),
        ] {
            let mut chart = Self::new(scenario.as_str(), title, "function, store, workers x slots", "tasks per second");
            chart.add(&of(scenario), place, by_mode, per_second);
            charts.push(chart);
        }
        let mut chart = Self::new(
            "payload",
            "Durable tasks that answer their input, by its size",
            "input in bytes",
            "tasks per second",
        );
        chart.add(&of(Scenario::Payload), |row| row.payload_bytes.to_string(), by_mode_and_store, per_second);
        charts.push(chart);

        let latency = of(Scenario::Latency);
        let (open, idle): (Vec<&Row>, Vec<&Row>) = latency.into_iter().partition(|row| row.rate.is_some());
        let percentiles: [(&str, &str, Value); 2] =
            [("p50", "median", |row| row.p50_ms), ("p99", "p99", |row| row.p99_ms)];
        let title = "One task after the other, submission to result";
        let mut chart = Self::new("latency", title, "mode, function, store, workers x slots", "milliseconds");
        for (name, _, value) in percentiles {
            chart.add_named(name, &idle, |row| format!("{}, {}", row.mode.as_str(), place(row)), value);
        }
        charts.push(chart);
        for (name, word, value) in percentiles {
            let title = format!("Tasks at a fixed rate, intended start to result, {word}");
            let name = format!("open-loop-{name}");
            let mut chart = Self::new(&name, &title, "requests per second", "milliseconds");
            chart.add(&open, |row| row.rate.unwrap_or_default().to_string(), by_mode_and_store, value);
            charts.push(chart);
        }
        charts.extend(scaling(&of(Scenario::Weak), "weak", "Weak scaling: a fixed number of sleeping tasks per slot"));
        charts.extend(scaling(&of(Scenario::Strong), "strong", "Strong scaling: the same tasks, more workers"));
        charts.push(cost(rows));
        charts.retain(|chart| !chart.groups.is_empty());
        charts
    }

    fn new(name: &str, title: &str, x: &'static str, y: &'static str) -> Self {
        let (name, title) = (name.to_owned(), title.to_owned());
        Self { name, title, x, y, groups: Vec::new(), series: Vec::new(), ideal: None, is_busy: false }
    }

    /// Adds bars, one color for each `series`.
    fn add(&mut self, rows: &[&Row], group: Text, series: Text, value: Value) {
        let mut names: Vec<String> = Vec::new();
        for name in rows.iter().map(|row| series(row)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let rows: Vec<&Row> = rows.iter().copied().filter(|row| series(row) == name).collect();
            self.add_named(&name, &rows, group, value);
        }
    }

    /// Adds bars of one color.
    fn add_named(&mut self, name: &str, rows: &[&Row], group: Text, value: Value) {
        for group in rows.iter().map(|row| group(row)) {
            if !self.groups.contains(&group) {
                self.groups.push(group);
            }
        }
        let bars = self.groups.iter().map(|wanted| {
            let values: Vec<f64> =
                rows.iter().filter(|row| group(row) == *wanted).filter_map(|row| value(row)).collect();
            spread(&values)
        });
        let bars = bars.collect();
        self.series.push(Series { name: name.to_owned(), bars });
    }

    /// Height of the highest bar or line.
    pub(super) fn highest(&self) -> f64 {
        let bars = self.series.iter().flat_map(|series| series.bars.iter().flatten());
        let ideal = self.ideal.iter().flat_map(|(_, heights)| heights.iter().flatten().copied());
        bars.map(|[_, _, most]| *most).chain(ideal).fold(0.0, f64::max)
    }
}

/// One chart for each number of tasks, per slot in weak scaling, in total in strong scaling.
fn scaling(rows: &[&Row], name: &str, title: &str) -> Vec<Chart> {
    let each = |row: &Row| match row.scenario {
        Scenario::Weak => row.tasks / (u64::from(row.workers) * u64::from(row.slots)).max(1),
        _ => row.tasks,
    };
    let mut sizes: Vec<u64> = rows.iter().map(|row| each(row)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let charts = sizes.into_iter().map(|size| {
        let of_size: Vec<&Row> = rows.iter().copied().filter(|row| each(row) == size).collect();
        let title = if name == "weak" { format!("{title} ({size})") } else { format!("{title} ({size} tasks)") };
        let mut chart = Chart::new(&format!("{name}-{size}"), &title, "workers", "seconds");
        let workers: Text = |row| row.workers.to_string();
        chart.add(&of_size, workers, by_mode_and_store, |row| Some(row.seconds));
        let ideal =
            |group: &String| of_size.iter().find(|row| workers(row) == *group).and_then(|row| row.ideal_seconds);
        chart.ideal = Some(("ideal: the sleep alone", chart.groups.iter().map(ideal).collect()));
        chart
    });
    charts.collect()
}

/// Cost of a task beside much stored data, as a multiple of the cost beside little.
fn cost(rows: &[Row]) -> Chart {
    let title = "Cost of a task with much stored data, relative to little";
    let mut chart = Chart::new("cost", title, "stored beside / beside little", "times the cost beside little");
    let ratios = cost::ratios(rows);
    for ratio in &ratios {
        if !chart.groups.contains(&ratio.what) {
            chart.groups.push(ratio.what.clone());
        }
    }
    for ratio in &ratios {
        let place = |ratio: &Ratio| format!("{}, {}", ratio.mode.as_str(), ratio.store.as_str());
        let name = place(ratio);
        if chart.series.iter().all(|series| series.name != name) {
            let bar = |group: &String| ratios.iter().find(|one| place(one) == name && one.what == *group);
            let bars = chart.groups.iter().map(|group| bar(group).map(|ratio| ratio.ratio)).collect();
            chart.series.push(Series { name, bars });
        }
    }
    chart.ideal = Some(("ideal: the same", vec![Some(1.0); chart.groups.len()]));
    chart
}

fn place(row: &Row) -> String {
    format!("{}, {}, {}x{}", row.function.as_str(), row.store.as_str(), row.workers, row.slots)
}

fn by_mode(row: &Row) -> String {
    row.mode.as_str().to_owned()
}

fn by_mode_and_store(row: &Row) -> String {
    format!("{}, {}", row.mode.as_str(), row.store.as_str())
}

/// Formats a bar's value to about three significant digits.
pub(super) fn short(value: f64) -> String {
    match value {
        value if value >= 1_000_000.0 => format!("{:.2}M", value / 1_000_000.0),
        value if value >= 10_000.0 => format!("{:.1}k", value / 1_000.0),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Formats an axis label without trailing zeros.
pub(super) fn tick(value: f64) -> String {
    let text = short(value);
    let (number, unit) = text.split_at(text.trim_end_matches(['k', 'M']).len());
    match number.contains('.') {
        true => format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.')),
        false => text,
    }
}

/// Returns a step of 1, 2 or 5 times a power of ten that divides the height into about six.
pub(super) fn step(highest: f64) -> f64 {
    let rough = (highest / 6.0).max(f64::MIN_POSITIVE);
    let power = 10.0_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// Left and right edge of bar `at` of `count` in its group, whose width is 1.
pub(super) fn edges(group: usize, at: usize, count: usize) -> [f64; 2] {
    const FILLED: f64 = 0.8;
    let [group, at, count] = [group, at, count.max(1)].map(|number| to_f64(number as u64));
    let width = FILLED / count;
    let left = group + (1.0 - FILLED) / 2.0 + at * width;
    [left + 0.04 * width, left + 0.96 * width]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row;

    #[test]
    fn every_scenario_has_its_charts() {
        let charts = Chart::of(&row::samples());
        let names: Vec<&str> = charts.iter().map(|chart| chart.name.as_str()).collect();
        let wanted =
            ["burst", "batch", "invoke", "payload", "latency", "open-loop-p50", "open-loop-p99", "weak-5", "cost"];
        for name in wanted {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        for chart in &charts {
            assert!(chart.series.iter().all(|series| series.bars.len() == chart.groups.len()), "{}", chart.name);
            let ideal = chart.ideal.iter().flat_map(|(_, heights)| heights);
            assert!(ideal.clone().all(Option::is_some) && ideal.count() <= chart.groups.len(), "{}", chart.name);
        }
        assert!(Chart::of(&[]).is_empty());
    }

    #[test]
    fn steps_are_round_and_figures_short() {
        assert_eq!([50.0, 0.7, 12_000.0].map(step), [10.0, 0.2, 2_000.0]);
        assert_eq!([12_345.0, 1_234.0, 12.34, 1.234].map(short), ["12.3k", "1234", "12.3", "1.23"]);
        assert_eq!([20_000.0, 500.0, 14.0, 0.2, 0.0].map(tick), ["20k", "500", "14", "0.2", "0"]);
    }

    #[test]
    fn bars_of_a_group_stand_side_by_side_within_it() {
        let [first, second] = [edges(2, 0, 2), edges(2, 1, 2)];
        assert!(2.0 < first[0] && first[1] < second[0] && second[1] < 3.0);
    }
}
