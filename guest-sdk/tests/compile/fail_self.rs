struct Greeter;

impl Greeter {
    #[fusebox_guest::function]
    fn hello(&self) -> String {
        String::new()
    }
}

fn main() {}
