//! Templates and expressions: MiniJinja, strict, with a limit on work, and values escaped for where they land.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use super::uses::{Form, fits};

/// How many instructions one template or expression may take: far above any announcement, far below a stall.
const FUEL: u64 = 50_000;
/// The longest text a template may become, in characters: an announcement is read by people.
pub const RENDERED_CHARS_MAX: usize = 20_000;
/// As many bytes as that many characters can have.
const RENDERED_BYTES_MAX: usize = 4 * RENDERED_CHARS_MAX;

/// Where the values of a template land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// In Markdown that platforms render: values are escaped, so a version called `*x*` stays that.
    Markdown,
    /// In a value of an action, a name, a label: as it is.
    Plain,
}

static MARKDOWN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment
        .set_formatter(|out, _state, value| out.write_str(&escape_markdown(&text_of(value))).map_err(minijinja::Error::from));
    environment
});

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_formatter(|out, _state, value| out.write_str(&text_of(value)).map_err(minijinja::Error::from));
    environment
});

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment
}

/// Nothing reads as nothing, not as the word "none". What is not defined was refused before; an `if` without its `else` is left.
fn text_of(value: &Value) -> String {
    if value.is_none() || value.is_undefined() { String::new() } else { value.to_string() }
}

/// Renders a template.
///
/// # Errors
/// A sentence naming what is undefined or wrong.
pub fn render(source: &str, landing: Landing, scope: &Value) -> Result<String, String> {
    // Most texts have nothing to fill in.
    if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
        return Ok(source.to_owned());
    }
    let environment = match landing {
        Landing::Markdown => &*MARKDOWN,
        Landing::Plain => &*PLAIN,
    };
    fits(source, Form::Template)?;
    let too_long = || format!("the text becomes longer than {RENDERED_CHARS_MAX} characters");
    let mut text = Bounded::default();
    let rendered = guarded(|| {
        environment.template_from_str(source).and_then(|template| template.render_captured_to(scope, &mut text)).map(drop)
    });
    if text.is_full {
        return Err(too_long());
    }
    rendered?;
    let text = String::from_utf8(text.bytes).map_err(|_| "the text is not UTF-8".to_owned())?;
    if text.chars().count() > RENDERED_CHARS_MAX { Err(too_long()) } else { Ok(text) }
}

/// A text that ends where nobody would read on: a loop can write thousands of long values.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > RENDERED_BYTES_MAX {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks the engine. A text that makes it panic (`'abc'[0:2:-1]` does, where sums are checked) is wrong like any other that it
/// refuses; it must not take a rollout's task with it.
fn guarded<T>(ask: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(answered) => answered.map_err(|error| explain(&error)),
        Err(_) => Err("the template engine fails at it".to_owned()),
    }
}

/// Whether an expression holds.
///
/// # Errors
/// A sentence naming what is undefined or wrong.
pub fn holds(expression: &str, scope: &Value) -> Result<bool, String> {
    fits(expression, Form::Expression)?;
    guarded(|| PLAIN.compile_expression_owned(expression.to_owned())?.eval(scope).map(|value| value.is_true()))
}

/// What a template refers to, as dotted names (`steps.backup.id`), or why it does not compile.
///
/// # Errors
/// The first thing that does not compile.
pub fn template_names(source: &str) -> Result<BTreeSet<String>, String> {
    fits(source, Form::Template)?;
    guarded(|| Ok(PLAIN.template_from_str(source)?.undeclared_variables(true).into_iter().collect()))
}

/// The line of a template that does not compile, from 1.
#[must_use]
pub fn broken_line(source: &str) -> Option<usize> {
    fits(source, Form::Template).ok()?;
    catch_unwind(|| PLAIN.template_from_str(source).err()?.line()).ok()?
}

/// What an expression refers to, or why it does not compile.
///
/// # Errors
/// The first thing that does not compile.
pub fn expression_names(source: &str) -> Result<BTreeSet<String>, String> {
    fits(source, Form::Expression)?;
    guarded(|| Ok(PLAIN.compile_expression_owned(source.to_owned())?.undeclared_variables(true).into_iter().collect()))
}

/// Whether there is a filter of this name: one that there is not would only be missed when the text is written.
#[must_use]
pub fn knows_filter(name: &str) -> bool {
    knows(name, "filter")
}

/// Whether there is a test of this name, as in `x is NAME`.
#[must_use]
pub fn knows_test(name: &str) -> bool {
    knows(name, "test")
}

fn knows(name: &str, what: &str) -> bool {
    let scope = Value::from_pairs([("name", name)]);
    holds(&format!("name is {what}"), &scope).unwrap_or(false)
}

fn explain(error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => match error.detail() {
            Some(detail) => format!("something in it is not defined: {detail}"),
            None => "something in it is not defined".to_owned(),
        },
        ErrorKind::OutOfFuel => "it takes too much work to evaluate".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    }
}

/// Makes a value literal in Markdown, without marks where none are needed: `4.3` stays `4.3`.
#[must_use]
pub fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut at_start = true;
    let mut leading_digits = false;
    // A value is one run of text: it can't begin a paragraph, a quote or a list of its own. What is not seen is left out first, so that
    // nothing hides behind it.
    let mut chars = text
        .chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if c.is_control() || is_deceptive(c) => None,
            c => Some(c),
        })
        .peekable();
    while let Some(c) = chars.next() {
        match c {
            // Four of them, where a line begins, would make code of it.
            ' ' if at_start && !escaped.is_empty() => {}
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '&' | '|' | '~' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // These begin a list, a rule or a heading only where a line begins.
            '-' | '+' | '=' if at_start => {
                escaped.push('\\');
                escaped.push(c);
            }
            '.' | ')' if leading_digits && chars.peek().is_none_or(|next| next.is_whitespace()) => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
        leading_digits = c.is_ascii_digit() && (at_start || leading_digits);
        at_start = at_start && c.is_whitespace();
    }
    escaped
}

/// Whether a character turns the order around in which a text is read, or is not seen at all: where people decide, what they read
/// is what stands there. What joins letters and emoji stays.
#[must_use]
pub const fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// A map whose missing keys read as none: a step that was skipped or not reached is not an error.
#[derive(Debug)]
pub struct Lenient {
    values: BTreeMap<String, Value>,
    /// Whether it holds in an `if`, and reads as something.
    is_there: bool,
}

impl Lenient {
    /// A map that is there if anything is in it.
    #[must_use]
    pub fn of(values: BTreeMap<String, Value>) -> Self {
        Self { is_there: !values.is_empty(), values }
    }

    /// A map that is there even if nothing is in it.
    #[must_use]
    pub const fn present(values: BTreeMap<String, Value>) -> Self {
        Self { values, is_there: true }
    }

    /// A map that reads as none, and is still one that can be looked into.
    #[must_use]
    pub const fn absent(values: BTreeMap<String, Value>) -> Self {
        Self { values, is_there: false }
    }
}

impl Object for Lenient {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let found = key.as_str().and_then(|key| self.values.get(key)).cloned();
        Some(found.unwrap_or_else(|| Value::from(())))
    }

    // Going through it is possible, too: what is empty is gone through without a word.
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_there { Enumerator::Values(self.values.keys().map(Value::from).collect()) } else { Enumerator::Empty }
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.is_there
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_there { f.debug_map().entries(&self.values).finish() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    #[test]
    fn values_are_escaped_for_markdown_and_left_alone_elsewhere() {
        let scope = context! { version => "*4*_x_ <b> @channel" };
        assert_eq!(render("**{{ version }}**", Landing::Markdown, &scope).unwrap(), r"**\*4\*\_x\_ \<b\> @channel**");
        assert_eq!(render("{{ version }}", Landing::Plain, &scope).unwrap(), "*4*_x_ <b> @channel");
        for (plain, escaped) in
            [("4.3", "4.3"), ("4. x", "4\\. x"), ("- x", "\\- x"), ("a-b", "a-b"), ("a\nb", "a b"), ("4.", "4\\.")]
        {
            assert_eq!(escape_markdown(plain), escaped);
        }
        // Four spaces begin code, and what is not seen hides nothing.
        for (plain, escaped) in [
            ("    <b>", " \\<b\\>"),
            ("\n\t\u{200b}  - x", " \\- x"),
            ("\u{200b}- x", "\\- x"),
            ("1\u{200b}. x", "1\\. x"),
            ("1.\u{200b} x", "1\\. x"),
        ] {
            assert_eq!(escape_markdown(plain), escaped);
        }
    }

    #[test]
    fn undefined_is_an_error_and_none_is_nothing() {
        let scope = context! { steps => Value::from_object(Lenient::of(BTreeMap::new())) };
        assert!(render("{{ nope }}", Landing::Plain, &scope).unwrap_err().contains("not defined"));
        assert_eq!(render("[{{ steps.backup }}]", Landing::Plain, &scope).unwrap(), "[]");
        assert_eq!(holds("steps.backup == 'x'", &scope), Ok(false));
        assert_eq!(render("[{{ steps }}{% for id in steps %}{{ id }}{% endfor %}]", Landing::Plain, &scope).unwrap(), "[]");
        assert_eq!(render("[{{ 'x' if steps.backup }}]", Landing::Plain, &scope).unwrap(), "[]");
    }

    #[test]
    fn endless_work_is_stopped() {
        let scope = context! {};
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, Landing::Plain, &scope).unwrap_err().contains("too much work"));
    }

    #[test]
    fn a_text_that_becomes_too_long_is_stopped_while_it_is_written() {
        let scope = context! { note => "x".repeat(3000) };
        let long = "{% for a in range(9999) %}{{ note }}{% endfor %}";
        let expected = format!("the text becomes longer than {RENDERED_CHARS_MAX} characters");
        assert_eq!(render(long, Landing::Markdown, &scope), Err(expected.clone()));
        // What is within the limit in characters may have four times as many bytes.
        let scope = context! { note => "😀".repeat(RENDERED_CHARS_MAX) };
        assert!(render("{{ note }}", Landing::Plain, &scope).is_ok());
        assert_eq!(render("{{ note }}x", Landing::Plain, &scope), Err(expected));
    }

    #[test]
    fn a_text_that_makes_the_engine_panic_is_only_wrong() {
        let scope = context! { text => "abc" };
        // Where sums are not checked, as in a release, there is nothing to panic about.
        let sliced = render("{{ text[0:2:-1] }}", Landing::Plain, &scope);
        assert!([Ok(String::new()), Err("the template engine fails at it".to_owned())].contains(&sliced), "{sliced:?}");
    }

    #[test]
    fn names_used_are_known_before_anything_runs() {
        let names = template_names("{{ version }} {% if steps.db.changes == 'yes' %}x{% endif %}").unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["steps.db.changes", "version"]);
        assert_eq!(
            expression_names("done('x') and decision.cutover == 'go'").unwrap().into_iter().collect::<Vec<_>>(),
            ["decision.cutover", "done"]
        );
        assert!(template_names("{{ version").is_err());
    }
}
