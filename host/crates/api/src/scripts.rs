//! Scripts: functions whose module is a runtime of the host, and whose source is sent as text.

use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Script of a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScriptParams {
    /// Language of the body, which is then a script instead of a module: `javascript` or `python`, for the newest runtime
    /// of the host, or the name of a runtime such as `python3.11`. The types `text/javascript` and `text/x-python` say the
    /// same.
    pub language: Option<String>,
    /// Versions of Python for which the script is written, such as `>=3.11,<3.13`; the newest runtime among them is taken.
    pub requires_python: Option<String>,
    /// Name of the script's file, such as `handler.py`, which errors name.
    pub entry: Option<String>,
}

impl ScriptParams {
    /// Returns the parameters as pairs of a query.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("language", &self.language), ("requires_python", &self.requires_python), ("entry", &self.entry)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
