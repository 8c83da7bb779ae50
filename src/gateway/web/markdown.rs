//! Markdown as safe HTML: no raw HTML, no images, links only to the web.

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

/// Renders Markdown for the page.
#[must_use]
pub fn to_html(markdown: &str) -> String {
    let mut out = String::new();
    html::push_html(&mut out, safe(markdown));
    out
}

/// Renders one line of Markdown for the page, without a paragraph around it.
#[must_use]
pub fn to_html_inline(markdown: &str) -> String {
    let inline = safe(markdown).filter(|event| !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph)));
    let mut out = String::new();
    html::push_html(&mut out, inline);
    out
}

fn safe(markdown: &str) -> impl Iterator<Item = Event<'_>> {
    let parser = Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES);
    parser.filter_map(|event| match event {
        // Shown as it was written, not as a tag.
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { dest_url, title, id, .. }) => {
            let dest_url = if is_web(&dest_url) { dest_url } else { CowStr::Borrowed("#") };
            Some(Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }))
        }
        // A picture would be loaded from elsewhere; its description stays.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        other => Some(other),
    })
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://") || (url.starts_with('/') && !url.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::{to_html, to_html_inline};
    use crate::domain::message::template::escape_markdown;
    use proptest::prelude::*;

    #[test]
    fn markdown_becomes_html_and_nothing_else_does() {
        for (markdown, html) in [
            ("**GO** by Maria", "<p><strong>GO</strong> by Maria</p>\n"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a <b onclick=x>b</b>", "<p>a &lt;b onclick=x&gt;b&lt;/b&gt;</p>\n"),
            ("[x](javascript:alert(1))", "<p><a href=\"#\">x</a></p>\n"),
            ("[x](//evil.example)", "<p><a href=\"#\">x</a></p>\n"),
            ("![x](https://evil.example/p.png)", "<p>x</p>\n"),
            ("[x](https://ok.example)", "<p><a href=\"https://ok.example\">x</a></p>\n"),
        ] {
            assert_eq!(to_html(markdown), html, "{markdown}");
        }
    }

    #[test]
    fn a_line_stands_without_a_paragraph() {
        assert_eq!(to_html_inline("**GO** by <i>Maria</i>"), "<strong>GO</strong> by &lt;i&gt;Maria&lt;/i&gt;");
    }

    proptest! {
        /// A value that was escaped for Markdown comes out of the renderer as the text it was.
        #[test]
        fn escaped_values_stay_what_they_were(value in "[ -~]{1,40}") {
            let html = to_html(&format!("x{}x", escape_markdown(&value)));
            let text = html.trim().trim_start_matches("<p>").trim_end_matches("</p>");
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            prop_assert_eq!(text, format!("x{value}x"));
        }
    }
}
