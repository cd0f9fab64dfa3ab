//! Sends its input to a webhook. Demonstrates configuration, a secret and an HTTP request: the destination can be
//! changed without rebuilding the module, and only the function can read the token.

use std::error::Error;

use fusebox_guest::{config, context, http, log, secrets};

#[fusebox_guest::function]
fn notify(message: &str) -> Result<String, Box<dyn Error>> {
    let url = config::get("url")?.ok_or("there is no `url` to send to: set it with `fusebox config`")?;
    let token = secrets::get("token")?.ok_or("there is no `token` to send with: set it with `fusebox secrets`")?;
    let mut request = http::post(&url).bearer(token.expose_str()?).header("content-type", "text/plain");
    // A task may run more than once; its id lets the receiver detect duplicates.
    if let Some(task) = context().task {
        request = request.header("idempotency-key", task);
    }
    let response = request.body(message).send().map_err(|refusal| format!("{url}: {refusal}"))?;
    log::info!("{url} answered {}", response.status());
    // A redirect counts as a failure, since the token is meant for this host only.
    match response.is_success() {
        true => Ok(response.text().unwrap_or_default().to_owned()),
        false => Err(format!("{url} answered {}", response.status()).into()),
    }
}

#[cfg(test)]
mod tests {
    use fusebox_guest::{Refusal, fake};

    use super::*;

    const URL: &str = "https://hooks.example.com/in";

    fn set_up() {
        fake::reset();
        fake::config("url", URL);
        fake::secret("token", "hunter2");
    }

    fn error() -> String {
        notify("hello").unwrap_err().to_string()
    }

    #[test]
    fn the_message_is_sent_with_the_token() {
        set_up();
        fake::http("POST", URL, fake::Answer::new(202).body("thanks"));
        assert_eq!(notify("hello").unwrap(), "thanks");
        let [request] = &fake::requests()[..] else { panic!("one request") };
        assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
        assert_eq!((request.body.as_slice(), request.header("idempotency-key")), (b"hello".as_slice(), None));
    }

    #[test]
    fn whatever_is_no_success_is_an_error() {
        set_up();
        fake::http("POST", URL, fake::Answer::new(302).header("location", "https://elsewhere.example.com"));
        assert_eq!(error(), format!("{URL} answered 302"));
        assert_eq!(fake::requests().len(), 1, "and it is not followed");
    }

    #[test]
    fn a_request_that_is_refused_says_why() {
        set_up();
        assert_eq!(error(), format!("{URL}: {}", Refusal::NotAllowed));
    }

    #[test]
    fn what_is_not_set_is_asked_for() {
        fake::reset();
        assert!(error().contains("fusebox config"));
        fake::config("url", URL);
        assert!(error().contains("fusebox secrets"));
    }
}
