//! Cleans up the environment before anything reads it: a variable with an empty value counts as unset, for the command
//! line's own settings and for those that its libraries read. Deployment templates often fill in empty values.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

/// Variables read by libraries: proxies, certificate authorities, colors, the directory of temporary files.
const OTHERS: [&str; 14] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TMPDIR",
];

/// Unsets empty variables. Must be called first, while the process has one thread.
#[expect(unsafe_code, reason = "Rust calls every change of the environment unsafe, since other threads may read it")]
pub fn forget_empty() {
    for (name, _) in std::env::vars_os().filter(|(name, value)| value.is_empty() && is_ours(name)) {
        // SAFETY: `main` calls this before it starts a thread.
        unsafe { std::env::remove_var(name) };
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"FUSEBOX_") || OTHERS.iter().any(|other| name == *other)
}
