#[fusebox_guest::function]
fn length(text: &str) -> usize {
    text.len()
}

fn main() {}
