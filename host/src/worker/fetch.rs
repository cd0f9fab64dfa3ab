//! Fetches one module or archive of files from the dispatcher in pieces: a module first as an artifact, if allowed, and
//! as wasm otherwise or if that fails. Pure: it returns the next message, and its owner sends it and passes on the replies.

use std::time::Instant;

use bytes::Bytes;
use fusebox_core::{
    id::ModuleDigest,
    limits::{ARTIFACT_BYTES_MAX, FILES_BYTES_MAX, MODULE_BYTES_CEILING},
    wire::{Form, FromWorker},
};

/// Progress of a fetch.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) module: ModuleDigest,
    pub(super) form: Form,
    pub(super) began_at: Instant,
    /// Time of the last request.
    pub(super) asked_at: Instant,
    pub(super) bytes: Vec<u8>,
    /// Size in bytes according to the first piece; 0 before it.
    total: u64,
}

/// Result of receiving a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The piece answers no open request.
    Stale,
    /// Request the next piece.
    Ask,
    /// This was the last piece.
    Whole,
    /// The module cannot be fetched.
    Failed(&'static str),
}

impl Fetch {
    pub(super) fn new(module: ModuleDigest, form: Form, now: Instant) -> Self {
        Self { module, form, began_at: now, asked_at: now, bytes: Vec::new(), total: 0 }
    }

    /// Returns the request for the next piece, for the first time or again.
    pub(super) fn ask(&mut self, now: Instant) -> FromWorker {
        self.asked_at = now;
        FromWorker::Fetch { module: self.module, form: self.form, offset: self.bytes.len() as u64 }
    }

    /// Receives a piece of this module.
    pub(super) fn piece(&mut self, form: Form, offset: u64, total: u64, bytes: &Bytes) -> Step {
        if form != self.form || offset != self.bytes.len() as u64 {
            return Step::Stale; // A reply to an earlier or repeated request.
        }
        let most = match form {
            Form::Artifact { .. } => ARTIFACT_BYTES_MAX,
            Form::Wasm => MODULE_BYTES_CEILING,
            Form::Files => FILES_BYTES_MAX,
        };
        // After a change of the dispatcher, the artifact may be another one.
        let is_other = offset > 0 && total != self.total;
        let have = offset + bytes.len() as u64;
        let wrong = match total {
            0 => Some("the dispatcher does not have its module or its files"),
            _ if total > most || have > total => Some("the dispatcher sends a malformed module"),
            _ if bytes.is_empty() => Some("the dispatcher sends a module in part"),
            _ if is_other => Some("the dispatcher sends two modules as one"),
            _ => None,
        };
        match (wrong, form) {
            (None, _) => {
                self.total = total;
                self.bytes.extend_from_slice(bytes);
                if have < total { Step::Ask } else { Step::Whole }
            }
            (Some(reason), Form::Wasm | Form::Files) => Step::Failed(reason),
            (Some(reason), Form::Artifact { .. }) => {
                let module = self.module;
                match total {
                    0 => tracing::info!(%module, "the dispatcher has no artifact of a module: it is compiled here"),
                    _ => tracing::warn!(%module, reason, "cannot fetch the artifact of a module: it is compiled here"),
                }
                *self = Self { began_at: self.began_at, ..Self::new(module, Form::Wasm, self.asked_at) };
                Step::Ask
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTIFACT: Form = Form::Artifact { engine: 3 };

    fn fetch(form: Form) -> Fetch {
        Fetch::new(ModuleDigest([4; 32]), form, Instant::now())
    }

    fn piece(fetch: &mut Fetch, form: Form, offset: u64, total: u64, bytes: &'static [u8]) -> Step {
        fetch.piece(form, offset, total, &Bytes::from_static(bytes))
    }

    #[test]
    fn pieces_become_a_whole_in_their_order() {
        for form in [ARTIFACT, Form::Wasm, Form::Files] {
            let mut fetch = fetch(form);
            assert_eq!(piece(&mut fetch, form, 4, 6, b"ef"), Step::Stale);
            assert_eq!(piece(&mut fetch, form, 0, 6, b"abcd"), Step::Ask);
            assert_eq!(piece(&mut fetch, form, 0, 6, b"abcd"), Step::Stale, "it was asked for twice");
            assert_eq!(piece(&mut fetch, form, 4, 6, b"ef"), Step::Whole);
            assert_eq!(fetch.bytes, b"abcdef");
        }
    }

    #[test]
    fn what_is_no_artifact_is_fetched_as_wasm_from_its_start() {
        let bad: [(u64, &[u8]); 4] = [(0, b""), (ARTIFACT_BYTES_MAX + 1, b"ef"), (5, b"ef"), (8, b"")];
        // The last two come from a dispatcher that has another artifact, or none.
        for (total, bytes) in bad.into_iter().chain([(9, &b"ef"[..]), (0, b"")]) {
            let mut fetch = fetch(ARTIFACT);
            assert_eq!(piece(&mut fetch, ARTIFACT, 0, 6, b"abcd"), Step::Ask);
            assert_eq!(piece(&mut fetch, ARTIFACT, 4, total, bytes), Step::Ask, "{total} {bytes:?}");
            let question = FromWorker::Fetch { module: fetch.module, form: Form::Wasm, offset: 0 };
            assert_eq!(fetch.ask(Instant::now()), question);
            assert_eq!(piece(&mut fetch, ARTIFACT, 0, 6, b"abcd"), Step::Stale, "of the form before");
            assert_eq!(piece(&mut fetch, Form::Wasm, 0, 4, b"wasm"), Step::Whole);
            assert_eq!(fetch.bytes, b"wasm");
        }
    }

    #[test]
    fn what_is_no_module_cannot_be_had() {
        for (form, most) in [(Form::Wasm, MODULE_BYTES_CEILING), (Form::Files, FILES_BYTES_MAX)] {
            for (total, bytes) in [(0, &b""[..]), (most + 1, b"ef"), (1, b"ef"), (8, b"")] {
                let step = piece(&mut fetch(form), form, 0, total, bytes);
                assert!(matches!(step, Step::Failed(_)), "{form:?} {total} {bytes:?}");
            }
        }
    }
}
