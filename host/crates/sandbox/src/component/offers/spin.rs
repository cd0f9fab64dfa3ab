//! Interfaces of Spin's SDKs, which they use instead of those of WASI: the key-value store and variables, of version 2
//! and, asynchronous, of version 3. A variable is a configuration value, or a secret where there is none.

use fusebox_core::capability::{Capability, Expects, HostCall, Refusal};
use wasmtime::{
    AsContextMut as _, Result,
    component::{Accessor, ComponentType, FutureReader, Lift, Linker, Lower, Resource, StreamReader},
};

use super::{Interface, outside};
use crate::component::State;

/// A store that the guest opened.
struct Store;

/// Failure of an operation, as variant `key-value.error`.
#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum Failure {
    #[component(name = "store-table-full")]
    StoreTableFull,
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Refused => Self::AccessDenied,
            refusal => Self::Other(refusal.to_string()),
        }
    }
}

/// Failure of a variable, as variant `variables.error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum VariableFailure {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "undefined")]
    Undefined(String),
    #[component(name = "provider")]
    Provider(String),
    #[component(name = "other")]
    #[expect(dead_code, reason = "part of the interface")]
    Other(String),
}

type Key = (Resource<Store>, String);
type Pair = (Resource<Store>, String, Vec<u8>);

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    let mut variables = Interface(linker.instance("fermyon:spin/variables@2.0.0")?);
    variables.function("get", |(name,): &(String,)| 2 * outside(name.len()), variable)?;
    let mut variables = Interface(linker.instance("spin:variables/variables@3.0.0")?);
    variables.concurrent("get", |_, (name,): &(String,)| 2 * outside(name.len()), variable)?;

    let mut stores = Interface(linker.instance("fermyon:spin/key-value@2.0.0")?);
    stores.resource::<Store>("store")?;
    stores.function("[static]store.open", |(name,): &(String,)| outside(name.len()), open)?;
    stores.function("[method]store.get", |(_, key): &Key| outside(key.len()), get)?;
    stores.function("[method]store.set", |(_, key, value): &Pair| outside(key.len() + value.len()), set)?;
    stores.function("[method]store.delete", |(_, key): &Key| outside(key.len()), delete)?;
    stores.function("[method]store.exists", |(_, key): &Key| outside(key.len()), exists)?;
    stores.function(
        "[method]store.get-keys",
        |_: &(Resource<Store>,)| outside(0),
        |state, (_,)| Ok((state.kv_keys()?.map_err(Failure::from),)),
    )?;

    let mut stores = Interface(linker.instance("spin:key-value/key-value@3.0.0")?);
    stores.resource::<Store>("store")?;
    stores.concurrent("[static]store.open", |_, (name,): &(String,)| outside(name.len()), open)?;
    stores.concurrent("[method]store.get", |_, (_, key): &Key| outside(key.len()), get)?;
    stores.concurrent("[method]store.set", |_, (_, key, value): &Pair| outside(key.len() + value.len()), set)?;
    stores.concurrent("[method]store.delete", |_, (_, key): &Key| outside(key.len()), delete)?;
    stores.concurrent("[method]store.exists", |_, (_, key): &Key| outside(key.len()), exists)?;
    stores.0.func_wrap_concurrent("[method]store.get-keys", |accessor: &Accessor<State>, _: (Resource<Store>,)| {
        Box::pin(async move {
            accessor.with(|mut access| {
                let mut store = access.as_context_mut();
                let (keys, ended) = match super::metered(&mut store, outside(0), State::kv_keys)? {
                    Ok(keys) => (keys, Ok(())),
                    Err(refusal) => (Vec::new(), Err(Failure::from(refusal))),
                };
                let keys = StreamReader::new(&mut store, keys)?;
                let ended = FutureReader::new(&mut store, async { wasmtime::error::Ok(ended) })?;
                Ok(((keys, ended),))
            })
        })
    })
}

fn variable(state: &mut State, (name,): (String,)) -> Result<(Result<String, VariableFailure>,)> {
    let found = match state.setting(&name, HostCall::Config)? {
        Ok(None) if state.run.call.invocation.grants.has(Capability::Secrets) => {
            state.setting(&name, HostCall::Secret)?
        }
        found => found,
    };
    Ok((match found {
        Ok(Some(value)) => {
            String::from_utf8(value).map_err(|_| VariableFailure::Provider(format!("the value of {name} is not UTF-8")))
        }
        Ok(None) => Err(VariableFailure::Undefined(name)),
        Err(Refusal::Invalid) => Err(VariableFailure::InvalidName(name)),
        Err(refusal) => Err(VariableFailure::Provider(refusal.to_string())),
    },))
}

fn open(state: &mut State, (name,): (String,)) -> Result<(Result<Resource<Store>, Failure>,)> {
    Ok((match name.as_str() {
        "default" => Ok(state.table.push(Store)?),
        _ => Err(Failure::NoSuchStore),
    },))
}

fn get(state: &mut State, (_, key): Key) -> Result<(Result<Option<Vec<u8>>, Failure>,)> {
    Ok((state.kv_get(key.into())?.map(|found| found.map(|(_, value)| value)).map_err(Failure::from),))
}

fn set(state: &mut State, (_, key, value): Pair) -> Result<(Result<(), Failure>,)> {
    let set = state.kv_set(key.into(), value, None, Expects::Anything)?;
    Ok((set.map(drop).map_err(Failure::from),))
}

fn delete(state: &mut State, (_, key): Key) -> Result<(Result<(), Failure>,)> {
    let deleted = state.kv_delete(key.into(), Expects::Anything)?;
    Ok((deleted.map(drop).map_err(Failure::from),))
}

fn exists(state: &mut State, (_, key): Key) -> Result<(Result<bool, Failure>,)> {
    Ok((state.kv_get(key.into())?.map(|found| found.is_some()).map_err(Failure::from),))
}
