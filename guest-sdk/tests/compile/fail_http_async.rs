#[fusebox_guest::http(path)]
async fn answer() {}

fn main() {}
