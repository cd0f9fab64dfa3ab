//! A single run: a fresh store and instance, all limits set before the module's first instruction, one call, one
//! outcome.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::Capability,
    function::RunLimits,
    outcome::{Outcome, Receipt, StopReason, Traces},
};
use wasmtime::{
    AsContext, AsContextMut, Engine, Extern, Instance, Memory, ModuleExport, Result, Store, TypedFunc, WasmParams,
    WasmResults,
};
use wasmtime_wasi::I32Exit;

use crate::{
    Call, LoadedModule, Run, component, cpu,
    ending::{Ending, classify, traces},
    extism::Plugin,
    files::tree::Tree,
    host::Host,
    host_calls::WaitLimit,
    imports::checked,
    limiter::Limiter,
    loaded::{Entry, LinkedModule, Program},
    log::Log,
    named,
    wasi::{Parts, Streams, Wasi},
};

/// Runs one call on the current thread.
pub(crate) fn run(engine: &Engine, module: &LoadedModule, tree: Arc<Tree>, call: Call, ceiling: &RunLimits) -> Run {
    let guarded = catch_unwind(AssertUnwindSafe(|| match &module.0.program {
        Program::Module(module) => run_unguarded(engine, module, tree, call, ceiling),
        Program::Component(program) => component::run(engine, program, tree, call, ceiling),
        Program::Refused(reason) => refused(reason),
    }));
    guarded.unwrap_or_else(|_| {
        tracing::error!("a run caused a panic in the host; the task may be retried");
        let outcome = Outcome::Stopped(StopReason::Interrupted);
        Run { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() }
    })
}

/// Returns the run of a module that was not loaded.
pub(crate) fn refused(reason: &str) -> Run {
    let outcome = Outcome::BadModule { reason: reason.to_owned() };
    Run { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() }
}

fn run_unguarded(engine: &Engine, module: &LinkedModule, tree: Arc<Tree>, mut call: Call, ceiling: &RunLimits) -> Run {
    let started = Instant::now();
    cpu::start();
    let limits = call.limits(ceiling);
    let input = std::mem::take(&mut call.invocation.input);
    let log = Log::new(limits.log_bytes);
    let limiter = Limiter::new(limits.memory_bytes);
    call.invocation.limits = limits;
    let deadline = started + Duration::from_millis(limits.wall_ms.into());
    let streams = call.exchange.clone().map(|own| Streams::new(own, WaitLimit::new(deadline, call.stop.clone())));
    let wasi = module.uses_wasi.then(|| wasi_state(module, &mut call, &input, (tree, streams), &log, &limiter));
    let host = Host {
        limits,
        limiter,
        log: log.clone(),
        call,
        deadline,
        answer: Bytes::new(),
        plugin: Plugin::default(),
        wasi,
    };
    let mut store = Store::new(engine, host);
    let (mut instantiated, mut is_made) = (Duration::ZERO, false);
    // A command may be a runtime, which imports everything whatever its script uses: each of its calls is checked.
    let needs = if matches!(module.entry, Entry::Command { .. }) { &[][..] } else { &module.needs };
    let ended = arm(&mut store).and_then(|()| granted(needs, store.data())).and_then(|()| {
        let instance = module.instance.instantiate(&mut store);
        (instantiated, is_made) = (started.elapsed(), instance.is_ok());
        enter(&mut store, &instance?, &module.entry, &input)
    });
    let ended = passed(store.data_mut(), ended);
    let stdout = store.data_mut().wasi.as_mut().map(Wasi::take_output).unwrap_or_default();
    let traces = traces(&ended, &log);
    let (outcome, fuel_is_known) = match ended {
        Ok(Some(outcome)) => (outcome, true),
        Ok(None) => (Outcome::Returned(stdout), true),
        Err(error) => classify(&error, store.data(), is_made, stdout),
    };
    let fuel = fuel_is_known.then(|| limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default()));
    let memory_bytes = store.data().limiter.memory_bytes_peak();
    drop(store);
    let wall = started.elapsed();
    let receipt = Receipt {
        fuel,
        wall_us: micros(wall),
        cpu_us: micros(cpu::charge(wall)),
        instantiate_us: micros(instantiated),
        memory_bytes,
        ..Receipt::default()
    };
    Run { outcome, traces, receipt, log: log.take() }
}

/// Passes on the rest of a response, unless the run failed.
fn passed(host: &mut Host, ended: Result<Option<Outcome>>) -> Result<Option<Outcome>> {
    let has_failed = ended.as_ref().is_err_and(|error| !matches!(error.downcast_ref(), Some(I32Exit(0))));
    match &mut host.wasi {
        Some(wasi) if !has_failed => wasi.end().map_err(Into::into).and(ended),
        _ => ended,
    }
}

/// Returns the WASI state of a run. The input is stdin of a command or reactor, whose stdout is its output; of any other
/// module stdout is part of the log.
fn wasi_state(
    module: &LinkedModule,
    call: &mut Call,
    input: &Bytes,
    (tree, streams): (Arc<Tree>, Option<Streams>),
    log: &Log,
    limiter: &Limiter,
) -> Wasi {
    let is_command = matches!(module.entry, Entry::Command { .. } | Entry::Named { is_plugin: false, .. });
    let invocation = &mut call.invocation;
    let mut args = vec![invocation.function.to_string()];
    args.append(&mut invocation.args);
    Wasi::new(Parts {
        args,
        env: std::mem::take(&mut invocation.env),
        input: if is_command { input.clone() } else { Bytes::new() },
        output_bytes_max: is_command.then_some(invocation.limits.output_bytes),
        log: log.clone(),
        tree,
        budget: limiter.budget(),
        streams,
    })
}

/// Refuses a module that imports functions without the required grants. Registration has already refused it, so this
/// applies to calls from peers that claim otherwise.
pub(crate) fn granted(needs: &[Capability], host: &Host) -> Result<()> {
    match host.call.invocation.grants.missing(needs).first() {
        Some(missing) => {
            Err(wasmtime::Error::msg(format!("the module imports a function that requires the grant {missing}")))
        }
        None => Ok(()),
    }
}

/// Sets all limits. Called before instantiation, which runs the module's start function.
fn arm(store: &mut Store<Host>) -> Result<()> {
    store.data().check()?;
    store.limiter(|host| &mut host.limiter);
    store.set_fuel(store.data().limits.fuel)?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| context.data_mut().tick());
    Ok(())
}

/// Calls the module; returns `None` if a command or reactor returned, whose output is its stdout.
fn enter(store: &mut Store<Host>, instance: &Instance, entry: &Entry, input: &[u8]) -> Result<Option<Outcome>> {
    match entry {
        Entry::Command { start } => {
            function::<(), ()>(store, instance, start)?.call(&mut *store, ())?;
            Ok(None)
        }
        Entry::Named { module, is_plugin } => named::enter(store, instance, module, *is_plugin, input),
        Entry::Core { memory, alloc, handle, initialize, .. } => {
            if let Some(initialize) = initialize {
                function::<(), ()>(store, instance, initialize)?.call(&mut *store, ())?;
            }
            let Some(Extern::Memory(memory)) = instance.get_module_export(&mut *store, memory) else {
                return Err(Ending::BadModule("the export \"memory\" is not a memory").into());
            };
            let len = u32::try_from(input.len())?;
            let ptr = function::<u32, u32>(store, instance, alloc)?.call(&mut *store, len)?;
            let data = memory.data_mut(&mut *store);
            checked(data, "fusebox_alloc", ptr, len)?.copy_from_slice(input);
            let record = function::<(u32, u32), u32>(store, instance, handle)?.call(&mut *store, (ptr, len))?;
            Ok(Some(answer(store, memory, record)?))
        }
    }
}

fn function<P: WasmParams, R: WasmResults>(
    store: &mut Store<Host>,
    instance: &Instance,
    export: &ModuleExport,
) -> Result<TypedFunc<P, R>> {
    match instance.get_module_export(&mut *store, export) {
        Some(Extern::Func(function)) => function.typed(store.as_context()),
        _ => Err(Ending::BadModule("an export of the ABI is not a function").into()),
    }
}

/// Reads the result record (tag, pointer, length: three little-endian words) and the bytes it points at. The length is
/// checked against the limit before anything is copied.
fn answer(store: &mut Store<Host>, memory: Memory, record: u32) -> Result<Outcome> {
    let limit = store.data().limits.output_bytes;
    let data = memory.data_mut(store.as_context_mut());
    let words = checked(data, "the result record", record, 12)?;
    let word = |at: usize| words.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
    let (tag, ptr, len) = (word(0), word(4), word(8));
    if u64::from(len) > limit {
        return Err(Ending::OutputTooLarge { bytes: len.into() }.into());
    }
    let bytes = Bytes::copy_from_slice(checked(data, "the output", ptr, len)?);
    match tag {
        0 => Ok(Outcome::Returned(bytes)),
        1 => Ok(Outcome::GuestError { error: bytes, exit_code: None }),
        _ => Err(Ending::BadPointer(format!("the result record has the unknown tag {tag}")).into()),
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
