//! One run of a function, as every stage between a lease, or a synchronous request, and the sandbox carries it.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    capability::Grants,
    function::{FunctionVersion, RunLimits},
    id::{FilesDigest, ModuleDigest},
    name::{FunctionName, TenantId},
    setup::{Setup, Start},
};

/// Environment variable of a command with the content type of its input.
const CONTENT_TYPE: &str = "CONTENT_TYPE";

/// Function to run, with its input, limits and grants. Each stage adds its own data beside it: the lease its token, the
/// slot its stop flag, the run its deadline. Part of [`crate::wire::Assignment`]: a new
/// field is a new version of the protocol, whose predecessor [`crate::wire::older`] encodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Tenant of the function.
    pub tenant: TenantId,
    /// Name of the function, for the run's context.
    pub function: FunctionName,
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Limits of the run.
    pub limits: RunLimits,
    /// Capabilities granted to the function.
    pub grants: Grants,
    /// Milliseconds that it has waited so far. A duration, since clocks of two machines cannot be compared.
    pub waited_ms: u64,
    /// Input of the function.
    pub input: Bytes,
    /// Arguments: those of the version, then those of the request.
    pub args: Vec<String>,
    /// Environment variables: names and values.
    pub env: Vec<(String, String)>,
    /// Archive of the files that the run sees.
    pub files: Option<FilesDigest>,
    /// Name of the exported function to enter, if its ABI leaves the choice.
    pub export: Option<String>,
    /// True if the input is an HTTP request and the output its response, in the form of [`crate::http`].
    pub is_http: bool,
}

impl Invocation {
    /// Returns an invocation of `function` within its own limits.
    #[must_use]
    pub fn new(function: FunctionVersion, start: Start, input: Bytes) -> Self {
        let FunctionVersion { tenant, name, module, abi, limits, grants, setup, .. } = function;
        let (start, input) = start.entering(abi, input);
        Self::plain(tenant, name, module, limits, grants, input).started(setup, start)
    }

    /// Returns an invocation without arguments, environment, files and export, which has not waited.
    #[must_use]
    pub const fn plain(
        tenant: TenantId,
        function: FunctionName,
        module: ModuleDigest,
        limits: RunLimits,
        grants: Grants,
        input: Bytes,
    ) -> Self {
        Self {
            tenant,
            function,
            module,
            limits,
            grants,
            waited_ms: 0,
            input,
            args: Vec::new(),
            env: Vec::new(),
            files: None,
            export: None,
            is_http: false,
        }
    }

    /// Returns this invocation with the setup of its version and the start of its request.
    #[must_use]
    pub fn started(self, setup: Setup, start: Start) -> Self {
        let Setup { mut args, mut env, files, export, .. } = setup;
        args.extend(start.args);
        if let Some(content_type) = start.content_type {
            env.retain(|(name, _)| name != CONTENT_TYPE);
            env.push((CONTENT_TYPE.into(), content_type));
        }
        Self { args, env, files, export: start.export.or(export), is_http: start.is_http, ..self }
    }

    /// Returns true if it has neither arguments nor environment, files or an export.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { args, env, files, export, is_http, .. } = self;
        args.is_empty() && env.is_empty() && files.is_none() && export.is_none() && !is_http
    }

    /// Returns the bytes of input, arguments and environment, as a bound of the size of a message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let args = self.args.iter().map(String::len).sum::<usize>();
        let env = self.env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.input.len() + args + env
    }
}
