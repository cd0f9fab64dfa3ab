//! Guest book over HTTP: a page, and a small API whose entries are in the key-value store.

use fusebox_guest::{
    Refusal,
    http::{Request, Response},
    kv,
};

/// Key of the entries, one a line.
const ENTRIES: &str = "entries";
/// Largest size of all entries; older ones make room for new ones.
const BYTES_MAX: usize = 8 << 10;

#[fusebox_guest::http]
fn guestbook(request: Request) -> Result<Response, Refusal> {
    let response = match (request.method(), request.path()) {
        ("GET", "/") => Response::new(200).with_html(page(&entries()?)),
        ("GET", "/api/entries") => Response::new(200).with_json(&entries()?),
        ("POST", "/api/entries") => match request.text().map(str::trim) {
            Some(entry) if !entry.is_empty() && entry.len() <= 200 && !entry.contains('\n') => {
                kv::update(ENTRIES, |old| added(old.as_deref(), entry).into_bytes())?;
                Response::new(201).with_text("added")
            }
            _ => Response::new(400).with_text("an entry is a line of 1 to 200 bytes"),
        },
        (_, "/" | "/api/entries") => Response::new(405).with_header("allow", "GET, POST"),
        _ => Response::new(404).with_text("no such page"),
    };
    Ok(response)
}

fn entries() -> Result<Vec<String>, Refusal> {
    let kept = kv::get(ENTRIES)?;
    Ok(kept.map(|kept| lines(&kept.value).map(str::to_owned).collect()).unwrap_or_default())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(bytes).unwrap_or_default().lines()
}

/// Returns the entries with a new one first.
fn added(old: Option<&[u8]>, entry: &str) -> String {
    let mut all = entry.to_owned();
    for line in lines(old.unwrap_or_default()).take_while(|line| !line.is_empty()) {
        if all.len() + 1 + line.len() > BYTES_MAX {
            break;
        }
        all.push('\n');
        all.push_str(line);
    }
    all
}

fn page(entries: &[String]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let items: String = entries.iter().map(|entry| format!("<li>{}</li>", escaped(entry))).collect();
    format!("<!doctype html><title>Guest book</title><h1>Guest book</h1><ul>{items}</ul>")
}

#[cfg(test)]
mod tests {
    use fusebox_guest::fake;

    use super::*;

    fn answer(method: &str, path: &str, body: &str) -> Response {
        guestbook(Request::new(method, path).with_body(body)).unwrap()
    }

    #[test]
    fn entries_are_added_listed_and_shown() {
        fake::reset();
        assert_eq!(answer("POST", "/api/entries", "Ada").status(), 201);
        assert_eq!(answer("POST", "/api/entries", "<b>Bob</b>\n").status(), 201);
        assert_eq!(answer("GET", "/api/entries", "").json::<Vec<String>>().unwrap(), ["<b>Bob</b>", "Ada"]);
        let page = answer("GET", "/", "");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text().unwrap().contains("<li>&lt;b>Bob&lt;/b></li><li>Ada</li>"), "{:?}", page.text());
    }

    #[test]
    fn other_requests_are_told_what_there_is() {
        fake::reset();
        assert_eq!(answer("POST", "/api/entries", "two\nlines").status(), 400);
        assert_eq!(answer("DELETE", "/api/entries", "").header("allow"), Some("GET, POST"));
        assert_eq!(answer("GET", "/other", "").status(), 404);
        fake::refuse(Some(Refusal::Unavailable));
        assert_eq!(guestbook(Request::new("GET", "/")), Err(Refusal::Unavailable));
    }

    #[test]
    fn old_entries_make_room() {
        let old = "x".repeat(BYTES_MAX);
        assert_eq!(added(Some(old.as_bytes()), "new"), "new");
        assert_eq!(added(None, "new"), "new");
        assert_eq!(added(Some(b"a\nb"), "new"), "new\na\nb");
    }
}
