//! Counts events by name: the input is the name of an event, the output its number of occurrences. Demonstrates the
//! key-value store, which outlives runs and which many runs change concurrently.

use fusebox_guest::{Refusal, kv};

#[fusebox_guest::function]
fn counter(name: &str) -> Result<String, Refusal> {
    let count = kv::update(name, |old| (count(old.as_deref()) + 1).to_string().into_bytes())?;
    Ok(String::from_utf8_lossy(&count).into_owned())
}

/// Parses the stored count; 0 if there is none.
fn count(value: Option<&[u8]>) -> u64 {
    value.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use fusebox_guest::fake;

    use super::*;

    #[test]
    fn each_name_is_counted_by_itself() {
        fake::reset();
        let counts: Vec<_> = ["tea", "tea", "cake", "tea"].iter().map(|name| counter(name).unwrap()).collect();
        assert_eq!(counts, ["1", "2", "1", "3"]);
    }

    #[test]
    fn what_the_host_refuses_is_an_error() {
        fake::reset();
        fake::refuse(Some(Refusal::Quota));
        assert_eq!(counter("tea"), Err(Refusal::Quota));
    }
}
