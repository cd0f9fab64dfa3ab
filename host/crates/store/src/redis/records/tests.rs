//! Layout of tasks in their hashes.

use bytes::Bytes;
use fusebox_core::{
    function::RunLimits,
    keep::Keep,
    limits::CPU_MS_MAX,
    name::TenantId,
    setup::Start,
    task::{EndRecord, TaskState},
};

use super::*;
use crate::{Expects, redis::kinds};

const ID: &str = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBw";
const DIGEST: &str = "pqampqampqampqampqampqampqampqampqampqampqY";
const FENCE: Fence = Fence { attempt: 2, token: LeaseToken([7; 16]) };

fn new_task() -> NewTask {
    NewTask {
        id: ID.parse().unwrap(),
        tenant: TenantId::default_tenant(),
        function: FunctionId::from_bytes([7; 16]),
        expects: Expects::Nothing,
        function_name: "f".parse().unwrap(),
        module: ModuleDigest([0xa6; 32]),
        limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5, cpu_ms: CPU_MS_MAX },
        priority: Priority::High,
        attempts_max: 3,
        delay_ms: 1,
        expires_in_ms: 94,
        fingerprint: None,
        retry_of: None,
        keep: Keep::DEFAULT,
        queued_max: 9,
        stored_max: 9,
        start: Start::default(),
        tags: Tags::default(),
        input: Bytes::new(),
    }
}

/// The record of a new task, as the library writes it at time 6.
fn written(task: &NewTask) -> String {
    let kind = kinds::name(&kinds::words(task));
    format!("{:016}{:016}{:010}{kind}{}{}", 6, 100, task.start.bytes(), own(task), start(task))
}

/// A state of two attempts, as the library writes it.
fn state(letter: &str, token: &str, since: u64, lease: &str, releases: u32) -> String {
    format!("{letter}0000000002{token}{since:016}{releases:02}{lease}")
}

fn lease_part() -> String {
    format!("{:016}{SEVENS}", 9)
}

const NO_ID: &str = "----------------------";
const NO_LEASE: &str = "";

fn kind(task: &NewTask) -> Kind {
    kinds::read("name", &kinds::words(task)).unwrap()
}

fn read(state: &str, receipt: Option<&str>, error: Option<&str>) -> Result<TaskRecord> {
    let new = new_task();
    super::read(new.id, &written(&new), &kind(&new), Some(state), receipt, error)
}

#[test]
fn a_task_is_read_as_it_is_written() {
    let expected = new_task().accepted(Millis(6));
    let record = written(&new_task());
    assert_eq!((&record[..42], record.len()), ("000000000000000600000000000001000000000000", FIXED));
    let words = kinds::words(&new_task());
    assert_eq!(&words[67..91], "0086400 0604800 default ");
    assert_eq!(kind_of(&record), Some(kinds::name(&words).as_str()));
    let read_as = |task: &NewTask| super::read(task.id, &written(task), &kind(task), None, None, None);
    let TaskRecord { task, module, function_name } = read_as(&new_task()).unwrap();
    // It is due at its acceptance until a step writes a state.
    assert_eq!(task.state, TaskState::Queued { not_before: Millis(6) });
    assert_eq!((Task { state: expected.state.clone(), ..task }, function_name.as_str()), (expected.clone(), "f"));
    assert_eq!(module.0, [0xa6; 32]);
    for letter in ["Q", "D"] {
        let task = read(&state(letter, NO_ID, 7, NO_LEASE, 1), None, None).unwrap().task;
        assert_eq!(task.state, expected.state);
        assert_eq!((task.attempt, task.releases, task.attempts_max), (2, 1, 4));
    }
    let told = NewTask { fingerprint: Some(Fingerprint([0xa6; 32])), retry_of: Some(expected.id), ..new_task() };
    assert!(own(&told).contains(DIGEST));
    let task = read_as(&told).unwrap().task;
    assert_eq!(Task { state: expected.state, ..task }, told.accepted(Millis(6)));
    let start = Start { args: vec!["a b".to_owned()], ..Start::default() };
    let started = NewTask { start, ..new_task() };
    assert!(written(&started).ends_with(" - - eyJhcmdzIjpbImEgYiJdfQ"), "{}", written(&started));
    let task = read_as(&started).unwrap().task;
    assert_eq!((&task.start, task.input_bytes), (&started.start, 4));
    let tagged = NewTask { tags: Tags::parse_list("env=prod,order=7").unwrap(), ..new_task() };
    assert!(written(&tagged).ends_with(" - - - env=prod,order=7") && kinds::words(&tagged).ends_with(" 300000 320t"));
    for start in [Start::default(), started.start] {
        let both = NewTask { start, ..tagged.clone() };
        let task = read_as(&both).unwrap().task;
        assert_eq!((task.tags, task.start), (tagged.tags.clone(), both.start));
    }
    let mut limited = new_task();
    limited.limits.cpu_ms = 1_000;
    assert!(kinds::words(&limited).ends_with(" 5 1000") && written(&limited).len() == FIXED);
    let task = read_as(&limited).unwrap().task;
    assert_eq!((task.limits, task.start), (limited.limits, Start::default()));
    for bad in [" - - - x", " !", " - !", " - - !", " -"] {
        let text = format!("{}{bad}", written(&new_task()));
        assert!(super::read(new_task().id, &text, &kind(&new_task()), None, None, None).is_err(), "{bad}");
    }
    let lease = Lease {
        worker: WorkerId::from_bytes([7; 16]),
        dispatcher: None,
        token: FENCE.token,
        started_at: Millis(8),
        expires_at: Millis(9),
        renewed: false,
    };
    let running = read(&state("R", SEVENS, 8, &lease_part(), 0), None, None).unwrap().task;
    assert_eq!((running.attempt, running.state), (2, TaskState::Running(lease)));
    for (by, dispatcher) in [(SEVENS, Some(DispatcherId::from_bytes([7; 16]))), (NO_ID, None)] {
        let running = read(&state("R", SEVENS, 8, &(lease_part() + by), 0), None, None).unwrap().task;
        assert_eq!(running.state, TaskState::Running(Lease { dispatcher, ..lease }));
    }
    let before = state("Q", NO_ID, 7, NO_LEASE, 1);
    let started = leased(new_task().id, &written(&new_task()), &kind(&new_task()), Some(&before), &lease).unwrap().task;
    assert_eq!((started.attempt, started.attempts_max, started.state), (3, 4, TaskState::Running(lease)));
    let started = leased(new_task().id, &written(&new_task()), &kind(&new_task()), None, &lease).unwrap().task;
    assert_eq!((started.attempt, started.state), (1, TaskState::Running(lease)));
    let renewed = read(&state("B", SEVENS, 8, &lease_part(), 0), None, None).unwrap().task;
    assert_eq!(renewed.state, TaskState::Running(Lease { renewed: true, ..lease }));
    assert_eq!((worker(&lease.worker), fence(&FENCE)), (SEVENS.to_owned(), format!("0000000002{SEVENS}")));
    assert_eq!(read_worker(SEVENS), Some(lease.worker));
}

#[test]
fn an_end_is_read_as_it_is_written() {
    let numbers = Receipt { fuel: Some(1), wall_us: 2, cpu_us: 3, queue_us: 4, load_us: 5, ..Receipt::default() };
    let numbers = Receipt { instantiate_us: 6, memory_bytes: 7, output_bytes: 8, log_bytes: 9, ..numbers };
    let whole = Receipt { attempt: 10, worker: Some(WorkerId::from_bytes([7; 16])), ..numbers };
    let ended_as = |letter: &str| state(letter, SEVENS, 8, NO_LEASE, 0);
    for receipt in [whole, Receipt::default()] {
        let ended = EndRecord { at: Millis(8), token: Some(FENCE.token), receipt };
        let text = super::receipt(&ended.receipt);
        let completed = read(&ended_as("C"), Some(&text), None).unwrap().task.state;
        assert_eq!(completed, TaskState::Completed(ended.clone()));
        let failure = Failure::new(ErrorCode::Trap, "it trapped");
        let (later, error) = (format!("{text} later"), super::failure(&failure));
        let failed = read(&ended_as("F"), Some(&later), Some(&error)).unwrap();
        assert_eq!(failed.task.state, TaskState::Failed(failure, ended));
    }
    let by_host = read(&state("C", NO_ID, 8, NO_LEASE, 0), None, None).unwrap().task.state;
    let receipt = Receipt { attempt: 2, ..Receipt::default() };
    assert_eq!(by_host, TaskState::Completed(EndRecord { at: Millis(8), token: None, receipt }));
}

#[test]
fn what_is_no_record_is_corrupt_and_names_the_word() {
    let bad = |state: &str, receipt: Option<&str>| match read(state, receipt, None) {
        Err(Error::Corrupt(reason)) => reason.strip_prefix(&format!("{ID}: ")).map(str::to_owned),
        other => panic!("{state}: {:?}", other.map(|record| record.task)),
    };
    let (whole, running) = (state("C", SEVENS, 8, NO_LEASE, 0), state("R", SEVENS, 8, &lease_part(), 0));
    let known = [
        (state("S", NO_ID, 7, NO_LEASE, 0), None, "state"),
        (whole.replacen("C0", "C-", 1), None, "attempt"),
        (whole.replacen(SEVENS, &NO_ID.replacen('-', "x", 1), 1), None, "token"),
        (running.replace(&lease_part(), &format!("{:016}{}", 9, SEVENS.replace('B', "-!"))), None, "worker"),
        (state("R", SEVENS, 7, NO_LEASE, 0), None, "lease"),
        (state("F", NO_ID, 7, NO_LEASE, 0), None, "error"),
        (whole[..49].to_owned(), None, "releases"),
        (running[..80].to_owned(), None, "worker"),
        (whole.clone(), Some("1 2 x"), "receipt"),
    ];
    for (text, receipt, name) in known {
        assert_eq!(bad(&text, receipt).as_deref(), Some(name), "{text}");
    }
    let short = super::read(ID.parse().unwrap(), &written(&new_task())[..20], &kind(&new_task()), None, None, None);
    assert!(matches!(short, Err(Error::Corrupt(reason)) if reason.ends_with("expiry")));
    assert!(task(ID.parse().unwrap(), Vec::new(), &kind(&new_task())).is_err());
    for (words, name) in [("", "version"), ("BwcHBwcHBwcHBwcHBwcHBw x", "module")] {
        let Err(Error::Corrupt(reason)) = kinds::read("k", words) else { panic!("{words}") };
        assert_eq!(reason, format!("k: {name}"));
    }
}
