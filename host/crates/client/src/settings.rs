//! Client calls on a function's configuration and secrets.

use super::{Client, Result};
use fusebox_api::settings::{ConfigPage, ConfigValue, SecretName, SecretPage};

impl Client {
    /// Lists a function's configuration.
    ///
    /// # Errors
    /// Fails if there is no such function, or the host does not answer.
    pub async fn config(&self, function: &str) -> Result<Vec<ConfigValue>> {
        let url = self.url(&["v1", "functions", function, "config"]);
        self.pages(url, |page: ConfigPage| (page.items, page.next)).await
    }

    /// Lists the names of a function's secrets.
    ///
    /// # Errors
    /// Fails if there is no such function, or the host does not answer.
    pub async fn secrets(&self, function: &str) -> Result<Vec<SecretName>> {
        let url = self.url(&["v1", "functions", function, "secrets"]);
        self.pages(url, |page: SecretPage| (page.items, page.next)).await
    }

    /// Sets a value; `kind` is `config` or `secrets`.
    ///
    /// # Errors
    /// Fails if there is no such function, the name or the value is invalid, or the host does not answer.
    pub async fn set_setting(&self, function: &str, kind: &str, name: &str, value: Vec<u8>) -> Result<()> {
        let url = self.url(&["v1", "functions", function, kind, name]);
        let request = self.http.put(url).header("content-type", "application/octet-stream").body(value);
        self.send(request).await.map(drop)
    }

    /// Unsets a value; `kind` is `config` or `secrets`.
    ///
    /// # Errors
    /// Fails if there is no such function or value, or the host does not answer.
    pub async fn unset_setting(&self, function: &str, kind: &str, name: &str) -> Result<()> {
        self.send(self.http.delete(self.url(&["v1", "functions", function, kind, name]))).await.map(drop)
    }
}
