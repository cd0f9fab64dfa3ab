//! The one way in which a function of the host is given to guests: with what a call of it costs in fuel, which is charged
//! before it does anything. A table without the cost of a row does not compile, and nothing else links functions.
//!
//! The rule: no host call is cheaper per unit of fuel than the loop that a guest could run instead, about a nanosecond a unit.
//! Each figure below is the dearest of its calls on a machine of 2 shared cores, rounded up; `benches/host_calls.rs` shows
//! them all.

use fusebox_core::function::RunLimits;
use wasmtime::{Caller, Extern, Result, Trap};

use crate::host::Host;

/// Fuel of a call that answers from what the host has at hand: into the host and back, and a word or two.
pub(crate) const CALL: u64 = 100;
/// Fuel of a call that leaves the sandbox: another thread or machine works for it, for some 20 us.
pub(crate) const OUTSIDE: u64 = 20_000;

/// Fuel of bytes that are copied once or twice.
pub(crate) fn copied(bytes: u32) -> u64 {
    in_memory(bytes) / 16
}

/// Fuel of text that is looked through for control characters, which are left out, and kept in a log.
pub(crate) fn logged(bytes: u32) -> u64 {
    in_memory(bytes)
}

/// Fuel of random bytes, of which the system makes one in 2 to 3 ns.
pub(crate) fn drawn(bytes: u32) -> u64 {
    in_memory(bytes) * 3
}

/// A length as far as a memory could have it: what is longer is refused, and should be by its reason.
fn in_memory(bytes: u32) -> u64 {
    u64::from(bytes).min(RunLimits::CEILING.memory_bytes)
}

/// Links the functions of a table.
///
/// A row is a name, the capability it takes where not every function has it, its parameters and result, its cost in fuel, and
/// the function that does it. A cost that must look at the guest's memory names the caller in brackets.
macro_rules! metered {
    (
        $module:expr;
        $(
            $name:literal $(needs $capability:ident)? $([$caller:ident])? ($($argument:ident: $type:ty),*) -> $result:ty,
                costs $cost:expr,
                does $call:expr;
        )*
    ) => {
        /// Each function that is offered, and the grants that it takes.
        pub(crate) const OFFERED: &[(&str, &[fusebox_core::capability::Capability])] =
            &[$(($name, &[$(fusebox_core::capability::Capability::$capability)?])),*];

        /// Adds each of them to a linker.
        pub(crate) fn add_to(linker: &mut wasmtime::Linker<$crate::host::Host>) -> wasmtime::Result<()> {
            $(
                linker.func_wrap(
                    $module,
                    $name,
                    |mut caller: wasmtime::Caller<'_, $crate::host::Host>, $($argument: $type),*| -> wasmtime::Result<$result> {
                        let fuel: u64 = {
                            $(let $caller = &mut caller;)?
                            $cost
                        };
                        $crate::metered::charge(&mut caller, fuel)?;
                        ($call)(&mut caller, $($argument),*)
                    },
                )?;
            )*
            Ok(())
        }
    };
}
pub(crate) use metered;

/// Takes fuel from a run, or ends it where it has not got so much.
pub(crate) fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> Result<()> {
    match caller.get_fuel()?.checked_sub(fuel) {
        Some(left) => caller.set_fuel(left),
        None => {
            caller.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// Bytes of a guest's vector: a pointer and a length.
const VECTOR_BYTES: usize = 8;
/// Fuel of a vector that is passed over, since it is empty: it is read twice.
const VECTOR: u64 = 4;

/// Fuel for what a read or a write does with so many vectors at `at`: passes over the empty ones, and handles the bytes of
/// the first other one, at this rate, which WASI lets a call be content with. Looks at no more of them than the run could pay
/// for. A writer is charged as if it wrote to the log: descriptors can be renumbered.
pub(crate) fn vectors(rate: fn(u32) -> u64, caller: &mut Caller<'_, Host>, at: i32, count: i32) -> u64 {
    let affordable = caller.get_fuel().unwrap_or_default() / VECTOR + 1;
    let count = u64::from(count.cast_unsigned()).min(affordable);
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { return 0 };
    let data = memory.data(&*caller);
    let from = usize::try_from(at.cast_unsigned()).ok().and_then(|at| data.get(at..)).unwrap_or_default();
    let vectors = from.chunks_exact(VECTOR_BYTES).take(usize::try_from(count).unwrap_or(usize::MAX));
    let mut fuel = 0;
    for vector in vectors {
        let length = vector.get(4..).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
        if length != 0 {
            // Bytes that are not in the memory are refused, not handled.
            return fuel + rate(length.min(u32::try_from(data.len()).unwrap_or(u32::MAX)));
        }
        fuel += VECTOR;
    }
    fuel
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        time::{Duration, Instant},
    };

    use bytes::Bytes;
    use fusebox_core::{function::Grants, name::TenantId, time::Millis};
    use wasmtime::{Linker, Module, Store};

    use super::*;
    use crate::{CallContext, StopFlag, engine, imports, limiter::Limiter, log::Log, wasi};

    fn host() -> Host {
        let context = CallContext {
            task: None,
            attempt: 1,
            tenant: TenantId::default_tenant(),
            function: "f".parse().unwrap(),
            deadline: Millis(0),
            grants: Grants::default(),
        };
        let log = Log::new(100);
        Host {
            limits: RunLimits::default(),
            limiter: Limiter::new(1 << 20),
            wasi: Some(wasi::context("f", Bytes::new(), 100, &log).0),
            log,
            context,
            stop: StopFlag::default(),
            deadline: Instant::now() + Duration::from_secs(60),
            host_calls: None,
            answer: Bytes::new(),
        }
    }

    /// Calls a function with zeros, and says what is left of the fuel and how it ended.
    fn called(linker: &Linker<Host>, wat: &str, fuel: u64) -> (u64, Result<()>) {
        let module = Module::from_binary(linker.engine(), &wat::parse_str(wat).unwrap()).unwrap();
        let mut store = Store::new(linker.engine(), host());
        store.set_fuel(fuel).unwrap();
        store.set_epoch_deadline(1_000);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let ended = instance.get_typed_func::<(), ()>(&mut store, "go").unwrap().call(&mut store, ());
        (store.get_fuel().unwrap(), ended)
    }

    #[test]
    fn every_function_is_charged_and_before_it_does_anything() {
        let mut linker = Linker::new(&engine::compiling().unwrap());
        imports::add_to(&mut linker).unwrap();
        wasi::add_to(&mut linker).unwrap();
        let tables = imports::OFFERED.iter().chain(wasi::OFFERED);
        let offered: BTreeSet<String> = tables.map(|(name, _)| (*name).to_owned()).collect();
        let mut store = Store::new(linker.engine(), host());
        let linked: Vec<_> =
            linker.iter(&mut store).map(|(module, name, item)| (module.to_owned(), name.to_owned(), item)).collect();
        let names: BTreeSet<String> = linked.iter().map(|(_, name, _)| name.clone()).collect();
        assert_eq!(names, offered, "a function that is linked past the tables costs nothing");
        for (from, name, item) in linked {
            let kind = item.into_func().unwrap().ty(&store);
            let zeros: String = kind.params().map(|kind| format!("({kind}.const 0)")).collect();
            let (params, results) =
                (kind.params().map(|kind| format!(" {kind}")), kind.results().map(|kind| format!(" {kind}")));
            let drop = if kind.results().len() == 0 { "" } else { "drop" };
            let text = format!(
                r#"(module (import "{from}" "{name}" (func $call (param{}) (result{}))) (memory (export "memory") 1)
                    (func (export "go") {zeros} call $call {drop}))"#,
                params.collect::<String>(),
                results.collect::<String>(),
            );
            let (left, _) = called(&linker, &text, 1_000_000);
            let used = 1_000_000 - left;
            assert!((CALL..=OUTSIDE + 200).contains(&used), "{from}.{name} costs {used}");
            // A unit less than the call itself costs: it ends there, and a function that ends a run otherwise does not.
            let (left, ended) = called(&linker, &text, used - 3);
            let trap = ended.unwrap_err().downcast::<Trap>();
            assert!(matches!(trap, Ok(Trap::OutOfFuel)) && left == 0, "{from}.{name}: {trap:?}");
        }
    }
}
