//! Layout of the wire messages. Golden files hold the encoding of each message, one file for each version; malformed
//! bytes are rejected.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, HostAnswer, HostCall, KvCursor, KvKey, KvPrefix, KvValue, Redacted, Refusal, Ttl},
    dispatch::Mode,
    error::ErrorCode,
    function::{Grants, RunLimits},
    id::{DispatcherId, FilesDigest, LeaseToken, ModuleDigest, TaskId, WorkerId},
    invocation::Invocation,
    limits::CPU_MS_MAX,
    name::TenantId,
    outcome::{Ended, Failure, Receipt, StopReason},
    wire::{
        Assignment, AttemptId, AttemptReport, End, Form, FromDispatcher, FromWorker, HeldAttempt, Join, PROTOCOL,
        PROTOCOL_OLDEST, WireError, decode, encode, older::PlainAssignment,
    },
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

const ID: AttemptId = AttemptId { task: TaskId::from_bytes([1; 16]), attempt: 2 };
const HELD: HeldAttempt = HeldAttempt { id: ID, token: LeaseToken([3; 16]) };
const MODULE: ModuleDigest = ModuleDigest([4; 32]);

fn from_worker() -> Vec<FromWorker> {
    let join = Join {
        worker: WorkerId::from_bytes([5; 16]),
        mode: Mode::Pull,
        name: "machine/7".to_owned(),
        version: "1.2.3".to_owned(),
        slots: 4,
        capacity: 300,
        held: vec![HELD],
    };
    let receipt = Receipt { fuel: Some(6), wall_us: 7, worker: Some(join.worker), ..Receipt::default() };
    let failure = Failure { backtrace: vec!["f".to_owned()], ..Failure::new(ErrorCode::Trap, "it trapped") };
    let (output, log) = (Bytes::from_static(b"out"), Bytes::from_static(b"log"));
    let good = End::Ended(Ended { failure: None, output: output.clone(), log: log.clone(), receipt: receipt.clone() });
    let bad = End::Ended(Ended { failure: Some(failure), output, log, receipt });
    let report = |end| AttemptReport { held: HELD, cpu_us: 8, end };
    let key = || KvKey::try_from(Bytes::from_static(b"key")).unwrap();
    let value = KvValue::try_from(Bytes::from_static(b"value")).unwrap();
    let cursor = || KvCursor::try_from(Bytes::from_static(b"key")).unwrap();
    let asks = |call| FromWorker::Call { number: 7, tenant: TenantId::default_tenant(), held: HELD, call };
    vec![
        FromWorker::Join(join),
        FromWorker::Heartbeat,
        FromWorker::Credit { slots: 9 },
        FromWorker::Ask { slots: 9, wait_ms: 20_000 },
        FromWorker::Received(vec![ID]),
        FromWorker::Reports(vec![report(good), report(bad), report(End::Interrupted)]),
        FromWorker::Reports(vec![report(End::Broken { reason: "no memory".to_owned() })]),
        FromWorker::Fetch { module: MODULE, form: Form::Artifact { engine: 1 << 63 }, offset: 0 },
        FromWorker::Fetch { module: MODULE, form: Form::Wasm, offset: 1 << 20 },
        FromWorker::Drains,
        asks(HostCall::Config("NAME".parse().unwrap())),
        asks(HostCall::Secret("NAME".parse().unwrap())),
        asks(HostCall::KvGet(key())),
        asks(HostCall::KvSet { key: key(), value, ttl: Some(Ttl::try_from(9).unwrap()), expects: Expects::Nothing }),
        asks(HostCall::KvDelete { key: key(), expects: Expects::Revision(300) }),
        FromWorker::Goodbye,
        FromWorker::Fetch { module: MODULE, form: Form::Files, offset: 0 },
        asks(HostCall::KvKeys { prefix: KvPrefix::try_from(Bytes::from_static(b"pre")).unwrap(), after: cursor() }),
        asks(HostCall::Configs),
    ]
}

fn from_dispatcher() -> Vec<FromDispatcher> {
    let invocation = Invocation {
        tenant: TenantId::default_tenant(),
        function: "hello".parse().unwrap(),
        module: MODULE,
        limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5, cpu_ms: CPU_MS_MAX },
        grants: Grants::parse_list("kv,http=*.example.com:8443").unwrap(),
        waited_ms: 10,
        input: Bytes::from_static(b"in"),
        args: Vec::new(),
        env: Vec::new(),
        files: None,
        export: None,
        is_http: false,
    };
    let assignment = Assignment { held: HELD, invocation };
    let plain = || PlainAssignment::try_from(assignment.clone()).unwrap();
    let mut started = assignment.clone();
    started.invocation.args = vec!["-v".to_owned(), String::new()];
    started.invocation.env = vec![("NAME".to_owned(), "value".to_owned())];
    started.invocation.files = Some(FilesDigest([7; 32]));
    started.invocation.export = Some("run".to_owned());
    started.invocation.is_http = true;
    started.invocation.limits.cpu_ms = 6;
    assert_eq!(PlainAssignment::try_from(started.clone()), Err(started.clone()));
    assert_eq!(Assignment::from(plain()), assignment);
    let answers = |answer| FromDispatcher::Answer { number: 7, answer };
    let (none, piece) = (Bytes::new(), Bytes::from_static(b"piece"));
    vec![
        FromDispatcher::Welcome { dispatcher: DispatcherId::from_bytes([6; 16]) },
        FromDispatcher::Refused { reason: "start a pull worker".to_owned() },
        FromDispatcher::Assign(vec![plain()]),
        FromDispatcher::NothingYet { slots: 3 },
        FromDispatcher::Stop(vec![(ID, StopReason::Cancelled), (ID, StopReason::Interrupted)]),
        FromDispatcher::Recorded(vec![ID]),
        FromDispatcher::Piece { module: MODULE, form: Form::Artifact { engine: 11 }, offset: 0, total: 0, bytes: none },
        FromDispatcher::Piece { module: MODULE, form: Form::Wasm, offset: 0, total: 5, bytes: piece.clone() },
        answers(Ok(HostAnswer::Config(piece.clone()))),
        answers(Ok(HostAnswer::Secret(Redacted(piece.clone())))),
        answers(Ok(HostAnswer::Value { revision: 300, value: piece })),
        answers(Ok(HostAnswer::Set(300))),
        answers(Ok(HostAnswer::Deleted(true))),
        answers(Err(Refusal::Conflict)),
        FromDispatcher::Drains,
        FromDispatcher::AssignExtra(plain()),
        FromDispatcher::Run { attempts: vec![assignment, started], extra: true },
        FromDispatcher::Piece { module: MODULE, form: Form::Files, offset: 0, total: 5, bytes: "files".into() },
        answers(Ok(HostAnswer::Keys {
            keys: vec![Bytes::from_static(b"key").try_into().unwrap()],
            next: KvCursor::default(),
        })),
        answers(Ok(HostAnswer::Configs(vec![("NAME".parse().unwrap(), "value".into())]))),
    ]
}

/// Checks that a message round-trips and is rejected if truncated or extended; appends its line of the golden file.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T, golden: &mut String) {
    let bytes = encode(message).unwrap();
    assert_eq!(&decode::<T>(&bytes).unwrap(), message);
    for cut in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..cut]).is_err(), "{message:?} cut at {cut}");
    }
    assert_eq!(decode::<T>(&[&bytes[..], &[0]].concat()), Err(WireError::TooLong));
    assert_eq!(decode::<T>(&[&[bytes[0] + 1], &bytes[1..]].concat()), Err(WireError::Layout));
    writeln!(golden, "{}", hex::encode(&bytes)).unwrap();
}

/// Returns the lines of all messages of a version, in the order of the golden files.
fn lines(version: u16) -> String {
    let mut lines = String::new();
    from_worker().iter().filter(|message| message.since() <= version).for_each(|message| check(message, &mut lines));
    from_dispatcher()
        .iter()
        .filter(|message| message.since() <= version)
        .for_each(|message| check(message, &mut lines));
    lines
}

/// A failure means that peers of the same or the previous release can no longer be understood: keep the existing
/// variants, add a new one at the end with the next `PROTOCOL`, and write its line into a new golden file.
#[test]
fn each_version_that_is_spoken_has_its_golden_layout() {
    assert_eq!(lines(PROTOCOL_OLDEST), include_str!("golden/wire-3.txt"));
    assert_eq!(lines(PROTOCOL), include_str!("golden/wire-4.txt"));
    assert_eq!((PROTOCOL_OLDEST, PROTOCOL), (3, 4), "the golden files are those of the versions that are spoken");
}

#[test]
fn a_length_beyond_the_message_takes_no_memory() {
    // A report list that claims 2^60 elements.
    let bytes = [1, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert_eq!(decode::<FromWorker>(&bytes), Err(WireError::Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<FromWorker>(&bytes);
        let _ = decode::<FromDispatcher>(&[&[1], &bytes[..]].concat());
    }

    #[test]
    fn a_changed_byte_is_never_more_than_another_message(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        for message in from_dispatcher() {
            let mut bytes = encode(&message).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode::<FromDispatcher>(&bytes);
        }
    }
}
