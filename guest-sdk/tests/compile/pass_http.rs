//! Every signature of a function that answers HTTP.

mod request {
    use fusebox_guest::http::{Request, Response};

    #[fusebox_guest::http]
    fn answer(request: Request) -> Response {
        Response::new(200).with_text(request.path())
    }
}

mod nothing {
    #[fusebox_guest::http]
    fn answer() {}
}

mod text {
    #[fusebox_guest::http]
    fn answer() -> &'static str {
        "so"
    }
}

mod bytes {
    use fusebox_guest::http::Request;

    #[fusebox_guest::http]
    fn answer(request: Request) -> Vec<u8> {
        request.into_body()
    }
}

mod json {
    use fusebox_guest::Json;

    #[fusebox_guest::http]
    fn answer() -> Json<Vec<u8>> {
        Json(vec![1])
    }
}

mod failing {
    use fusebox_guest::http::{Request, Response};

    #[fusebox_guest::http]
    fn answer(request: Request) -> Result<Response, Box<dyn std::error::Error>> {
        let number: u16 = request.query().unwrap_or_default().parse()?;
        Ok(Response::new(number))
    }
}

fn main() {}
