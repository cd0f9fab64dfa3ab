//! `wasi:keyvalue` of both drafts in use, over the function's namespace: `0.2.0-draft`, and `0.2.0-draft2` with text
//! cursors, signed counters and compare-and-swap. A bucket is the namespace, by the name "" or "default".

use fusebox_core::capability::{Expects, Refusal};
use wasmtime::{
    Result,
    component::{ComponentType, Lift, Linker, Lower, Resource},
};

use super::{Interface, outside};
use crate::component::State;

/// A bucket that the guest opened.
pub(super) struct Bucket;

/// A compare-and-swap operation, with the revision of the entry as it was read last.
struct Cas {
    key: String,
    revision: Option<u64>,
}

/// Failure of an operation, as variant `store.error`.
#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum Failure {
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

/// Failure of a swap, as variant `atomics.cas-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasFailure {
    #[component(name = "store-error")]
    Store(Failure),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

/// A page of keys, as record `store.key-response`. The host's have all keys and no cursor.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Keys<C> {
    keys: Vec<String>,
    cursor: Option<C>,
}

type Pair = (String, Vec<u8>);

/// Attempts of an increment while others change the entry.
const ATTEMPTS_MAX: u32 = 16;

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    store::<u64>(linker, "0.2.0-draft")?;
    store::<String>(linker, "0.2.0-draft2")?;
    batch(linker, "0.2.0-draft")?;
    batch(linker, "0.2.0-draft2")?;
    let mut atomics = Interface(linker.instance("wasi:keyvalue/atomics@0.2.0-draft")?);
    atomics.function(
        "increment",
        |(_, key, _): &(Resource<Bucket>, String, u64)| outside(key.len()),
        |state, (_, key, delta)| Ok((increment(state, &key, |value: u64| value.checked_add(delta))?,)),
    )?;
    let mut atomics = Interface(linker.instance("wasi:keyvalue/atomics@0.2.0-draft2")?);
    atomics.function(
        "increment",
        |(_, key, _): &(Resource<Bucket>, String, i64)| outside(key.len()),
        |state, (_, key, delta)| Ok((increment(state, &key, |value: i64| value.checked_add(delta))?,)),
    )?;
    compare_and_swap(atomics)
}

fn store<C: ComponentTypeOf>(linker: &mut Linker<State>, version: &str) -> Result<()> {
    let mut store = Interface(linker.instance(&format!("wasi:keyvalue/store@{version}"))?);
    store.resource::<Bucket>("bucket")?;
    store.function(
        "open",
        |(name,): &(String,)| outside(name.len()),
        |state, (name,)| match name.as_str() {
            "" | "default" => Ok((Ok(state.table.push(Bucket)?),)),
            _ => Ok((Err(Failure::NoSuchStore),)),
        },
    )?;
    store.function(
        "[method]bucket.get",
        |(_, key): &(Resource<Bucket>, String)| outside(key.len()),
        |state, (_, key)| {
            Ok((state.kv_get(key.into())?.map(|found| found.map(|(_, value)| value)).map_err(Failure::from),))
        },
    )?;
    store.function(
        "[method]bucket.set",
        |(_, key, value): &(Resource<Bucket>, String, Vec<u8>)| outside(key.len() + value.len()),
        |state, (_, key, value)| {
            let set = state.kv_set(key.into(), value, None, Expects::Anything)?;
            Ok((set.map(drop).map_err(Failure::from),))
        },
    )?;
    store.function(
        "[method]bucket.delete",
        |(_, key): &(Resource<Bucket>, String)| outside(key.len()),
        |state, (_, key)| {
            let deleted = state.kv_delete(key.into(), Expects::Anything)?;
            Ok((deleted.map(drop).map_err(Failure::from),))
        },
    )?;
    store.function(
        "[method]bucket.exists",
        |(_, key): &(Resource<Bucket>, String)| outside(key.len()),
        |state, (_, key)| Ok((state.kv_get(key.into())?.map(|found| found.is_some()).map_err(Failure::from),)),
    )?;
    store.function(
        "[method]bucket.list-keys",
        |_: &(Resource<Bucket>, Option<C>)| outside(0),
        |state, (_, cursor)| match cursor {
            None => Ok((state.kv_keys()?.map(|keys| Keys { keys, cursor: None::<C> }).map_err(Failure::from),)),
            Some(_) => {
                Ok((Err(Failure::Other("the cursor is not from the host, whose pages have all keys".to_owned())),))
            }
        },
    )
}

fn batch(linker: &mut Linker<State>, version: &str) -> Result<()> {
    let mut batch = Interface(linker.instance(&format!("wasi:keyvalue/batch@{version}"))?);
    let each = |keys: &[String]| keys.iter().map(|key| outside(key.len())).sum::<u64>();
    batch.function(
        "get-many",
        move |(_, keys): &(Resource<Bucket>, Vec<String>)| each(keys),
        |state, (_, keys)| Ok((get_many(state, keys)?,)),
    )?;
    batch.function(
        "set-many",
        |(_, pairs): &(Resource<Bucket>, Vec<Pair>)| {
            pairs.iter().map(|(key, value)| outside(key.len() + value.len())).sum()
        },
        |state, (_, pairs)| {
            for (key, value) in pairs {
                if let Err(refusal) = state.kv_set(key.into(), value, None, Expects::Anything)? {
                    return Ok((Err(Failure::from(refusal)),));
                }
            }
            Ok((Ok(()),))
        },
    )?;
    batch.function(
        "delete-many",
        move |(_, keys): &(Resource<Bucket>, Vec<String>)| each(keys),
        |state, (_, keys)| {
            for key in keys {
                if let Err(refusal) = state.kv_delete(key.into(), Expects::Anything)? {
                    return Ok((Err(Failure::from(refusal)),));
                }
            }
            Ok((Ok(()),))
        },
    )
}

/// Reads several entries, and stops before the values exceed what one host call may hold.
fn get_many(state: &mut State, keys: Vec<String>) -> Result<Result<Vec<Option<Pair>>, Failure>> {
    let (mut pairs, mut bytes) = (Vec::new(), 0);
    for key in keys {
        match state.kv_get(key.clone().into())? {
            Ok(found) => {
                bytes += found.as_ref().map_or(0, |(_, value)| value.len());
                if bytes > state.answer_bytes_max() {
                    return Ok(Err(Failure::Other("the values are too large for one call".to_owned())));
                }
                pairs.push(found.map(|(_, value)| (key, value)));
            }
            Err(refusal) => return Ok(Err(refusal.into())),
        }
    }
    Ok(Ok(pairs))
}

/// Changes a number, which is kept as decimal text, as one step: another change meanwhile leads to a new attempt.
fn increment<N>(state: &mut State, key: &str, add: impl Fn(N) -> Option<N>) -> Result<Result<N, Failure>>
where
    N: Default + ToString + std::str::FromStr + Copy,
{
    for _ in 0..ATTEMPTS_MAX {
        let found = match state.kv_get(key.to_owned().into())? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let (expects, value) = match found {
            None => (Expects::Nothing, Some(N::default())),
            Some((revision, text)) => {
                let number = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                (Expects::Revision(revision), number)
            }
        };
        let Some(value) = value else {
            return Ok(Err(Failure::Other(format!("the value of {key} is not a number: it cannot be incremented"))));
        };
        let Some(sum) = add(value) else {
            return Ok(Err(Failure::Other(format!("the value of {key} would be too large"))));
        };
        match state.kv_set(key.to_owned().into(), sum.to_string().into(), None, expects)? {
            Ok(_) => return Ok(Ok(sum)),
            Err(Refusal::Conflict) => {}
            Err(refusal) => return Ok(Err(refusal.into())),
        }
    }
    Ok(Err(Failure::Other(format!("the value of {key} was changed by others {ATTEMPTS_MAX} times: try again"))))
}

fn compare_and_swap(mut atomics: Interface<'_>) -> Result<()> {
    atomics.resource::<Cas>("cas")?;
    atomics.function(
        "[static]cas.new",
        |(_, key): &(Resource<Bucket>, String)| outside(key.len()),
        |state, (_, key)| {
            Ok((match read(state, &key)? {
                Ok((revision, _)) => Ok(state.table.push(Cas { key, revision })?),
                Err(failure) => Err(failure),
            },))
        },
    )?;
    atomics.function(
        "[method]cas.current",
        |_: &(Resource<Cas>,)| outside(0),
        |state, (cas,)| {
            let key = state.table.get(&cas)?.key.clone();
            Ok((match read(state, &key)? {
                Ok((revision, value)) => {
                    state.table.get_mut(&cas)?.revision = revision;
                    Ok(value)
                }
                Err(failure) => Err(failure),
            },))
        },
    )?;
    atomics.function(
        "swap",
        |(_, value): &(Resource<Cas>, Vec<u8>)| outside(value.len()),
        |state, (cas, value)| {
            let Cas { key, revision } = state.table.delete(cas)?;
            let expects = revision.map_or(Expects::Nothing, Expects::Revision);
            Ok((match state.kv_set(key.clone().into(), value, None, expects)? {
                Ok(_) => Ok(()),
                Err(Refusal::Conflict) => match read(state, &key)? {
                    Ok((revision, _)) => Err(CasFailure::Failed(state.table.push(Cas { key, revision })?)),
                    Err(failure) => Err(CasFailure::Store(failure)),
                },
                Err(refusal) => Err(CasFailure::Store(refusal.into())),
            },))
        },
    )
}

/// Revision and value of an entry, neither if there is none.
type Entry = (Option<u64>, Option<Vec<u8>>);

fn read(state: &mut State, key: &str) -> Result<Result<Entry, Failure>> {
    let found = state.kv_get(key.to_owned().into())?;
    Ok(found.map(Option::unzip).map_err(Failure::from))
}

/// A cursor's type.
trait ComponentTypeOf: ComponentType + Lift + Lower + Send + Sync + 'static {}
impl ComponentTypeOf for u64 {}
impl ComponentTypeOf for String {}
