//! `wasi:logging`: lines of the run's log, with the level and the context before the message.

use wasmtime::{
    Result,
    component::{ComponentType, Lift, Linker},
};

use super::Interface;
use crate::{
    component::State,
    metered::{CALL, logged},
};

/// Level of a line, as enum `logging.level`.
#[expect(dead_code, reason = "made from the guest's number")]
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error | Self::Critical => "ERROR",
        }
    }
}

pub(super) fn add_to(linker: &mut Linker<State>) -> Result<()> {
    let mut logging = Interface(linker.instance("wasi:logging/logging@0.1.0-draft")?);
    logging.function(
        "log",
        |(_, context, message): &(Level, String, String)| {
            2 * CALL + logged(u32::try_from(context.len() + message.len()).unwrap_or(u32::MAX))
        },
        |state, (level, context, message)| {
            let line = if context.is_empty() { message } else { format!("{context}: {message}") };
            Ok(state.run.log.line(level.as_str(), line.as_bytes())?)
        },
    )
}
