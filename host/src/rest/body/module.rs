//! Extractor of a module: its bytes, decoded if they arrive as gzip or zstd.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use fusebox_core::error::ErrorCode;
use tokio::task::spawn_blocking;

use super::{
    announced,
    arrival::{Arrival, PACE, Unread},
    caller,
    decode::{Coding, Undecoded},
    refuse_unread,
    spool::{Held, Spool},
    too_large,
};
use crate::{
    rest::{Shared, error::Problem},
    tenancy::Caller,
};

const WHAT: &str = "a module";

/// Wasm bytes of a module, and what they hold.
pub(super) struct ModuleBody(pub(super) Bytes, pub(super) Held);

impl FromRequest<Shared> for ModuleBody {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (coding, caller) = (Coding::of(request.headers())?, caller(&request)?);
        let bytes_max = app.settings.module_bytes_max;
        let (body, held) = large(request, app, bytes_max, WHAT).await?;
        let Some(coding) = coding else { return Ok(Self(body, held)) };
        // Taken only once the body is here, so that a slow sender does not hold it.
        let memory = app.room.body(&caller, coding.memory_bytes(&body).min(bytes_max))?;
        let spool = Spool::new(app.clone(), caller);
        let decoded = aside(move || decoded(spool, coding, &body, bytes_max)).await;
        drop((held, memory));
        decoded
    }
}

/// Reads a body that may be too large for memory.
pub(super) async fn large(
    request: Request,
    app: &Shared,
    bytes_max: u64,
    what: &str,
) -> Result<(Bytes, Held), Problem> {
    let caller = caller(&request)?;
    let (_, mut body) = announced(request, bytes_max, what).await?;
    let spooled = match spooled(app, &caller, &mut body, bytes_max).await {
        Ok(spooled) => spooled,
        Err(unread) => return Err(refuse_unread(unread, &mut body, bytes_max, what).await),
    };
    // The body may have taken long, and the caller's key may have ended meanwhile.
    app.gate.confirm(&caller).await?;
    Ok(spooled)
}

/// Reads a body to its end.
async fn spooled(app: &Shared, caller: &Caller, body: &mut Body, bytes_max: u64) -> Result<(Bytes, Held), Unread> {
    let mut arrival = Arrival::new(body, bytes_max, PACE);
    let mut spool = Spool::new(app.clone(), caller.clone());
    while let Some(bytes) = arrival.next().await? {
        if spool.is_instant(bytes.len()) {
            spool.add(&bytes).map_err(Unread::NoRoom)?;
        } else {
            spool = aside(move || spool.add(&bytes).map(|()| spool)).await.map_err(Unread::NoRoom)?;
        }
    }
    aside(move || spool.end()).await.map_err(Unread::NoRoom)
}

/// Decodes a body.
fn decoded(mut spool: Spool, coding: Coding, coded: &[u8], bytes_max: u64) -> Result<ModuleBody, Problem> {
    match coding.decode(coded, bytes_max, &mut spool) {
        Ok(()) => spool.end().map(|(body, held)| ModuleBody(body, held)),
        Err(Undecoded::TooLarge) => Err(too_large(bytes_max, WHAT)),
        Err(Undecoded::Malformed(error)) => Err(spool.refusal().unwrap_or_else(|| {
            let detail = format!("the body does not match its Content-Encoding: {error}");
            Problem::new(ErrorCode::InvalidRequest, detail)
        })),
    }
}

/// Does what may take long on a thread for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Problem> + Send + 'static) -> Result<T, Problem> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "reading a module panicked");
        Err(Problem::new(ErrorCode::Internal, "the module could not be read; the host's log has the reason"))
    })
}
