//! A picture written down as SVG: on a page in the page's own colours, which classes name; alone in fixed ones.

use crate::domain::message::template::is_deceptive;

use super::scene::{Item, Role, Scene, Shape};

/// The font that a picture alone asks for first; whoever has another one takes that.
pub const FONT: &str = "Ubuntu, 'DejaVu Sans', Verdana, sans-serif";

/// Where a picture gets its colours from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// The page's style sheet. The word tells several pictures on one page apart.
    Page(&'a str),
    /// Itself: on paper, in a chat.
    Alone,
}

/// The picture as SVG.
#[must_use]
pub fn svg(scene: &Scene, look: Look<'_>) -> String {
    let (width, height) = (number(scene.width), number(scene.height));
    let mut out = match look {
        Look::Page(name) => format!(
            "<svg class=\"timeline {name}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"timeline-{name}\">\
             <title id=\"timeline-{name}\">{}</title>",
            escape(&scene.title)
        ),
        Look::Alone => format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FONT}\" role=\"img\"><title>{}</title>",
            escape(&scene.title)
        ),
    };
    out.push_str(&format!("<desc>{}</desc>", escape(&scene.words)));
    for item in &scene.items {
        write(&mut out, item, look);
    }
    out.push_str("</svg>");
    out
}

fn write(out: &mut String, item: &Item, look: Look<'_>) {
    let looks = match look {
        Look::Page(_) => format!("class=\"{}\"", class(item.role)),
        Look::Alone if item.is_text() => format!("fill=\"{}\"{}", ink(item.role), weight(item.role)),
        Look::Alone => paint(item.role).to_owned(),
    };
    let (tag, shape) = match &item.shape {
        Shape::Rect { x, y, width, height, round } => {
            let [x, y, width, height] = [x, y, width, height].map(|value| number(*value));
            ("rect", format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{}\"", number(*round)))
        }
        Shape::Circle { x, y, radius } => {
            ("circle", format!("cx=\"{}\" cy=\"{}\" r=\"{}\"", number(*x), number(*y), number(*radius)))
        }
        Shape::Path { points, closed } => {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{} {}", number(*x), number(*y))).collect();
            ("path", format!("d=\"M{}{}\"", points.join("L"), if *closed { "Z" } else { "" }))
        }
        Shape::Text { x, y, size, upright, .. } => {
            let (x, y) = (number(*x), number(*y));
            let turn = if *upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
            ("text", format!("x=\"{x}\" y=\"{y}\" font-size=\"{}\"{turn}", number(*size)))
        }
    };
    let tip = item.tip.as_ref().map(|tip| format!("<title>{}</title>", escape(tip))).unwrap_or_default();
    let words = match &item.shape {
        Shape::Text { text, .. } => escape(text),
        _ => String::new(),
    };
    out.push_str(&format!("<{tag} {looks} {shape}>{tip}{words}</{tag}>"));
}

/// A tenth is finer than any screen shows.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text as XML allows it: what has a meaning there is escaped, what is not seen or steers is left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() || is_deceptive(letter) => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}

const fn class(role: Role) -> &'static str {
    match role {
        Role::Ground => "tl-ground",
        Role::Title => "tl-title",
        Role::Phase => "tl-phase",
        Role::Name => "tl-name",
        Role::Soft => "tl-soft",
        Role::Alarm => "tl-alarm",
        Role::Praise => "tl-praise",
        Role::OnBar => "tl-on-bar",
        Role::Grid => "tl-grid",
        Role::Window => "tl-window",
        Role::Hold => "tl-hold",
        Role::PhaseBar => "tl-phase-bar",
        Role::Wait => "tl-wait",
        Role::Done => "tl-done",
        Role::Running => "tl-running",
        Role::Open => "tl-open",
        Role::Failed => "tl-failed",
        Role::Over => "tl-over",
        Role::Expected => "tl-expected",
        Role::Gap => "tl-gap",
        Role::Edge => "tl-edge",
        Role::Zero => "tl-zero",
        Role::Now => "tl-now",
        Role::Today => "tl-today",
        Role::Symbol => "tl-symbol",
        Role::Good => "tl-good",
        Role::Bad => "tl-bad",
        Role::Due => "tl-due",
    }
}

/// The light colours of the page (`app.css`), for words.
const fn ink(role: Role) -> &'static str {
    match role {
        Role::Soft => "#52636b",
        Role::Alarm => "#a8201a",
        Role::Praise => "#17683a",
        Role::OnBar => "#ffffff",
        _ => "#172226",
    }
}

/// Strong letters are strong also where a font has one weight only; others stand out from the lines behind them.
const fn weight(role: Role) -> &'static str {
    match role {
        Role::Alarm => " font-weight=\"bold\" stroke=\"#a8201a\" stroke-width=\"0.35\"",
        Role::Praise => " font-weight=\"bold\" stroke=\"#17683a\" stroke-width=\"0.35\"",
        Role::Title | Role::Phase => " font-weight=\"bold\" stroke=\"#172226\" stroke-width=\"0.35\"",
        Role::OnBar => "",
        _ => " stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
    }
}

/// The same for shapes.
const fn paint(role: Role) -> &'static str {
    match role {
        Role::Ground | Role::OnBar => "fill=\"#ffffff\"",
        Role::Grid => "fill=\"none\" stroke=\"#d6dde0\"",
        Role::Window => "fill=\"#e0f1f2\" fill-opacity=\"0.6\"",
        Role::Hold => "fill=\"#fdf0d5\"",
        Role::PhaseBar => "fill=\"#7c8a91\"",
        Role::Wait => "fill=\"none\" stroke=\"#7c8a91\" stroke-width=\"1.5\" stroke-dasharray=\"2 2\"",
        Role::Running => "fill=\"#e0f1f2\" stroke=\"#0b5d66\" stroke-width=\"1.5\" stroke-dasharray=\"4 2\"",
        Role::Open => "fill=\"#ffffff\" stroke=\"#0b5d66\" stroke-width=\"1.5\"",
        Role::Failed | Role::Bad => "fill=\"#a8201a\" stroke=\"#a8201a\" stroke-width=\"1.5\"",
        Role::Over => "fill=\"#b87400\"",
        Role::Expected => "fill=\"none\" stroke=\"#172226\" stroke-width=\"1.5\"",
        Role::Gap => "fill=\"#edf1f2\" fill-opacity=\"0.85\"",
        Role::Edge => "fill=\"none\" stroke=\"#7c8a91\"",
        Role::Zero => "fill=\"#0b5d66\" stroke=\"#0b5d66\" stroke-width=\"1.5\"",
        Role::Now => "fill=\"#7a4b00\" stroke=\"#7a4b00\" stroke-width=\"1.5\" stroke-dasharray=\"3 2\"",
        Role::Today => "fill=\"#7a4b00\"",
        Role::Good => "fill=\"#17683a\" stroke=\"#ffffff\"",
        Role::Due => "fill=\"#ffffff\" stroke=\"#52636b\" stroke-width=\"1.5\"",
        Role::Symbol => "fill=\"#52636b\"",
        _ => "fill=\"#0b5d66\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_holds_it_stays_text() {
        assert_eq!(escape("<b a='1'>&\u{0}\u{202e}\u{1b}x\n"), "&lt;b a=&#39;1&#39;&gt;&amp;x\n");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([number(1.0), number(1.25), number(-0.04), number(840.0)], ["1", "1.2", "0", "840"]);
    }
}
