//! Calls of an exported function by its name: of plug-ins for Extism, and of WASI reactors, which have no `_start`.

use fusebox_core::outcome::Outcome;
use wasmtime::{ExternType, Func, FuncType, Instance, Module, Result, Store, Val, ValType};
use wasmtime_wasi::I32Exit;

use crate::{ending::Ending, extism, harmless, host::Host};

/// Functions that prepare an instance, and are no entries of their own.
const INITIALIZERS: [&str; 5] = ["_initialize", "__wasm_call_ctors", "hs_init", "hs_exit", "__wasm_call_dtors"];
/// Exports that a message names.
const SHOWN_MAX: usize = 20;

/// Returns true if a function of this type can be called by name: without parameters, and with a number that is 0 for
/// success, or none, as its result.
pub(crate) fn is_entry(name: &str, params: usize, results: &[bool]) -> bool {
    params == 0 && matches!(results, [] | [true]) && !INITIALIZERS.contains(&name)
}

/// Returns the names of a module's functions that can be called.
pub(crate) fn entries(module: &Module) -> impl Iterator<Item = &str> {
    module.exports().filter_map(|export| match export.ty() {
        ExternType::Func(kind) if is_callable(export.name(), &kind) => Some(export.name()),
        _ => None,
    })
}

fn is_callable(name: &str, kind: &FuncType) -> bool {
    let results: Vec<bool> = kind.results().take(2).map(|kind| matches!(kind, ValType::I32)).collect();
    is_entry(name, kind.params().len(), &results)
}

/// Calls the function that the run or its version names, or the only one that there is. Returns `None` if a reactor
/// returned, whose output is its stdout.
pub(crate) fn enter(
    store: &mut Store<Host>,
    instance: &Instance,
    module: &Module,
    is_plugin: bool,
    input: &[u8],
) -> Result<Option<Outcome>> {
    let name = chosen(store.data().call.invocation.export.as_deref(), module)?;
    initialize(store, instance, is_plugin)?;
    if is_plugin {
        extism::give(store.data_mut(), input)?;
    }
    let called = match instance.get_func(&mut *store, &name) {
        Some(function) => call(store, &function),
        None => Err(Ending::BadExport(format!("the module exports no function {name:?}")).into()),
    };
    let code = match called.map_err(|error| (error.downcast_ref::<I32Exit>().map(|exit| exit.0), error)) {
        Ok(code) | Err((Some(code), _)) => code,
        Err((None, error)) => return Err(error),
    };
    match (is_plugin, code) {
        (true, code) => Ok(Some(extism::outcome(store.data(), code)?)),
        (false, 0) => Ok(None),
        (false, code) => Err(I32Exit(code).into()),
    }
}

/// Returns the name of the function to call: the one that is named, or the only one of the author's.
fn chosen(named: Option<&str>, module: &Module) -> Result<String, Ending> {
    let names: Vec<&str> = entries(module).collect();
    let of_toolchain = |name: &str| name == "_start" || name.starts_with("__") || name.starts_with("asyncify_");
    let own: Vec<&str> = names.iter().copied().filter(|name| !of_toolchain(name)).collect();
    match (named, &own[..]) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) if names.contains(&"_start") => Ok("_start".to_owned()),
        (named, _) => {
            let problem = match named {
                Some(name) => format!("the module exports no function {name:?} without parameters"),
                None => "the module exports several functions".to_owned(),
            };
            let shown = own.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
            let reason = format!("{problem}: choose one with --export (REST: export): {shown}");
            Err(Ending::BadExport(harmless(&reason, crate::MESSAGE_CHARS_MAX)))
        }
    }
}

/// Calls the functions that prepare an instance, as Extism does: those of Haskell, of C, or of a WASI reactor.
fn initialize(store: &mut Store<Host>, instance: &Instance, is_plugin: bool) -> Result<()> {
    let is_haskell = is_plugin && instance.get_func(&mut *store, "hs_init").is_some();
    let mut run = |name: &str| match instance.get_typed_func::<(), ()>(&mut *store, name) {
        Ok(function) => function.call(&mut *store, ()).map(|()| true),
        Err(_) => Ok(false),
    };
    if !is_plugin || is_haskell || !run("__wasm_call_ctors")? {
        run("_initialize")?;
    }
    if is_haskell && let Ok(start) = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "hs_init") {
        start.call(&mut *store, (0, 0))?;
    }
    Ok(())
}

fn call(store: &mut Store<Host>, function: &Func) -> Result<i32> {
    let mut results = [Val::I32(0)];
    let count = function.ty(&*store).results().len();
    function.call(&mut *store, &[], &mut results[..count.min(1)])?;
    Ok(results[0].i32().unwrap_or_default())
}
