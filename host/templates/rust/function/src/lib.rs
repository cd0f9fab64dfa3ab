//! Greets the person named in the input.

#[fusebox_guest::function]
fn greet(name: &str) -> Result<String, &'static str> {
    match name.trim() {
        "" => Err("the input is a name, and it is empty"),
        name => Ok(format!("Hello, {name}!")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_by_name() {
        assert_eq!(greet("Ada").unwrap(), "Hello, Ada!");
    }
}
