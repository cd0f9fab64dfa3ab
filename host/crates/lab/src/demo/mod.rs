//! `fusebox demo`: the main features end to end, on private hosts: registration, invocation, tasks, two functions that
//! exceed their limits, and the same tasks in each mode. All requests go through REST, as a user's would.
//!
//! | module | holds |
//! |---|---|
//! | `modes` | local, push and pull side by side |
//! | `side` | one of them: a host, its workers, the results of its tasks |

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use fusebox_api::functions::LimitParams;
use fusebox_client::{Client, ClientError, Ran};
use fusebox_core::{capability::Grants, function::RunLimits, limits::WAIT_SECONDS_MAX};
use fusebox_ui::{self as ui, progress, receipt, table::Table};

use crate::{
    cluster::{Cluster, Mode, Rigged, Shape},
    process,
};

mod modes;
mod side;

/// Number of tasks on the first host.
const TASKS: u64 = 200;
/// Directory of compiled modules, beside the stores.
const MODULES: &str = "modules";
/// Lines of a text output that are shown.
const LINES_SHOWN: usize = 8;

/// Arguments of `fusebox demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Directory of the compiled examples; `make guests` builds them
    #[arg(long, default_value = "target/guests", value_name = "DIR")]
    pub guests: PathBuf,
    /// Directory with a text, a Markdown document and a picture
    #[arg(long, default_value = "examples/data", value_name = "DIR")]
    pub data: PathBuf,
    /// Directory for the picture and the page that the demo creates
    #[arg(long, default_value = "demo-output", value_name = "DIR")]
    pub out: PathBuf,
}

/// The examples, with the limits they are registered with.
fn examples() -> [(&'static str, LimitParams); 6] {
    let none = LimitParams::default();
    [
        ("hello", none),
        ("word-count", none),
        ("thumbnail", LimitParams { cpu_ms: Some(20_000), wall_ms: Some(30_000), ..none }),
        ("markdown", none),
        ("spin-forever", LimitParams { fuel: Some(RunLimits::CEILING.fuel), wall_ms: Some(250), ..none }),
        ("eat-memory", LimitParams { memory_bytes: Some(16 << 20), ..none }),
    ]
}

/// Runs the demo.
///
/// # Errors
/// Fails if any result differs from the expected one.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("make a directory for the demo's store")?;
    let slots = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let host = Cluster::start(&shape(home.path(), "store", Mode::Local, 0, slots)?).await?;
    let client = host.client()?;
    heading(&format!("A host on {}, its store in {}", host.url()?, home.path().display()))?;
    fs::create_dir_all(&args.out).with_context(|| format!("make {}", args.out.display()))?;
    register(&client, &args.guests).await?;
    invoke(&client, &args).await?;
    tasks(&client).await?;
    fuses(&client).await?;
    host.end().await?;
    modes::run(home.path(), &args).await?;
    heading("Done: the hosts have drained and ended. Next, start your own:")?;
    ui::say("  target/release/fusebox up")?;
    ui::say("  target/release/fusebox deploy target/guests/hello.wasm --name hello")?;
    ui::say("  target/release/fusebox invoke hello --data Ada --receipt")
}

/// Composition of a host with its own store in `home`, and its workers. All hosts share the compiled modules, so that
/// each module is compiled once.
fn shape(home: &Path, store: &str, mode: Mode, workers: u8, slots: u32) -> anyhow::Result<Shape> {
    Ok(Shape {
        program: process::this_program()?,
        mode,
        redis: None,
        nodes: 0,
        workers,
        slots,
        modules: Some(home.join(MODULES)),
        rigged: Rigged::default(),
        home: home.join(store),
    })
}

async fn register(client: &Client, guests: &Path) -> anyhow::Result<()> {
    heading("Six functions are registered: checked, and compiled in a child process")?;
    let examples = examples();
    let bar = progress::bar("compiling", examples.len() as u64);
    let mut table = Table::new(["NAME", "ABI", "MODULE", "COMPILED IN"]);
    for (name, limits) in examples {
        let function = client.register(name, limits, &Grants::default(), guest(guests, name)?).await?;
        let compiled = format!("{} ms", function.compile_ms.unwrap_or_default());
        table.row([function.name, function.abi, ByteSize(function.module_bytes).to_string(), compiled]);
        bar.inc(1);
    }
    bar.finish_and_clear();
    ui::say(table.to_string())
}

/// Reads the module of an example.
fn guest(guests: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = guests.join(name).with_extension("wasm");
    fs::read(&path).with_context(|| format!("{} is missing: run `make guests`", path.display()))
}

async fn invoke(client: &Client, args: &DemoArgs) -> anyhow::Result<()> {
    heading("hello, on \"Ada\"")?;
    show_text(&client.invoke("hello", b"Ada".to_vec(), false).await?)?;

    let (path, text) = input(&args.data, &["txt"])?;
    heading(&format!("word-count, a plain program without the SDK, on {} ({})", path.display(), size(&text)))?;
    show_text(&client.invoke("word-count", text, false).await?)?;

    let (path, document) = input(&args.data, &["md"])?;
    heading(&format!("markdown, on {} ({})", path.display(), size(&document)))?;
    let page = client.invoke("markdown", document, false).await?;
    keep(&page, &args.out.join("page.html"))?;

    let (path, picture) = input(&args.data, &["jpg", "png"])?;
    heading(&format!("thumbnail, on {} ({})", path.display(), size(&picture)))?;
    let small = client.invoke("thumbnail", picture, false).await?;
    keep(&small, &args.out.join("thumbnail.png"))
}

async fn tasks(client: &Client) -> anyhow::Result<()> {
    heading(&format!("{TASKS} tasks: each on disk before its id is answered, each run in a sandbox of its own"))?;
    let started = Instant::now();
    let bar = progress::bar("tasks", TASKS);
    let mut accepted = Vec::new();
    for n in 0..TASKS {
        accepted.push(client.submit("hello", None, Duration::ZERO, format!("task {n}").into_bytes()).await?.id);
    }
    let mut last = None;
    for (n, id) in accepted.iter().enumerate() {
        while !client.wait_for(id, WAIT_SECONDS_MAX).await?.is_ended() {}
        let ran = client.result(id).await?;
        let expected = format!("Hello, task {n}!");
        anyhow::ensure!(ran.output == expected.as_bytes(), "task {id} returned something other than {expected:?}");
        last = Some(ran);
        bar.inc(1);
    }
    bar.finish_and_clear();
    ui::say(format!("{TASKS} of {TASKS} COMPLETED, each with its own result, in {:.2?}", started.elapsed()))?;
    last.map_or(Ok(()), |ran| ui::say(format!("  the last one's receipt: {}", receipt::line(&ran.receipt))))
}

/// Runs two misbehaving functions: each must be cut off, and the next function must run unaffected.
async fn fuses(client: &Client) -> anyhow::Result<()> {
    for (name, what, code) in [
        ("spin-forever", "loops forever; its wall time is 250 ms", "deadline-exceeded"),
        ("eat-memory", "allocates without end; its limit is 16 MiB", "out-of-memory"),
    ] {
        heading(&format!("{name} {what}"))?;
        match client.invoke(name, Vec::new(), false).await {
            Err(ClientError::Problem(problem)) if problem.code == code => {
                ui::say(format!("cut off: {}: {}", problem.code, problem.detail))?;
                let used = problem.receipt.as_ref().map(receipt::line).unwrap_or_default();
                ui::say(format!("  {used}"))?;
            }
            Err(error) => return Err(error).with_context(|| format!("{name} should end with {code}")),
            Ok(_) => anyhow::bail!("{name} returned, and should have ended with {code}"),
        }
    }
    heading("and hello, right after them")?;
    show_text(&client.invoke("hello", b"again".to_vec(), false).await?)
}

fn heading(text: &str) -> anyhow::Result<()> {
    ui::say(format!("\n── {text}"))
}

fn show_text(ran: &Ran) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&ran.output);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(LINES_SHOWN) {
        ui::say(line)?;
    }
    if lines.len() > LINES_SHOWN {
        ui::say(format!("… and {} lines more", lines.len() - LINES_SHOWN))?;
    }
    ui::say(format!("  {}", receipt::line(&ran.receipt)))
}

fn keep(ran: &Ran, path: &Path) -> anyhow::Result<()> {
    fs::write(path, &ran.output).with_context(|| format!("write {}", path.display()))?;
    ui::say(format!("{} in {}", size(&ran.output), path.display()))?;
    ui::say(format!("  {}", receipt::line(&ran.receipt)))
}

fn size(bytes: &[u8]) -> String {
    ByteSize(bytes.len() as u64).to_string()
}

/// Returns the first file of a directory, by name, with one of these extensions.
fn input(dir: &Path, extensions: &[&str]) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}: give --data", dir.display()))?;
    let has = |path: &PathBuf| path.extension().is_some_and(|kind| extensions.iter().any(|wanted| kind == *wanted));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(has).collect();
    paths.sort();
    let path = paths.into_iter().next().with_context(|| format!("no {} in {}", extensions[0], dir.display()))?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((path, bytes))
}
