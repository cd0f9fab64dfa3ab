//! Tests of setups and starts: they reach each attempt, are counted, and their files live as long as their versions.

use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::FilesDigest,
    limits::RECORD_BYTES,
    setup::{Setup, Start},
};

use super::{
    Subject, accept, claim, end, finish,
    functions::{by_name, collect, delete},
    lease_one, module, new_function, new_task, tenant,
    usage::stored,
};
use crate::{Accepted, FunctionRef, NewFunction, NewTask, Registered, Verdict};

fn files() -> (FilesDigest, Bytes) {
    (FilesDigest([9; 32]), Bytes::from_static(b"archive"))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn setup() -> Setup {
    let (digest, archive) = files();
    Setup {
        args: texts(&["--quiet", ""]),
        env: vec![("NAME".to_owned(), "a=b c".to_owned())],
        files: Some(digest),
        files_bytes: archive.len() as u64,
        export: Some("run".to_owned()),
        is_public: true,
        content_type: Some("image/png".to_owned()),
        runtime: None,
    }
}

async fn register(subject: &dyn Subject, name: &str) -> FunctionVersion {
    let new = NewFunction { setup: setup(), files: files().1, ..new_function(subject, &tenant("acme"), name) };
    match subject.store().register(new, module(name).1).await.unwrap() {
        Registered::Version(version) => version,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) async fn an_attempt_starts_as_its_version_and_its_request_say(subject: &dyn Subject) {
    let function = register(subject, "f").await;
    let found = subject.store().function(&function.tenant, &FunctionRef::Id(function.id)).await.unwrap();
    assert_eq!(found.map(|found| found.setup), Some(setup()));
    let start = Start {
        args: texts(&["in put", "é"]),
        export: Some("other".to_owned()),
        is_http: true,
        content_type: Some("text/csv".to_owned()),
    };
    let plain = accept(subject, new_task(subject, &function)).await;
    let leased = lease_one(subject, &function.tenant).await;
    assert_eq!(leased.task.id, plain);
    let invocation = &leased.invocation;
    assert_eq!((&invocation.args, &invocation.env), (&setup().args, &setup().env));
    assert_eq!((invocation.files, invocation.export.as_deref()), (Some(files().0), Some("run")));
    finish(subject, claim(&leased), end("out")).await;
    let task = accept(subject, NewTask { start: start.clone(), ..new_task(subject, &function) }).await;
    // The start is still there after an attempt that was lost.
    for _ in 0..2 {
        let leased = lease_one(subject, &function.tenant).await;
        assert_eq!((leased.task.id, &leased.task.start), (task, &start));
        assert_eq!(leased.invocation.args, texts(&["--quiet", "", "in put", "é"]));
        assert_eq!(leased.invocation.export.as_deref(), Some("other"));
        let variable = ("CONTENT_TYPE".to_owned(), "text/csv".to_owned());
        assert_eq!(leased.invocation.env, [setup().env, vec![variable]].concat());
        finish(subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
    }
    let found = subject.store().task(&function.tenant, task).await.unwrap().unwrap();
    assert_eq!(found.start, start);
}

pub(crate) async fn a_start_counts_as_its_tasks_input(subject: &dyn Subject) {
    let function = register(subject, "f").await;
    let before = stored(subject, &function.tenant).await;
    let start = Start { args: texts(&["x".repeat(1_000).as_str()]), ..Start::default() };
    let new = || NewTask { start: start.clone(), attempts_max: 1, ..new_task(subject, &function) };
    let bytes = RECORD_BYTES + 1_001 + 5;
    let refused = NewTask { stored_max: before + bytes - 1, ..new() };
    assert_eq!(subject.store().accept(vec![refused]).await.unwrap(), [Accepted::BytesReached]);
    let task = accept(subject, NewTask { stored_max: before + bytes, ..new() }).await;
    assert_eq!(stored(subject, &function.tenant).await, before + bytes);
    let leased = lease_one(subject, &function.tenant).await;
    finish(subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
    let letter = subject.store().task(&function.tenant, task).await.unwrap().unwrap();
    assert!(letter.is_dead_letter());
    // A replay starts like the letter, whose input the store copies.
    let replay = NewTask {
        id: new().id.beside(task),
        retry_of: Some(task),
        start: letter.start.clone(),
        input: Bytes::new(),
        ..new_task(subject, &function)
    };
    let with_letter = stored(subject, &function.tenant).await;
    assert_eq!(subject.store().replay(vec![replay]).await.unwrap(), [Accepted::New { at: subject.now() }]);
    assert_eq!(stored(subject, &function.tenant).await, with_letter + bytes);
    let leased = lease_one(subject, &function.tenant).await;
    assert_eq!((&leased.task.start, &leased.invocation.input[..]), (&start, &b"input"[..]));
    finish(subject, claim(&leased), end("")).await;
    // Output and log of the end are counted, the input and the start no longer.
    let log_bytes = 3;
    assert_eq!(stored(subject, &function.tenant).await, with_letter + RECORD_BYTES + log_bytes);
}

pub(crate) async fn files_are_kept_and_counted_while_a_version_needs_them(subject: &dyn Subject) {
    let tenant = tenant("acme");
    let (digest, archive) = files();
    assert_eq!(subject.store().files(&digest).await.unwrap(), None);
    let new = new_function(subject, &tenant, "four");
    let bytes = RECORD_BYTES + 4 + archive.len() as u64 + 9 + 9 + 3 + 9;
    let refused = NewFunction { setup: setup(), files: archive.clone(), stored_max: bytes - 1, ..new };
    let answer = subject.store().register(refused, module("four").1).await.unwrap();
    assert_eq!(answer, Registered::BytesReached { max: bytes - 1 });
    let first = register(subject, "four").await;
    assert_eq!(first.stored_bytes(), bytes);
    assert_eq!(stored(subject, &tenant).await, bytes);
    register(subject, "five").await;
    assert_eq!(stored(subject, &tenant).await, 2 * bytes);
    assert!(delete(subject, &tenant, &by_name("four")).await);
    collect(subject).await;
    assert_eq!(subject.store().files(&digest).await.unwrap(), Some(archive));
    assert_eq!(stored(subject, &tenant).await, bytes);
    assert!(delete(subject, &tenant, &by_name("five")).await);
    collect(subject).await;
    assert_eq!(subject.store().files(&digest).await.unwrap(), None);
    assert_eq!(stored(subject, &tenant).await, 0);
}

pub(crate) async fn a_runtime_is_kept_like_a_module_and_counts_for_no_tenant(subject: &dyn Subject) {
    let acme = tenant("acme");
    let (digest, wasm) = module("python");
    let module_bytes = wasm.len() as u64;
    let runtime = Some("python3.13".parse().unwrap());
    let script = || NewFunction {
        module: digest,
        setup: Setup { runtime: runtime.clone(), ..Setup::default() },
        ..new_function(subject, &acme, "script")
    };
    let absent = subject.store().register_known(script(), module_bytes).await.unwrap();
    assert_eq!((absent, stored(subject, &acme).await), (Registered::NoModule, 0));
    let answers = [
        subject.store().register(script(), wasm.clone()).await.unwrap(),
        subject.store().register_known(script(), module_bytes).await.unwrap(),
    ];
    for (number, answer) in (1..).zip(answers) {
        let Registered::Version(version) = answer else { panic!("{answer:?}") };
        assert_eq!((version.version, version.module, version.module_bytes), (number, digest, module_bytes));
        assert_eq!((&version.setup.runtime, version.stored_bytes()), (&runtime, RECORD_BYTES));
        assert_eq!(subject.store().function(&acme, &FunctionRef::Id(version.id)).await.unwrap(), Some(version));
    }
    assert_eq!(stored(subject, &acme).await, 2 * RECORD_BYTES);
    // Whoever uploads the same bytes is charged for them.
    let other = tenant("other");
    let upload = NewFunction { module: digest, ..new_function(subject, &other, "upload") };
    let uploaded = subject.store().register(upload, wasm.clone()).await.unwrap();
    assert!(matches!(uploaded, Registered::Version(_)), "{uploaded:?}");
    assert_eq!(stored(subject, &other).await, RECORD_BYTES + module_bytes);
    assert!(delete(subject, &acme, &by_name("script")).await);
    collect(subject).await;
    assert_eq!((stored(subject, &acme).await, subject.store().module(&digest).await.unwrap()), (0, Some(wasm)));
    assert!(delete(subject, &other, &by_name("upload")).await);
    collect(subject).await;
    assert_eq!((stored(subject, &other).await, subject.store().module(&digest).await.unwrap()), (0, None));
}
