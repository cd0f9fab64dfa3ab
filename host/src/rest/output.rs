//! Content type of outputs: the one that the version states, or for a script JSON where the output is JSON.

use axum::http::HeaderValue;
use bytes::Bytes;
use fusebox_core::function::FunctionVersion;
use serde::de::IgnoredAny;
use tokio::task::spawn_blocking;

/// Output up to which it is examined on the caller's thread; it takes less than 0.2 ms.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Content type of a version's outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum OutputType {
    /// The version states none.
    #[default]
    Unknown,
    /// The version states this one.
    Stated(String),
    /// The same for a function that answers HTTP requests with bytes alone, so that the host guesses what they are.
    OfBytes(String),
    /// JSON if an output is JSON: whatever a script returns that is not bytes.
    OfScript,
}

impl OutputType {
    /// Returns the content type of a version's outputs.
    pub(super) fn of(version: &FunctionVersion) -> Self {
        match (&version.setup.content_type, &version.setup.runtime) {
            (Some(stated), _) if version.abi.answers_bytes() => Self::OfBytes(stated.clone()),
            (Some(stated), _) => Self::Stated(stated.clone()),
            (None, Some(_)) => Self::OfScript,
            (None, None) => Self::Unknown,
        }
    }

    /// Returns the content type of an HTTP response, of which its run states one.
    pub(super) fn of_response(self, own: Option<HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::Unknown | Self::OfScript => own,
            Self::Stated(stated) => own.or_else(|| HeaderValue::try_from(stated).ok()),
            Self::OfBytes(stated) => HeaderValue::try_from(stated).ok().or(own),
        }
    }

    /// Returns the content type of an output as a header.
    pub(super) async fn header(self, output: &Bytes) -> HeaderValue {
        match self {
            Self::Unknown => OCTETS,
            Self::Stated(stated) | Self::OfBytes(stated) => HeaderValue::try_from(stated).unwrap_or(OCTETS),
            Self::OfScript if output.len() <= AT_ONCE_BYTES_MAX => of_script(output),
            Self::OfScript => {
                let output = output.clone();
                spawn_blocking(move || of_script(&output)).await.unwrap_or(OCTETS)
            }
        }
    }
}

fn of_script(output: &[u8]) -> HeaderValue {
    // What is ignored is not checked to be text.
    match str::from_utf8(output).ok().map(serde_json::from_str::<IgnoredAny>) {
        Some(Ok(IgnoredAny)) => JSON,
        _ => OCTETS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_output_of_a_script_is_json_if_it_is_json() {
        let large = Bytes::from(format!("[{}1]", "1,".repeat(AT_ONCE_BYTES_MAX)));
        for (output, expected) in [
            ("{\"a\": [1.5, null]}".into(), JSON),
            ("\"text\"".into(), JSON),
            (large.clone(), JSON),
            (large.slice(1..), OCTETS),
            ("text".into(), OCTETS),
            ("{} {}".into(), OCTETS),
            (Bytes::from_static(b"\"\xff\""), OCTETS),
            (Bytes::new(), OCTETS),
        ] {
            assert_eq!(OutputType::OfScript.header(&output).await, expected, "{:?}", output.get(..20));
            assert_eq!(OutputType::Unknown.header(&output).await, OCTETS);
        }
        let html = || "text/html".to_owned();
        for stated in [OutputType::Stated(html()), OutputType::OfBytes(html())] {
            assert_eq!(stated.header(&Bytes::new()).await, "text/html");
        }
    }

    #[test]
    fn a_run_s_own_content_type_goes_before_the_version_s_unless_the_host_guessed_it() {
        let (own, html) = (|| Some(JSON), || "text/html".to_owned());
        for (kind, with, without) in [
            (OutputType::Unknown, own(), None),
            (OutputType::OfScript, own(), None),
            (OutputType::Stated(html()), own(), HeaderValue::try_from(html()).ok()),
            (OutputType::OfBytes(html()), HeaderValue::try_from(html()).ok(), HeaderValue::try_from(html()).ok()),
        ] {
            assert_eq!((kind.clone().of_response(own()), kind.of_response(None)), (with, without));
        }
    }
}
