//! `wasi:filesystem` 0.2 and 0.3 over the files of the run, which are in memory. Its functions take the place of the
//! engine's, which would open files of the host.
//!
//! | module | holds |
//! |---|---|
//! | `version` | what differs between the versions |
//! | `descriptor` | open files and directories: access and facts |
//! | `paths` | functions with paths, which start at an open directory |
//! | `listing` | listings of directories |
//! | `streams_0_2`, `streams_0_3` | bytes of a file, in the way of each version |

use std::marker::PhantomData;

use wasmtime::{
    Result,
    component::{ComponentNamedList, ComponentType, Lift, Linker, Lower, Resource},
};

use super::Interface;
use crate::{
    component::State,
    files::{FsError, fs::Files},
    wasi::{PREOPENS, WASI},
};

mod descriptor;
mod listing;
mod paths;
mod streams_0_2;
mod streams_0_3;
mod version;

use descriptor::Descriptor;
use version::{V2, V3, Version};

/// Handle of an open file or directory.
type Fd = Resource<Descriptor>;
/// Answer to the guest.
type Answer<T = ()> = Result<T, Failure>;

/// Reason for which a call fails.
#[derive(Clone, Copy)]
enum Failure {
    Fs(FsError),
    /// The descriptor was opened without this access, or is not of this type.
    BadDescriptor,
    /// A time is out of range.
    Overflow,
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

/// Replaces the interfaces that the engine has linked.
pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    let linked = add_0_2_to(linker).and_then(|()| add_0_3_to(linker));
    linker.allow_shadowing(false);
    linked
}

fn add_0_2_to(linker: &mut Linker<State>) -> Result<()> {
    let mut types = Types::<V2>::common(linker)?;
    listing::add_to(&mut types)?;
    streams_0_2::add_to(&mut types)?;
    add_preopens_to::<V2>(linker)
}

fn add_0_3_to(linker: &mut Linker<State>) -> Result<()> {
    let mut types = Types::<V3>::common(linker)?;
    streams_0_3::add_to(&mut types)?;
    add_preopens_to::<V3>(linker)
}

fn add_preopens_to<V: Version>(linker: &mut Linker<State>) -> Result<()> {
    let mut preopens = Interface(linker.instance(&format!("wasi:filesystem/preopens@{}", V::NUMBER))?);
    preopens.function(
        "get-directories",
        |(): &()| WASI,
        |state, ()| {
            let mut root = |path: &str| -> Result<(Fd, String)> {
                Ok((state.table.push(Descriptor::new(&state.files, Files::ROOT))?, path.to_owned()))
            };
            Ok((PREOPENS.map(&mut root).into_iter().collect::<Result<Vec<_>>>()?,))
        },
    )
}

/// Interface `types` of a version.
struct Types<'a, V> {
    interface: Interface<'a>,
    version: PhantomData<V>,
}

impl<'a, V: Version> Types<'a, V> {
    /// Links what both versions have.
    fn common(linker: &'a mut Linker<State>) -> Result<Self> {
        let mut interface = Interface(linker.instance(&format!("wasi:filesystem/types@{}", V::NUMBER))?);
        interface.resource::<Descriptor>("descriptor")?;
        let mut types = Self { interface, version: PhantomData };
        descriptor::add_to(&mut types)?;
        paths::add_to(&mut types)?;
        Ok(types)
    }

    /// Links a method of descriptors with its cost in fuel, as an asynchronous one where the version has them.
    fn method<P, R>(
        &mut self,
        name: &str,
        cost: impl Fn(&State, &P) -> u64 + Copy + Send + Sync + 'static,
        call: impl Fn(&mut State, P) -> Result<Answer<R>> + Copy + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentType + Lower + Send + Sync + 'static,
    {
        self.plain(name, cost, move |state, params| Ok((call(state, params)?.map_err(V::code),)))
    }

    /// Same as [`Types::method`], for one that does not fail.
    fn plain<P, R>(
        &mut self,
        name: &str,
        cost: impl Fn(&State, &P) -> u64 + Copy + Send + Sync + 'static,
        call: impl Fn(&mut State, P) -> Result<R> + Copy + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + Sync + 'static,
    {
        let name = format!("[method]descriptor.{name}");
        match V::IS_ASYNC {
            true => self.interface.concurrent(&name, cost, call),
            false => self.interface.charged(&name, cost, call),
        }
    }
}
