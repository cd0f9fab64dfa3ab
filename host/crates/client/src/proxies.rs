//! Proxies between the command line and a host: those of the environment, as curl reads them, and none for addresses of
//! this machine, whose loopback no proxy can reach.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Url};

/// Configures the client's proxies. Warns if a proxy can read the API key: without TLS it sees every header.
pub(super) fn set_up(http: ClientBuilder, base: &Url, with_key: bool) -> ClientBuilder {
    if is_this_machine(base) {
        return http.no_proxy();
    }
    let proxy = base.as_str().parse().ok().and_then(|uri| Matcher::from_env().intercept(&uri));
    if let Some(proxy) = proxy.filter(|_| with_key && base.scheme() == "http") {
        let (host, proxy) = (base.host_str().unwrap_or_default(), proxy.uri().authority().map_or("", |at| at.as_str()));
        tracing::warn!(
            "the API key goes without TLS through the proxy {proxy}, which can read it: give an https:// address, or name \
             {host} in no_proxy"
        );
    }
    http
}

/// True if the address is this machine's loopback, by name or number.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_name_and_number() {
        let is = |url: &str| is_this_machine(&url.parse().unwrap());
        for url in [
            "http://localhost:8000",
            "https://LOCALHOST.",
            "http://app.localhost",
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://127.1",
            "http://2130706433",
            "http://[::1]:8000",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0:8000",
        ] {
            assert!(is(url), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://notlocalhost",
            "http://[2001:db8::1]",
            "http://128.0.0.1",
        ] {
            assert!(!is(url), "{url}");
        }
    }
}
