//! Body of a registration: a module or a script alone, or a form of it, files and parts of the setup.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use fusebox_core::{
    error::ErrorCode,
    limits::{FILES_BYTES_MAX, SCRIPT_BYTES_MAX, SMALL_BODY_BYTES},
    runtime::Language,
};
use tokio::task::spawn_blocking;
use url::form_urlencoded;

use super::{ModuleBody, decode, form, module::large, spool::Held};
use crate::rest::{Shared, error::Problem};

/// Size of a form around its module: files, and the largest setup with the headers of its parts.
const AROUND_BYTES_MAX: u64 = FILES_BYTES_MAX + 4 * SMALL_BODY_BYTES;
/// Names of a form's fields.
const FIELDS: [&str; 8] = ["module", "source", "files", "arg", "env", "export", "content_type", "public"];
/// Content types of scripts.
const TYPES: [(&str, Language); 6] = [
    ("text/javascript", Language::JavaScript),
    ("application/javascript", Language::JavaScript),
    ("application/x-javascript", Language::JavaScript),
    ("text/x-python", Language::Python),
    ("application/x-python", Language::Python),
    ("application/x-python-code", Language::Python),
];

/// Content of a registration: a module or a script.
pub enum Registered {
    /// Wasm bytes of a module.
    Module(Bytes),
    /// Text of a script, and its language if the content type states it.
    Script(Bytes, Option<Language>),
}

/// Content of a registration, with the other parts of its form.
pub struct RegistrationBody {
    /// Module or script.
    pub content: Registered,
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
        let (files, setup) = (None, Vec::new());
        let of_type = language(request.headers());
        let has_language = has_language(&request);
        let Some(boundary) = form::boundary(request.headers())? else {
            if of_type.is_some() || has_language {
                decode::refuse(request.headers())?;
                let (source, held) = large(request, app, SCRIPT_BYTES_MAX, "a script").await?;
                return Ok(Self { content: Registered::Script(text_only(source)?, of_type), files, setup, held });
            }
            let ModuleBody(module, held) = ModuleBody::from_request(request, app).await?;
            return Ok(Self { content: Registered::Module(module), files, setup, held });
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
        Self::of_parts(parts, has_language, held)
    }
}

impl RegistrationBody {
    fn of_parts(parts: Vec<form::Part>, has_language: bool, held: Held) -> Result<Self, Problem> {
        let (mut module, mut source, mut files, mut setup) = (None, None, None, Vec::new());
        for form::Part { name, content } in parts {
            let before = match name.as_str() {
                "module" => module.replace(content),
                "source" => source.replace(content),
                "files" => files.replace(content),
                _ if !FIELDS.contains(&name.as_str()) => return Err(unknown(&name)),
                _ => {
                    setup.push((name, text(&content)?));
                    None
                }
            };
            if before.is_some() {
                return Err(refused("a form has at most one part of each of \"module\", \"source\" and \"files\""));
            }
        }
        let content = match (module, source, has_language) {
            (Some(module), None, false) => Registered::Module(module),
            (None, Some(source), true) if source.len() as u64 <= SCRIPT_BYTES_MAX => {
                Registered::Script(text_only(source)?, None)
            }
            (None, Some(_), true) => {
                let detail = format!("a script has at most {SCRIPT_BYTES_MAX} bytes: move data into files");
                return Err(Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_bytes", SCRIPT_BYTES_MAX));
            }
            (None, Some(_), false) => {
                return Err(refused("the part \"source\" is a script: name its language, such as language=python"));
            }
            (Some(_), _, true) => {
                return Err(refused("a language belongs to a script: send its text as part \"source\", and no module"));
            }
            (Some(_), Some(_), false) => return Err(refused("a function is either a module or a script")),
            (None, None, _) => {
                return Err(refused(
                    "the form has neither a part \"module\" with wasm bytes nor a part \"source\" with a script",
                ));
            }
        };
        Ok(Self { content, files, setup, held })
    }
}

/// Returns the language of a script's content type.
fn language(headers: &HeaderMap) -> Option<Language> {
    let stated = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = stated.split(';').next().unwrap_or_default().trim();
    TYPES.into_iter().find_map(|(known, language)| essence.eq_ignore_ascii_case(known).then_some(language))
}

/// Returns whether the query names a language, so that the body is a script.
fn has_language(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "language")
}

/// Returns a script's bytes if they are text.
fn text_only(source: Bytes) -> Result<Bytes, Problem> {
    match str::from_utf8(&source) {
        Ok(_) => Ok(source),
        Err(_) => Err(Problem::new(ErrorCode::InvalidScript, "the script is not text in UTF-8: save it as UTF-8")),
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
