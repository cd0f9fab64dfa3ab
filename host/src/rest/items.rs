//! Parser of batches: a JSON array, or one JSON object per line. An invalid item is refused alone; the others are
//! accepted.

use std::fmt;

use bytes::Bytes;
use fusebox_api::{batch::BatchItem, functions::LimitParams};
use fusebox_core::{
    error::ErrorCode,
    limits::{BATCH_ITEMS_MAX, INPUT_BYTES_MAX},
    name::TenantId,
    setup::Start,
    tags::Tags,
    task::Priority,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    accept,
    body::{self, from_base64},
    error::Problem,
    idempotency::{IdempotencyKey, RequestContent, TaskIdentity},
    tags,
};

/// Parsed item.
pub(super) struct Item {
    /// Function as named in the request.
    pub function: String,
    /// Priority within the tenant.
    pub priority: Priority,
    /// Milliseconds before the task may start, within the bound.
    pub delay_ms: u64,
    /// Limits given in the request.
    pub limits: LimitParams,
    /// Way in which the request starts the function.
    pub start: Start,
    /// Identity derived from the idempotency key; `None` without one.
    pub identity: Option<TaskIdentity>,
    /// Tags of the request and of the item.
    pub tags: Tags,
    /// Input of the function.
    pub input: Bytes,
}

/// Settings common to all items of a batch.
pub(super) struct Batch {
    /// Tenant that submits the batch.
    pub tenant: TenantId,
    /// Function of items that name none.
    pub function: Option<String>,
    /// Idempotency key of items without one of their own.
    pub key: Option<IdempotencyKey>,
    /// Tags of every item.
    pub tags: Tags,
    /// True if the batch is one JSON object per line.
    pub lines: bool,
}

impl Batch {
    /// Parses the items, each into a result of its own; skips blank lines.
    ///
    /// # Errors
    /// Fails if the batch is not an array or has too many items.
    pub(super) fn read(&self, body: &[u8]) -> Result<Vec<Result<Item, Problem>>, Problem> {
        let body = body::unmarked(body)?;
        let texts: Vec<&[u8]> = match self.lines {
            true => {
                let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                lines.filter(|line| !line.is_empty()).take(BATCH_ITEMS_MAX + 1).collect()
            }
            false => {
                let texts: Texts<'_> = serde_json::from_slice(body).map_err(|error| {
                    let detail = format!("the batch is not a JSON array: {error}");
                    Problem::new(ErrorCode::UnprocessableRequest, detail)
                })?;
                texts.0.into_iter().map(|text| text.get().as_bytes()).collect()
            }
        };
        if texts.len() > BATCH_ITEMS_MAX {
            let detail = format!("a batch has at most {BATCH_ITEMS_MAX} items: send several");
            return Err(Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_items", BATCH_ITEMS_MAX));
        }
        Ok((0..).zip(texts).map(|(place, text)| self.item(place, text)).collect())
    }

    fn item(&self, place: u32, text: &[u8]) -> Result<Item, Problem> {
        let item: BatchItem = serde_json::from_slice(text).map_err(|error| {
            let detail = format!("the item is not a valid JSON object: {error}");
            Problem::new(ErrorCode::UnprocessableRequest, detail)
        })?;
        let input = input(item.input, item.text, item.json)?;
        let function = item.function.or_else(|| self.function.clone()).ok_or_else(|| {
            let detail = "the item names no function: add \"function\", or send the batch to one function's path";
            Problem::new(ErrorCode::UnprocessableRequest, detail)
        })?;
        let (priority, delay_ms) = (item.priority.unwrap_or_default(), accept::check_delay(item.delay_ms)?);
        let limits = item.limits.map_or_else(LimitParams::default, Into::into);
        let start = Start { args: item.args, export: item.export, content_type: item.content_type, ..Start::default() };
        start.check()?;
        let tags = tags::joined(&self.tags, item.tags)?;
        let asked = RequestContent {
            function: &function,
            priority,
            delay_ms,
            limits: &limits,
            start: &start,
            tags: &tags,
            retry_of: None,
        };
        let identity = match (item.idempotency_key, &self.key) {
            (Some(own), _) => Some(own.parse::<IdempotencyKey>()?.identify(&self.tenant, None, &asked, &input)),
            (None, Some(key)) => Some(key.identify(&self.tenant, Some(place), &asked, &input)),
            (None, None) => None,
        };
        Ok(Item { function, priority, delay_ms, limits, start, identity, tags, input })
    }
}

fn input(base64: Option<String>, text: Option<String>, json: Option<Box<RawValue>>) -> Result<Bytes, Problem> {
    let input = match (base64, text, json) {
        (Some(base64), None, None) => from_base64("input", &base64)?,
        (None, Some(text), None) => text.into(),
        (None, None, Some(json)) => String::from(Box::<str>::from(json)).into(),
        (None, None, None) => Bytes::new(),
        _ => {
            let detail = "the item has more than one of \"input\", \"text\" and \"json\": give one";
            return Err(Problem::new(ErrorCode::UnprocessableRequest, detail));
        }
    };
    if input.len() as u64 > INPUT_BYTES_MAX {
        let detail = format!("an input has at most {INPUT_BYTES_MAX} bytes");
        return Err(Problem::new(ErrorCode::PayloadTooLarge, detail));
    }
    Ok(input)
}

/// Unparsed elements of an array, at most one more than a batch may have, so that an array of a million zeros takes no
/// memory.
struct Texts<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Vec<&'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while found.len() <= BATCH_ITEMS_MAX {
                    let Some(element) = array.next_element()? else { return Ok(found) };
                    found.push(element);
                }
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(found)
            }
        }
        deserializer.deserialize_seq(Elements).map(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, lines: bool) -> Vec<Result<Item, Problem>> {
        let (tenant, tags) = (TenantId::default_tenant(), Tags::parse_list("all=1").unwrap());
        let batch = Batch { tenant, function: Some("f".to_owned()), key: None, tags, lines };
        batch.read(body.as_bytes()).unwrap()
    }

    #[test]
    fn an_input_is_given_in_one_of_three_ways() {
        let items = r#"[{"input":"aGk="}, {"text":"hi"}, {"json":{"a": [1.50]}}, {"json":null}, {}]"#;
        let inputs: Vec<_> = read(items, false).into_iter().map(|item| item.unwrap().input).collect();
        assert_eq!(inputs, ["hi", "hi", "{\"a\": [1.50]}", "null", ""]);
    }

    #[test]
    fn lines_are_items_and_blank_ones_are_none() {
        let items = read("\n{\"text\":\"a\"}\r\n\n  {\"text\":\"b\"}", true);
        let inputs: Vec<_> = items.into_iter().map(|item| item.unwrap().input).collect();
        assert_eq!(inputs, ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_with_an_item_is_its_own_error() {
        for (item, code) in [
            (r#"{"text":"a","json":1}"#, ErrorCode::UnprocessableRequest),
            (r#"{"txt":"a"}"#, ErrorCode::UnprocessableRequest),
            (r#"{"limits":{"fule":1}}"#, ErrorCode::UnprocessableRequest),
            (r#"{"priority":"urgent"}"#, ErrorCode::UnprocessableRequest),
            (r#""a""#, ErrorCode::UnprocessableRequest),
            (r#"{"input":"*"}"#, ErrorCode::InvalidBase64),
            (r#"{"delay_ms":604800001}"#, ErrorCode::InvalidRequest),
            (r#"{"idempotency_key":""}"#, ErrorCode::InvalidRequest),
            (r#"{"args":["a\u0000"]}"#, ErrorCode::InvalidSetup),
            (r#"{"tags":{"a b":""}}"#, ErrorCode::InvalidTags),
            (r#"{"tags":{"all":"2"}}"#, ErrorCode::InvalidTags),
            (r#"{"tags":["a=1"]}"#, ErrorCode::UnprocessableRequest),
        ] {
            for (body, lines) in [(format!("[{item},{{}}]"), false), (format!("{item}\n{{}}"), true)] {
                let read = read(&body, lines);
                assert_eq!(read[0].as_ref().err().map(Problem::code), Some(code), "{body}");
                assert!(read.len() == 2 && read[1].is_ok(), "{body}");
            }
        }
        assert!(read("{\"text\":\n{}", true)[0].is_err());
    }
}
