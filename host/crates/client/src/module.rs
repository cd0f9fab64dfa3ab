//! Module or script that is sent to a host, with news of how much of it has been sent.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, RequestBuilder, header::CONTENT_LENGTH};

/// Bytes that are handed to the connection at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Module or script that is sent.
pub struct Module {
    wasm: Bytes,
    sent: Option<Box<dyn Fn(u64) + Send + Sync>>,
}

impl Module {
    /// Calls `sent` with the number of bytes that were sent so far, after each part and at the end.
    #[must_use]
    pub fn watched(wasm: impl Into<Bytes>, sent: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { wasm: wasm.into(), sent: Some(Box::new(sent)) }
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.wasm
    }

    /// Returns a body that has the module within, watched like it.
    pub(crate) fn within(self, body: Vec<u8>) -> Self {
        Self { wasm: body.into(), ..self }
    }

    /// Adds the module to a request.
    pub(crate) fn onto(self, request: RequestBuilder) -> RequestBuilder {
        let Self { wasm, sent } = self;
        let Some(sent) = sent else { return request.body(wasm) };
        let bytes = wasm.len();
        let parts = (0..=bytes / CHUNK_BYTES).map(move |part| {
            let (from, to) = (part * CHUNK_BYTES, bytes.min((part + 1) * CHUNK_BYTES));
            // A part is asked for once the connection has taken those before.
            sent(from as u64);
            if to == bytes {
                sent(bytes as u64);
            }
            Ok::<_, std::io::Error>(wasm.slice(from..to))
        });
        // The host refuses what is too large by its length, before it is sent.
        request.header(CONTENT_LENGTH, bytes).body(Body::wrap_stream(stream::iter(parts)))
    }
}

impl From<Vec<u8>> for Module {
    fn from(wasm: Vec<u8>) -> Self {
        Self { wasm: wasm.into(), sent: None }
    }
}
