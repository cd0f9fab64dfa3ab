//! Interfaces that components may import, by the compatible part of their version, each with the capability that it
//! requires. Those of WASI are the engine's, but for files; ours are linked here, each function with its cost in fuel.

use std::collections::BTreeSet;

use bytes::Bytes;
use fusebox_core::capability::{
    Capability, HostAnswer, HostCall, KvCursor, KvKey, KvPrefix, KvValue, Refusal, SettingName,
};
use wasmtime::{
    AsContextMut as _, Result, StoreContextMut, Trap,
    component::{Accessor, ComponentNamedList, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType},
};

use super::State;
use crate::metered::{OUTSIDE, copied};

mod config;
mod environment;
mod filesystem;
mod fusebox;
mod keyvalue;
mod logging;
mod spin;
mod wasi;

/// An interface offered.
pub(super) struct Offer {
    /// Name, with the compatible part of its version.
    pub(super) name: &'static str,
    /// Capabilities that its function must be granted. Requests of `wasi:http` are not among them: whole toolchains
    /// import them and never send one, so they are refused when they are made.
    pub(super) needs: &'static [Capability],
}

/// Interfaces that we implement.
const OURS: &[Offer] = &[
    Offer { name: "fusebox:function/context@0.1", needs: &[] },
    Offer { name: "fusebox:function/kv@0.1", needs: &[Capability::Kv] },
    Offer { name: "fusebox:function/secrets@0.1", needs: &[Capability::Secrets] },
    Offer { name: "fusebox:function/types@0.1", needs: &[] },
    Offer { name: "wasi:logging/logging@0.1.0-draft", needs: &[] },
    Offer { name: "wasi:config/store@0.2.0-rc.1", needs: &[Capability::Config] },
    Offer { name: "wasi:config/store@0.2.0-draft-2024-09-27", needs: &[Capability::Config] },
    Offer { name: "wasi:keyvalue/store@0.2.0-draft", needs: &[Capability::Kv] },
    Offer { name: "wasi:keyvalue/atomics@0.2.0-draft", needs: &[Capability::Kv] },
    Offer { name: "wasi:keyvalue/batch@0.2.0-draft", needs: &[Capability::Kv] },
    Offer { name: "wasi:keyvalue/store@0.2.0-draft2", needs: &[Capability::Kv] },
    Offer { name: "wasi:keyvalue/atomics@0.2.0-draft2", needs: &[Capability::Kv] },
    Offer { name: "wasi:keyvalue/batch@0.2.0-draft2", needs: &[Capability::Kv] },
    Offer { name: "fermyon:spin/key-value@2", needs: &[Capability::Kv] },
    Offer { name: "fermyon:spin/variables@2", needs: &[Capability::Config] },
    Offer { name: "spin:key-value/key-value@3", needs: &[Capability::Kv] },
    Offer { name: "spin:variables/variables@3", needs: &[Capability::Config] },
];

/// Returns an interface offered, by its name with the compatible part of its version.
pub(super) fn find(name: &str) -> Option<&'static Offer> {
    OURS.iter().chain(wasi::OFFERS).find(|offer| offer.name == name)
}

/// Returns the names of all interfaces that we implement, and of the packages of WASI.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OURS.iter().map(|offer| offer.name).chain(wasi::PACKAGES.iter().copied())
}

/// Links our interfaces, some of them in place of the engine's.
pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    environment::add_to(linker)?;
    filesystem::add_to(linker)?;
    fusebox::add_to(linker)?;
    logging::add_to(linker)?;
    config::add_to(linker)?;
    keyvalue::add_to(linker)?;
    spin::add_to(linker)
}

/// Links functions of one interface, each with its cost in fuel, which is charged before the function runs; what the
/// answer of a host call costs is charged after it.
struct Interface<'a>(LinkerInstance<'a, State>);

impl Interface<'_> {
    fn function<P, R>(
        &mut self,
        name: &str,
        cost: impl Fn(&P) -> u64 + Send + Sync + 'static,
        call: impl Fn(&mut State, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.charged(name, move |_, params| cost(params), call)
    }

    /// Same as [`Interface::function`], for a function whose cost depends on the run.
    fn charged<P, R>(
        &mut self,
        name: &str,
        cost: impl Fn(&State, &P) -> u64 + Send + Sync + 'static,
        call: impl Fn(&mut State, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.0.func_wrap(name, move |mut store: StoreContextMut<'_, State>, params: P| {
            let fuel = cost(store.data(), &params);
            metered(&mut store, fuel, |state| call(state, params))
        })
    }

    /// Same as [`Interface::charged`], for a function that the interface declares as asynchronous. It never waits.
    fn concurrent<P, R>(
        &mut self,
        name: &str,
        cost: impl Fn(&State, &P) -> u64 + Copy + Send + Sync + 'static,
        call: impl Fn(&mut State, P) -> Result<R> + Copy + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + Sync + 'static,
    {
        self.0.func_wrap_concurrent(name, move |accessor: &Accessor<State>, params: P| {
            Box::pin(async move {
                accessor.with(|mut access| {
                    let mut store = access.as_context_mut();
                    let fuel = cost(store.data(), &params);
                    metered(&mut store, fuel, |state| call(state, params))
                })
            })
        })
    }

    /// Links a function that makes or takes a stream, which needs the store.
    fn streaming<P, R>(
        &mut self,
        name: &str,
        fuel: u64,
        call: impl Fn(StoreContextMut<'_, State>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.0.func_wrap(name, move |mut store: StoreContextMut<'_, State>, params: P| {
            charge(&mut store, fuel)?;
            call(store, params)
        })
    }

    /// Links a resource of the host, which the run's table keeps until the guest drops it.
    fn resource<R: Send + 'static>(&mut self, name: &str) -> Result<()> {
        self.0.resource(name, ResourceType::host::<R>(), |mut store, rep| {
            store.data_mut().table.delete(Resource::<R>::new_own(rep))?;
            Ok(())
        })
    }
}

/// Charges for a call, makes it, and charges for its answer.
fn metered<R>(
    store: &mut StoreContextMut<'_, State>,
    fuel: u64,
    call: impl FnOnce(&mut State) -> Result<R>,
) -> Result<R> {
    charge(store, fuel)?;
    let result = call(store.data_mut())?;
    let owed = std::mem::take(&mut store.data_mut().owed);
    charge(store, owed)?;
    Ok(result)
}

/// Takes fuel from a run, or ends the run if too little is left.
pub(super) fn charge(store: &mut StoreContextMut<'_, State>, fuel: u64) -> Result<()> {
    let mut store = store.as_context_mut();
    match store.get_fuel()?.checked_sub(fuel) {
        Some(left) => store.set_fuel(left),
        None => {
            store.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// Fuel of a host call with this many bytes.
fn outside(bytes: usize) -> u64 {
    OUTSIDE + size(bytes)
}

/// Fuel of bytes that are copied.
fn size(bytes: usize) -> u64 {
    copied(u32::try_from(bytes).unwrap_or(u32::MAX))
}

impl State {
    /// Makes a host call, which may block until the run's deadline. Its answer's bytes are charged after the function.
    fn ask(&mut self, call: Result<HostCall, Refusal>) -> Result<Result<HostAnswer, Refusal>> {
        let answer = match call {
            Ok(call) => self.run.ask(call)?,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.owed += size(answer.as_ref().map_or(0, HostAnswer::bytes));
        Ok(answer)
    }

    /// Reads an entry of the function's namespace: its revision and value.
    fn kv_get(&mut self, key: Vec<u8>) -> Result<Result<Option<Entry>, Refusal>> {
        let key = KvKey::try_from(Bytes::from(key)).map(HostCall::KvGet);
        Ok(match self.ask(key)? {
            Ok(HostAnswer::Value { revision, value }) => Ok(Some((revision, value.into()))),
            Err(Refusal::Absent) => Ok(None),
            other => Err(refusal(other)),
        })
    }

    /// Sets an entry and returns its new revision.
    fn kv_set(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        ttl: Option<fusebox_core::capability::Ttl>,
        expects: fusebox_core::capability::Expects,
    ) -> Result<Result<u64, Refusal>> {
        let call = KvKey::try_from(Bytes::from(key)).and_then(|key| {
            let value = KvValue::try_from(Bytes::from(value))?;
            Ok(HostCall::KvSet { key, value, ttl, expects })
        });
        Ok(match self.ask(call)? {
            Ok(HostAnswer::Set(revision)) => Ok(revision),
            other => Err(refusal(other)),
        })
    }

    /// Removes an entry; returns whether there was one.
    fn kv_delete(&mut self, key: Vec<u8>, expects: fusebox_core::capability::Expects) -> Result<Result<bool, Refusal>> {
        let call = KvKey::try_from(Bytes::from(key)).map(|key| HostCall::KvDelete { key, expects });
        Ok(match self.ask(call)? {
            Ok(HostAnswer::Deleted(was_there)) => Ok(was_there),
            other => Err(refusal(other)),
        })
    }

    /// Returns a page of the namespace's keys, and the place where it ends.
    fn kv_page(&mut self, prefix: Vec<u8>, after: Vec<u8>) -> Result<Result<(Vec<KvKey>, KvCursor), Refusal>> {
        let call = KvPrefix::try_from(Bytes::from(prefix)).and_then(|prefix| {
            let after = KvCursor::try_from(Bytes::from(after))?;
            Ok(HostCall::KvKeys { prefix, after })
        });
        Ok(match self.ask(call)? {
            Ok(HostAnswer::Keys { keys, next }) => Ok((keys, next)),
            other => Err(refusal(other)),
        })
    }

    /// Returns all keys of the namespace that are text, sorted, and stops before they exceed what one host call may hold.
    /// Each page but the first one costs as much as a call.
    fn kv_keys(&mut self) -> Result<Result<Vec<String>, Refusal>> {
        let (mut texts, mut bytes, mut after) = (BTreeSet::new(), 0, Vec::new());
        loop {
            let (keys, next) = match self.kv_page(Vec::new(), after)? {
                Ok(page) => page,
                Err(refusal) => return Ok(Err(refusal)),
            };
            for key in keys {
                let Ok(text) = str::from_utf8(key.as_bytes()) else { continue };
                if !texts.contains(text) {
                    bytes += text.len();
                    texts.insert(text.to_owned());
                }
            }
            if bytes > self.answer_bytes_max() {
                return Ok(Err(Refusal::TooLarge));
            }
            if next.is_empty() {
                return Ok(Ok(texts.into_iter().collect()));
            }
            after = next.as_bytes().to_vec();
            self.owed += OUTSIDE;
        }
    }

    /// Reads a configuration value, or a secret.
    fn setting(&mut self, name: &str, call: fn(SettingName) -> HostCall) -> Result<Result<Option<Vec<u8>>, Refusal>> {
        let name = name.parse::<SettingName>().map_err(|_| Refusal::Invalid);
        Ok(match self.ask(name.map(call))? {
            Ok(HostAnswer::Config(value)) => Ok(Some(value.into())),
            Ok(HostAnswer::Secret(secret)) => Ok(Some(secret.0.into())),
            Err(Refusal::Absent) => Ok(None),
            other => Err(refusal(other)),
        })
    }
}

/// Revision and value of an entry.
type Entry = (u64, Vec<u8>);

/// Returns the refusal of an answer that is not the one expected.
fn refusal(answer: Result<HostAnswer, Refusal>) -> Refusal {
    answer.err().unwrap_or(Refusal::Unavailable)
}
