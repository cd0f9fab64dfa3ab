#[fusebox_guest::function(name = "hello")]
async fn hello<T>(first: T, last: &str) -> String {
    drop(first);
    last.to_owned()
}

fn main() {}
