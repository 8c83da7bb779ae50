//! How wide a text is before anything draws it: an upper bound, so that what was given room has it in any usual font.

/// How much wider strong letters are.
const STRONG: f64 = 1.12;

/// The width of a text in a size, both in the same unit. Wide fonts (`DejaVu Sans`, `Verdana`) need about that much, others less.
#[must_use]
pub(super) fn width(text: &str, size: f64, strong: bool) -> f64 {
    let ems: f64 = text.chars().map(ems).sum();
    ems * size * if strong { STRONG } else { 1.0 }
}

/// One letter, in parts of its size.
fn ems(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | 'I' | '\'' | '|' | '·' => 0.31,
        ' ' | '.' | ',' | ':' | ';' | '!' | 't' | 'f' | '-' | '/' | '\\' => 0.40,
        'r' | '(' | ')' | '[' | ']' | '"' | '`' => 0.47,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '&' | '—' | '…' | '_' => 1.0,
        'a'..='z' | '0'..='9' | '?' | '*' | '$' | '“' | '”' | '’' => 0.65,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' | '^' | '{' | '}' => 0.84,
        // Marks above and below take no room; there may be many of them.
        '\u{300}'..='\u{36f}' => 0.0,
        // Latin with accents, Greek, Cyrillic.
        '\u{a0}'..='\u{2ff}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}' => 0.9,
        _ => 1.1,
    }
}

/// The text, or as much of it as fits with an ellipsis; nothing where not even that does.
#[must_use]
pub(super) fn fit(text: &str, room: f64, size: f64, strong: bool) -> String {
    if width(text, size, strong) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size, strong);
    if left < 0.0 {
        return String::new();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        left -= width(letter.encode_utf8(&mut [0; 4]), size, strong);
        if left < 0.0 {
            break;
        }
        cut.push(letter);
    }
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_fits() {
        let text = "Update IaC Staging Stack to container version 4.3.0";
        for room in [0.0, 5.0, 13.0, 60.0, 200.0, 500.0] {
            let cut = fit(text, room, 12.0, true);
            assert!(width(&cut, 12.0, true) <= room, "{cut} in {room}");
        }
        assert_eq!(fit(text, 500.0, 12.0, false), text);
        assert!(fit(text, 200.0, 12.0, false).ends_with('…'));
        assert_eq!(fit("漢字漢字", 30.0, 12.0, false), "漢…");
    }
}
