//! The `log` facade's way to the run's log. Natively there is none: a test sets up the logger it likes.

use log::{LevelFilter, Log, Metadata, Record};

struct Host;

/// Has log lines written to the run's log. Not those of level `Trace`: libraries trace by the byte, and a flood ends
/// the run.
pub(crate) fn log_to_host() {
    // It fails where a logger is set already, as by a start function: then that one is meant.
    if log::set_logger(&Host).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

impl Log for Host {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The host counts the levels as the facade does, from 1 for errors.
        line(record.level() as u32, &format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[expect(unsafe_code, reason = "calls the host")]
fn line(level: u32, text: &str) {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        fn log(level: u32, ptr: *const u8, len: usize);
    }
    // SAFETY: the host only reads, and only this text.
    unsafe { log(level, text.as_ptr(), text.len()) }
}
