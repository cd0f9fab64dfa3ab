//! Extractors of paths and queries, as axum's but with problems as rejections, and of the caller that the guard found.

use axum::{
    extract::{self, FromRequestParts},
    http::request::Parts,
};
use fusebox_core::error::ErrorCode;
use serde::de::DeserializeOwned;

use super::error::Problem;
use crate::tenancy::Caller;

/// Parameters of the path.
pub struct Path<T>(pub T);
/// Parameters of the query.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::new(ErrorCode::InvalidRequest, error.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::new(ErrorCode::UnprocessableRequest, error.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Absent only if the request bypassed the guard, which must be impossible.
        parts.extensions.get().cloned().ok_or_else(|| Problem::new(ErrorCode::Internal, "the request has no caller"))
    }
}
