//! Log of a run: lines of text up to a limit, without control characters. Excess is dropped and noted; a multiple of
//! the limit ends the run. The last lines of stderr are kept beside it, since they explain a failure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fusebox_core::{
    capability::Capability,
    limits::{LOG_FLOOD_FACTOR, STDERR_TAIL_BYTES, STDERR_TAIL_LINES},
};

use crate::ending::Ending;

/// Log of a run. Cheap to clone: a command's stderr and the imports share one.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Lines>>);

struct Lines {
    kept: Vec<u8>,
    bytes_max: usize,
    /// Number of bytes logged, including dropped ones.
    seen: u64,
    dropped: bool,
    /// True once a call without its grant was noted.
    denied: bool,
    /// End of stderr, whether or not the log has room for it; at most twice [`STDERR_TAIL_BYTES`].
    stderr: Vec<u8>,
}

impl Log {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let (kept, stderr) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Lines { kept, bytes_max, seen: 0, dropped: false, denied: false, stderr })))
    }

    /// Appends a line.
    pub(crate) fn line(&self, level: &str, text: &[u8]) -> Result<(), Ending> {
        let mut lines = self.lock();
        lines.count(text.len())?;
        lines.keep(level.as_bytes());
        lines.keep(b" ");
        lines.keep_text(text);
        lines.keep(b"\n");
        Ok(())
    }

    /// Notes the first call without its grant: a runtime's script may make many.
    pub(crate) fn denied(&self, capability: Capability) -> Result<(), Ending> {
        if std::mem::replace(&mut self.lock().denied, true) {
            return Ok(());
        }
        let value = if capability == Capability::Http { "=HOST" } else { "" };
        self.line("WARN", format!("{capability} is not granted: deploy with --grant {capability}{value}").as_bytes())
    }

    /// Appends text of stderr as written.
    pub(crate) fn stderr(&self, text: &[u8]) -> Result<(), Ending> {
        let mut lines = self.lock();
        lines.count(text.len())?;
        lines.keep_text(text);
        lines.keep_end(text);
        Ok(())
    }

    /// Returns the last lines of stderr.
    pub(crate) fn stderr_tail(&self) -> String {
        let lines = self.lock();
        let kept = &lines.stderr[lines.stderr.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let shown = |letter: &char| match letter {
            '\n' | '\t' => true,
            // Replaces bytes that are no text, and is longer than they are.
            &char::REPLACEMENT_CHARACTER => false,
            letter => !letter.is_control(),
        };
        let text: String = String::from_utf8_lossy(kept).chars().filter(shown).collect();
        let skipped = text.trim_end().lines().count().saturating_sub(STDERR_TAIL_LINES);
        text.trim_end().lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Removes and returns the retained log.
    pub(crate) fn take(&self) -> Bytes {
        let mut lines = self.lock();
        let mut kept = std::mem::take(&mut lines.kept);
        if lines.dropped {
            kept.extend_from_slice(b"\n[the log is cut here: its limit is reached]\n");
        }
        kept.into()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn count(&mut self, bytes: usize) -> Result<(), Ending> {
        // An empty line costs time as well.
        self.seen = self.seen.saturating_add(bytes as u64 + 1);
        let flood = (self.bytes_max as u64).saturating_mul(LOG_FLOOD_FACTOR);
        if self.seen > flood { Err(Ending::LogFlood) } else { Ok(()) }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.kept.len());
        self.dropped |= bytes.len() > room;
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Keeps the end of stderr.
    fn keep_end(&mut self, text: &[u8]) {
        self.stderr.extend_from_slice(&text[text.len().saturating_sub(STDERR_TAIL_BYTES)..]);
        if self.stderr.len() > 2 * STDERR_TAIL_BYTES {
            self.stderr.drain(..self.stderr.len() - STDERR_TAIL_BYTES);
        }
    }

    /// Appends text without control characters, which could forge lines or control a terminal.
    fn keep_text(&mut self, text: &[u8]) {
        let harmless = |byte: &u8| !byte.is_ascii_control() || matches!(byte, b'\n' | b'\t');
        // No early exit, which allows the compiler to vectorize the loop.
        if text.iter().fold(true, |so_far, byte| so_far & harmless(byte)) {
            self.keep(text);
        } else {
            let cleaned: Vec<u8> = text.iter().filter(|byte| harmless(byte)).copied().collect();
            self.keep(&cleaned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_dropped_and_noted() {
        let log = Log::new(10);
        log.line("INFO", b"abc").unwrap();
        log.line("INFO", b"defgh").unwrap();
        let text = String::from_utf8(log.take().to_vec()).unwrap();
        assert!(text.starts_with("INFO abc\nI\n[the log is cut"), "{text:?}");
    }

    #[test]
    fn control_characters_are_left_out() {
        let log = Log::new(100);
        log.stderr(b"a\x1b[31mb\r\x07\tc\n").unwrap();
        assert_eq!(&log.take()[..], b"a[31mb\tc\n");
    }

    #[test]
    fn the_last_lines_of_stderr_are_kept_though_the_log_is_full() {
        let log = Log::new(1_000);
        (0..200).for_each(|line| log.stderr(format!("line {line}\n").as_bytes()).unwrap());
        log.stderr(&[b'y'; 5_000]).unwrap();
        let tail = log.stderr_tail();
        assert!(tail.len() == STDERR_TAIL_BYTES && tail.bytes().all(|byte| byte == b'y'), "{tail}");
        let few = Log::new(100_000);
        (0..100).for_each(|line| few.stderr(format!("line {line}\x1b[0m\n").as_bytes()).unwrap());
        let tail = few.stderr_tail();
        assert!(tail.starts_with("line 76[0m\nline 77") && tail.ends_with("\nline 99[0m"), "{tail}");
    }

    #[test]
    fn a_flood_ends_the_run() {
        let log = Log::new(10);
        let ended = (0..1_000).find_map(|_| log.stderr(b"").err());
        assert!(matches!(ended, Some(Ending::LogFlood)));
    }
}
