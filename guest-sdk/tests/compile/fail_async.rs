#[fusebox_guest::function]
async fn hello(name: &str) -> String {
    name.to_owned()
}

fn main() {}
