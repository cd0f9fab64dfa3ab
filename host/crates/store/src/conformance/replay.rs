//! Tests of replays of dead letters with inputs from the store.

use bytes::Bytes;
use fusebox_core::{function::FunctionVersion, id::TaskId, quota::UNLIMITED, task::Status};

use super::{
    Subject, accept, cancel, claim, counts, end, finish, lease, lease_one, new_task, register, status, tenant,
};
use crate::{Accepted, Finished, NewTask, Verdict};

/// Creates a dead letter with this input.
async fn letter(subject: &dyn Subject, function: &FunctionVersion, input: &Bytes) -> TaskId {
    let new = NewTask { attempts_max: 1, input: input.clone(), ..new_task(subject, function) };
    let id = accept(subject, new).await;
    let leased = lease_one(subject, &function.tenant).await;
    let failed = finish(subject, claim(&leased), Verdict::Retry { delay_ms: 0 }).await;
    assert_eq!(failed, Finished::Ended(Status::Failed));
    id
}

/// Creates a replay of the letter, without an input of its own.
pub(super) fn again(subject: &dyn Subject, function: &FunctionVersion, letter: TaskId) -> NewTask {
    let new = new_task(subject, function);
    NewTask { id: new.id.beside(letter), retry_of: Some(letter), input: Bytes::new(), ..new }
}

async fn replay(subject: &dyn Subject, tasks: Vec<NewTask>) -> Vec<Accepted> {
    subject.store().replay(tasks).await.unwrap()
}

pub(crate) async fn a_replay_has_the_letters_input_and_is_made_once(subject: &dyn Subject) {
    let function = register(subject, &tenant("acme"), "f").await;
    let mut replays = Vec::new();
    for input in ["", "one", "two"] {
        let letter = letter(subject, &function, &Bytes::from_static(input.as_bytes())).await;
        replays.push(again(subject, &function, letter));
    }
    let new = Accepted::New { at: subject.now() };
    assert_eq!(replay(subject, replays.clone()).await, [new; 3]);
    let mut leased = lease(subject, &function.tenant, 9).await;
    leased.sort_by_key(|leased| leased.invocation.input.clone());
    let inputs: Vec<_> = leased.iter().map(|leased| (&leased.invocation.input[..], leased.task.retry_of)).collect();
    let expected = replays.iter().map(|task| task.retry_of).zip([&b""[..], b"one", b"two"]);
    assert_eq!(inputs, expected.map(|(letter, input)| (input, letter)).collect::<Vec<_>>());
    finish(subject, claim(&leased[0]), end("out")).await;
    assert_eq!(replay(subject, replays.clone()).await, [Accepted::Duplicate; 3]);
    assert_eq!(counts(subject, &function.tenant).await, (0, 0, 2), "nothing is done twice");
    let kept = subject.store().input(&function.tenant, replays[2].retry_of.unwrap()).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&b"two"[..]), "the letter keeps its own");
}

pub(crate) async fn what_is_no_dead_letter_is_not_replayed(subject: &dyn Subject) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (function, others) = (register(subject, &acme, "f").await, register(subject, &other, "f").await);
    let theirs = letter(subject, &others, &Bytes::from_static(b"secret")).await;
    let completed = accept(subject, new_task(subject, &function)).await;
    finish(subject, claim(&lease_one(subject, &acme).await), end("out")).await;
    let cancelled = accept(subject, new_task(subject, &function)).await;
    cancel(subject, &acme, cancelled).await;
    let waiting = accept(subject, new_task(subject, &function)).await;
    let absent = new_task(subject, &function).id;
    for letter in [theirs, completed, cancelled, waiting, absent] {
        assert_eq!(replay(subject, vec![again(subject, &function, letter)]).await, [Accepted::InputGone], "{letter}");
    }
    let of_nothing = NewTask { retry_of: None, ..new_task(subject, &function) };
    assert_eq!(replay(subject, vec![of_nothing]).await, [Accepted::InputGone]);
    assert_eq!(counts(subject, &acme).await, (1, 0, 0));
}

pub(crate) async fn large_letters_are_replayed_in_several_steps(subject: &dyn Subject) {
    let function = register(subject, &tenant("acme"), "f").await;
    let mut replays = Vec::new();
    for n in 0..5_u8 {
        let letter = letter(subject, &function, &vec![n; 3 << 20].into()).await;
        replays.push(again(subject, &function, letter));
    }
    let new = Accepted::New { at: subject.now() };
    assert_eq!(replay(subject, replays.clone()).await, [new; 5]);
    for (n, task) in (0..).zip(replays) {
        let input = subject.store().input(&function.tenant, task.id).await.unwrap().unwrap();
        assert!(input.len() == 3 << 20 && input.iter().all(|byte| *byte == n));
    }
}

pub(crate) async fn a_replay_waits_where_there_is_room(subject: &dyn Subject) {
    let function = register(subject, &tenant("acme"), "f").await;
    let mut replays = Vec::new();
    for _ in 0..2 {
        let letter = letter(subject, &function, &Bytes::from_static(b"x")).await;
        replays.push(NewTask { queued_max: 1, ..again(subject, &function, letter) });
    }
    let answers = replay(subject, replays.clone()).await;
    assert_eq!(answers, [Accepted::New { at: subject.now() }, Accepted::QueueFull]);
    replays.iter_mut().for_each(|task| task.queued_max = UNLIMITED);
    let answers = replay(subject, replays.clone()).await;
    assert_eq!(answers, [Accepted::Duplicate, Accepted::New { at: subject.now() }]);
    assert_eq!(status(subject, &function.tenant, replays[1].id).await, Status::Queued);
}
