//! HTML in which nothing stands that the renderer does not write itself.

/// What the renderer of Markdown writes.
const TAGS: [&str; 25] = [
    "p",
    "strong",
    "em",
    "del",
    "a",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "hr",
    "br",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
];

/// Holds what was rendered to be safe: known tags with known attributes, links to the web alone.
///
/// # Panics
/// Where it is not.
pub fn assert_safe(html: &str) {
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {html}"));
        assert!(is_safe(tag), "<{tag}> in {html}");
        rest = after;
    }
}

fn is_safe(tag: &str) -> bool {
    if let Some(name) = tag.strip_prefix('/') {
        return TAGS.contains(&name);
    }
    let (name, mut rest) = tag.split_at(tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len()));
    if !TAGS.contains(&name) {
        return false;
    }
    while let Some(attribute) = rest.strip_prefix(' ') {
        if attribute == "/" {
            return true;
        }
        let Some((key, quoted)) = attribute.split_once("=\"") else { return false };
        let Some((value, after)) = quoted.split_once('"') else { return false };
        let is_known = match (name, key) {
            ("a", "href") => is_web(value),
            ("a", "title") => true,
            ("code", "class") => value.starts_with("language-"),
            ("ol", "start") => value.bytes().all(|b| b.is_ascii_digit()),
            ("th" | "td", "style") => ["text-align: left", "text-align: center", "text-align: right"].contains(&value),
            _ => false,
        };
        if !is_known {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn is_web(address: &str) -> bool {
    let here = address == "#" || (address.starts_with('/') && !address.starts_with("//"));
    here || address.starts_with("https://") || address.starts_with("http://")
}

/// What a reader sees of it.
pub fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}
