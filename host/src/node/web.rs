//! Command line options of REST's connections: TLS, cross-origin requests, idle connections, and the domain and the
//! listener of functions.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use clap::Args;
use fusebox_ui as ui;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    egress::address,
    node::parts::StoreAddress,
    rest::{
        cors::{Cors, Origin},
        endpoints::hosts::{self, Domain},
        server::{self, Bounds, KEEP_ALIVE},
        tls::{Tls, TlsFiles},
    },
    tenancy::Gate,
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
    /// Domain of functions, such as `fn.example.com`: the function NAME has the host NAME.fn.example.com, one of a tenant
    /// NAME.TENANT.fn.example.com [default: none]
    #[arg(long, env = "FUSEBOX_FN_DOMAIN", value_name = "DOMAIN")]
    pub fn_domain: Option<Domain>,
    /// Address of a separate listener that answers only for functions, at /fn/NAME/ and on their domain; port 0 takes a
    /// free one [default: none]
    #[arg(long, env = "FUSEBOX_FN_LISTEN", value_name = "ADDRESS:PORT")]
    pub fn_listen: Option<SocketAddr>,
}

/// Bound listeners of REST and, if it has its own, of functions.
#[derive(Debug)]
pub struct Listeners {
    rest: TcpListener,
    functions: Option<TcpListener>,
    /// Address of REST.
    pub address: SocketAddr,
    /// Address of the listener of functions.
    pub functions_address: Option<SocketAddr>,
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

    /// Binds the listeners; without API keys only on loopback.
    ///
    /// # Errors
    /// Fails if an address is in use, or reachable by others without API keys.
    pub async fn bind(&self, address: SocketAddr, gate: &Gate, store: &StoreAddress) -> anyhow::Result<Listeners> {
        let closed = gate.is_closed().await?;
        let rest = bind("--listen", address, closed, store).await?;
        if !closed {
            tracing::info!(
                "there are no API keys: any client on this machine's loopback has full access; requests with a foreign \
                 Host or Origin are refused"
            );
        }
        let functions = match self.fn_listen {
            Some(address) => Some(bind("--fn-listen", address, closed, store).await?),
            None => None,
        };
        let functions_address = functions.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Listeners { address: rest.local_addr()?, rest, functions, functions_address })
    }

    /// Serves REST and functions until `stop`, then lets open requests end.
    pub async fn serve(self, listeners: Listeners, tls: Option<Arc<Tls>>, router: Router, stop: CancellationToken) {
        let (bounds, is_tls) = (self.bounds(), tls.is_some());
        let one = |listener, is_for_functions| {
            let router = hosts::directed(router.clone(), self.fn_domain.clone(), is_for_functions, is_tls);
            server::serve(listener, tls.clone(), router, bounds, stop.clone().cancelled_owned())
        };
        let functions = async {
            if let Some(listener) = listeners.functions {
                one(listener, true).await;
            }
        };
        tokio::join!(one(listeners.rest, false), functions);
    }

    /// Prints where functions answer, besides REST.
    pub fn tell(&self, functions: Option<SocketAddr>, is_tls: bool) {
        if let Some(address) = functions {
            ui::tell(format!("  functions  {}://{address}/fn/NAME/", scheme(is_tls)));
        }
        if let Some(domain) = &self.fn_domain {
            ui::tell(format!("  functions  {}://NAME.{domain}", scheme(is_tls)));
        }
    }

    /// Returns the rules for cross-origin requests.
    #[must_use]
    pub fn cors(&self) -> Cors {
        Cors(self.cors_origin.clone())
    }
}

/// Binds one listener, which an option names.
async fn bind(option: &str, address: SocketAddr, closed: bool, store: &StoreAddress) -> anyhow::Result<TcpListener> {
    anyhow::ensure!(
        closed || address.ip().is_loopback(),
        "without API keys REST listens on loopback only, and {address} is not: make the first key with \
         `fusebox keys create --store {store} --scope admin`, or use {option} 127.0.0.1:PORT"
    );
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another address with {option}"))
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
