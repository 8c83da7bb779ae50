//! Templates and expressions, with values that people gave: what a text uses, what becomes of it, and that no value becomes markup.
//!
//! After a line `===` come values, `name=value` on a line each.
//!
//! What is not held here: how much memory a text asks for that joins or repeats texts (`'x' * 99999999`). The engine has no bound for
//! that, and who writes templates configures T-minus; such texts are read, and not written. No value of anybody's is a template.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use tminus::domain::message::template::{
    self, Landing, Lenient, RENDERED_CHARS_MAX, escape_markdown, expression_names, is_deceptive, template_names,
};
use tminus::domain::message::uses::{Form, Positions, broken_line, uses};
use tminus::gateway::web::{to_html, to_html_inline};

use super::bounds::timed;
use super::markup::{assert_safe, text_of};

/// What joins or repeats texts, or makes lists as long as it is told.
const GROW: [&str; 18] = [
    "*",
    "~",
    "+",
    "set",
    "macro",
    "call",
    "with",
    "filter",
    "namespace",
    "recursive",
    "replace",
    "indent",
    "format",
    "join",
    "batch",
    "slice",
    "dict",
    "lipsum",
];

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (source, values) = text.split_once("\n===\n").unwrap_or((&text, ""));
    let values: Vec<(&str, &str)> = values.lines().filter_map(|line| line.split_once('=')).collect();
    reads(source);
    renders(source, &values);
    for (_, value) in &values {
        stays_what_it_is(value);
    }
    stays_what_it_is(source);
    // Markdown of anybody's: what is said in a room is shown, too.
    assert_safe(&timed("Markdown", || to_html(&text)));
    assert_safe(&timed("a line of Markdown", || to_html_inline(&text)));
}

/// The code of a text, as far as it matters here.
fn code(source: &str, form: Form) -> String {
    if form == Form::Expression {
        return source.to_owned();
    }
    let (mut code, mut rest) = (String::new(), source);
    while let Some(begins) = rest.find('{') {
        rest = &rest[begins + 1..];
        if rest.starts_with(['{', '%']) {
            let ends =
                rest.match_indices('}').map(|(at, _)| at).find(|at| rest[..*at].ends_with(['}', '%'])).unwrap_or(rest.len());
            code.push_str(&rest[1..ends.max(1)]);
            rest = &rest[ends..];
        }
    }
    code
}

/// What a text uses is known before it runs, whatever it is.
fn reads(source: &str) {
    for form in [Form::Template, Form::Expression] {
        // The engine works out what is constant when it reads.
        if code(source, form).contains('*') {
            continue;
        }
        let found = timed("what a text uses", || uses(source, form));
        let compiles = match form {
            Form::Template => timed("the names of a template", || template_names(source)).is_ok(),
            Form::Expression => timed("the names of an expression", || expression_names(source)).is_ok(),
        };
        assert!(found.is_err() || compiles, "what it uses is known, and it does not compile");
        let positions = timed("where words stand", || Positions::read(source, form));
        for name in found.iter().flat_map(|uses| &uses.names) {
            assert!(positions.of(name).is_none_or(|range| source.get(range).is_some()), "{name} stands between characters");
        }
    }
    if !code(source, Form::Template).contains('*') {
        let broken = timed("the line that is broken", || broken_line(source));
        assert!(broken.is_none_or(|range| source.get(range).is_some()), "the line that is broken is none");
    }
}

/// Whether the engine may be asked for any amount of memory by a text.
fn grows(source: &str, form: Form) -> bool {
    let code = code(source, form);
    GROW.iter().any(|word| code.contains(word))
}

fn renders(source: &str, values: &[(&str, &str)]) {
    let mut scope: BTreeMap<String, Value> =
        values.iter().map(|(name, value)| ((*name).to_owned(), Value::from((*value).to_owned()))).collect();
    let step = Lenient::of(values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect());
    let steps = Lenient::of(BTreeMap::from([("backup".to_owned(), Value::from_object(step))]));
    scope.insert("steps".to_owned(), Value::from_object(steps));
    scope.insert("done".to_owned(), Value::from_function(|id: Arc<str>| &*id == "backup"));
    let scope = Value::from(scope);
    for landing in [Landing::Markdown, Landing::Plain].into_iter().filter(|_| !grows(source, Form::Template)) {
        let rendered = timed("rendering", || template::render(source, landing, &scope));
        match rendered {
            Ok(text) => {
                let is_filled_in = ["{{", "{%", "{#"].iter().any(|mark| source.contains(mark));
                assert!(!is_filled_in || text.chars().count() <= RENDERED_CHARS_MAX, "a text that is too long");
                if landing == Landing::Markdown {
                    assert_safe(&timed("Markdown", || to_html(&text)));
                }
            }
            Err(why) => assert!(!why.is_empty(), "a text fails without a word"),
        }
    }
    if !grows(source, Form::Expression) {
        drop(timed("an expression", || template::holds(source, &scope)));
    }
}

/// A value in Markdown is read as the text it is, wherever it stands.
fn stays_what_it_is(value: &str) {
    let escaped = timed("escaping", || escape_markdown(value));
    let meant = seen(value);
    for (before, after) in [("", ""), ("a ", " b"), ("**", "**"), ("- ", ""), ("x\n", "\ny"), ("| a |\n|---|\n| ", " |")] {
        let html = timed("Markdown", || to_html(&format!("{before}{escaped}{after}")));
        assert_safe(&html);
        let shown = seen(&text_of(&html));
        assert!(shown.contains(&meant), "{value:?} after {before:?} is shown as {shown:?}: {html}");
    }
    let html = to_html(&escaped);
    let inner = html.trim().trim_start_matches("<p>").trim_end_matches("</p>");
    assert!(!inner.contains('<'), "{value:?} became markup: {html}");
}

/// What there is to read of a text: without what is not seen, and with one space for any.
fn seen(text: &str) -> String {
    let is_seen = |c: &char| !is_deceptive(*c) && (!c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    let text: String = text.replace(['\u{2028}', '\u{2029}'], " ").chars().filter(is_seen).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
