//! Stable error codes: what programs branch on. A code is never renamed or reused; the sentence beside it may change.

use serde::{Deserialize, Serialize};

/// Whose fault an error is. Decides the HTTP status and whether a task is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request was wrong: sending it again cannot help.
    Client,
    /// The function's run failed: a FAILED task, never an HTTP 500.
    Guest,
    /// The host or its machinery: trying again can help.
    Host,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $class:ident;)*) => {
        /// A stable code. See [`ErrorCode::as_str`] for the word that programs see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as programs see it; also the last part of a problem's `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn class(self) -> ErrorClass {
                match self { $(Self::$variant => ErrorClass::$class,)* }
            }
        }
    };
}

codes! {
    /// The request's form is wrong: a field, a parameter, an id.
    InvalidRequest = "invalid-request", Client;
    /// A field is missing or of the wrong type, or an id is malformed.
    UnprocessableRequest = "unprocessable-request", Client;
    /// The payload is not base64.
    InvalidBase64 = "invalid-base64", Client;
    /// A limit above its ceiling, or zero.
    InvalidLimits = "invalid-limits", Client;
    /// A name that cannot be one.
    InvalidName = "invalid-name", Client;
    /// The module is no function that this host can run.
    InvalidModule = "invalid-module", Client;
    /// The module is text, a component, precompiled or something else than core wasm.
    UnsupportedModule = "unsupported-module", Client;
    /// The module imports what the host does not offer.
    UnknownImport = "unknown-import", Client;
    /// The module imports what it was not granted.
    GrantRequired = "grant-required", Client;
    /// The module has a part above a structural cap.
    ModuleTooComplex = "module-too-complex", Client;
    /// The module does not compile within the compile limits.
    CompileLimit = "compile-limit", Client;
    /// The body is larger than its bound.
    PayloadTooLarge = "payload-too-large", Client;
    /// There is no such function, or it is not the caller's.
    FunctionNotFound = "function-not-found", Client;
    /// There is no such task, or it is not the caller's.
    TaskNotFound = "task-not-found", Client;
    /// The function has no such configuration value or secret.
    SettingNotFound = "setting-not-found", Client;
    /// There is nothing at this path.
    RouteNotFound = "route-not-found", Client;
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", Client;
    /// The host has API keys, and the request has none that is good.
    Unauthorized = "unauthorized", Client;
    /// The API key is good, but not for this.
    Forbidden = "forbidden", Client;
    /// There is no such API key, or it is not the caller's.
    KeyNotFound = "key-not-found", Client;
    /// The API key is good no more.
    KeyEnded = "key-ended", Client;
    /// The tenant has as many good API keys as it may have.
    KeyQuota = "key-quota", Client;
    /// There is no such tenant, or it is not the caller's.
    TenantNotFound = "tenant-not-found", Client;
    /// There is a tenant of this name, or there was.
    TenantExists = "tenant-exists", Client;
    /// The default tenant is always there.
    TenantStays = "tenant-stays", Client;
    /// There are as many tenants as there may be.
    TenantQuota = "tenant-quota", Client;
    /// `Host` or `Origin` is foreign.
    ForeignOrigin = "foreign-origin", Client;
    /// The request did not arrive in time.
    RequestTimeout = "request-timeout", Client;
    /// The task has not ended yet.
    TaskNotEnded = "task-not-ended", Client;
    /// The task has ended already.
    TaskEnded = "task-ended", Client;
    /// The task has not failed: there is nothing to try again.
    TaskNotFailed = "task-not-failed", Client;
    /// The input of an ended task is kept no longer.
    InputGone = "input-gone", Client;
    /// The idempotency key came with another request before.
    IdempotencyConflict = "idempotency-conflict", Client;
    /// The tenant has as many waiting tasks as it may have.
    QueueFull = "queue-full", Client;
    /// The tenant has as many functions as it may have, or as many bytes of modules.
    FunctionQuota = "function-quota", Client;
    /// The function has as many configuration values or secrets as it may have.
    SettingQuota = "setting-quota", Client;
    /// The tenant asks more often than it may.
    RateLimited = "rate-limited", Client;
    /// The tenant has as many runs under way as it may have.
    RunningQuota = "running-quota", Client;
    /// The tenant's runs have reserved as much fuel as they may.
    FuelQuota = "fuel-quota", Client;

    /// The function returned an error, panicked, or exited with another code than 0.
    GuestError = "guest-error", Guest;
    /// The run trapped.
    Trap = "trap", Guest;
    /// The run recursed beyond its stack.
    StackOverflow = "stack-overflow", Guest;
    /// The run used up its fuel.
    OutOfFuel = "out-of-fuel", Guest;
    /// The run did not end within its wall time.
    DeadlineExceeded = "deadline-exceeded", Guest;
    /// The run needed more memory than it may have.
    OutOfMemory = "out-of-memory", Guest;
    /// The output is larger than its limit.
    OutputTooLarge = "output-too-large", Guest;
    /// The run logged many times what it may log.
    LogFlood = "log-flood", Guest;
    /// The guest gave the host a pointer or length outside its memory.
    BadPointer = "bad-pointer", Guest;
    /// The module cannot be instantiated or lacks an export of the right type.
    BadModule = "bad-module", Guest;
    /// The task was cancelled.
    Cancelled = "cancelled", Guest;

    /// The task did not start in time.
    Expired = "expired", Host;
    /// Every attempt was lost with its worker.
    AttemptsExhausted = "attempts-exhausted", Host;
    /// The run was stopped by the host: a drain or a lost lease.
    Interrupted = "interrupted", Host;
    /// No slot or no room: try again after `Retry-After` seconds.
    Overloaded = "overloaded", Host;
    /// The host is shutting down.
    ShuttingDown = "shutting-down", Host;
    /// The host has no key that secrets could be kept under.
    NoSecretsKey = "no-secrets-key", Host;
    /// The store does not answer.
    StoreUnavailable = "store-unavailable", Host;
    /// The host's own fault; the log has the reason.
    Internal = "internal", Host;

    // New codes stand at the end: a link between dispatcher and worker names a code by its place.
    /// The body comes in a coding that it may not have.
    UnsupportedEncoding = "unsupported-encoding", Client;
    /// Nothing runs tasks: no dispatcher works on this store, or none has workers.
    NoDispatcher = "no-dispatcher", Host;
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_word() {
        let words: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, alloc::format!("\"{code}\""));
        }
    }
}
