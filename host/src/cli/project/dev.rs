//! `fusebox dev`: builds and tests a project at each change of its files, and deploys it where that is wanted.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use fusebox_client::Credentials;
use fusebox_ui::{self as ui, OutputFormat};
use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

use super::{
    local::Local,
    opened::{OUT, Project},
    test,
};
use crate::cli::{
    args::HostArgs,
    deploy::{self, Sending},
    files,
};

/// Time without changes after which they count as complete: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(30);
/// Longest time for which changes that do not end delay a round.
const PATIENCE: Duration = Duration::from_secs(1);
/// Size of the buffer for changes, some hundred of them.
const EVENTS_BYTES: usize = 16 << 10;
/// Folders of a project that are watched.
const FOLDERS_MAX: usize = 10_000;
/// Folders that hold what builds write or packages that were fetched.
const IGNORED: [&str; 7] = [".git", OUT, "target", "build", "node_modules", "__pycache__", ".venv"];

/// Arguments of `fusebox dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
At the start and after each change it builds the project and runs its samples; with --url it then deploys it, if all
samples end as expected and something has changed. Errors are shown, and it goes on. Ctrl-C ends it.

Example:
  fusebox dev --url http://127.0.0.1:8000")]
pub struct DevArgs {
    /// The project's folder, with fusebox.toml
    #[arg(default_value = ".", hide_default_value = true, value_name = "DIR")]
    pub project: PathBuf,
    /// Deploy to the host at this address
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Certificate authority of an https host, in PEM [default: the authorities of this system]
    #[arg(long, env = "FUSEBOX_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// API key, if the host has keys; the environment hides it from other users of the machine
    #[arg(long, env = "FUSEBOX_API_KEY", hide_env_values = true, hide_default_value = true, value_name = "KEY")]
    pub api_key: Option<Credentials>,
}

/// Builds and tests a project until Ctrl-C.
///
/// # Errors
/// Fails if its folder cannot be watched.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    let host = args.url.map(|url| HostArgs { url, ca: args.ca, api_key: args.api_key });
    let (mut watch, local) = (Watch::start(&args.project)?, Local::open()?);
    let mut deployed = None;
    loop {
        let started = Instant::now();
        let round = tokio::task::block_in_place(|| round(&args.project, &local));
        let ended = match round {
            Ok((passed, sending)) => match &host {
                Some(host) if passed && deployed.as_ref() != Some(&sending.print()) => {
                    let print = sending.print();
                    let sent = deploy::send(sending, host, false, OutputFormat::Text).await;
                    deployed = sent.is_ok().then_some(print).or(deployed);
                    sent
                }
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            ui::note(format!("error: {error:#}"));
        }
        ui::say(format!("Done in {} ms; waiting for a change", started.elapsed().as_millis()))?;
        watch = tokio::task::spawn_blocking(move || watch.next()).await??;
    }
}

/// Builds and tests; returns whether all samples end as expected, and what a deploy sends.
fn round(dir: &Path, local: &Local) -> anyhow::Result<(bool, Sending)> {
    let project = Project::open(dir)?;
    let (built, ran) = test::build_and_test(&project, local, &[], false)?;
    ran.iter().try_for_each(test::Ran::print)?;
    Ok((!ran.iter().any(test::Ran::has_failed), Sending::built(&project, built.wasm)))
}

impl Sending {
    /// Returns a text that differs where a deploy would send something else.
    fn print(&self) -> String {
        let Self { name, wasm, mounts, limits, grants, setup, config, is_http: _ } = self;
        let files = files::pack(mounts).ok().flatten().map(|tar| fusebox_sandbox::digest(&tar));
        let module = fusebox_sandbox::digest(wasm);
        format!("{name} {module:?} {files:?} {limits:?} {grants:?} {setup:?} {config:?}")
    }
}

/// Watches a project's files.
struct Watch {
    dir: PathBuf,
    inotify: Arc<OwnedFd>,
    events: Receiver<Changed>,
    /// Watched folders by their number.
    watched: HashMap<i32, PathBuf>,
}

/// Change that the system reports: the number of the folder, and the name of what has changed in it.
struct Changed(i32, Option<OsString>);

impl Watch {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        let inotify = inotify::init(CreateFlags::CLOEXEC).context("cannot watch files")?;
        let (inotify, (sender, events)) = (Arc::new(inotify), channel());
        let read = inotify.clone();
        thread::Builder::new().name("changes".to_owned()).spawn(move || {
            let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
            let mut reader = inotify::Reader::new(read.as_fd(), &mut buffer);
            while let Ok(event) = reader.next() {
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
                // Nobody waits any more.
                if sender.send(Changed(event.wd(), name)).is_err() {
                    break;
                }
            }
        })?;
        let mut watch = Self { dir, inotify, events, watched: HashMap::new() };
        watch.widen()?;
        Ok(watch)
    }

    /// Watches each folder that is not ignored; those that are watched already keep their numbers.
    fn widen(&mut self) -> anyhow::Result<()> {
        self.watched.clear();
        let mut open = vec![self.dir.clone()];
        while let Some(dir) = open.pop() {
            anyhow::ensure!(self.watched.len() < FOLDERS_MAX, "more than {FOLDERS_MAX} folders cannot be watched");
            let flags = WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO;
            match inotify::add_watch(self.inotify.as_fd(), &dir, flags) {
                // Removed since its name was read.
                Err(Errno::NOENT) if dir != self.dir => continue,
                number => {
                    let number = number.with_context(|| format!("cannot watch {}", dir.display()))?;
                    self.watched.insert(number, dir.clone());
                }
            }
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            // A link may lead out of the folder, and is not followed.
            let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(folders.map(|entry| entry.path()).filter(|path| !self.is_ignored(path)));
        }
        Ok(())
    }

    /// Waits for a change, and until changes pause.
    fn next(mut self) -> anyhow::Result<Self> {
        let gone = "the system no longer reports changes: start it again";
        while !self.matters(&self.events.recv().context(gone)?) {}
        let patience = Instant::now() + PATIENCE;
        let mut quiet = Instant::now() + QUIET;
        loop {
            let until = quiet.min(patience);
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(change) if self.matters(&change) => quiet = Instant::now() + QUIET,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!(gone),
            }
            if Instant::now() >= patience {
                break;
            }
        }
        self.widen()?;
        Ok(self)
    }

    /// Returns whether a change may alter what a round does. One without a folder is that of a full queue, from which
    /// anything may be lost.
    fn matters(&self, Changed(number, name): &Changed) -> bool {
        match (self.watched.get(number), name) {
            (Some(dir), Some(name)) => !self.is_ignored(&dir.join(name)),
            (Some(_), None) => false,
            (None, _) => *number < 0,
        }
    }

    /// Returns whether a path below the folder belongs to a build, to version control or to an editor.
    fn is_ignored(&self, path: &Path) -> bool {
        let Ok(inner) = path.strip_prefix(&self.dir) else { return true };
        let names = || inner.components().filter_map(|part| part.as_os_str().to_str());
        let is_swap = names()
            .next_back()
            .is_some_and(|name| name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".wasm"));
        is_swap || names().any(|name| IGNORED.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn changes_of_sources_matter_and_those_of_builds_do_not() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["src", "target"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let watch = Watch::start(home.path()).unwrap();
        for noise in ["target/a", "out.wasm", "src/a.rs~"] {
            fs::write(home.path().join(noise), "x").unwrap();
        }
        fs::read(home.path().join("src/a.rs~")).unwrap();
        fs::create_dir(home.path().join("lib")).unwrap();
        let watch = watch.next().unwrap();
        let left = watch.events.try_iter().any(|change| watch.matters(&change));
        assert!(!left, "they are one change");
        fs::write(home.path().join("lib/new.rs"), "x").unwrap();
        let watch = watch.next().unwrap();
        fs::rename(home.path().join("lib/new.rs"), home.path().join("lib/other.rs")).unwrap();
        drop(watch.next().unwrap());
    }
}
