#[fusebox_guest::function]
fn hello(name: &str) -> String {
    name.to_owned()
}

#[fusebox_guest::function]
fn bye(name: &str) -> String {
    name.to_owned()
}

fn main() {}
