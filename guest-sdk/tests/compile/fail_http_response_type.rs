#[fusebox_guest::http]
fn answer() -> usize {
    200
}

fn main() {}
