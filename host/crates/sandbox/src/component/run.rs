//! A single run of a component: a fresh store and instance, all limits set before its first instruction, one call, one
//! outcome.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    function::RunLimits,
    limits::COMPONENT_HANDLES_MAX,
    outcome::{Outcome, Receipt, StopReason, Traces},
};
use tokio::runtime::Runtime;
use wasmtime::{AsContextMut as _, Engine, Error, Result, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::{
    State,
    http::{self, Desk},
    program::{Entry, Program},
    slot, wasi,
};
use crate::{
    Call, Run, cpu,
    ending::{Ending, classify, traces},
    extism::Plugin,
    files::tree::Tree,
    host::Host,
    limiter::Limiter,
    log::Log,
    run::{granted, micros},
};

/// Bytes that a host call may receive from a guest beyond the largest output, for what surrounds it.
const HOSTCALL_MARGIN_BYTES: usize = 1 << 20;

/// Runs one call on the current thread.
pub(crate) fn run(engine: &Engine, program: &Program, tree: Arc<Tree>, call: Call, ceiling: &RunLimits) -> Run {
    let started = Instant::now();
    cpu::start();
    let ran = slot::with(|runtime| run_on(runtime, engine, program, tree, call, ceiling, started));
    ran.unwrap_or_else(|error| {
        tracing::error!(%error, "a slot's runtime cannot be made; the task may be retried");
        let outcome = Outcome::Stopped(StopReason::Interrupted);
        Run { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() }
    })
}

fn run_on(
    runtime: &Runtime,
    engine: &Engine,
    program: &Program,
    tree: Arc<Tree>,
    mut call: Call,
    ceiling: &RunLimits,
    started: Instant,
) -> Run {
    let limits = call.limits(ceiling);
    let input = std::mem::take(&mut call.invocation.input);
    let stdout = program.is_command().then(|| wasi::Output::new(limits.output_bytes));
    let stdin = if program.is_command() { input.clone() } else { Bytes::new() };
    let log = Log::new(limits.log_bytes);
    let deadline = started + Duration::from_millis(limits.wall_ms.into());
    let host = Host {
        limits,
        limiter: Limiter::new(limits.memory_bytes),
        log: log.clone(),
        call: call.clone(),
        deadline,
        answer: Bytes::new(),
        plugin: Plugin::default(),
        wasi: None,
    };
    let desk = Desk::default();
    let mut store = Store::new(engine, State::new(host, desk.clone(), tree, stdin, stdout.as_ref()));
    let mut instantiated = None;
    let ended = arm(&mut store).and_then(|()| granted(&program.needs, &store.data().run)).and_then(|()| {
        let entered = enter(&mut store, program, input, || instantiated = Some(started.elapsed()));
        drive(runtime, slot::bounded(entered, deadline, &call.stop), &desk, &call, deadline)
    });
    let ended = ended.and_then(|outcome| overrun(stdout.as_ref()).map_or(Ok(outcome), |ending| Err(ending.into())));
    let traces = traces(&ended, &log);
    let stdout = || stdout.as_ref().map(wasi::Output::take).unwrap_or_default();
    let (outcome, fuel_is_known) = match ended {
        Ok(Some(outcome)) => (outcome, true),
        Ok(None) => (Outcome::Returned(stdout()), true),
        Err(error) => classify(&error, &store.data().run, instantiated.is_some(), stdout()),
    };
    // A run that owes more than it has left used all of it.
    let _ = settle(&mut store.as_context_mut());
    let fuel = fuel_is_known.then(|| limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default()));
    let memory_bytes = store.data().run.limiter.memory_bytes_peak();
    drop(store);
    let wall = started.elapsed();
    let receipt = Receipt {
        fuel,
        wall_us: micros(wall),
        cpu_us: micros(cpu::charge(wall)),
        instantiate_us: micros(instantiated.unwrap_or_default()),
        memory_bytes,
        ..Receipt::default()
    };
    Run { outcome, traces, receipt, log: log.take() }
}

/// Sets all limits. Called before instantiation, which runs start functions.
fn arm(store: &mut Store<State>) -> Result<()> {
    store.data().run.check()?;
    store.limiter(|state| &mut state.run.limiter);
    let limits = store.data().run.limits;
    store.set_fuel(limits.fuel)?;
    let output_bytes = usize::try_from(limits.output_bytes).unwrap_or(usize::MAX);
    store.set_hostcall_fuel(output_bytes.saturating_add(HOSTCALL_MARGIN_BYTES));
    store.set_max_component_handles(COMPONENT_HANDLES_MAX);
    store.set_epoch_deadline(1);
    let has_client = store.data().run.call.exchange.is_some();
    store.epoch_deadline_callback(move |mut store| {
        settle(&mut store)?;
        let goes_on = store.data_mut().run.tick()?;
        // A client may wait for what a guest wrote before it began to compute.
        Ok(if has_client { UpdateDeadline::Yield(1) } else { goes_on })
    });
    Ok(())
}

/// Charges what host functions without access to the run's fuel have noted.
fn settle(store: &mut StoreContextMut<'_, State>) -> Result<()> {
    let owed = store.data().desk.settle();
    super::offers::charge(store, owed)
}

/// Calls the component; returns `None` if a command returned, whose output is its stdout.
async fn enter(
    store: &mut Store<State>,
    program: &Program,
    input: Bytes,
    made: impl FnOnce() + Send,
) -> Result<Option<Outcome>> {
    match &program.entry {
        Entry::Handler { instance, handle } => {
            let instance = instance.instantiate_async(&mut *store).await?;
            made();
            let handle = instance.get_typed_func::<(&[u8],), Handled>(&mut *store, handle)?;
            let limit = store.data().run.limits.output_bytes;
            let (handled,) =
                handle.call_async(&mut *store, (&input,)).await.map_err(|error| too_large(error, limit))?;
            let (Ok(bytes) | Err(bytes)) = &handled;
            let bytes = bytes.len() as u64;
            if bytes > limit {
                return Err(Ending::OutputTooLarge { bytes }.into());
            }
            Ok(Some(match handled {
                Ok(output) => Outcome::Returned(output.into()),
                Err(error) => Outcome::GuestError { error: error.into(), exit_code: None },
            }))
        }
        Entry::Command2(command) => {
            let command = command.instantiate_async(&mut *store).await?;
            made();
            exited(command.wasi_cli_run().call_run(store).await?)
        }
        Entry::Command3(command) => {
            let command = command.instantiate_async(&mut *store).await?;
            made();
            exited(store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await).await??)
        }
        Entry::Http(proxy) => {
            let proxy = proxy.instantiate_async(&mut *store).await?;
            made();
            http::serve(store, &proxy, input).await.map(Outcome::Returned).map(Some)
        }
    }
}

/// Names the error of an output so large that the engine does not even copy it. The engine's type is private.
fn too_large(error: Error, limit: u64) -> Error {
    match error.root_cause().to_string().starts_with("too much data is being copied") {
        true => Ending::OutputTooLarge { bytes: limit + HOSTCALL_MARGIN_BYTES as u64 }.into(),
        false => error,
    }
}

/// Result of a handler: output, or error.
type Handled = (Result<Vec<u8>, Vec<u8>>,);

/// Returns the end of a command: `Err` is what exit code 1 is elsewhere.
fn exited(ended: Result<(), ()>) -> Result<Option<Outcome>> {
    ended.map(|()| None).map_err(|()| I32Exit(1).into())
}

enum Step<T> {
    Ended(T),
    Asked(http::Asked),
}

/// Runs `work` to its end. HTTP requests of the guest are sent between the runtime's turns, since what sends them may
/// itself wait for a runtime, which a runtime's thread may not.
fn drive<T>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T>>,
    desk: &Desk,
    call: &Call,
    deadline: Instant,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        let step = runtime.block_on(async {
            tokio::select! {
                biased;
                ended = &mut work => Step::Ended(ended),
                asked = desk.next() => Step::Asked(asked),
            }
        });
        match step {
            Step::Ended(ended) => return ended,
            Step::Asked(asked) => asked.send(call, deadline),
        }
    }
}

/// Returns the end of a run whose stdout or log overran, if its writes were answered with errors only.
fn overrun(stdout: Option<&wasi::Output>) -> Option<Ending> {
    stdout.and_then(wasi::Output::overrun).map(|bytes| Ending::OutputTooLarge { bytes })
}
