//! The words of a text in a task's hash, which spaces separate. Independent of their meaning, apart from the words that
//! several texts have.

use std::{
    fmt::Display,
    str::{FromStr, Split},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{function::RunLimits, limits::CPU_MS_MAX, task::Priority};

use serde::de::DeserializeOwned;

use super::records::{NONE, priority};
use crate::{Error, Result};

/// Words of one text, each read once.
pub(super) struct Words<'a> {
    of: &'a dyn Display,
    words: Split<'a, char>,
}

impl<'a> Words<'a> {
    /// Starts at the first word of a text that belongs to `of`.
    pub(super) fn new(of: &'a dyn Display, text: &'a str) -> Self {
        Self { of, words: text.split(' ') }
    }

    /// Returns the error of a word that cannot be read.
    pub(super) fn bad(&self, name: &str) -> Error {
        Error::Corrupt(format!("{}: {name}", self.of))
    }

    /// Returns the next word.
    fn some(&mut self, name: &str) -> Result<&'a str> {
        self.words.next().ok_or_else(|| self.bad(name))
    }

    /// Reads the next word.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.some(name)?.parse().map_err(|_| self.bad(name))
    }

    /// Reads the next word; `None` if it stands for an absent value.
    pub(super) fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        match self.some(name)? {
            NONE => Ok(None),
            word => word.parse().map(Some).map_err(|_| self.bad(name)),
        }
    }

    /// Reads the next word as bytes; `None` if it stands for an absent value.
    pub(super) fn bytes<const N: usize>(&mut self, name: &str) -> Result<Option<[u8; N]>> {
        match self.some(name)? {
            NONE => Ok(None),
            word => {
                let bytes = BASE64.decode(word).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map(Some).ok_or_else(|| self.bad(name))
            }
        }
    }

    /// Reads JSON in base64 that may be the record's last word; `None` if the record ends before it or the word stands for
    /// an absent value.
    pub(super) fn last<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        match self.words.next() {
            None | Some(NONE) => Ok(None),
            Some(word) => {
                let json = BASE64.decode(word).map_err(|_| self.bad(name))?;
                serde_json::from_slice(&json).map(Some).map_err(|_| self.bad(name))
            }
        }
    }

    /// Reads the next word, which may be absent.
    pub(super) fn added<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let word = self.words.next().map(str::parse).transpose();
        word.map_err(|_| self.bad(name))
    }

    /// Reads a priority.
    pub(super) fn priority(&mut self) -> Result<Priority> {
        let word = self.some("priority")?;
        let known = Priority::HIGHEST_FIRST.into_iter().find(|known| priority(*known) == word);
        known.ok_or_else(|| self.bad("priority"))
    }

    /// Reads limits, without that of CPU time, which is a later word.
    pub(super) fn limits(&mut self) -> Result<RunLimits> {
        Ok(RunLimits {
            fuel: self.parsed("limits")?,
            wall_ms: self.parsed("limits")?,
            memory_bytes: self.parsed("limits")?,
            output_bytes: self.parsed("limits")?,
            log_bytes: self.parsed("limits")?,
            cpu_ms: CPU_MS_MAX,
        })
    }
}
