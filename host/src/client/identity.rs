//! Client calls on tenants, quotas and API keys.

use super::{Client, Result};
use fusebox_api::{
    keys::{CreateKey, KeyView, Keys, NewKeyView, RotateKey},
    quotas::{QuotaValues, QuotasView},
    tenants::{CreateTenant, TenantView, Tenants},
};

impl Client {
    /// Creates a key.
    pub async fn create_key(&self, key: &CreateKey) -> Result<NewKeyView> {
        self.json(self.http.post(self.url(&["v1", "keys"])).json(key)).await
    }

    /// Lists a tenant's keys; those of the caller's own tenant if none is named.
    pub async fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>> {
        let mut url = self.url(&["v1", "keys"]);
        if let Some(tenant) = tenant {
            url.query_pairs_mut().append_pair("tenant", tenant);
        }
        self.pages(url, |page: Keys| (page.items, page.next)).await
    }

    /// Revokes a key.
    pub async fn revoke_key(&self, key: &str) -> Result<KeyView> {
        self.json(self.http.delete(self.url(&["v1", "keys", key]))).await
    }

    /// Creates a key that replaces another one.
    pub async fn rotate_key(&self, key: &str, rotate: RotateKey) -> Result<NewKeyView> {
        self.json(self.http.post(self.url(&["v1", "keys", key, "rotate"])).json(&rotate)).await
    }

    /// Creates a tenant.
    pub async fn create_tenant(&self, name: &str) -> Result<TenantView> {
        let tenant = CreateTenant { name: name.to_owned() };
        self.json(self.http.post(self.url(&["v1", "tenants"])).json(&tenant)).await
    }

    /// Lists every tenant.
    pub async fn tenants(&self) -> Result<Vec<TenantView>> {
        self.pages(self.url(&["v1", "tenants"]), |page: Tenants| (page.items, page.next)).await
    }

    /// Returns a tenant's quotas.
    pub async fn quotas(&self, tenant: &str) -> Result<QuotasView> {
        self.json(self.http.get(self.url(&["v1", "tenants", tenant, "quotas"]))).await
    }

    /// Replaces a tenant's quotas.
    pub async fn set_quotas(&self, tenant: &str, values: &QuotaValues) -> Result<QuotasView> {
        self.json(self.http.put(self.url(&["v1", "tenants", tenant, "quotas"])).json(values)).await
    }

    /// Deletes a tenant.
    pub async fn delete_tenant(&self, name: &str) -> Result<()> {
        self.send(self.http.delete(self.url(&["v1", "tenants", name]))).await.map(drop)
    }
}
