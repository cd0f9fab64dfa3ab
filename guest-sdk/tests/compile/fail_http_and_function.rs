#[fusebox_guest::http]
fn answer() {}

#[fusebox_guest::function]
fn length(text: &str) -> String {
    text.len().to_string()
}

fn main() {}
