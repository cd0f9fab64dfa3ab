//! Functions with paths, each of which starts at an open directory. The names that it follows cost fuel after the call,
//! beside what its length costs before.

use wasmtime::{Result, component::Resource};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

use super::{
    Answer, Fd, Types, Version,
    descriptor::{Descriptor, Held, hash},
};
use crate::{
    component::State,
    files::{
        FsError, Kind,
        fs::{Files, Node, OpenOptions, Stat},
    },
    time,
    wasi::{NAME, RENAME, path},
};

pub(super) fn add_to<V: Version>(types: &mut Types<'_, V>) -> Result<()> {
    types.method(
        "open-at",
        |_, (_, _, at, ..): &(Fd, PathFlags, String, OpenFlags, DescriptorFlags)| cost(at),
        open,
    )?;
    types.method(
        "create-directory-at",
        |_, (_, at): &(Fd, String)| cost(at),
        |state, (fd, at)| state.at(&fd, |files, from| files.create_directory(from, &at, time::unix_ns())),
    )?;
    types.method(
        "remove-directory-at",
        |_, (_, at): &(Fd, String)| cost(at),
        |state, (fd, at)| state.at(&fd, |files, from| files.remove_directory(from, &at, time::unix_ns())),
    )?;
    types.method(
        "unlink-file-at",
        |_, (_, at): &(Fd, String)| cost(at),
        |state, (fd, at)| state.at(&fd, |files, from| files.unlink(from, &at, time::unix_ns())),
    )?;
    types.method(
        "readlink-at",
        |_, (_, at): &(Fd, String)| cost(at),
        |state, (fd, at)| state.at(&fd, |files, from| files.read_link(from, &at).map(str::to_owned)),
    )?;
    types.method(
        "symlink-at",
        |_, (_, target, at): &(Fd, String, String)| cost(target) + cost(at),
        |state, (fd, target, at)| state.at(&fd, |files, from| files.symlink(&target, from, &at, time::unix_ns())),
    )?;
    types.method(
        "link-at",
        |_, (_, _, at, _, new): &(Fd, PathFlags, String, Fd, String)| cost(at) + cost(new),
        |state, (fd, flags, at, to, new)| {
            state.between((&fd, &to), |files, from, to| {
                files.link((from, &at), (to, &new), follows(flags), time::unix_ns())
            })
        },
    )?;
    types.method(
        "rename-at",
        |_, (_, at, _, new): &(Fd, String, Fd, String)| RENAME + cost(at) + cost(new),
        |state, (fd, at, to, new)| {
            state.between((&fd, &to), |files, from, to| files.rename((from, &at), (to, &new), time::unix_ns()))
        },
    )?;
    facts(types)
}

fn facts<V: Version>(types: &mut Types<'_, V>) -> Result<()> {
    types.method(
        "stat-at",
        |_, (_, _, at): &(Fd, PathFlags, String)| cost(at),
        |state, (fd, flags, at)| Ok(state.stat_at(&fd, flags, &at)?.map(|stat| V::stat(&stat))),
    )?;
    types.method(
        "metadata-hash-at",
        |_, (_, _, at): &(Fd, PathFlags, String)| cost(at),
        |state, (fd, flags, at)| Ok(state.stat_at(&fd, flags, &at)?.map(|stat| hash(&stat))),
    )?;
    types.method(
        "set-times-at",
        |_, (_, _, at, ..): &(Fd, PathFlags, String, V::NewTime, V::NewTime)| cost(at),
        |state, (fd, flags, at, accessed, modified)| {
            let times = V::new_time(&accessed).and_then(|accessed| Ok((accessed, V::new_time(&modified)?)));
            let (accessed, modified) = match times {
                Ok(times) => times,
                Err(failure) => return Ok(Err(failure)),
            };
            state.at(&fd, |files, from| {
                let node = files.look_up(from, &at, follows(flags))?;
                files.set_times(node, accessed, modified, time::unix_ns())
            })
        },
    )
}

/// Fuel of a path.
fn cost(at: &str) -> u64 {
    path(u32::try_from(at.len()).unwrap_or(u32::MAX))
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn open(
    state: &mut State,
    (fd, path_flags, at, how, flags): (Fd, PathFlags, String, OpenFlags, DescriptorFlags),
) -> Result<Answer<Resource<Descriptor>>> {
    let directory = how.contains(OpenFlags::DIRECTORY);
    let options = OpenOptions {
        follow: follows(path_flags),
        create: how.contains(OpenFlags::CREATE),
        exclusive: how.contains(OpenFlags::EXCLUSIVE),
        truncate: how.contains(OpenFlags::TRUNCATE),
        directory,
        write: flags.contains(DescriptorFlags::WRITE) && !directory,
    };
    if directory && (options.create || options.exclusive || options.truncate) {
        return Ok(Err(FsError::Invalid.into()));
    }
    let opened = state.at(&fd, |files, from| files.open(from, &at, options, time::unix_ns()))?;
    Ok(match opened.and_then(|node| Descriptor::opened(Held::counted(&state.files, node), flags)) {
        Ok(descriptor) => Ok(state.table.push(descriptor)?),
        Err(error) => Err(error),
    })
}

impl State {
    /// Makes a call with a path at an open directory, and notes the cost of the names that it followed.
    fn at<T>(&mut self, fd: &Fd, call: impl FnOnce(&mut Files, Node) -> Result<T, FsError>) -> Result<Answer<T>> {
        let from = self.table.get(fd)?.held.node;
        self.followed(&[from], |files| call(files, from))
    }

    /// Same as [`State::at`], with two paths at two directories.
    fn between(
        &mut self,
        (fd, to): (&Fd, &Fd),
        call: impl FnOnce(&mut Files, Node, Node) -> Result<(), FsError>,
    ) -> Result<Answer> {
        let (from, to) = (self.table.get(fd)?.held.node, self.table.get(to)?.held.node);
        self.followed(&[from, to], |files| call(files, from, to))
    }

    fn followed<T>(
        &mut self,
        starts: &[Node],
        call: impl FnOnce(&mut Files) -> Result<T, FsError>,
    ) -> Result<Answer<T>> {
        let mut files = self.files.lock();
        let is_directory = |node: &Node| files.stat(*node).is_ok_and(|stat| stat.kind == Kind::Directory);
        if !starts.iter().all(is_directory) {
            return Ok(Err(FsError::NotDirectory.into()));
        }
        let answer = call(&mut files);
        self.owed += files.take_steps() * NAME;
        Ok(answer.map_err(Into::into))
    }

    fn stat_at(&mut self, fd: &Fd, flags: PathFlags, at: &str) -> Result<Answer<Stat>> {
        self.at(fd, |files, from| {
            let node = files.look_up(from, at, follows(flags))?;
            files.stat(node)
        })
    }
}
