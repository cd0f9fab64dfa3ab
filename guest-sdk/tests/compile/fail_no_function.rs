#[fusebox_guest::function]
struct Hello;

fn main() {}
