//! Listings of directories. One that goes on while entries are made and removed returns each of the others once.

use wasmtime::{Result, component::Resource};
use wasmtime_wasi::p2::bindings::filesystem::types::{DirectoryEntry, ErrorCode};

use super::{Answer, Fd, Interface, code, descriptor::Held, kind};
use crate::{
    component::State,
    files::Kind,
    wasi::{NAME, WASI},
};

/// Listing under way.
pub(super) struct Listing {
    held: Held,
    /// Place of the next entry. The first two are `.` and `..`, which are left out.
    next: u64,
}

/// Place of the first entry after `.` and `..`.
const FIRST: u64 = 2;

pub(super) fn add_to(types: &mut Interface<'_>) -> Result<()> {
    types.function(
        "[method]descriptor.read-directory",
        |_: &(Fd,)| WASI,
        |state, (fd,)| {
            let held = state.table.get(&fd)?.held.clone();
            Ok((match held.stat().map(|stat| stat.kind) {
                Ok(Kind::Directory) => Answer::Ok(state.table.push(Listing { held, next: FIRST })?),
                Ok(_) => Err(ErrorCode::NotDirectory),
                Err(error) => Err(error),
            },))
        },
    )?;
    types.function("[method]directory-entry-stream.read-directory-entry", |_: &(Resource<Listing>,)| WASI + NAME, read)
}

fn read(state: &mut State, (listing,): (Resource<Listing>,)) -> Result<(Answer<Option<DirectoryEntry>>,)> {
    let listing = state.table.get_mut(&listing)?;
    let files = listing.held.files();
    let found = files.entries(listing.held.node, listing.next).and_then(|mut entries| {
        let Some(entry) = entries.next() else { return Ok(None) };
        let found = DirectoryEntry { type_: kind(files.stat(entry.node)?.kind), name: entry.name.to_owned() };
        Ok(Some((entry.next, found)))
    });
    drop(files);
    Ok((found.map_err(code).map(|found| {
        found.map(|(next, entry)| {
            listing.next = next;
            entry
        })
    }),))
}
