#[fusebox_guest::function]
fn double(number: u32) -> String {
    (number * 2).to_string()
}

fn main() {}
