struct NotDisplayed;

type Greeting = Result<String, NotDisplayed>;

#[fusebox_guest::function]
fn hello(name: &str) -> Greeting {
    if name.is_empty() { Err(NotDisplayed) } else { Ok(name.to_owned()) }
}

fn main() {}
