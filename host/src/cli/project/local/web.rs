//! Prepared answers to the HTTP requests of a run.

use std::{collections::BTreeMap, str::FromStr};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, Refusal},
    http::{Header, Response},
};

/// Answers by method and URL. Those of one request are used in turn, and the last one repeatedly.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Vec<(Asked, Bytes, bool)>);

/// Method and URL of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked(String);

impl FromStr for Asked {
    type Err = String;

    /// Parses `METHOD URL`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some((method, url))
                if fusebox_core::http::METHODS.contains(&method)
                    && ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err("expected a method and a URL, such as GET https://api.example.com/rate".to_owned()),
        }
    }
}

impl Answers {
    /// Adds an answer.
    ///
    /// # Errors
    /// Fails with a sentence if a header or the status cannot be one.
    pub(super) fn add(
        &mut self,
        asked: Asked,
        status: u16,
        headers: &BTreeMap<String, String>,
        body: Bytes,
    ) -> Result<(), String> {
        let headers = headers.iter().map(|(name, value)| Header::new(name, value.clone()));
        let headers = headers.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let response = Response { status, headers, body, trailers: Vec::new() };
        let bytes = response.to_bytes().map_err(|error| error.to_string())?;
        // Reading it checks it.
        Response::parse(&bytes).map_err(|error| error.to_string())?;
        self.0.push((asked, bytes, false));
        Ok(())
    }

    /// Answers a request in its text form; also returns its first line if no answer is prepared for it.
    pub(super) fn answer(&mut self, request: &[u8]) -> Result<HostAnswer, (Refusal, Option<String>)> {
        let end = request.iter().position(|byte| *byte == b'\n').ok_or((Refusal::Invalid, None))?;
        let line = std::str::from_utf8(&request[..end]).map_err(|_| (Refusal::Invalid, None))?;
        let asked = line.parse::<Asked>().map_err(|_| (Refusal::Invalid, None))?;
        let next = self.0.iter().position(|(known, _, is_used)| *known == asked && !is_used);
        let at = next.or_else(|| self.0.iter().rposition(|(known, ..)| *known == asked));
        let Some(at) = at else { return Err((Refusal::Refused, Some(line.to_owned()))) };
        let (_, bytes, is_used) = &mut self.0[at];
        *is_used = true;
        Ok(HostAnswer::Http(bytes.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_used_in_turn_and_a_request_without_one_is_named() {
        let mut answers = Answers::default();
        let url = "GET https://a.example/";
        for body in ["1", "2"] {
            let headers = BTreeMap::from([("X-A".to_owned(), "b".to_owned())]);
            answers.add(url.parse().unwrap(), 200, &headers, body.into()).unwrap();
        }
        let mut ask = |line: &str| answers.answer(format!("{line}\n\n").as_bytes());
        let answer = |body: &str| Ok(HostAnswer::Http(format!("200\nx-a: b\n\n{body}").into()));
        assert_eq!([ask(url), ask(url), ask(url)], [answer("1"), answer("2"), answer("2")]);
        assert_eq!(ask("POST https://a.example/"), Err((Refusal::Refused, Some("POST https://a.example/".to_owned()))));
        assert_eq!(ask("what"), Err((Refusal::Invalid, None)));
        assert!("GET nowhere".parse::<Asked>().is_err() && "get http://a".parse::<Asked>().is_err());
        assert!(answers.add(url.parse().unwrap(), 99, &BTreeMap::new(), Bytes::new()).is_err());
    }
}
