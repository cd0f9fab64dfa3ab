//! Rolling upgrades and orderly ends: adjacent releases side by side, replaced tokens, hosts that get their first key,
//! workers and dispatchers that say goodbye.

mod closed;
mod goodbye;
mod older;
mod peer;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use fusebox_harness::{Program, eventually};

/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Starts `fusebox` until it prints a line that contains `ready`; each argument is a word of `line`. Its log is stored.
fn fusebox(line: &str, home: &Path, name: &str, ready: &str) -> (Program, PathBuf) {
    let (data, log) = (home.join(name), home.join(format!("{name}.log")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_fusebox"));
    command.args(line.split(' ')).args(["--log", "info", "--data"]).arg(data).stderr(File::create(&log).unwrap());
    (Program::start(command, ready).unwrap(), log)
}

/// Waits until a log contains these words; returns all of it.
async fn logged(log: &Path, words: &str) -> String {
    let look = || async { std::fs::read_to_string(log).ok().filter(|log| log.contains(words)) };
    let found = eventually(words, PATIENCE, look).await;
    found.unwrap_or_else(|error| panic!("{error}: {}", std::fs::read_to_string(log).unwrap()))
}
