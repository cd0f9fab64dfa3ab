//! The keys of `fusebox.toml`. Values are checked as they are read, so that an error has its line and column. The JSON
//! Schema that editors use is derived from these types.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use fusebox_api::functions::LimitParams;
use fusebox_core::{
    capability::{Grant, SettingName},
    name::FunctionName,
    setup::Setup,
};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;
use utoipa::ToSchema;

use super::language::Language;
use crate::{cli::files::Mount, node::args};

/// A function: how it is built, and how it is deployed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Name of the function.
    #[schema(value_type = String, min_length = 1, max_length = 128, example = "hello")]
    pub(crate) name: Written<FunctionName>,
    /// Language in which it is written; `build` then knows the toolchain.
    #[serde(default)]
    #[schema(inline)]
    pub(crate) language: Option<Language>,
    /// Sentence that says what the function does.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// True if the function answers HTTP requests: `deploy` then prints its URL, and samples of tests are requests.
    #[serde(default)]
    pub(crate) http: bool,
    /// True if its HTTP requests need no API key.
    #[serde(default)]
    pub(crate) public: bool,
    /// Content type of its outputs, such as image/png, in place of application/octet-stream.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "text/plain; charset=utf-8")]
    pub(crate) content_type: Option<Written<ContentType>>,
    /// Exported function that a run enters, if the module leaves the choice.
    #[serde(default)]
    pub(crate) export: Option<String>,
    /// Capabilities that it is granted: config, secrets, kv, and http=HOST for each host that it may send requests to.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["kv", "http=api.example.com"]))]
    pub(crate) grants: Vec<Written<Grant>>,
    /// Arguments of each run, before those of its request.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Directories whose files each run sees, read-only: DIR, or DIR:/AT.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["data", "fonts:/usr/share/fonts"]))]
    pub(crate) files: Vec<Written<Mount>>,
    /// Environment variables of each run; no place for secrets.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Configuration values that `deploy` sets; they require the grant config, and are no place for secrets.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) config: BTreeMap<Written<SettingName>, String>,
    /// How the module is built.
    #[serde(default)]
    #[schema(inline)]
    pub(crate) build: Build,
    /// Limits of each run; what is left out is the host's default.
    #[serde(default)]
    #[schema(inline)]
    pub(crate) limits: Limits,
    /// JSON Schemas of input and output.
    #[serde(default)]
    #[schema(inline)]
    pub(crate) schema: Schemas,
}

/// How the module is built.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Build {
    /// Command that builds the module, run by `sh` in the project's folder; without one there is nothing to run.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) command: Option<Spanned<String>>,
    /// Module that the command writes, from the project's folder.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) module: Option<Spanned<PathBuf>>,
}

/// Limits of each run.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// CPU time, such as 500ms; the fuel for it is set with it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "500ms")]
    cpu: Option<Written<Time>>,
    /// CPU budget in fuel units, about one per instruction.
    #[serde(default)]
    fuel: Option<u64>,
    /// Linear memory, such as 64MiB.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "64MiB")]
    memory: Option<Written<Size>>,
    /// Wall time, such as 5s.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "5s")]
    wall: Option<Written<Time>>,
    /// Output, such as 1MiB.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "1MiB")]
    output: Option<Written<Size>>,
    /// Log, such as 64KiB; the excess is dropped.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "64KiB")]
    log: Option<Written<Size>>,
}

impl Limits {
    /// Returns the limits as a request has them.
    pub(crate) fn params(&self) -> LimitParams {
        let ms = |time: &Option<Written<Time>>| time.as_ref().map(|time| time.0.0);
        let bytes = |size: &Option<Written<Size>>| size.as_ref().map(|size| size.0.0);
        LimitParams {
            fuel: self.fuel,
            wall_ms: ms(&self.wall),
            memory_bytes: bytes(&self.memory),
            output_bytes: bytes(&self.output),
            log_bytes: bytes(&self.log),
            cpu_ms: ms(&self.cpu),
        }
    }
}

/// JSON Schemas of input and output: each in a file of the project, or written here.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schemas {
    /// Schema of the input.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) input: Option<Spanned<toml::Value>>,
    /// Schema of the output.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) output: Option<Spanned<toml::Value>>,
}

/// Value that the file has as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written<T>(pub(crate) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// Time in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(u32);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        args::wall(text).map(Self)
    }
}

/// Size in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        args::size(text).map(Self)
    }
}

/// Content type of outputs.
#[derive(Clone, Debug)]
pub(crate) struct ContentType(pub(crate) String);

impl FromStr for ContentType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let setup = Setup { content_type: Some(text.to_owned()), ..Setup::default() };
        setup.check().map(|()| Self(text.to_owned())).map_err(|error| error.to_string())
    }
}
