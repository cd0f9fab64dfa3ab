//! Form of a registration with files or of a script, as `multipart/form-data`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Form of a module or script, and a tar of files.
pub(crate) struct Form {
    /// Content type, with the boundary of the parts.
    pub(crate) content_type: String,
    /// Bytes of the body.
    pub(crate) body: Vec<u8>,
}

impl Form {
    /// Returns the form; `name` is the part of the content. Its boundary is random, so that no content has it.
    pub(crate) fn new(name: &str, content: &[u8], files: Option<&[u8]>) -> Self {
        let [one, two] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        let boundary = format!("fusebox-{one:016x}{two:016x}");
        let mut body = Vec::with_capacity(content.len() + files.map_or(0, <[u8]>::len) + 400);
        for (name, content) in [(name, content)].into_iter().chain(files.map(|files| ("files", files))) {
            let head =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Self { content_type: format!("multipart/form-data; boundary={boundary}"), body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_between_boundaries() {
        let form = Form::new("module", b"wasm", Some(b"tar"));
        let boundary = form.content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body = String::from_utf8(form.body).unwrap();
        let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
        assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
        assert!(parts[1].contains("name=\"module\"") && parts[1].ends_with("\r\n\r\nwasm\r\n"), "{body}");
        assert!(parts[2].ends_with("\r\n\r\ntar\r\n"));
        let script = String::from_utf8(Form::new("source", b"text", None).body).unwrap();
        assert!(script.contains("name=\"source\"") && !script.contains("files"), "{script}");
    }
}
