//! Reporting of panics as errors. A guest cannot unwind, so the hook ends the run.

use std::panic::{self, PanicHookInfo};

use crate::fail::fail;

/// Makes panics end the run, with their message and location as the error.
pub(crate) fn report_to_host() {
    panic::set_hook(Box::new(|panic| fail(message(panic).as_bytes())));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    let text = panic.payload_as_str().unwrap_or("no message");
    match panic.location() {
        Some(place) => format!("panicked at {place}: {text}"),
        None => format!("panicked: {text}"),
    }
}
