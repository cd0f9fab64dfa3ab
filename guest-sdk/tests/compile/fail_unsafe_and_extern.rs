#[fusebox_guest::function]
unsafe extern "C" fn hello(name: &str) -> String {
    name.to_owned()
}

fn main() {}
