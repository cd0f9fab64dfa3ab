//! A message in the host's format: a first line, a line `name: value` for each header, an empty line, the body.

/// First line, headers and body, as one buffer in the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// Start and end of the header lines. The first line is before them; the empty line and the body follow.
    headers: (usize, usize),
}

impl Message {
    /// Starts a message without headers and body.
    pub(super) fn new(first: &str) -> Self {
        let at = first.len() + 1;
        Self { bytes: [first.as_bytes(), b"\n\n"].concat(), headers: (at, at) }
    }

    /// Parses a message.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let first = bytes.iter().position(|byte| *byte == b'\n')?;
        // Without headers, the line break after the first line is the first of the two.
        let end = first + bytes.get(first..)?.windows(2).position(|pair| pair == b"\n\n")? + 1;
        Some(Self { bytes, headers: (first + 1, end) })
    }

    /// Returns the first line, if it is text.
    pub(super) fn first(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(..self.headers.0.checked_sub(1)?)?).ok()
    }

    /// Returns all headers that are text.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.bytes.get(self.headers.0..self.headers.1).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(": "))
    }

    /// Returns the first header of this name, ignoring case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Adds a header; false if it cannot be sent.
    pub(super) fn add(&mut self, name: &str, value: &str) -> bool {
        // A line break in either would start another header.
        let is_sound = is_word(name) && !name.contains(':') && !value.contains(is_control);
        if is_sound {
            let line = [&name.to_ascii_lowercase(), ": ", value, "\n"].concat();
            self.bytes.splice(self.headers.1..self.headers.1, line.bytes());
            self.headers.1 += line.len();
        }
        is_sound
    }

    /// Returns the body.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(self.headers.1 + 1..).unwrap_or_default()
    }

    /// Replaces the body.
    pub(super) fn set_body(&mut self, body: &[u8]) {
        self.bytes.truncate(self.headers.1 + 1);
        self.bytes.extend_from_slice(body);
    }

    /// Returns the body without the head.
    pub(super) fn into_body(mut self) -> Vec<u8> {
        self.bytes.drain(..(self.headers.1 + 1).min(self.bytes.len()));
        self.bytes
    }

    /// Returns the message in the format.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Returns whether a text can be a method, a target or a header's name, which contain no spaces or control characters.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte <= b' ')
}

fn is_control(letter: char) -> bool {
    letter.is_ascii_control() && letter != '\t'
}
