//! Tags in the header of a submission, and beside those of its items.

use axum::http::{HeaderMap, HeaderName};
use fusebox_core::{
    error::ErrorCode,
    tags::{Tag, TagError, Tags},
};

use super::error::Problem;

/// Request header with the tags.
const TAGS: HeaderName = HeaderName::from_static("fusebox-tags");

/// Returns the tags of a request; none without the header. Several such headers count as one list.
///
/// # Errors
/// `InvalidTags` with the place of the first tag that is refused.
pub(super) fn of(headers: &HeaderMap) -> Result<Tags, Problem> {
    let mut fields = headers.get_all(TAGS).into_iter().peekable();
    if fields.peek().is_none() {
        return Ok(Tags::default());
    }
    let text = fields.map(|field| String::from_utf8_lossy(field.as_bytes())).collect::<Vec<_>>().join(",");
    Tags::parse_list(&text).map_err(|(place, error)| problem(&error, &error.at(place)).with("place", place))
}

/// Joins the tags of a request with those of one of its items.
///
/// # Errors
/// `InvalidTags` if one is malformed, both have one of the same key, or they are too many.
pub(super) fn joined(all: &Tags, own: Tags) -> Result<Tags, Problem> {
    let refused = |error: TagError| problem(&error, &error.to_string());
    own.check().map_err(refused)?;
    if all.is_empty() {
        return Ok(own);
    }
    let mut tags = all.clone();
    for (key, value) in own.iter() {
        tags.add(Tag { key: key.to_owned(), value: value.to_owned() }).map_err(refused)?;
    }
    tags.check().map_err(refused)?;
    Ok(tags)
}

fn problem(error: &TagError, detail: &str) -> Problem {
    let problem = Problem::new(ErrorCode::InvalidTags, detail.to_owned());
    match error {
        TagError::Many(_) => problem.with("max", fusebox_core::limits::TAGS_MAX),
        _ => problem.with("example", "env=prod"),
    }
}
