//! Package `fusebox:function`: the call's context, the key-value namespace with revisions and times to live, secrets.

use fusebox_core::capability::{Expects, HostCall, KvCursor, KvKey, Refusal, Ttl};
use wasmtime::{
    Result,
    component::{ComponentType, Lift, Linker, Lower},
};

use super::{Interface, outside};
use crate::{Call, component::State, metered::CALL};

/// A call, as record `context.call`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Context {
    task: Option<String>,
    attempt: u32,
    tenant: String,
    function: String,
    #[component(name = "deadline-ms")]
    deadline_ms: u64,
}

/// A refusal, as enum `types.refusal`.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum RefusalCase {
    #[component(name = "absent")]
    Absent,
    #[component(name = "conflict")]
    Conflict,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "quota")]
    Quota,
    #[component(name = "refused")]
    Refused,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "invalid")]
    Invalid,
}

impl From<Refusal> for RefusalCase {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => Self::Absent,
            Refusal::Conflict => Self::Conflict,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Quota => Self::Quota,
            Refusal::Refused => Self::Refused,
            Refusal::Unavailable => Self::Unavailable,
            Refusal::TimedOut => Self::TimedOut,
            Refusal::Invalid => Self::Invalid,
        }
    }
}

/// Condition of a change, as variant `kv.expects`.
#[derive(ComponentType, Lift)]
#[component(variant)]
enum Condition {
    #[component(name = "anything")]
    Anything,
    #[component(name = "nothing")]
    Nothing,
    #[component(name = "exactly")]
    Exactly(u64),
}

/// Page of keys, as record `kv.page`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Page {
    keys: Vec<Vec<u8>>,
    next: Option<Vec<u8>>,
}

impl Page {
    fn new(keys: Vec<KvKey>, next: &KvCursor) -> Self {
        let keys = keys.into_iter().map(|key| key.as_bytes().to_vec()).collect();
        Self { keys, next: (!next.is_empty()).then(|| next.as_bytes().to_vec()) }
    }
}

impl From<Condition> for Expects {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Anything => Self::Anything,
            Condition::Nothing => Self::Nothing,
            Condition::Exactly(revision) => Self::Revision(revision),
        }
    }
}

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    let mut context = Interface(linker.instance("fusebox:function/context@0.1.0")?);
    context.function("get", |(): &()| 3 * CALL, |state, ()| Ok((call(&state.run.call),)))?;

    let mut secrets = Interface(linker.instance("fusebox:function/secrets@0.1.0")?);
    secrets.function(
        "get",
        |(name,): &(String,)| outside(name.len()),
        |state, (name,)| Ok((state.setting(&name, HostCall::Secret)?.map_err(RefusalCase::from),)),
    )?;

    let mut kv = Interface(linker.instance("fusebox:function/kv@0.1.0")?);
    kv.function(
        "get",
        |(key,): &(Vec<u8>,)| outside(key.len()),
        |state, (key,)| Ok((state.kv_get(key)?.map_err(RefusalCase::from),)),
    )?;
    kv.function(
        "set",
        |(key, value, ..): &(Vec<u8>, Vec<u8>, Option<u64>, Condition)| outside(key.len() + value.len()),
        |state, (key, value, ttl_ms, expects)| {
            let set = match ttl_ms.map(Ttl::try_from).transpose() {
                Ok(ttl) => state.kv_set(key, value, ttl, expects.into())?,
                Err(refusal) => Err(refusal),
            };
            Ok((set.map_err(RefusalCase::from),))
        },
    )?;
    kv.function(
        "delete",
        |(key, _): &(Vec<u8>, Condition)| outside(key.len()),
        |state, (key, expects)| Ok((state.kv_delete(key, expects.into())?.map_err(RefusalCase::from),)),
    )?;
    kv.function(
        "keys",
        |(prefix, after): &(Vec<u8>, Option<Vec<u8>>)| outside(prefix.len() + after.as_ref().map_or(0, Vec::len)),
        |state, (prefix, after)| {
            let page = state.kv_page(prefix, after.unwrap_or_default())?;
            Ok((page.map(|(keys, next)| Page::new(keys, &next)).map_err(RefusalCase::from),))
        },
    )
}

fn call(call: &Call) -> Context {
    Context {
        task: call.task.map(|task| task.to_string()),
        attempt: call.attempt,
        tenant: call.invocation.tenant.to_string(),
        function: call.invocation.function.to_string(),
        deadline_ms: call.deadline.0,
    }
}
