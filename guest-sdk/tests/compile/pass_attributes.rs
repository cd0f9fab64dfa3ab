//! Visibility, attributes and documentation of a function are preserved.

mod greeting {
    /// Greets.
    #[fusebox_guest::function]
    #[must_use]
    #[inline]
    pub(crate) fn greet(name: &str) -> String {
        format!("Hello, {name}!")
    }
}

fn main() {
    assert_eq!(greeting::greet("Ada"), "Hello, Ada!");
}
