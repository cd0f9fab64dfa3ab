//! Extractors of setups and starts from a query, in which `arg` and `env` may be repeated.

use std::borrow::Cow;

use axum::{extract::FromRequestParts, http::request::Parts};
use fusebox_api::setup::{SetupParams, StartParams};
use fusebox_core::{
    error::ErrorCode,
    setup::{Setup, SetupError, Start},
};
use url::form_urlencoded;

use super::error::Problem;

/// Setup of a registration, as far as the query has it.
pub struct SetupQuery(SetupParams);
/// Start of a run.
pub struct StartQuery(pub Start);

impl<S: Send + Sync> FromRequestParts<S> for SetupQuery {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut params = SetupParams::default();
        for (name, value) in pairs(parts) {
            add(&mut params, &name, value.into_owned())?;
        }
        Ok(Self(params))
    }
}

impl SetupQuery {
    /// Returns the setup, without files, completed from the parts of a form.
    ///
    /// # Errors
    /// `InvalidSetup` and `UnprocessableRequest` with what to change.
    pub fn with(mut self, form: Vec<(String, String)>) -> Result<Setup, Problem> {
        for (name, value) in form {
            add(&mut self.0, &name, value)?;
        }
        Ok(self.0.read()?)
    }
}

/// Adds a parameter, if it is one of the setup.
fn add(params: &mut SetupParams, name: &str, value: String) -> Result<(), Problem> {
    match name {
        "arg" => params.arg.push(value),
        "env" => params.env.push(value),
        "export" => once(&mut params.export, "export", value)?,
        "content_type" => once(&mut params.content_type, "content_type", value)?,
        "public" => once(&mut params.public, "public", boolean("public", &value)?)?,
        _ => {}
    }
    Ok(())
}

impl<S: Send + Sync> FromRequestParts<S> for StartQuery {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut params = StartParams::default();
        for (name, value) in pairs(parts) {
            match &*name {
                "arg" => params.arg.push(value.into_owned()),
                "export" => once(&mut params.export, "export", value.into_owned())?,
                _ => {}
            }
        }
        Ok(Self(params.read()?))
    }
}

fn pairs(parts: &Parts) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
}

pub(super) fn once<T>(param: &mut Option<T>, name: &str, value: T) -> Result<(), Problem> {
    match param.replace(value) {
        None => Ok(()),
        Some(_) => {
            let detail = format!("the parameter {name:?} is given twice: give it once");
            Err(Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", name))
        }
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| {
        let detail = format!("the parameter {name:?} is either true or false");
        Problem::new(ErrorCode::UnprocessableRequest, detail).with("parameter", name)
    })
}

impl From<SetupError> for Problem {
    fn from(error: SetupError) -> Self {
        Self::new(ErrorCode::InvalidSetup, error.to_string())
    }
}
