//! Encoding of a function version in its hash. The field that the Python platform had keeps
//! its name: `name`. Its `payload` is at the key of `module`, once for all versions. Independent of the keys.

use std::str::FromStr;

use fusebox_core::{
    function::{Abi, FunctionVersion, Grants, RunLimits, VersionState},
    limits::CPU_MS_MAX,
    setup::Setup,
    time::Millis,
};
use redis::Value;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{answers, records};
use crate::{Error, Result};

/// Fields of a version without the module's bytes, in the order in which they are read.
pub(super) const FIELDS: [&str; 12] = [
    "tenant",
    "name",
    "version",
    "module",
    "module_bytes",
    "abi",
    "limits",
    "grants",
    "setup",
    "created_at",
    "state",
    "failure",
];
/// State of a version that is to be compiled, as the library writes it. One that is ready has none.
pub(super) const COMPILING: &str = "compiling";

/// Encoding of a function version's limits.
#[derive(Serialize, Deserialize)]
struct LimitsRecord {
    fuel: u64,
    wall_ms: u32,
    memory_bytes: u64,
    output_bytes: u64,
    log_bytes: u64,
    /// Absent from versions from before it was added.
    #[serde(default = "unlimited")]
    cpu_ms: u32,
}

const fn unlimited() -> u32 {
    CPU_MS_MAX
}

/// Encodes limits.
pub(super) fn limits(limits: &RunLimits) -> String {
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = *limits;
    let record = LimitsRecord { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms };
    // Numbers can always be encoded.
    serde_json::to_string(&record).unwrap_or_default()
}

/// Decodes the function version with this id from its fields.
pub(super) fn function(id: &str, fields: Vec<Value>) -> Result<FunctionVersion> {
    let mut fields = Fields::new(id.to_owned(), &FIELDS, fields)?;
    let limits: LimitsRecord = fields.json("limits")?;
    Ok(FunctionVersion {
        id: id.parse().map_err(|_| fields.bad("id"))?,
        tenant: fields.parsed("tenant")?,
        name: fields.parsed("name")?,
        version: fields.parsed("version")?,
        module: fields.parsed("module")?,
        module_bytes: fields.parsed("module_bytes")?,
        abi: fields.one_of("abi", &Abi::ALL, Abi::as_str)?,
        limits: limits.into(),
        grants: grants(fields.take("grants").as_deref()).ok_or_else(|| fields.bad("grants"))?,
        setup: read_setup(fields.take("setup").as_deref()).ok_or_else(|| fields.bad("setup"))?,
        created_at: Millis(fields.parsed("created_at")?),
        state: state(&mut fields)?,
    })
}

fn state(fields: &mut Fields) -> Result<VersionState> {
    match fields.take("state").as_deref() {
        None => Ok(VersionState::Ready),
        Some(COMPILING) => Ok(VersionState::Compiling),
        Some(_) => {
            let failure = fields.text("failure")?;
            records::read_failure(&failure).map(VersionState::Failed).ok_or_else(|| fields.bad("failure"))
        }
    }
}

/// Decodes grants, as encoded by [`Grants::to_list`]; versions from before grants were added have none.
pub(super) fn grants(text: Option<&str>) -> Option<Grants> {
    Grants::parse_list(text.unwrap_or_default()).ok()
}

/// Encodes a setup; an empty one has no text.
pub(super) fn setup(setup: &Setup) -> String {
    match *setup == Setup::default() {
        true => String::new(),
        // Every setup can be encoded.
        false => serde_json::to_string(setup).unwrap_or_default(),
    }
}

/// Decodes a setup; versions from before setups were added have none.
pub(super) fn read_setup(text: Option<&str>) -> Option<Setup> {
    text.map_or_else(|| Some(Setup::default()), |text| serde_json::from_str(text).ok())
}

impl From<LimitsRecord> for RunLimits {
    fn from(LimitsRecord { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms }: LimitsRecord) -> Self {
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms }
    }
}

/// Fields of one record, each read once.
struct Fields {
    record: String,
    names: &'static [&'static str],
    texts: Vec<Option<String>>,
}

impl Fields {
    fn new(record: String, names: &'static [&'static str], values: Vec<Value>) -> Result<Self> {
        let texts: Vec<_> = values.into_iter().map(answers::optional_text).collect::<Result<_>>()?;
        match texts.len() == names.len() {
            true => Ok(Self { record, names, texts }),
            false => Err(answers::unexpected("a record")),
        }
    }

    fn bad(&self, name: &str) -> Error {
        Error::Corrupt(format!("{}: {name}", self.record))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.texts.get_mut(at)?.take()
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.take(name).ok_or_else(|| self.bad(name))
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.bad(name))
    }

    fn one_of<T: Copy>(&mut self, name: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<T> {
        let text = self.text(name)?;
        all.iter().copied().find(|one| word(*one) == text).ok_or_else(|| self.bad(name))
    }

    fn json<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        serde_json::from_str(&text).map_err(|_| self.bad(name))
    }
}
