//! The same tasks in local, push and pull mode, side by side: all must give the same results. A table shows their
//! speed, and where they ran.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fusebox_api::{functions::LimitParams, tasks::TaskView};
use fusebox_core::capability::Grants;
use fusebox_ui::{self as ui, progress, receipt, table::Table};
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use super::{
    DemoArgs, guest, heading, input,
    side::{Ran, Side, WORKERS},
};
use crate::cluster::Mode;

const MODES: [Mode; 3] = [Mode::Local, Mode::Push, Mode::Pull];
/// Tasks of the batch: greetings, word counts, and one that runs out of fuel.
const HELLOS: usize = 400;
const WORD_COUNTS: usize = 20;
/// Fuel for about 50 ms of loops.
const SPIN_FUEL: u64 = 50_000_000;
/// Number of tasks submitted one after the other.
const SINGLES: usize = 50;
/// Many times the duration of the whole comparison.
const PATIENCE: Duration = Duration::from_secs(120);
const COMPLETED: &str = "COMPLETED";

/// A task of the batch, and its expected end.
struct Item {
    line: Value,
    /// `COMPLETED` or the expected error code.
    end: &'static str,
    /// Expected output in base64, if known beforehand.
    output: Option<String>,
}

/// Runs the comparison. All hosts and workers have ended when this returns.
pub(super) async fn run(home: &Path, args: &DemoArgs) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    let compared = tokio::time::timeout(PATIENCE, compare(&mut sides, home, args)).await;
    let compared = compared.unwrap_or_else(|_| Err(anyhow::anyhow!("the tasks have not ended within {PATIENCE:?}")));
    let ended: anyhow::Result<()> = join_all(sides.into_iter().map(Side::end)).await.into_iter().collect();
    compared.and(ended)
}

async fn compare(sides: &mut Vec<Side>, home: &Path, args: &DemoArgs) -> anyhow::Result<()> {
    let items = items(&String::from_utf8_lossy(&input(&args.data, &["txt"])?.1));
    heading(&format!(
        "{} tasks on each of three hosts at the same time: in the host, by push workers, by pull workers",
        items.len()
    ))?;
    *sides = try_join_all(MODES.map(|mode| Side::start(home, mode))).await?;
    for side in &*sides {
        for name in ["hello", "word-count", "spin-forever"] {
            side.client.register(name, LimitParams::default(), &Grants::default(), guest(&args.guests, name)?).await?;
        }
    }
    let lines: String = items.iter().map(|item| format!("{}\n", item.line)).collect();
    let bars = progress::bars(MODES.map(Mode::as_str), items.len() as u64);
    let batches = sides.iter().zip(&bars).map(|(side, bar)| side.batch(lines.clone().into(), items.len(), bar));
    let ran = try_join_all(batches).await?;
    bars.iter().for_each(|bar| bar.finish_and_clear());
    for (side, one) in sides.iter().zip(&ran) {
        check(side.mode, &items, &one.tasks, &ran[0].tasks)?;
    }
    let medians = medians_of_singles(sides).await?;
    ui::say(table(sides, &ran, &medians).await?)?;
    ui::say(format!(
        "all {} results are the same in the three modes; P50 is of {SINGLES} single tasks, each with `Prefer: wait`",
        items.len()
    ))
}

fn items(text: &str) -> Vec<Item> {
    let spin = json!({"function": "spin-forever", "limits": {"fuel": SPIN_FUEL}});
    let spin = Item { line: spin, end: "out-of-fuel", output: None };
    let counts = (0..WORD_COUNTS).map(|skipped| {
        let rest: Vec<&str> = text.lines().skip(skipped).collect();
        let line = json!({"function": "word-count", "text": rest.join("\n")});
        Item { line, end: COMPLETED, output: None }
    });
    let hellos = (0..HELLOS).map(|n| {
        let output = STANDARD.encode(format!("Hello, task {n}!"));
        Item { line: json!({"text": format!("task {n}")}), end: COMPLETED, output: Some(output) }
    });
    std::iter::once(spin).chain(counts).chain(hellos).collect()
}

/// Checks that each task has ended as expected, with the same result as in the other mode.
fn check(mode: Mode, items: &[Item], tasks: &[TaskView], elsewhere: &[TaskView]) -> anyhow::Result<()> {
    for ((item, task), other) in items.iter().zip(tasks).zip(elsewhere) {
        let (mode, id) = (mode.as_str(), &task.id);
        let end = task.error.as_ref().map_or(task.status.as_str(), |error| &error.code);
        anyhow::ensure!(end == item.end, "task {id} of mode {mode} should end with {}, not with {end}", item.end);
        anyhow::ensure!(task.result.is_some(), "task {id} of mode {mode} has no result");
        anyhow::ensure!(task.result == other.result, "task {id} has another result in mode {mode}");
        let is_known = item.output.is_none() || item.output == task.result;
        anyhow::ensure!(is_known, "task {id} of mode {mode} returned an unexpected result");
    }
    Ok(())
}

/// Submits single tasks, one after the other and to each side in turn, so that other load on the machine affects all
/// alike. Returns each side's median time from submission to result, in microseconds.
async fn medians_of_singles(sides: &[Side]) -> anyhow::Result<Vec<u64>> {
    let bar = progress::bar("single tasks", (SINGLES * sides.len()) as u64);
    let mut times = vec![Vec::new(); sides.len()];
    for n in 0..SINGLES {
        let output = STANDARD.encode(format!("Hello, single {n}!"));
        for (side, times) in sides.iter().zip(&mut times) {
            let started = Instant::now();
            let task = side.client.submit_and_wait("hello", format!("single {n}").into()).await?;
            times.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            let is_right = task.result.as_ref() == Some(&output);
            anyhow::ensure!(is_right, "task {} of mode {} ended as {}", task.id, side.mode.as_str(), task.status);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        times[SINGLES / 2]
    };
    Ok(times.into_iter().map(median).collect())
}

async fn table(sides: &[Side], ran: &[Ran], medians: &[u64]) -> anyhow::Result<String> {
    let header = ["MODE", "WORKERS", "SLOTS", "TASKS", "COMPLETED", "FAILED", "TASKS/S", "P50", "RAN IN"];
    let mut table = Table::new(header);
    for ((side, ran), median) in sides.iter().zip(ran).zip(medians) {
        let slots: u32 = side.workers().await?.iter().map(|worker| worker.slots).sum();
        let completed = ran.tasks.iter().filter(|task| task.status == COMPLETED).count();
        let places: Vec<String> = ran.places.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let a_second = ran.tasks.len() as f64 / ran.took.as_secs_f64();
        table.row([
            side.mode.as_str().to_owned(),
            match side.mode {
                Mode::Local => "in the host".to_owned(),
                Mode::Push | Mode::Pull => format!("{WORKERS} processes"),
            },
            slots.to_string(),
            ran.tasks.len().to_string(),
            completed.to_string(),
            (ran.tasks.len() - completed).to_string(),
            format!("{a_second:.0}"),
            receipt::time(*median),
            places.join(", "),
        ]);
    }
    Ok(table.to_string())
}
