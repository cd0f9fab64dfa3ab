//! Body of a registration: a module alone, or a form of a module, files and parts of the setup.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    limits::{FILES_BYTES_MAX, SMALL_BODY_BYTES},
};
use tokio::task::spawn_blocking;

use super::{ModuleBody, decode, form, module::large, spool::Held};
use crate::rest::{Shared, error::Problem};

/// Size of a form around its module: files, and the largest setup with the headers of its parts.
const AROUND_BYTES_MAX: u64 = FILES_BYTES_MAX + 4 * SMALL_BODY_BYTES;
/// Names of a form's fields.
const FIELDS: [&str; 6] = ["module", "files", "arg", "env", "export", "public"];

/// Module to be registered, with what a form has beside it.
pub struct RegistrationBody {
    /// Wasm bytes of the module.
    pub module: Bytes,
    /// Tar of the files that runs see.
    pub files: Option<Bytes>,
    /// Parts of the setup, in their order: names and values.
    pub setup: Vec<(String, String)>,
    /// Memory and disk reserved for all of it.
    pub held: Held,
}

impl FromRequest<Shared> for RegistrationBody {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let Some(boundary) = form::boundary(request.headers())? else {
            let ModuleBody(module, held) = ModuleBody::from_request(request, app).await?;
            return Ok(Self { module, files: None, setup: Vec::new(), held });
        };
        decode::refuse(request.headers())?;
        let form_bytes_max = app.settings.module_bytes_max + AROUND_BYTES_MAX;
        let (body, held) = large(request, app, form_bytes_max, "a form").await?;
        // Searching megabytes on a runtime thread would delay every other request.
        let parts = spawn_blocking(move || form::parts(&body, &boundary)).await;
        let parts = parts.map_err(|error| {
            tracing::error!(%error, "reading a form panicked");
            Problem::new(ErrorCode::Internal, "the host could not read the form; its log has the reason")
        })??;
        let (mut module, mut files, mut setup) = (None, None, Vec::new());
        for form::Part { name, content } in parts {
            let before = match name.as_str() {
                "module" => module.replace(content),
                "files" => files.replace(content),
                _ if !FIELDS.contains(&name.as_str()) => return Err(unknown(&name)),
                _ => {
                    setup.push((name, text(&content)?));
                    None
                }
            };
            if before.is_some() {
                return Err(refused("a form has one part \"module\" and at most one part \"files\""));
            }
        }
        let module = module.ok_or_else(|| refused("the form has no part \"module\" with the wasm bytes"))?;
        Ok(Self { module, files, setup, held })
    }
}

fn text(content: &[u8]) -> Result<String, Problem> {
    match str::from_utf8(content) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(refused("a part of the setup is not UTF-8")),
    }
}

fn unknown(name: &str) -> Problem {
    let shown: String = name.chars().take(60).collect();
    refused(&format!("unknown part {shown:?}: a form has {}", FIELDS.join(", "))).with("parameter", shown)
}

fn refused(detail: &str) -> Problem {
    Problem::new(ErrorCode::UnprocessableRequest, detail.to_owned())
}
