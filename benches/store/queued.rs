//! Cost of a deep queue in the embedded store: memory and disk space, and the time to open it again after its process
//! was killed.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use fusebox_core::keep::Keep;
use fusebox_store::{Store, embedded::EmbeddedStore};
use fusebox_system::clock::Clock;

use crate::{FILL, place::bytes_in, steps::Steps};

/// Argument of the process that fills a store, before the number and the directory.
pub(crate) const FILLS: &str = "--fill";

/// Fills a store in a process of its own, kills it, and opens the store again.
pub(crate) async fn queued(tasks: usize) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("store");
    let mut command = Command::new(std::env::current_exe()?);
    let command = command.arg(FILLS).arg(tasks.to_string()).arg(&dir);
    let start = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    let pid = i32::try_from(child.id())?;
    let status = procfs::process::Process::new(pid).and_then(|process| process.status());
    child.kill()?;
    child.wait()?;
    anyhow::ensure!(line.trim() == tasks.to_string(), "the store was not filled");
    let anonymous = status?.rssanon.context("its memory")?;
    println!(
        "embedded: {tasks} queued in {:.1?}: {:.1} MB of anonymous memory, {:.1} MB on disk",
        start.elapsed(),
        anonymous as f64 * 1_024.0 / 1e6,
        bytes_in(&dir)? as f64 / 1e6
    );
    let start = Instant::now();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&dir, Clock::System)?);
    let opened = start.elapsed();
    Steps::new(store, "default", Keep::DEFAULT).await?.lease(1).await?;
    println!(
        "embedded: after kill -9 opened in {opened:.1?}, the first lease answered {:.1?} later",
        start.elapsed() - opened
    );
    Ok(())
}

/// Fills a store, tells it, and waits for its end.
pub(crate) async fn fill(tasks: usize, dir: &Path) -> anyhow::Result<()> {
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(dir, Clock::System)?);
    let steps = Steps::new(store, "default", Keep::DEFAULT).await?;
    for count in crate::parts(tasks, FILL) {
        steps.accept(count).await?;
    }
    println!("{tasks}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
