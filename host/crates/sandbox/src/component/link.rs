//! The linker of components. It rarely changes, since the functions of WASI are compiled here.

use wasmtime::{Engine, Result, component::Linker};

use super::{State, offers};

/// Returns a linker with everything that components may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    // Replaces interfaces linked above.
    offers::add_to(&mut linker)?;
    Ok(linker)
}
