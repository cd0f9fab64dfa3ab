#[fusebox_guest::function]
fn hello(first: &str, last: &str) -> String {
    format!("{first} {last}")
}

fn main() {}
