//! Estimates the duration of a run from its cases, with the rates of a small machine.

use std::time::Duration;

use super::{
    axes::Axes,
    beside::{Beside, Stored},
    guests::{Function, Work},
    load::to_f64,
    plan::{Case, Scenario, Setting, Size},
};

/// Seconds until a deployment is ready, and more for each worker.
const START: f64 = 1.5;
const WORKER: f64 = 0.3;
/// Seconds of a case's warm-up and of the polling for its end.
const AROUND: f64 = 0.3;
/// Tasks per second: one per request, in batches, and sync invokes; then results read per second.
const TASKS: f64 = 5_000.0;
const BATCHED: f64 = 8_000.0;
const INVOKES: f64 = 25_000.0;
const RESULTS: f64 = 60_000.0;
/// Seconds of one task on an idle system.
const IDLE: f64 = 0.002;
/// Seconds of one step of the CPU function.
const STEP: f64 = 1.5e-9;
/// Functions registered per second, with their own modules and with a shared one.
const OWN_MODULES: f64 = 40.0;
const FUNCTIONS: f64 = 800.0;

/// Estimates the total duration.
pub(super) fn of(axes: &Axes, size: Size, repeats: u32, work: Work) -> Duration {
    let cases = axes.cases(size);
    let mut seconds = 0.0;
    for of_one in cases.chunk_by(|one, next| one.setting == next.setting) {
        seconds += of_one.first().map_or(0.0, |case| start(case.setting));
        seconds += of_one.iter().map(|case| AROUND + f64::from(repeats) * once(case, work)).sum::<f64>();
    }
    for (case, levels) in axes.comparisons(size) {
        seconds += 2.0 * start(case.setting);
        seconds += levels.first().into_iter().chain(levels.get(1)).map(fill).sum::<f64>();
        seconds += to_f64(levels.len() as u64) * (AROUND + f64::from(repeats) * once(&case, work));
    }
    for setting in axes.memories(size) {
        let much = to_f64(axes.much(size));
        seconds += start(setting) + much / BATCHED + much / 100.0 / FUNCTIONS;
    }
    Duration::from_secs_f64(seconds)
}

fn start(setting: Setting) -> f64 {
    START + WORKER * f64::from(setting.workers)
}

/// Estimates one measurement of a case, including reading its results.
fn once(case: &Case, work: Work) -> f64 {
    let tasks = to_f64(case.tasks);
    let slots = f64::from(case.setting.workers) * f64::from(case.setting.slots);
    let run = match case.function {
        Function::Sleep => f64::from(work.sleep_ms) / 1_000.0 / slots.max(1.0),
        Function::Cpu => f64::from(work.cpu_steps) * STEP,
        Function::NoOp | Function::Echo => 0.0,
    };
    let sent = match (case.scenario, case.rate) {
        (_, Some(rate)) => tasks / f64::from(rate),
        (Scenario::Latency, None) => tasks * IDLE,
        (Scenario::Batch, None) => tasks / BATCHED,
        (Scenario::Invoke, None) => tasks / INVOKES,
        (_, None) => tasks / TASKS,
    };
    sent.max(tasks * run) + tasks / RESULTS
}

fn fill(beside: &Beside) -> f64 {
    match beside.stored {
        Stored::Waiting | Stored::Results => to_f64(beside.count) / BATCHED,
        Stored::Functions => to_f64(beside.count) / OWN_MODULES,
    }
}

/// Formats the estimate in words.
pub(super) fn tell(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("about {} s", seconds.max(1).next_multiple_of(5)),
        seconds => format!("about {} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work { sleep_ms: 100, cpu_steps: 1_000_000 };

    fn seconds(axes: &Axes, size: Size) -> f64 {
        of(axes, size, 1, WORK).as_secs_f64()
    }

    #[test]
    fn more_takes_longer_and_what_is_known_is_in_it() {
        let all = Axes::default();
        let times = [Size::Smoke, Size::Quick, Size::Full].map(|size| seconds(&all, size));
        assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
        let latency = Axes { scenarios: vec![Scenario::Latency], rates: vec![100], ..Axes::default() };
        let latency = Axes { tasks: Some(6_000), ..latency };
        // Three modes, each for a minute at this rate.
        assert!((180.0..260.0).contains(&seconds(&latency, Size::Quick)));
        let much = |much| Axes { scenarios: vec![Scenario::Cost], much: Some(much), ..Axes::default() };
        assert!(seconds(&much(1_000_000), Size::Quick) > 2.0 * seconds(&much(100_000), Size::Quick));
    }

    #[test]
    fn times_are_told_roundly() {
        assert_eq!(tell(Duration::from_secs(3)), "about 5 s");
        assert_eq!(tell(Duration::from_secs(61)), "about 65 s");
        assert_eq!(tell(Duration::from_secs(130)), "about 3 minutes");
    }
}
