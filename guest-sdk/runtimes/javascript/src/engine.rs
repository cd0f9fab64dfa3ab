//! The engine with the runtime's own modules: created once, before the image of the runtime is taken.

use std::cell::RefCell;

use rquickjs::{
    Context, Ctx, Error, Function, Module, Object, Persistent, Promise, Result, Runtime, promise::PromiseState,
};

use crate::modules::Modules;

/// Stack of the interpreter's own frames, in the memory of the module. Deeper recursion is a `RangeError` of the
/// function. The host's stack, which is not measured here, has room for what fits into this.
const STACK_BYTES_MAX: usize = 160 << 10;

struct Engine {
    exports: Persistent<Object<'static>>,
    context: Context,
    _runtime: Runtime,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Creates the engine unless there is one.
pub(crate) fn create() -> Result<()> {
    if ENGINE.with_borrow(Option::is_some) {
        return Ok(());
    }
    let runtime = Runtime::new()?;
    runtime.set_max_stack_size(STACK_BYTES_MAX);
    runtime.set_loader(Modules, Modules);
    let context = Context::full(&runtime)?;
    let exports = context.with(|ctx| {
        let promise = Module::import(&ctx, "fusebox:main")?;
        let exports = promise.finish::<Object<'_>>()?;
        Ok::<_, Error>(Persistent::save(&ctx, exports))
    })?;
    runtime.run_gc();
    ENGINE.set(Some(Engine { exports, context, _runtime: runtime }));
    Ok(())
}

/// Calls with the engine's context.
///
/// # Errors
/// Fails if there is no engine.
pub(crate) fn with<T>(call: impl FnOnce(Ctx<'_>) -> Result<T>) -> Result<T> {
    let context = ENGINE.with_borrow(|engine| engine.as_ref().map(|engine| engine.context.clone()));
    context.ok_or(Error::Unknown)?.with(call)
}

/// Returns the exports of `fusebox:main`.
pub(crate) fn exports<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let exports = ENGINE.with_borrow(|engine| engine.as_ref().map(|engine| engine.exports.clone()));
    exports.ok_or(Error::Unknown)?.restore(ctx)
}

/// Runs what waits until a promise is settled, and returns its value; `None` if nothing is left that could settle it.
pub(crate) fn settled<'js, T: rquickjs::FromJs<'js>>(ctx: &Ctx<'js>, promise: &Promise<'js>) -> Result<Option<T>> {
    let tick: Function<'js> = exports(ctx)?.get("tick")?;
    loop {
        while ctx.execute_pending_job() {}
        if promise.state() != PromiseState::Pending {
            return promise.result().transpose();
        }
        if !tick.call::<_, bool>(())? {
            return Ok(None);
        }
    }
}
