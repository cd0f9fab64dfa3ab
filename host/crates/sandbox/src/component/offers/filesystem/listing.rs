//! Listings of directories. One that goes on while entries are made and removed returns each of the others once.

use wasmtime::{Result, component::Resource};
use wasmtime_wasi::p2::bindings::filesystem::types::DirectoryEntry;

use super::{Answer, Fd, Types, V2, Version, descriptor::Held};
use crate::{
    component::State,
    files::{FsError, Kind},
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

impl Listing {
    /// Starts a listing.
    ///
    /// # Errors
    /// Fails unless it is of a directory.
    pub(super) fn new(held: Held) -> Answer<Self> {
        match held.stat()?.kind {
            Kind::Directory => Ok(Self { held, next: FIRST }),
            Kind::File | Kind::Link => Err(FsError::NotDirectory.into()),
        }
    }

    /// Returns the type and name of the next entry, if there is one.
    pub(super) fn next(&mut self) -> Answer<Option<(Kind, String)>> {
        let files = self.held.files();
        let Some(entry) = files.entries(self.held.node, self.next)?.next() else { return Ok(None) };
        let found = (files.stat(entry.node)?.kind, entry.name.to_owned());
        self.next = entry.next;
        Ok(Some(found))
    }
}

/// Links listings of 0.2, a resource that returns one entry at a time.
pub(super) fn add_to(types: &mut Types<'_, V2>) -> Result<()> {
    types.interface.resource::<Listing>("directory-entry-stream")?;
    types.method(
        "read-directory",
        |_, _| WASI,
        |state, (fd,): (Fd,)| {
            let held = state.table.get(&fd)?.held.clone();
            Ok(match Listing::new(held) {
                Ok(listing) => Ok(state.table.push(listing)?),
                Err(failure) => Err(failure),
            })
        },
    )?;
    let name = "[method]directory-entry-stream.read-directory-entry";
    types.interface.function(name, |_: &(Resource<Listing>,)| WASI + NAME, read)
}

type Entry = Result<Option<DirectoryEntry>, <V2 as Version>::Code>;

fn read(state: &mut State, (listing,): (Resource<Listing>,)) -> Result<(Entry,)> {
    let found = state.table.get_mut(&listing)?.next();
    let entry = |(kind, name)| DirectoryEntry { type_: V2::kind(kind), name };
    Ok((found.map(|found| found.map(entry)).map_err(V2::code),))
}
