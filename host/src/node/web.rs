//! Command line options of REST's connections: TLS, cross-origin requests, and idle connections.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use ipnet::IpNet;

use crate::{
    egress::address,
    rest::{
        cors::{Cors, Origin},
        server::{Bounds, KEEP_ALIVE},
        tls::{Tls, TlsFiles},
    },
};

/// Range of `--keep-alive`: a client needs some time to send its next request, while its connection counts against the
/// limit.
const KEEP_ALIVE_MAY_BE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// TLS, cross-origin requests and connections.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS, web pages and connections")]
pub struct WebArgs {
    /// Certificate for https and its chain, in PEM; reloaded when the file changes, or at SIGHUP
    #[arg(long, env = "FUSEBOX_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, env = "FUSEBOX_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Origins of web pages that may call this host, such as `https://app.example.com` [default: none]
    #[arg(long, env = "FUSEBOX_CORS_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origin: Vec<Origin>,
    /// Time after which idle connections are closed; set it longer than a load balancer in front keeps them [default:
    /// 75s]
    #[arg(long, env = "FUSEBOX_KEEP_ALIVE", value_parser = keep_alive, value_name = "TIME")]
    pub keep_alive: Option<Duration>,
    /// Networks of proxies in front of many clients: their connections are not limited by address
    #[arg(long, env = "FUSEBOX_TRUSTED_PROXY", value_delimiter = ',', value_parser = address::network, value_name = "CIDR")]
    pub trusted_proxy: Vec<IpNet>,
}

/// Parses an idle time such as `75s`.
fn keep_alive(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "expected a time such as 75s".to_owned())?;
    let refused = || "must be from 1s to 1h".to_owned();
    KEEP_ALIVE_MAY_BE.contains(&time).then_some(time).ok_or_else(refused)
}

/// Longest delay of a drain; supervisors kill a process that takes longer.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// Parses the delay of a drain, such as `5s`.
///
/// # Errors
/// Fails if it is not a time, or longer than ten minutes.
pub fn delay(text: &str) -> Result<Duration, String> {
    let delay = humantime::parse_duration(text).map_err(|_| "expected a time such as 5s".to_owned())?;
    if delay > DELAY_MAX { Err("at most 10m".to_owned()) } else { Ok(delay) }
}

impl WebArgs {
    /// Returns the TLS settings, if configured.
    ///
    /// # Errors
    /// Fails if only one of the two files is given, or they cannot be used.
    pub fn tls(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        match (self.tls_cert.clone(), self.tls_key.clone()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::load(TlsFiles { certificate, key })?))),
            (Some(_), None) => anyhow::bail!("--tls-cert needs its key: add --tls-key FILE"),
            (None, Some(_)) => anyhow::bail!("--tls-key needs its certificate: add --tls-cert FILE"),
        }
    }

    /// Returns the bounds of connections.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        // Leaked on purpose: every connection reads them for as long as the process lives.
        let trusted = Vec::leak(self.trusted_proxy.clone());
        Bounds { keep_alive: self.keep_alive.unwrap_or(KEEP_ALIVE), trusted, ..Bounds::default() }
    }

    /// Returns the rules for cross-origin requests.
    #[must_use]
    pub fn cors(&self) -> Cors {
        Cors(self.cors_origin.clone())
    }
}

/// Returns the scheme of a host's URL.
#[must_use]
pub const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_has_a_default_and_bounds() {
        assert_eq!(WebArgs::default().bounds().keep_alive, Duration::from_secs(75));
        assert_eq!(keep_alive("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["75", "0s", "500ms", "2h", "soon"] {
            assert!(keep_alive(wrong).is_err(), "{wrong}");
        }
    }
}
