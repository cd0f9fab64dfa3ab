//! Error of a request to the host.

use fusebox_api::problem::Problem;
use reqwest::StatusCode;

/// Result of a request to the host.
pub(crate) type Result<T> = std::result::Result<T, ClientError>;

/// Error of a request to the host.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No host answers at the address.
    #[error("no host answers at {url}: start one with `fusebox up`, or choose another with --url ({reason})")]
    Unreachable {
        /// Address of the host.
        url: String,
        /// Reason as the system reports it.
        reason: String,
    },
    /// The host refused the request, or the function failed.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// A server answers, but not as a Fusebox host.
    #[error("the server at {url} is not a Fusebox host of this version: {reason}")]
    Protocol {
        /// Address of the server.
        url: String,
        /// Mismatch that was found.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {url} is not trusted: name its certificate authority with --ca FILE ({reason})")]
    Untrusted {
        /// Address of the server.
        url: String,
        /// Reason as TLS reports it.
        reason: String,
    },
    /// No certificate authority could be read.
    #[error("{0}")]
    Authorities(String),
    /// The API key cannot be sent as a header.
    #[error("not an API key: use one such as fb_…, as printed by `fusebox keys create`")]
    BadKey,
    /// The address of the host is not a valid URL.
    #[error("{url:?} is not the address of a host: use one such as http://127.0.0.1:8000 ({reason})")]
    BadUrl {
        /// Address as given.
        url: String,
        /// Reason it is invalid.
        reason: String,
    },
}

/// Statuses of a host that is unavailable, busy or restarting.
pub(crate) const AWAY: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl ClientError {
    /// True if a later try is likely to succeed: no host answers, or it is busy or restarting. A failed run is
    /// permanent; its problem has a receipt.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => {
                problem.receipt.is_none() && AWAY.iter().any(|status| status.as_u16() == problem.status)
            }
            _ => false,
        }
    }

    /// Returns the reason alone, without the address.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable { reason, .. } => reason.clone(),
            error => error.to_string(),
        }
    }
}
