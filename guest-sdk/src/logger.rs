//! Backend of the `log` facade, which writes to the run's log. Native builds have none; a test sets up a logger if
//! needed.

use log::{LevelFilter, Log, Metadata, Record};

struct Host;

/// Directs log lines to the run's log, except those of level `Trace`: libraries trace every byte, and a flood ends the
/// run.
pub(crate) fn log_to_host() {
    // Fails if a logger was already set, for example by a start function; that one is kept.
    if log::set_logger(&Host).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

impl Log for Host {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The host numbers levels as the facade does, starting at 1 for errors.
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
    // SAFETY: the host only reads this text.
    unsafe { log(level, text.as_ptr(), text.len()) }
}
