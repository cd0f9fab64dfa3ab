//! Greets the person named in the input.

#[fusebox_guest::function]
fn hello(name: &str) -> String {
    format!("Hello, {name}!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_by_name() {
        assert_eq!(hello("Ada"), "Hello, Ada!");
    }
}
