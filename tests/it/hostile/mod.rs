//! The hostile corpus through the real upload API of real processes, in each mode: every module has the required result
//! in time, the processes survive within their memory limits, and a well-behaved function is answered correctly
//! throughout.
//!
//! Prints a table of the corpus by mode, and writes it to `target/tmp/hostile-corpus.md`.

mod beside;
mod deployment;
mod table;

use std::time::Instant;

use fusebox_harness::Client;
use fusebox_hostile::{Hostile, Must, corpus, imports_attacked};
use reqwest::StatusCode;

use self::{
    beside::{Lateness, Neighbour},
    deployment::Deployment,
    table::Table,
};
use crate::server;

/// Permitted excess of a run over its wall time: this or a tenth, whichever is more.
const SLACK_MS: u64 = 100;
/// Time within which any upload is answered: the compile child's wall time plus the preceding checks.
const REGISTER_MS_MAX: u64 = 15_000;

/// Maximum size of the message about a refused or failed module, including names from the module.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Result of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Error code, or `completed`.
    outcome: String,
    /// True if the module was refused at registration.
    refused: bool,
    /// Duration of the upload or of the run.
    took_ms: u64,
    /// Message.
    said: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_is_contained_in_every_mode() {
    let corpus = corpus();
    let mut table = Table::new(&corpus);
    let mut faults = Vec::new();
    let lateness = Lateness::start();
    for mode in ["local", "push", "pull"] {
        let deployment = Deployment::start(mode);
        let neighbour = Neighbour::beside(&deployment).await;
        for hostile in &corpus {
            lateness.forget();
            let fate = meet(&deployment.client(), hostile).await;
            let late_ms = lateness.worst_ms();
            faults.extend(wrong(hostile, &fate, late_ms).map(|what| format!("{mode}: {}: {what}", hostile.name)));
            deployment.still_the_same().unwrap_or_else(|error| panic!("{mode}: {}: {error}", hostile.name));
            table.add(fate);
        }
        table.note(neighbour.leave(mode).await);
        table.note(deployment.memory());
    }
    let text = table.text();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/hostile-corpus.md"), &text).unwrap();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Uploads a module and, if it is accepted, runs it.
async fn meet(client: &Client, hostile: &Hostile) -> Fate {
    let started = Instant::now();
    let path = format!("/v1/functions?name={}{}", hostile.name, hostile.limits);
    let answer = client.post(&path, hostile.wasm.clone()).await.unwrap();
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
    if answer.status == StatusCode::ACCEPTED {
        assert_eq!(client.compiled(&hostile.name).await.unwrap(), "ready", "{}", hostile.name);
    } else if answer.status != StatusCode::CREATED {
        assert!(!answer.status.is_server_error(), "{}: {answer}", hostile.name);
        assert!(answer.body.len() < ANSWER_BYTES_MAX, "{}: an answer of {} bytes", hostile.name, answer.body.len());
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        return Fate { outcome: answer.code(), refused: true, took_ms, said };
    }
    let task = client.submit(&hostile.name, b"an input").await.unwrap();
    let ended = client.ended(&task).await.unwrap();
    assert_eq!(ended["attempt"], 1, "{}: what a guest does is not tried again: {ended}", hostile.name);
    assert!(ended["error"].to_string().len() < ANSWER_BYTES_MAX, "{}: {}", hostile.name, ended["error"]);
    let outcome = ended["error"]["code"].as_str().unwrap_or("completed").to_owned();
    let took_ms = ended["receipt"]["wall_us"].as_u64().unwrap() / 1_000;
    Fate { outcome, refused: false, took_ms, said: ended["error"].to_string() }
}

/// Returns the deviations from the required result. `late_ms` is the machine's own delay in the meantime, caused by
/// parallel tests.
fn wrong(hostile: &Hostile, fate: &Fate, late_ms: u64) -> impl Iterator<Item = String> {
    let must: &[(bool, &str)] = match hostile.must {
        Must::BeRefused(code) => &[(true, code)],
        Must::Fail(code) => &[(false, code)],
        Must::Complete => &[(false, "completed")],
        Must::CompleteOrBadPointer => &[(false, "completed"), (false, "bad-pointer")],
    };
    let most_ms = match fate.refused {
        true => REGISTER_MS_MAX,
        false => hostile.wall_ms + SLACK_MS.max(hostile.wall_ms / 10),
    };
    let other =
        (!must.contains(&(fate.refused, &fate.outcome))).then(|| format!("{fate:?} instead of {:?}", hostile.must));
    let late = (fate.took_ms > most_ms + late_ms)
        .then(|| format!("it took {} ms, {most_ms} is the most, and the machine was late by {late_ms}", fate.took_ms));
    other.into_iter().chain(late)
}

#[tokio::test]
async fn every_import_that_is_offered_is_attacked() {
    let (server, _home) = server(&[]);
    let unknown = corpus().into_iter().find(|hostile| hostile.name == "import-unknown").unwrap();
    let answer = server.client().post("/v1/functions?name=unknown", unknown.wasm).await.unwrap().json().unwrap();
    let detail = answer["detail"].as_str().unwrap();
    let offered = detail.split_once("fusebox has ").and_then(|(_, rest)| rest.split_once(", and ")).unwrap().0;
    for name in offered.split(", ") {
        assert!(imports_attacked().contains(&name), "{name}: add it to tests/hostile/src/pointers.rs");
    }
}

#[test]
fn a_fate_that_is_not_as_it_must_be_is_told() {
    let hostile = corpus().into_iter().find(|hostile| hostile.name == "spin").unwrap();
    let fate =
        |outcome: &str, refused, took_ms| Fate { outcome: outcome.to_owned(), refused, took_ms, said: String::new() };
    let faults = |fate: Fate, late_ms| wrong(&hostile, &fate, late_ms).count();
    assert_eq!(faults(fate("deadline-exceeded", false, 300), 0), 0);
    assert_eq!(faults(fate("deadline-exceeded", false, 301), 0), 1, "late");
    assert_eq!(faults(fate("deadline-exceeded", false, 301), 1), 0, "as late as the machine");
    assert_eq!(faults(fate("completed", false, 200), 0), 1, "another outcome");
    assert_eq!(faults(fate("deadline-exceeded", true, 200), 0), 1, "at another place");
}
