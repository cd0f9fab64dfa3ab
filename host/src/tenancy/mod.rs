//! Who asks. Every handler takes a [`Caller`], so that no route can forget whose records it may touch. Without API keys
//! everyone is the default tenant.

use std::{convert::Infallible, sync::OnceLock};

use axum::{extract::FromRequestParts, http::request::Parts};
use fusebox_core::name::TenantId;

/// The tenant on whose behalf a request is made.
#[derive(Clone, Debug)]
pub struct Caller(pub TenantId);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        static DEFAULT: OnceLock<TenantId> = OnceLock::new();
        Ok(Self(DEFAULT.get_or_init(TenantId::default_tenant).clone()))
    }
}
