//! Layout of tasks on disk.

use super::*;

use fusebox_core::{
    id::DispatcherId,
    setup::Start,
    task::{PastAttempt, Why},
};

fn named() -> Named {
    Named { id: TaskId::from_bytes([1; 16]), tenant: TenantId::default_tenant(), created_at: Millis(6) }
}

fn task(state: TaskState) -> Task {
    let Named { id, tenant, created_at } = named();
    Task {
        id,
        tenant,
        function: FunctionId::from_bytes([2; 16]),
        limits: RunLimits { fuel: 1, wall_ms: 2, memory_bytes: 3, output_bytes: 4, log_bytes: 5, cpu_ms: CPU_MS_MAX },
        priority: Priority::High,
        created_at,
        expires_at: Millis(7),
        attempt: 8,
        attempts_max: 9,
        releases: 10,
        fingerprint: None,
        retry_of: Some(TaskId::from_bytes([5; 16])),
        input_bytes: 6,
        start: Start::default(),
        keep: Keep { results_s: 17, failed_s: 18 },
        tags: Tags::default(),
        past: Vec::new(),
        state,
    }
}

fn lease() -> Lease {
    let (worker, token) = (WorkerId::from_bytes([3; 16]), LeaseToken([4; 16]));
    Lease { worker, dispatcher: None, token, started_at: Millis(11), expires_at: Millis(12), renewed: false }
}

fn states() -> [TaskState; 6] {
    let lease @ Lease { worker, token, .. } = lease();
    let receipt = Receipt { fuel: Some(13), wall_us: 14, attempt: 8, worker: Some(worker), ..Receipt::default() };
    let ended = EndRecord { at: Millis(15), token: Some(token), receipt };
    let failure = Failure { backtrace: vec!["b".to_owned()], ..Failure::new(ErrorCode::Trap, "m") };
    [
        TaskState::Queued { not_before: Millis(16) },
        TaskState::Running(lease),
        TaskState::Running(Lease { renewed: true, ..lease }),
        TaskState::Completed(ended.clone()),
        TaskState::Completed(EndRecord { token: None, ..ended.clone() }),
        TaskState::Failed(failure, ended),
    ]
}

fn carried() -> Carried {
    let inline = |text: &'static str| Piece::Inline(Bytes::from_static(text.as_bytes()));
    Carried { input: inline("in"), output: Piece::Outside(2_000), log: inline("log"), later: Bytes::new() }
}

fn encoded(task: &Task) -> Bytes {
    encode_task(task, &carried()).unwrap().into()
}

/// If this fails, data written by older versions can no longer be read: keep the old layout readable, and give the
/// new one the next number.
#[test]
fn the_layout_is_the_one_on_disk() {
    let [two, three, four, five] = ["02", "03", "04", "05"].map(|byte| byte.repeat(16));
    let long = |number: u64| format!("{number:016x}");
    let short = |number: u32| format!("{number:08x}");
    let columns = |there: &str, state: &str| {
        let head = format!("02{state}00{there}{two}");
        let limits = [7, 1, 3, 4, 5, 6].map(long).concat() + &[2, 8, 9, 10, 17, 18].map(short).concat();
        head + &limits
    };
    let queued = columns("02", "00") + &long(16) + &"00".repeat(40);
    let running = columns("02", "01") + &three + &four + &long(11) + &long(12);
    let sizes = [2, 2_000 | OUTSIDE, 3, 0].map(short).concat();
    let [input, log] = ["in", "log"].map(hex::encode);
    for (state, on_disk) in states().into_iter().zip([queued, running]) {
        assert_eq!(hex::encode(encoded(&task(state))), format!("{on_disk}{sizes}{five}{input}{log}"));
    }
    let completed = columns("06", "03") + &long(15) + &four + &"00".repeat(24);
    let details = format!("01010d0e000000000000000801 10{three}00").replace(' ', "");
    let sizes = [2, 2_000 | OUTSIDE, 3, u32::try_from(details.len() / 2).unwrap()].map(short).concat();
    let [_, _, _, state, ..] = states();
    let on_disk = format!("{completed}{sizes}{five}{details}{input}{log}");
    assert_eq!(hex::encode(encoded(&task(state))), on_disk);
}

#[test]
fn a_task_is_read_as_it_was_written() {
    for state in states() {
        let task = Task { fingerprint: Some(Fingerprint([9; 32])), ..task(state) };
        assert_eq!(decode_task(named(), &encoded(&task)).unwrap(), (task, carried()));
    }
}

#[test]
fn what_was_added_follows_the_log_and_is_absent_from_older_records() {
    let plain = task(TaskState::Queued { not_before: Millis(0) });
    let start =
        Start { args: vec!["-v".to_owned()], export: Some("run".to_owned()), is_http: true, content_type: None };
    let started = Task { start, ..plain.clone() };
    let json = r#"{"args":["-v"],"export":"run","is_http":true}"#;
    let on_disk = [&encoded(&plain)[..], &45_u32.to_be_bytes(), json.as_bytes()].concat();
    assert_eq!(encoded(&started), on_disk);
    let mut limited = plain.clone();
    limited.limits.cpu_ms = 1_000;
    assert_eq!(encoded(&limited), [&encoded(&plain)[..], &[0; 4], &1_000_u32.to_be_bytes()].concat());
    assert_eq!(decode_task(named(), &encoded(&limited)).unwrap(), (limited, carried()));
    assert_eq!(decode_task(named(), &encoded(&started)).unwrap(), (started, carried()));
}

#[test]
fn what_few_tasks_have_is_an_object_behind_the_limits() {
    let plain = task(TaskState::Queued { not_before: Millis(0) });
    let (worker, dispatcher) = (WorkerId::from_bytes([3; 16]), Some(DispatcherId::from_bytes([4; 16])));
    let past =
        PastAttempt { attempt: 7, worker, dispatcher, started_at: Millis(1), ended_at: Millis(2), why: Why::Lapsed };
    let tagged = Task { tags: Tags::parse_list("env=prod").unwrap(), past: vec![past], ..plain.clone() };
    let json = format!(
        r#"{{"tags":{{"env":"prod"}},"past":[{{"attempt":7,"worker":"{worker}","dispatcher":"{}","started_at":1,"ended_at":2,"why":"lapsed"}}]}}"#,
        dispatcher.unwrap()
    );
    let size = u32::try_from(json.len()).unwrap().to_be_bytes();
    let limits = [&[0; 4][..], &CPU_MS_MAX.to_be_bytes()].concat();
    assert_eq!(encoded(&tagged), [&encoded(&plain)[..], &limits, &size, json.as_bytes()].concat());
    let lease = Lease { dispatcher, ..lease() };
    for task in [tagged, Task { state: TaskState::Running(lease), ..plain }] {
        assert_eq!(decode_task(named(), &encoded(&task)).unwrap(), (task, carried()));
    }
}

#[test]
fn a_search_looks_at_a_few_bytes() {
    let [queued, running, _, completed, _, failed] = states().map(|state| encoded(&task(state)));
    let (own, other) = (Some(FunctionId::from_bytes([2; 16])), Some(FunctionId::from_bytes([9; 16])));
    for record in [&queued, &running, &completed, &failed] {
        assert!(may_be(record, None, None) && may_be(record, own, None) && !may_be(record, other, None));
        assert_eq!(may_be(record, None, Some(Status::Completed)), record == &completed);
        assert_eq!(may_be(record, None, Some(Status::Failed)), record == &failed);
    }
    assert!(!may_be(b"", own, None));
}

#[test]
fn columns_of_a_later_version_are_kept() {
    let task = task(TaskState::Queued { not_before: Millis(0) });
    let later = Bytes::from([&encoded(&task)[..], &[0; 4], &CPU_MS_MAX.to_be_bytes(), &[0; 4], b"later"].concat());
    let (read, carried) = decode_task(named(), &later).unwrap();
    assert_eq!(encode_task(&read, &carried).unwrap(), later);
}

#[test]
fn what_is_no_record_is_corrupt() {
    let good = encoded(&task(TaskState::Queued { not_before: Millis(0) }));
    let newer = Bytes::from([&[LAYOUT + 1], &good[1..]].concat());
    let unknown = Bytes::from([&[LAYOUT, 9], &good[2..]].concat());
    for bad in (0..good.len()).map(|length| good.slice(..length)).chain([newer, unknown]) {
        assert!(matches!(decode_task(named(), &bad), Err(Error::Corrupt(_))), "{bad:?}");
    }
}
