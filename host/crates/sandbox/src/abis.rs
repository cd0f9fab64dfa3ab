//! Calling conventions that an operator allows. A component requires that of its world, and `component` besides, since
//! the component runtime is a larger part of what must be trusted.

use std::{fmt, str::FromStr};

use fusebox_core::{error::ErrorCode, function::Abi, id::ModuleDigest};

use crate::{ModuleError, Run, Sandbox, SandboxError, loaded::Program, run};

/// Set of calling conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiSet(u8);

/// Error of parsing a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("list kinds of modules, separated by commas: core, command, component, http, extism, reactor")]
pub struct AbiSetError;

impl AbiSet {
    /// All calling conventions.
    pub const ALL: Self = Self(u8::MAX);

    /// Returns whether a calling convention is in the set.
    #[must_use]
    pub const fn has(self, abi: Abi) -> bool {
        self.0 & Self::bit(abi) != 0
    }

    const fn bit(abi: Abi) -> u8 {
        1 << abi as u8
    }

    /// Checks a module's or component's ABI.
    ///
    /// # Errors
    /// Fails with a sentence for the author if the ABI is not allowed.
    pub(crate) fn check(self, abi: Abi, is_component: bool) -> Result<(), ModuleError> {
        let missing = if is_component && !self.has(Abi::Component) { Abi::Component } else { abi };
        if self.has(missing) {
            return Ok(());
        }
        let message = format!(
            "the module is of the kind {}, and the operator of this host allows only {self} (--abi): build one of these",
            missing.as_str()
        );
        Err(ModuleError { code: ErrorCode::UnsupportedModule, message })
    }
}

impl FromStr for AbiSet {
    type Err = AbiSetError;

    fn from_str(text: &str) -> Result<Self, AbiSetError> {
        text.split(',').map(str::trim).try_fold(Self(0), |set, word| {
            let abi = Abi::ALL.into_iter().find(|abi| abi.as_str() == word).ok_or(AbiSetError)?;
            Ok(Self(set.0 | Self::bit(abi)))
        })
    }
}

impl fmt::Display for AbiSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Abi::ALL.into_iter().filter(|abi| self.has(*abi)).map(Abi::as_str).collect();
        formatter.write_str(&words.join(","))
    }
}

impl Sandbox {
    /// Remembers that a module is not run here: its runs fail with this reason.
    pub fn bar(&self, digest: &ModuleDigest, reason: String) {
        self.cache.bar(digest, reason);
    }

    /// Returns the run of a module that is not run here; `None` if it may be. Blocks as [`Sandbox::load`] does.
    ///
    /// # Errors
    /// Fails if the cache directory cannot be read.
    pub fn refusal(&self, digest: &ModuleDigest) -> Result<Option<Run>, SandboxError> {
        Ok(self.cache.load(digest)?.and_then(|module| match &module.0.program {
            Program::Refused(reason) => Some(run::refused(reason)),
            Program::Module(_) | Program::Component(_) => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_needs_its_world_and_components() {
        let set: AbiSet = "core, command".parse().unwrap();
        assert_eq!(set.to_string(), "core,command");
        assert_eq!(set.check(Abi::Command, false), Ok(()));
        let refused = set.check(Abi::Command, true).unwrap_err();
        assert!(refused.message.contains("of the kind component") && refused.message.contains("only core,command"));
        let set: AbiSet = "component".parse().unwrap();
        assert_eq!(set.check(Abi::Component, true), Ok(()));
        assert!(set.check(Abi::Http, true).unwrap_err().message.contains("of the kind http"));
        assert!(AbiSet::ALL.check(Abi::Http, true).is_ok());
        assert_eq!("core,wasm".parse::<AbiSet>(), Err(AbiSetError));
        assert_eq!("".parse::<AbiSet>(), Err(AbiSetError));
    }
}
