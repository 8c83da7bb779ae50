//! What a template or an expression uses, before anything runs: names, calls, filters, tests, tags.
//!
//! `MiniJinja` says which names are not its own, and checks no more than that until it renders. A small reader of the same words
//! sees the rest: what is asked in `done('…')`, `x['y']`, and filters that do not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::template;

/// The longest template, in bytes: what is written from it is shorter still, and looking for names takes longer than its length.
const BYTES_MAX: usize = 32 * 1024;

/// The longest code between two marks, and the longest expression, in bytes. The engine goes as deep as they are long, and where the
/// stack ends it takes the process with it.
const CODE_BYTES_MAX: usize = 2000;
/// The most pieces of code in a template, for the same reason: each `elif` stands within the one before it.
const CODES_MAX: usize = 500;

/// What a text uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// What it takes from its scope, as dotted names: `steps.backup.id`.
    pub names: BTreeSet<String>,
    /// Every place where a name stands, in order; also names that the text defines itself.
    pub mentions: Vec<Mention>,
    /// The filters: `upper` in `version|upper`.
    pub filters: BTreeSet<String>,
    /// The tests: `none` in `version is none`.
    pub tests: BTreeSet<String>,
    /// The tags: `if` in `{% if … %}`.
    pub tags: BTreeSet<String>,
}

/// One name where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The dotted name, as far as it can be read.
    pub name: String,
    /// Whether it is called, and with what.
    pub call: Option<Argument>,
}

/// What stands between the parentheses of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// One text in quotes.
    Quoted(String),
    /// Anything else, or nothing.
    Other,
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text with `{{ … }}` in it.
    Template,
    /// An expression as in `if:`.
    Expression,
}

/// Reads what a text uses.
///
/// # Errors
/// The first thing that does not compile.
pub fn uses(source: &str, form: Form) -> Result<Uses, String> {
    if source.len() > BYTES_MAX {
        return Err(format!("it has {} bytes; at most {BYTES_MAX} are possible", source.len()));
    }
    let names_in = |source: &str| match form {
        Form::Template => template::template_names(source),
        Form::Expression => template::expression_names(source),
    };
    let written = names_in(source)?;
    let tokens = match form {
        Form::Template => tokens_of_template(source),
        Form::Expression => tokens_of_code(source, 0, None).0,
    };
    // `x['y']` is `x.y`, and only the latter is looked into.
    let names = dotted(source, &tokens).and_then(|source| names_in(&source).ok()).unwrap_or(written);
    Ok(Uses { names, ..read(&tokens) })
}

/// Whether the engine can be asked about a text.
///
/// # Errors
/// Why it can't.
pub(super) fn fits(source: &str, form: Form) -> Result<(), String> {
    let (mut codes_count, mut longest) = (0, 0);
    match form {
        Form::Expression => longest = source.len(),
        Form::Template => each_code(source, |code, _| {
            codes_count += 1;
            longest = longest.max(code.len());
        }),
    }
    if longest > CODE_BYTES_MAX {
        return Err(format!("a piece of it has {longest} bytes of code; at most {CODE_BYTES_MAX} are possible"));
    }
    if codes_count > CODES_MAX {
        return Err(format!("it has {codes_count} pieces of code; at most {CODES_MAX} are possible"));
    }
    Ok(())
}

/// Where names, filters, tests and tags stand first in a text.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    first: BTreeMap<String, Range<usize>>,
}

impl Positions {
    /// Finds them.
    #[must_use]
    pub fn read(source: &str, form: Form) -> Self {
        let tokens = match form {
            Form::Template => tokens_of_template(source),
            Form::Expression => tokens_of_code(source, 0, None).0,
        };
        let mut first = BTreeMap::new();
        for (at, token) in tokens.iter().enumerate() {
            let What::Name(name) = &token.what else { continue };
            if is_member(&tokens, at) {
                continue;
            }
            let (dotted, end) = dotted_name(&tokens, at, name);
            first.entry(dotted).or_insert(token.start..tokens[end - 1].end);
            first.entry(name.clone()).or_insert(token.start..token.end);
        }
        Self { first }
    }

    /// A dotted name from its beginning to its end, in bytes; or else its beginning.
    #[must_use]
    pub fn of(&self, word: &str) -> Option<Range<usize>> {
        self.first.get(word).or_else(|| self.first.get(word.split('.').next()?)).cloned()
    }
}

/// The line of a text that does not compile, in bytes, without the space around it.
#[must_use]
pub fn broken_line(source: &str) -> Option<Range<usize>> {
    if source.len() > BYTES_MAX {
        return None;
    }
    let above = template::broken_line(source)?.checked_sub(1)?;
    let start: usize = source.split_inclusive('\n').take(above).map(str::len).sum();
    let line = source.get(start..)?.lines().next()?;
    let start = start + line.len() - line.trim_start().len();
    Some(start..start + line.trim().len())
}

/// One word of the code between the marks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    what: What,
    /// Where it stands, in bytes.
    start: usize,
    end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Name(String),
    Quoted(String),
    Number,
    Mark(char),
    /// Where `{{` or `{%` begins.
    Begins {
        tag: bool,
    },
}

fn tokens_of_template(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    each_code(source, |_, code| tokens.extend(code));
    tokens
}

/// Goes through the pieces of code in a template: their bytes with their marks, and their words.
fn each_code(source: &str, mut see: impl FnMut(Range<usize>, Vec<Token>)) {
    let mut at = 0;
    while let Some(found) =
        source[at..].match_indices('{').map(|(found, _)| found).find(|found| begins_code(&source[at + found..]))
    {
        let start = at + found;
        let inside = start + 2;
        let rest = &source[inside..];
        let tag = match source.as_bytes()[start + 1] {
            b'#' => {
                at = rest.find("#}").map_or(source.len(), |end| inside + end + 2);
                continue;
            }
            mark => mark == b'%',
        };
        let mut tokens = vec![Token { what: What::Begins { tag }, start, end: inside }];
        let (code, end) = tokens_of_code(source, inside, Some(if tag { "%}" } else { "}}" }));
        at = end;
        let mut words = code.iter().skip_while(|token| matches!(token.what, What::Mark('-' | '+')));
        let is_raw = tag && words.next().is_some_and(|token| matches!(&token.what, What::Name(name) if name == "raw"));
        if is_raw {
            // Up to its end nothing means anything; the end itself is read as a tag.
            at += source[at..]
                .match_indices("{%")
                .map(|(found, _)| found)
                .find(|found| ends_raw(&source[at + found + 2..]))
                .unwrap_or(source.len() - at);
        }
        tokens.extend(code);
        see(start..end, tokens);
    }
}

fn begins_code(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.starts_with(mark))
}

fn ends_raw(after_mark: &str) -> bool {
    after_mark.trim_start_matches(['-', '+']).trim_start().starts_with("endraw")
}

/// The words from a place on, up to the mark that ends them; and where that was.
fn tokens_of_code(source: &str, from: usize, ends: Option<&str>) -> (Vec<Token>, usize) {
    let mut tokens = Vec::new();
    // Within brackets `}}` closes two maps.
    let mut depth = 0_usize;
    let mut at = from;
    while let Some(c) = source[at..].chars().next() {
        if let Some(ends) = ends.filter(|ends| depth == 0 && source[at..].starts_with(ends)) {
            return (tokens, at + ends.len());
        }
        let length_while = |test: fn(char) -> bool| source[at..].find(|c| !test(c)).unwrap_or(source.len() - at);
        let (what, length) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '\'' | '"' => {
                let length = quoted_length(&source[at..], c);
                (What::Quoted(source.get(at + 1..at + length - 1).unwrap_or_default().to_owned()), length)
            }
            c if c.is_ascii_digit() => (What::Number, length_while(|c| c.is_ascii_alphanumeric() || c == '_')),
            c if c.is_alphabetic() || c == '_' => {
                let length = length_while(|c| c.is_alphanumeric() || c == '_');
                (What::Name(source[at..at + length].to_owned()), length)
            }
            c => {
                match c {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                (What::Mark(c), c.len_utf8())
            }
        };
        tokens.push(Token { what, start: at, end: at + length });
        at += length;
    }
    (tokens, at)
}

/// How long a text in quotes is, with its quotes.
fn quoted_length(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in source.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return index + c.len_utf8(),
            _ => {}
        }
    }
    source.len()
}

/// Words that join values, and are none.
fn is_keyword(word: &str) -> bool {
    ["and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "with", "recursive", "do", "call"].contains(&word)
}

/// Words that are values of their own.
fn is_constant(word: &str) -> bool {
    ["true", "True", "false", "False", "none", "None"].contains(&word)
}

/// Where a subscript with a text in quotes begins after a value: the text.
fn subscript(tokens: &[Token], at: usize) -> Option<&str> {
    let [Token { what: What::Mark('['), .. }, Token { what: What::Quoted(text), .. }, Token { what: What::Mark(']'), .. }, ..] =
        tokens.get(at..)?
    else {
        return None;
    };
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(text)
}

/// The source with `x['y']` written as `x.y`, if there is any of it.
fn dotted(source: &str, tokens: &[Token]) -> Option<String> {
    let follows_a_value = |at: usize| match at.checked_sub(1).map(|before| (&tokens[before].what, before)) {
        Some((What::Name(name), before)) => {
            is_member(tokens, before) || !(is_keyword(name) || is_tag(tokens, before) || is_test(tokens, before))
        }
        Some((What::Mark(mark), _)) => matches!(mark, ']' | ')'),
        _ => false,
    };
    let mut changed = String::new();
    let mut copied = 0;
    for at in 0..tokens.len() {
        if let Some(member) = subscript(tokens, at).filter(|_| follows_a_value(at)) {
            changed.push_str(&source[copied..tokens[at].start]);
            changed.push('.');
            changed.push_str(member);
            copied = tokens[at + 2].end;
        }
    }
    changed.push_str(&source[copied..]);
    (copied > 0).then_some(changed)
}

fn mark_before(tokens: &[Token], at: usize, mark: char) -> bool {
    at.checked_sub(1).is_some_and(|before| tokens[before].what == What::Mark(mark))
}

fn is_member(tokens: &[Token], at: usize) -> bool {
    mark_before(tokens, at, '.')
}

fn is_tag(tokens: &[Token], at: usize) -> bool {
    let mut before = tokens[..at].iter().rev().skip_while(|token| matches!(token.what, What::Mark('-' | '+')));
    before.next().is_some_and(|token| token.what == What::Begins { tag: true })
}

fn is_test(tokens: &[Token], at: usize) -> bool {
    let word = |at: usize, word: &str| matches!(&tokens[at].what, What::Name(name) if name == word) && !is_member(tokens, at);
    match at {
        0 => false,
        1 => word(0, "is"),
        _ => word(at - 1, "is") || (word(at - 1, "not") && word(at - 2, "is")),
    }
}

fn read(tokens: &[Token]) -> Uses {
    let mut uses = Uses::default();
    for (at, token) in tokens.iter().enumerate() {
        let What::Name(name) = &token.what else { continue };
        if is_member(tokens, at) {
            continue;
        }
        let filters_a_block = at
            .checked_sub(1)
            .is_some_and(|before| is_tag(tokens, before) && matches!(&tokens[before].what, What::Name(n) if n == "filter"));
        if is_tag(tokens, at) {
            uses.tags.insert(name.clone());
        } else if mark_before(tokens, at, '|') || filters_a_block {
            uses.filters.insert(name.clone());
        } else if is_test(tokens, at) {
            if name != "not" {
                uses.tests.insert(name.clone());
            }
        } else if !is_keyword(name) && !is_constant(name) {
            uses.mentions.push(mention(tokens, at, name));
        }
    }
    uses
}

fn mention(tokens: &[Token], at: usize, name: &str) -> Mention {
    let (name, end) = dotted_name(tokens, at, name);
    let call = match tokens.get(end..).unwrap_or_default() {
        [
            Token { what: What::Mark('('), .. },
            Token { what: What::Quoted(text), .. },
            Token { what: What::Mark(')'), .. },
            ..,
        ] => Some(Argument::Quoted(text.clone())),
        [Token { what: What::Mark('('), .. }, ..] => Some(Argument::Other),
        _ => None,
    };
    Mention { name, call }
}

/// A name with what is asked of it, and the word after it.
fn dotted_name(tokens: &[Token], at: usize, name: &str) -> (String, usize) {
    let mut name = name.to_owned();
    let mut at = at + 1;
    loop {
        match tokens.get(at..).unwrap_or_default() {
            [Token { what: What::Mark('.'), .. }, Token { what: What::Name(member), .. }, ..] => {
                name.push('.');
                name.push_str(member);
                at += 2;
            }
            rest if subscript(rest, 0).is_some() => {
                name.push('.');
                name.push_str(subscript(rest, 0).unwrap_or_default());
                at += 3;
            }
            _ => return (name, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str, form: Form) -> Vec<String> {
        uses(source, form).unwrap().names.into_iter().collect()
    }

    #[test]
    fn what_is_too_long_for_the_engine_is_refused_before_it_is_asked() {
        // Each of these goes deeper with every word, and ends the process where the stack of a thread ends.
        let deep = |word: &str| word.repeat(30_000 / word.len());
        for (source, form) in [
            (format!("{{{{ {}x }}}}", deep("not ")), Form::Template),
            (format!("{{{{ {}1 }}}}", deep("-")), Form::Template),
            (format!("{{% if x %}}{}{{% endif %}}", deep("{% elif x %}")), Form::Template),
            (format!("x{}", deep(" and x")), Form::Expression),
            (format!("x{}", deep("|upper")), Form::Expression),
            (format!("x{}", deep(".a")), Form::Expression),
        ] {
            let problem = uses(&source, form).unwrap_err();
            assert!(problem.contains("are possible"), "{problem}");
            let scope = minijinja::context! { x => 1 };
            let asked = match form {
                Form::Template => template::render(&source, template::Landing::Plain, &scope).map(drop),
                Form::Expression => template::holds(&source, &scope).map(drop),
            };
            assert_eq!(asked, Err(problem));
        }
        // What just fits is no danger.
        let just = |word: &str, more: usize| word.repeat((CODE_BYTES_MAX - more) / word.len());
        for source in
            [just("not ", 1) + "x", just("-", 1) + "1", "x".to_owned() + &just(" and x", 1), "x".to_owned() + &just(".a", 1)]
        {
            assert!(uses(&source, Form::Expression).is_ok(), "{source}");
        }
        let chain = format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(CODES_MAX - 2));
        assert!(uses(&chain, Form::Template).is_ok());
    }

    #[test]
    fn members_in_brackets_are_members() {
        assert_eq!(names("{{ rollout['titel'] }} {{ steps['a'][\"b\"].c }}", Form::Template), ["rollout.titel", "steps.a.b.c"]);
        assert_eq!(names("result in ['succeeded'] or version[0] == 'x'", Form::Expression), ["result", "version"]);
        assert_eq!(names("{% for a in ['x'] %}{{ a }}{% endfor %}", Form::Template), Vec::<String>::new());
    }

    #[test]
    fn calls_filters_tests_and_tags_are_seen_where_they_mean_something() {
        let text = "done('no') {# done('comment') #}{% raw %}{{ done('raw') }}{%- endraw %}\
            {%- if done(\"yes\") and not failed(x) and a.b() and 'done(\\'q\\')' %}{{ {'k': {'v': started}}.k|upper }}{% endif %}{{ x is not none }}";
        let uses = uses(text, Form::Template).unwrap();
        let mentioned: Vec<(&str, Option<Argument>)> = uses.mentions.iter().map(|m| (m.name.as_str(), m.call.clone())).collect();
        assert_eq!(
            mentioned,
            [
                ("done", Some(Argument::Quoted("yes".into()))),
                ("failed", Some(Argument::Other)),
                ("x", None),
                ("a.b", Some(Argument::Other)),
                ("started", None),
                ("x", None),
            ]
        );
        assert_eq!(uses.filters.into_iter().collect::<Vec<_>>(), ["upper"]);
        assert_eq!(uses.tests.into_iter().collect::<Vec<_>>(), ["none"]);
        assert_eq!(uses.tags.into_iter().collect::<Vec<_>>(), ["endif", "endraw", "if", "raw"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "([{}%#|.'\"\\[\\]()a-c é\\\\-]|raw|endraw|is|not|\\{\\{|\\{%){0,30}") {
            let _ = tokens_of_template(&text);
            let tokens = tokens_of_code(&text, 0, None).0;
            let _ = (read(&tokens), dotted(&text, &tokens));
            let _ = uses(&text, Form::Template);
            for (word, range) in Positions::read(&text, Form::Template).first {
                proptest::prop_assert!(text[range].starts_with(word.split('.').next().unwrap()));
            }
            proptest::prop_assert!(broken_line(&text).is_none_or(|range| text.get(range).is_some()));
        }
    }
}
