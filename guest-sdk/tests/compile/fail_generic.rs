#[fusebox_guest::function]
fn hello<T: AsRef<str>, const N: usize>(name: T) -> String {
    name.as_ref().to_owned()
}

mod other {
    #[fusebox_guest::function]
    fn hello(name: impl AsRef<str>) -> String {
        name.as_ref().to_owned()
    }
}

fn main() {}
