//! Current time. `SystemTime::now()` panics in a module; this clock is the host's, with a resolution of milliseconds.

use std::time::SystemTime;

/// Returns the current time, in native builds that of the machine.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls the host")]
pub fn now() -> SystemTime {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        safe fn clock() -> i64;
    }
    crate::context::at(clock().try_into().unwrap_or_default())
}

/// Returns the current time, in native builds that of the machine.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::disallowed_methods, reason = "what stands in for the host natively")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_stand_at_its_origin() {
        assert!(now() > SystemTime::UNIX_EPOCH);
    }
}
