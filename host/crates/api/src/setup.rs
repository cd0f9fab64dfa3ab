//! Ways to start a function: its setup, which is part of a version, and the start of one run.

use fusebox_core::setup::{Setup, SetupError, Start};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Way to start a function, as part of its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SetupParams {
    /// Argument of each run, before those of its request; may be repeated.
    #[serde(default)]
    #[param(required = false)]
    pub arg: Vec<String>,
    /// Environment variable of each run, `NAME=VALUE`; may be repeated. Not for secrets: it is shown with the version.
    #[serde(default)]
    #[param(required = false)]
    pub env: Vec<String>,
    /// Name of the exported function that a run enters, for modules that leave the choice.
    pub export: Option<String>,
    /// `true` serves the function's HTTP requests without an API key.
    pub public: Option<bool>,
    /// Content type of the answers, such as `image/png`, in place of `application/octet-stream`.
    pub content_type: Option<String>,
}

/// Way to start one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StartParams {
    /// Argument behind those of the version; may be repeated.
    #[serde(default)]
    #[param(required = false)]
    pub arg: Vec<String>,
    /// Name of the exported function to enter instead of the version's.
    pub export: Option<String>,
}

/// Files that each run of a version sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilesView {
    /// SHA-256 of their archive, hexadecimal.
    pub digest: String,
    /// Size of the archive in bytes.
    pub bytes: u64,
}

impl SetupParams {
    /// Returns the setup, without files.
    ///
    /// # Errors
    /// Fails with the first part that is malformed or exceeds its bound.
    pub fn read(self) -> Result<Setup, SetupError> {
        let env = self.env.iter().map(|text| Setup::variable(text)).collect::<Result<_, _>>()?;
        let is_public = self.public.unwrap_or_default();
        let setup = Setup {
            args: self.arg,
            env,
            export: self.export,
            is_public,
            content_type: self.content_type,
            ..Setup::default()
        };
        setup.check().map(|()| setup)
    }

    /// Returns the parameters as pairs of a query.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let args = self.arg.iter().map(|arg| ("arg", arg.as_str()));
        let env = self.env.iter().map(|variable| ("env", variable.as_str()));
        let export = self.export.iter().map(|export| ("export", export.as_str()));
        let public = self.public.iter().map(|public| ("public", if *public { "true" } else { "false" }));
        let content_type = self.content_type.iter().map(|kind| ("content_type", kind.as_str()));
        args.chain(env).chain(export).chain(public).chain(content_type)
    }
}

impl StartParams {
    /// Returns the start.
    ///
    /// # Errors
    /// Fails with the first part that exceeds its bound.
    pub fn read(self) -> Result<Start, SetupError> {
        let start = Start { args: self.arg, export: self.export, ..Start::default() };
        start.check().map(|()| start)
    }

    /// Returns the parameters as pairs of a query.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let args = self.arg.iter().map(|arg| ("arg", arg.as_str()));
        args.chain(self.export.iter().map(|export| ("export", export.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_is_read_or_refused() {
        let params = SetupParams { env: vec!["A=1=2".to_owned()], public: Some(true), ..SetupParams::default() };
        assert_eq!(params.pairs().collect::<Vec<_>>(), [("env", "A=1=2"), ("public", "true")]);
        let setup = params.read().unwrap();
        assert_eq!((&setup.env[0], setup.is_public), (&("A".to_owned(), "1=2".to_owned()), true));
        let bad = SetupParams { env: vec!["A".to_owned()], ..SetupParams::default() };
        assert_eq!(bad.read(), Err(SetupError::EnvShape("A".to_owned())));
    }
}
