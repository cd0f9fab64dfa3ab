//! Tags of tasks: up to [`TAGS_MAX`] pairs `key=value`, chosen by who submits a task, by which tasks are found.

use alloc::{
    borrow::ToOwned as _,
    collections::BTreeMap,
    string::{String, ToString as _},
};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits::{TAG_BYTES, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};

/// Tags of one task. Each key occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// Key of the tag.
    pub key: String,
    /// Value of the tag; may be empty.
    pub value: String,
}

/// Error of tags that no task can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// There are too many.
    #[error("a task has at most {TAGS_MAX} tags, and these are {0}: remove some")]
    Many(usize),
    /// A tag has no `=`.
    #[error("{0:?} is no tag: write key=value, such as env=prod")]
    Shape(String),
    /// A key is malformed.
    #[error(
        "the key {0:?} of a tag has other characters than letters, digits and . _ - /, or not 1 to {TAG_KEY_BYTES_MAX} of \
         them: write one such as env"
    )]
    Key(String),
    /// The value of this key is malformed.
    #[error(
        "the value of the tag {0} has other characters than visible ASCII without commas, or more than \
         {TAG_VALUE_BYTES_MAX} of them: write one such as {0}=prod"
    )]
    Value(String),
    /// A key occurs twice.
    #[error("the tag {0} is given twice: give it once")]
    Twice(String),
}

/// Number of characters of a malformed tag that its error repeats.
const SHOWN_CHARS_MAX: usize = 60;
/// Unit in which stored bytes are counted, so that tasks with different tags are counted in few ways.
const COUNTED_BYTES: u64 = 64;

impl Tags {
    /// Parses tags that commas separate, as in `env=prod, order=7`. Blanks around a tag are ignored.
    ///
    /// # Errors
    /// Returns the place of the first tag that is refused, counted from 1, and the reason.
    pub fn parse_list(text: &str) -> Result<Self, (usize, TagError)> {
        let mut tags = Self::default();
        if text.trim().is_empty() {
            return Ok(tags);
        }
        for (place, tag) in (1..).zip(text.split(',')) {
            tag.trim().parse::<Tag>().and_then(|tag| tags.add(tag)).map_err(|error| (place, error))?;
        }
        tags.check().map_err(|error| (TAGS_MAX + 1, error))?;
        Ok(tags)
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// [`TagError::Twice`] if there is one of its key.
    pub fn add(&mut self, tag: Tag) -> Result<(), TagError> {
        match self.0.contains_key(&tag.key) {
            true => Err(TagError::Twice(tag.key)),
            false => {
                self.0.insert(tag.key, tag.value);
                Ok(())
            }
        }
    }

    /// Checks tags that were not parsed.
    ///
    /// # Errors
    /// Returns the first bound that is exceeded.
    pub fn check(&self) -> Result<(), TagError> {
        if self.0.len() > TAGS_MAX {
            return Err(TagError::Many(self.0.len()));
        }
        self.0.iter().try_for_each(|(key, value)| check(key, value))
    }

    /// Returns true if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the tags, by their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns true if this tag is one of them.
    #[must_use]
    pub fn has(&self, tag: &Tag) -> bool {
        self.0.get(&tag.key) == Some(&tag.value)
    }

    /// Returns the bytes that count against the tenant's quota of stored bytes for as long as the task is kept: the texts,
    /// and [`TAG_BYTES`] for each index entry, in multiples of 64.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let each = self.0.iter().map(|(key, value)| TAG_BYTES + key.len() as u64 + value.len() as u64);
        each.sum::<u64>().next_multiple_of(COUNTED_BYTES)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let (key, value) = text.split_once('=').ok_or_else(|| TagError::Shape(shown(text)))?;
        check(key, value)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

fn check(key: &str, value: &str) -> Result<(), TagError> {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if key.is_empty() || key.len() > TAG_KEY_BYTES_MAX || !key.bytes().all(is_of_key) {
        return Err(TagError::Key(shown(key)));
    }
    let is_of_value = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    match value.len() <= TAG_VALUE_BYTES_MAX && value.bytes().all(is_of_value) {
        true => Ok(()),
        false => Err(TagError::Value(key.to_owned())),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl TagError {
    /// Returns the sentence with the place of the tag, counted from 1.
    #[must_use]
    pub fn at(&self, place: usize) -> String {
        match self {
            Self::Many(_) => self.to_string(),
            _ => alloc::format!("tag {place}: {self}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    #[test]
    fn tags_are_separated_by_commas_and_the_place_of_a_wrong_one_is_said() {
        let tags = Tags::parse_list("env=prod, order/id=7=8 ,\tempty=").unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("empty", ""), ("env", "prod"), ("order/id", "7=8")]);
        assert!(tags.has(&"order/id=7=8".parse().unwrap()) && !tags.has(&"env=test".parse().unwrap()));
        assert_eq!(Tags::parse_list(" "), Ok(Tags::default()));
        for (text, place, error) in [
            ("a=1,b", 2, TagError::Shape("b".to_owned())),
            ("a=1,,b=2", 2, TagError::Shape(String::new())),
            ("a b=1", 1, TagError::Key("a b".to_owned())),
            ("=1", 1, TagError::Key(String::new())),
            ("a=1, a=2", 2, TagError::Twice("a".to_owned())),
            ("a=b c", 1, TagError::Value("a".to_owned())),
            ("a=é", 1, TagError::Value("a".to_owned())),
        ] {
            assert_eq!(Tags::parse_list(text), Err((place, error)), "{text}");
        }
        assert_eq!(TagError::Shape("b".to_owned()).at(2), "tag 2: \"b\" is no tag: write key=value, such as env=prod");
    }

    #[test]
    fn tags_have_their_bounds() {
        let many = |many: usize| (0..many).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert!(Tags::parse_list(&many(TAGS_MAX)).is_ok());
        assert_eq!(Tags::parse_list(&many(TAGS_MAX + 1)), Err((TAGS_MAX + 1, TagError::Many(TAGS_MAX + 1))));
        let tag = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value)).parse::<Tag>();
        assert!(tag(TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX).is_ok());
        assert!(matches!(tag(TAG_KEY_BYTES_MAX + 1, 0), Err(TagError::Key(_))));
        assert!(matches!(tag(1, TAG_VALUE_BYTES_MAX + 1), Err(TagError::Value(_))));
    }

    #[test]
    fn what_is_counted_is_a_multiple_and_nothing_without_tags() {
        let bytes = |text: &str| Tags::parse_list(text).unwrap().stored_bytes();
        assert_eq!((bytes(""), bytes("a=b"), bytes("a=b,c=d")), (0, 192, 320));
    }

    #[test]
    fn tags_are_an_object_in_json() {
        let tags = Tags::parse_list("a=1,b=").unwrap();
        let json = r#"{"a":"1","b":""}"#;
        assert_eq!(serde_json::to_string(&tags).unwrap(), json);
        assert_eq!(serde_json::from_str::<Tags>(json).unwrap(), tags);
        assert!(serde_json::from_str::<Tags>(r#"{"a b":""}"#).unwrap().check().is_err());
    }
}
