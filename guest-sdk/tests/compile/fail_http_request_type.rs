#[fusebox_guest::http]
fn answer(body: String) -> String {
    body
}

fn main() {}
