//! Client calls on tenants, quotas and API keys.

use super::{Client, Result};
use fusebox_api::{
    keys::{CreateKey, KeyView, Keys, NewKeyView, RotateKey},
    quotas::{QuotaValues, QuotasView},
    tenants::{CreateTenant, TenantDeleted, TenantDetails, TenantView, Tenants},
};

impl Client {
    /// Creates a key.
    ///
    /// # Errors
    /// Fails if the tenant does not exist, the caller may not create such a key, or the host does not answer.
    pub async fn create_key(&self, key: &CreateKey) -> Result<NewKeyView> {
        self.json(self.http.post(self.url(&["v1", "keys"])).json(key)).await
    }

    /// Lists a tenant's keys; those of the caller's own tenant if none is named.
    ///
    /// # Errors
    /// Fails if the caller may not list these keys, or the host does not answer.
    pub async fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>> {
        let mut url = self.url(&["v1", "keys"]);
        if let Some(tenant) = tenant {
            url.query_pairs_mut().append_pair("tenant", tenant);
        }
        self.pages(url, |page: Keys| (page.items, page.next)).await
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// Fails if there is no such key, the caller may not revoke it, or the host does not answer.
    pub async fn revoke_key(&self, key: &str) -> Result<KeyView> {
        self.json(self.http.delete(self.url(&["v1", "keys", key]))).await
    }

    /// Creates a key that replaces another one.
    ///
    /// # Errors
    /// Fails if there is no such key, the caller may not rotate it, or the host does not answer.
    pub async fn rotate_key(&self, key: &str, rotate: RotateKey) -> Result<NewKeyView> {
        self.json(self.http.post(self.url(&["v1", "keys", key, "rotate"])).json(&rotate)).await
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// Fails if the name is invalid or taken, the key is not an operator's, or the host does not answer.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantView> {
        let tenant = CreateTenant { name: name.to_owned() };
        self.json(self.http.post(self.url(&["v1", "tenants"])).json(&tenant)).await
    }

    /// Lists every tenant.
    ///
    /// # Errors
    /// Fails if the key is not an operator's, or the host does not answer.
    pub async fn tenants(&self) -> Result<Vec<TenantView>> {
        self.pages(self.url(&["v1", "tenants"]), |page: Tenants| (page.items, page.next)).await
    }

    /// Returns a tenant's quotas.
    ///
    /// # Errors
    /// Fails if there is no such tenant, the caller may not read its quotas, or the host does not answer.
    pub async fn quotas(&self, tenant: &str) -> Result<QuotasView> {
        self.json(self.http.get(self.url(&["v1", "tenants", tenant, "quotas"]))).await
    }

    /// Replaces a tenant's quotas.
    ///
    /// # Errors
    /// Fails if there is no such tenant, a value is invalid, the key is not an operator's, or the host does not answer.
    pub async fn set_quotas(&self, tenant: &str, values: &QuotaValues) -> Result<QuotasView> {
        self.json(self.http.put(self.url(&["v1", "tenants", tenant, "quotas"])).json(values)).await
    }

    /// Returns a tenant with the number of its most important records.
    ///
    /// # Errors
    /// Fails if there is no such tenant, the key is not an operator's, or the host does not answer.
    pub async fn tenant(&self, name: &str) -> Result<TenantDetails> {
        self.json(self.http.get(self.url(&["v1", "tenants", name]))).await
    }

    /// Deletes a tenant, or a part of a large one; returns what went. While it is not `done`, call it again.
    ///
    /// # Errors
    /// Fails if there is no such tenant, or it is gone by now, the key is not an operator's, or the host does not answer.
    pub async fn delete_tenant(&self, name: &str) -> Result<TenantDeleted> {
        self.json(self.http.delete(self.url(&["v1", "tenants", name]))).await
    }
}
