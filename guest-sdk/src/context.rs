//! What a function may know of its own call.

use std::time::{Duration, SystemTime};

use crate::clock;

/// What a function may know of its own call. A task can run more than once: its id and the attempt's number let the
/// function notice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The task's id; `None` where the function is invoked at once, without a task.
    pub task: Option<String>,
    /// Which attempt at the task this is, from 1.
    pub attempt: u32,
    /// When the run is stopped.
    pub deadline: SystemTime,
    /// On whose behalf the function runs.
    pub tenant: String,
    /// The function's name.
    pub function: String,
}

impl Context {
    /// The time left until the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.duration_since(clock::now()).unwrap_or_default()
    }

    /// From the host's five lines.
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

/// The context of this call. Natively it is that of a first attempt without a task, of a function `native` of the
/// tenant `default`, with 5 s left.
pub fn context() -> Context {
    let text = text();
    Context::parse(&text).unwrap_or_else(|| panic!("the host's context has other lines than this SDK knows: {text:?}"))
}

/// A moment in Unix milliseconds.
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
    // Enough for the longest names but the odd ones; for those the host says how much more it needs.
    let mut buffer = vec![0; 512];
    loop {
        // SAFETY: the host writes this buffer, which is ours alone, and nothing else.
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
