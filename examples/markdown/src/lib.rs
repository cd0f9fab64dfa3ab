//! Converts Markdown to HTML: CommonMark with tables, task lists, footnotes and strikethrough.

use pulldown_cmark::{Options, Parser, html};

#[fusebox_guest::function]
fn markdown(text: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let mut page = String::new();
    html::push_html(&mut page, Parser::new_ext(text, extensions));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_emphasis_become_html() {
        assert_eq!(markdown("# Title\n\n*so*"), "<h1>Title</h1>\n<p><em>so</em></p>\n");
    }

    #[test]
    fn extensions_are_on() {
        let html = markdown(include_str!("../../data/notes.md"));
        for element in ["<table>", "type=\"checkbox\"", "<del>", "footnote-definition"] {
            assert!(html.contains(element), "{element} in {html}");
        }
    }
}
