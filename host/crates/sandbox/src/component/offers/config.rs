//! `wasi:config/store` of both versions in use: configuration values as text.

use bytes::Bytes;
use fusebox_core::capability::{HostAnswer, HostCall, Refusal, SettingName};
use wasmtime::{
    Result,
    component::{ComponentType, Linker, Lower},
};

use super::{Interface, outside};
use crate::component::State;

/// Reason for which a value cannot be read, as variant `store.error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum Failure {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    #[expect(dead_code, reason = "part of the interface; the host's configuration is no file")]
    Io(String),
}

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    for version in ["0.2.0-rc.1", "0.2.0-draft-2024-09-27"] {
        let mut store = Interface(linker.instance(&format!("wasi:config/store@{version}"))?);
        store.function("get", |(name,): &(String,)| outside(name.len()), |state, (name,)| Ok((get(state, &name)?,)))?;
        store.function("get-all", |(): &()| outside(0), |state, ()| Ok((get_all(state)?,)))?;
    }
    Ok(())
}

/// Returns all values that are text.
fn get_all(state: &mut State) -> Result<Result<Vec<(String, String)>, Failure>> {
    Ok(match state.ask(Ok(HostCall::Configs))? {
        Ok(HostAnswer::Configs(settings)) => {
            let pair = |(name, value): (SettingName, Bytes)| Some((name.into(), String::from_utf8(value.into()).ok()?));
            Ok(settings.into_iter().filter_map(pair).collect())
        }
        other => Err(Failure::Upstream(super::refusal(other).to_string())),
    })
}

fn get(state: &mut State, name: &str) -> Result<Result<Option<String>, Failure>> {
    let upstream = |error: String| Failure::Upstream(error);
    Ok(match state.setting(name, HostCall::Config)? {
        // A name that cannot be set is not there.
        Err(Refusal::Invalid) => Ok(None),
        Err(refusal) => Err(upstream(refusal.to_string())),
        Ok(None) => Ok(None),
        Ok(Some(value)) => {
            String::from_utf8(value).map(Some).map_err(|_| upstream(format!("the value of {name} is not UTF-8")))
        }
    })
}
