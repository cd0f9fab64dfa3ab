//! Properties of the current call.

use std::time::{Duration, SystemTime};

use crate::clock;

/// Properties of the current call. A task can run more than once, which the function can detect by task id and attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Task id; `None` for an invocation without a task.
    pub task: Option<String>,
    /// Number of the attempt, starting at 1.
    pub attempt: u32,
    /// Time at which the run is stopped.
    pub deadline: SystemTime,
    /// Tenant of the function.
    pub tenant: String,
    /// Name of the function.
    pub function: String,
}

impl Context {
    /// Returns the time left until the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.duration_since(clock::now()).unwrap_or_default()
    }

    /// Parses the five lines supplied by the host.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        Some(Self {
            task: lines.next().filter(|task| !task.is_empty()).map(str::to_owned),
            attempt: lines.next()?.parse().ok()?,
            deadline: at(lines.next()?.parse().ok()?),
            tenant: lines.next()?.to_owned(),
            function: lines.next()?.to_owned(),
        })
    }
}

/// Returns the context of the current call. In native builds it describes a first attempt without a task, of the
/// function `native` of the tenant `default`, with 5 s left.
pub fn context() -> Context {
    let text = text();
    Context::parse(&text).unwrap_or_else(|| panic!("the host's context has other lines than this SDK knows: {text:?}"))
}

/// Returns the time that corresponds to Unix milliseconds.
pub(crate) fn at(unix_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls the host")]
fn text() -> String {
    #[link(wasm_import_module = "fusebox")]
    unsafe extern "C" {
        fn context(ptr: *mut u8, cap: usize) -> usize;
    }
    // Enough for all but unusually long names, for which the host returns the length required.
    let mut buffer = vec![0; 512];
    loop {
        // SAFETY: the host writes only this buffer, which is not shared.
        let len = unsafe { context(buffer.as_mut_ptr(), buffer.len()) };
        let fits = len <= buffer.len();
        buffer.resize(len, 0);
        if fits {
            return String::from_utf8_lossy(&buffer).into_owned();
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn text() -> String {
    let deadline = clock::now() + Duration::from_secs(5);
    let unix = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("\n1\n{}\ndefault\nnative\n", unix.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_lines_are_read() {
        let context = Context::parse("0192-a\n2\n1500\nacme\nresize\n").unwrap();
        let expected = Context {
            task: Some("0192-a".to_owned()),
            attempt: 2,
            deadline: at(1_500),
            tenant: "acme".to_owned(),
            function: "resize".to_owned(),
        };
        assert_eq!(context, expected);
        assert_eq!(context.time_left(), Duration::ZERO);
    }

    #[test]
    fn other_lines_are_no_context() {
        assert_eq!(Context::parse(""), None);
        assert_eq!(Context::parse("\none\n1500\nacme\nresize\n"), None);
    }

    #[test]
    fn natively_there_is_a_context_to_test_with() {
        let context = context();
        assert_eq!((context.task.as_deref(), context.attempt), (None, 1));
        assert!(context.time_left() > Duration::from_secs(3));
    }
}
