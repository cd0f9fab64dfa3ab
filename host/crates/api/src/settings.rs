//! Configuration and secrets of a function.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Page of configuration values.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigPage {
    /// Values, sorted by name.
    pub items: Vec<ConfigValue>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// Configuration value.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigValue {
    /// Name of the value.
    pub name: String,
    /// The value itself.
    pub value: String,
}

/// Page of names of secrets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretPage {
    /// Secrets, sorted by name.
    pub items: Vec<SecretName>,
    /// `cursor` of the next page; null on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// Secret, without its content.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretName {
    /// Name of the secret.
    pub name: String,
}
