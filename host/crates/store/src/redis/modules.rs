//! Modules in Redis: a hash with pieces of 1 MiB, compressed, each read and written by a call of its own, so that none
//! occupies Redis for long. Those of the layout before are one field, `wasm`.

use bytes::Bytes;
use fusebox_core::id::ModuleDigest;

use super::{answers, caller::Caller};
use crate::{
    NewFunction, Result,
    packed::{Packed, Unpacked},
};

/// Value of the field `coding` of a module whose pieces are compressed.
pub(super) const DEFLATE: &str = "deflate";

/// Keeps the pieces of a module until its version is registered. They expire if that never happens.
///
/// # Errors
/// Fails if the store cannot be reached.
pub(super) async fn stage(caller: &Caller, new: &NewFunction, packed: &Packed) -> Result<()> {
    let shared = caller.layout().shared();
    let mut staged = Ok(());
    for (number, piece) in packed.pieces.iter().enumerate() {
        let call = caller.call(shared, "stage").arg(new.module.to_string()).arg(new.id.to_string());
        staged = caller.ask(call.arg(number).arg(&piece[..])).await.map(drop);
        if staged.is_err() {
            let mut command = redis::cmd("UNLINK");
            command.arg(shared.staged(&new.module, new.id));
            // The rest expires if this fails too.
            let _ = caller.send(shared, &command).await;
            break;
        }
    }
    staged
}

/// Reads a module; `None` if there is none, also if it is removed meanwhile.
///
/// # Errors
/// Fails if the store cannot be reached or a piece cannot be read.
pub(super) async fn read(caller: &Caller, digest: &ModuleDigest) -> Result<Option<Bytes>> {
    let shared = caller.layout().shared();
    let field = async |command: &str, fields: &[&str]| {
        let mut command = redis::cmd(command);
        command.arg(shared.module(digest)).arg(fields);
        caller.send(shared, &command).await
    };
    let [pieces, coding] = answers::tuple(field("HMGET", &["pieces", "coding"]).await?)?;
    let Some(pieces) = answers::optional_text(pieces)? else {
        return answers::bytes(field("HGET", &["wasm"]).await?);
    };
    let pieces: u32 = pieces.parse().map_err(|_| answers::unexpected("a module's number of pieces"))?;
    let is_deflated = answers::optional_text(coding)?.as_deref() == Some(DEFLATE);
    let mut module = Unpacked::new(is_deflated);
    for number in 0..pieces {
        let piece = answers::bytes(field("HGET", &[&format!("p{number}")]).await?)?;
        let Some(piece) = piece else { return Ok(None) };
        module.add(&piece)?;
    }
    Ok(Some(module.end()))
}
