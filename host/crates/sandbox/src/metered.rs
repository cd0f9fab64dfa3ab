//! The only way to provide a host function to guests: with its cost in fuel, which is charged before the function runs.
//! A table row without a cost does not compile, and functions are linked nowhere else.
//!
//! No host call may take more time per unit of fuel than the tightest loop that the guest could run instead, 0.05 ns.
//! Each figure below is the most expensive of its calls on a machine with 2 shared cores, rounded up;
//! `benches/host_calls.rs` prints them all.

use fusebox_core::function::RunLimits;
use wasmtime::{Caller, Extern, Result, Trap};

use crate::host::Host;

/// Fuel of a call answered from the host's memory: the transition to the host and back, and a word or two.
pub(crate) const CALL: u64 = 2_000;
/// Fuel of reading or writing a word that the host holds, which some guests do for each 8 bytes of their input.
pub(crate) const WORD: u64 = 600;
/// Fuel of a call that leaves the sandbox: another thread or machine works on it for about 20 us.
pub(crate) const OUTSIDE: u64 = 400_000;

/// Fuel of bytes that are copied once or twice.
pub(crate) fn copied(bytes: u32) -> u64 {
    in_memory(bytes) * 5 / 4
}

/// Fuel of text that is scanned for control characters and stored in a log.
pub(crate) fn logged(bytes: u32) -> u64 {
    in_memory(bytes) * 20
}

/// Fuel of random bytes, at 2 to 3 ns a byte.
pub(crate) fn drawn(bytes: u32) -> u64 {
    in_memory(bytes) * 60
}

/// Caps a length at the size of the largest memory; longer ones are refused later, with their specific error.
fn in_memory(bytes: u32) -> u64 {
    u64::from(bytes).min(RunLimits::CEILING.memory_bytes)
}

/// Links the functions of a table.
///
/// A row consists of a name, the capability required (if any), parameters and result, the cost in fuel, and the
/// implementation. A cost that depends on the guest's memory names the caller in brackets.
macro_rules! metered {
    (
        $module:expr;
        $(
            $name:literal $(needs $capability:ident)? $([$caller:ident])? ($($argument:ident: $type:ty),*) -> $result:ty,
                costs $cost:expr,
                does $call:expr;
        )*
    ) => {
        #[allow(dead_code, reason = "not every table is searched by name")]
        /// Functions provided, each with the capabilities it requires.
        pub(crate) const OFFERED: &[(&str, &[fusebox_core::capability::Capability])] =
            &[$(($name, &[$(fusebox_core::capability::Capability::$capability)?])),*];

        /// Adds the functions to a linker.
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

/// Takes fuel from a run, or ends the run if too little is left.
pub(crate) fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> Result<()> {
    match caller.get_fuel()?.checked_sub(fuel) {
        Some(left) => caller.set_fuel(left),
        None => {
            caller.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// Size of a guest's vector: a pointer and a length.
const VECTOR_BYTES: usize = 8;
/// Fuel of an empty vector, which is read twice and skipped.
const VECTOR: u64 = 80;

/// Returns the fuel of a read or write with `count` vectors at `at`. WASI allows a call to handle only the first
/// non-empty vector: its bytes are charged at `rate`, and the empty ones before it are charged as skipped. Examines no
/// more vectors than the run could pay for.
pub(crate) fn vectors(rate: fn(u32) -> u64, caller: &mut Caller<'_, Host>, at: u32, count: u32) -> u64 {
    let affordable = caller.get_fuel().unwrap_or_default() / VECTOR + 1;
    let count = u64::from(count).min(affordable);
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { return 0 };
    let data = memory.data(&*caller);
    let from = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
    let vectors = from.chunks_exact(VECTOR_BYTES).take(usize::try_from(count).unwrap_or(usize::MAX));
    let mut fuel = 0;
    for vector in vectors {
        let length = vector.get(4..).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
        if length != 0 {
            // Bytes outside the memory are refused and not processed.
            return fuel + rate(length.min(u32::try_from(data.len()).unwrap_or(u32::MAX)));
        }
        fuel += VECTOR;
    }
    fuel
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        collections::BTreeSet,
        time::{Duration, Instant},
    };

    use bytes::Bytes;
    use fusebox_core::{capability::Grants, id::ModuleDigest, invocation::Invocation, name::TenantId};
    use wasmtime::{Linker, Module, Store};

    use super::*;
    use crate::{Call, engine, extism, files::tree::Tree, imports, limiter::Limiter, log::Log, wasi};

    pub(crate) fn host() -> Host {
        let call = Call::new(Invocation::plain(
            TenantId::default_tenant(),
            "f".parse().unwrap(),
            ModuleDigest([0; 32]),
            RunLimits::default(),
            Grants::default(),
            Bytes::new(),
        ));
        let (log, limiter) = (Log::new(100), Limiter::new(1 << 20));
        let parts = wasi::Parts {
            args: Vec::new(),
            env: Vec::new(),
            input: Bytes::new(),
            output_bytes_max: Some(100),
            log: log.clone(),
            tree: Tree::empty().into(),
            streams: None,
            budget: limiter.budget(),
        };
        Host {
            limits: RunLimits::default(),
            limiter,
            wasi: Some(wasi::Wasi::new(parts)),
            log,
            call,
            deadline: Instant::now() + Duration::from_secs(60),
            answer: Bytes::new(),
            plugin: extism::Plugin::default(),
        }
    }

    /// Calls a function with zeros; returns the remaining fuel and the result.
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
        extism::add_to(&mut linker).unwrap();
        let tables = imports::OFFERED.iter().chain(wasi::OFFERED).chain(extism::OFFERED);
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
            let (left, _) = called(&linker, &text, 10_000_000);
            let used = 10_000_000 - left;
            assert!((WORD..=OUTSIDE + 4_000).contains(&used), "{from}.{name} costs {used}");
            // One unit less than the call costs: the run ends there, and a function that ends a run in another way is
            // not reached.
            let (left, ended) = called(&linker, &text, used - 3);
            let trap = ended.unwrap_err().downcast::<Trap>();
            assert!(matches!(trap, Ok(Trap::OutOfFuel)) && left == 0, "{from}.{name}: {trap:?}");
        }
    }
}
