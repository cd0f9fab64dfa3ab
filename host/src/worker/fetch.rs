//! One module on its way from the dispatcher, in pieces: as an artifact where one may be asked for, else or when that
//! fails as wasm. Pure: it says what to ask next; whoever uses it sends, and takes what came.

use std::time::Instant;

use bytes::Bytes;
use fusebox_core::{
    id::ModuleDigest,
    limits::{ARTIFACT_BYTES_MAX, MODULE_BYTES_MAX},
    wire::{Form, FromWorker},
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) module: ModuleDigest,
    pub(super) form: Form,
    pub(super) began_at: Instant,
    /// When the question that is open was asked.
    pub(super) asked_at: Instant,
    pub(super) bytes: Vec<u8>,
    /// What the first piece said; 0 before it.
    total: u64,
}

/// What a piece comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It answers no question that is open.
    Stale,
    /// Ask on.
    Ask,
    /// This was the last piece.
    Whole,
    /// It cannot be had.
    Failed(&'static str),
}

impl Fetch {
    pub(super) fn new(module: ModuleDigest, form: Form, now: Instant) -> Self {
        Self { module, form, began_at: now, asked_at: now, bytes: Vec::new(), total: 0 }
    }

    /// Asks for the next piece, again or for the first time.
    pub(super) fn ask(&mut self, now: Instant) -> FromWorker {
        self.asked_at = now;
        FromWorker::Fetch { module: self.module, form: self.form, offset: self.bytes.len() as u64 }
    }

    /// Takes a piece of this module.
    pub(super) fn piece(&mut self, form: Form, offset: u64, total: u64, bytes: &Bytes) -> Step {
        if form != self.form || offset != self.bytes.len() as u64 {
            return Step::Stale; // An answer to a question that was asked twice, or before the last one.
        }
        let most = match form {
            Form::Artifact { .. } => ARTIFACT_BYTES_MAX,
            Form::Wasm => MODULE_BYTES_MAX,
        };
        // An answer from another dispatcher than the first piece's may be of another artifact.
        let is_other = offset > 0 && total != self.total;
        let have = offset + bytes.len() as u64;
        let wrong = match total {
            0 => Some("the dispatcher does not have its module"),
            _ if total > most || have > total => Some("the dispatcher sends a module that is none"),
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
            (Some(reason), Form::Wasm) => Step::Failed(reason),
            (Some(reason), Form::Artifact { .. }) => {
                let module = self.module;
                match total {
                    0 => tracing::info!(%module, "the dispatcher has no artifact of a module: it is compiled here"),
                    _ => tracing::warn!(%module, reason, "no artifact of a module can be had: it is compiled here"),
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
        for form in [ARTIFACT, Form::Wasm] {
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
        // The last two come from another dispatcher than the first piece: it has another artifact, or none.
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
        for (total, bytes) in [(0, &b""[..]), (MODULE_BYTES_MAX + 1, b"ef"), (1, b"ef"), (8, b"")] {
            let step = piece(&mut fetch(Form::Wasm), Form::Wasm, 0, total, bytes);
            assert!(matches!(step, Step::Failed(_)), "{total} {bytes:?}");
        }
    }
}
