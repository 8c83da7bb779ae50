//! YAML as people wrote it: a tree in which every key and value knows its place and keeps its own spelling.
//!
//! Typed deserialisation stops at the first problem and turns `4.10` into 4.1; we want every problem and every
//! character. So the text becomes a [`Node`] first, and what it means is decided by who reads the node.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::{Place, Problem};

/// The largest file read, in bytes: some hundred times the longest checklist seen.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// How deep lists and maps may nest; the format itself needs nine levels.
const DEPTH_MAX: usize = 40;
/// How many values a file may hold.
const NODES_MAX: usize = 50_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// What stands there. Scalars are never coerced: `4.10` is the text "4.10" and `no` the text "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `null` or `~`.
    Empty,
    /// A scalar in its own spelling, without quotes.
    Text(String),
    /// `[a, b]` or `- a`.
    List(Vec<Node>),
    /// Keys and values in the order written. Keys are unique.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of thing this is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Empty => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether this is what YAML makes of an unquoted `{{ x }}`: a map whose key is a map.
    #[must_use]
    pub fn is_unquoted_template(&self) -> bool {
        matches!(&self.value, Value::Map(pairs) if pairs.iter().any(|(key, _)| matches!(key.value, Value::Map(_))))
    }
}

/// Reads one YAML file.
///
/// # Errors
/// One problem: a text that is not YAML has no second place worth pointing at.
pub fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    let whole = Place::default();
    if text.len() > FILE_BYTES_MAX {
        return Err(Problem::error(file, whole, format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len()))
            .help("split it: one runbook is one file"));
    }
    if let Some((index, line)) =
        text.lines().enumerate().find(|(_, l)| l.trim_start_matches(' ').starts_with('\t') && !l.trim().is_empty())
    {
        let column = line.chars().take_while(|c| *c == ' ').count() + 1;
        return Err(Problem::error(file, Place { line: index + 1, column, chars: 1 }, "a tab is used for indentation")
            .help("YAML is indented with spaces"));
    }
    if let Some(at) = lone_return(text) {
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        return Err(Problem::error(file, Place { line, column, chars: 1 }, "a carriage return stands alone")
            .help("end lines as Unix or Windows does: YAML takes it for the end of a line, and others do not"));
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX, max_documents: 1 },
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map_or(whole, |l| Place { line: narrow(l.line()), column: narrow(l.column()), chars: 1 });
        syntax_problem(file, place, &error.to_string(), text)
    })?;
    Ok(settle(raw, text))
}

/// Where a carriage return stands that ends no line as we count them.
fn lone_return(text: &str) -> Option<usize> {
    text.match_indices('\r').map(|(at, _)| at).find(|at| !text[at + 1..].starts_with('\n'))
}

/// The mistakes people make most in our words, with what to do about them; the others in the parser's.
fn syntax_problem(file: &str, place: Place, message: &str, text: &str) -> Problem {
    // The parser repeats the place, which we show ourselves.
    let parser = message.split(" at line ").next().unwrap_or(message).trim_end_matches([' ', ':']);
    let says = |word: &str| parser.contains(word);
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let limit = |what: String| (what, "one runbook needs far less; anchors and aliases count as what they stand for".to_owned());
    let (what, help) = if let Some(key) = parser.strip_prefix("duplicate mapping key: ") {
        let key = key.split(", set ").next().unwrap_or(key);
        (format!("the key `{key}` stands twice in one map"), "every key stands once; remove or rename one of them".to_owned())
    } else if says("Documents {") {
        ("a second document begins here".to_owned(), "one file is one document; remove the `---`, or make two files".to_owned())
    } else if says("Depth {") {
        limit(format!("lists and maps are nested more than {DEPTH_MAX} deep"))
    } else if says("budget breached") || says("alias replay limit") || says("limit exceeded") {
        limit(format!("the file stands for more than {NODES_MAX} values"))
    } else if says("unknown anchor") {
        ("a text that begins with `*` is an alias to YAML, and nothing is called so".to_owned(), "quote it: \"*…\"".to_owned())
    } else if says("recursive references") {
        ("an anchor that contains itself has no end".to_owned(), "write out what is meant".to_owned())
    } else if line.contains(": {{") || line.contains("- {{") {
        let what = "an unquoted `{{ … }}` is a map to YAML, and no text can go on after it";
        (what.to_owned(), "quote all of it: \"{{ … }} …\"".to_owned())
    } else {
        let quotes = "a text with `: `, ` #`, or a leading `{`, `[`, `*`, `&`, `!`, `@` or `%` needs quotes";
        (parser.to_owned(), quotes.to_owned())
    };
    Problem::error(file, place, what).help(help)
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What serde shows of a value before its own spelling is taken from the source.
enum Raw {
    Empty,
    /// The parser resolved it to a number or truth value: the spelling is in the source.
    Resolved,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn settle(raw: Spanned<Raw>, source: &str) -> Node {
    let span = raw.referenced.span();
    let start = span.byte_offset().map_or(0, narrow);
    let written = source.get(start..start + span.byte_len().map_or(0, narrow)).unwrap_or_default();
    let first_line = written.lines().next().unwrap_or_default();
    let place = Place {
        line: narrow(raw.referenced.line()),
        column: narrow(raw.referenced.column()),
        chars: first_line.trim_end().chars().count().max(1),
    };
    let value = match raw.value {
        Raw::Empty => Value::Empty,
        Raw::Resolved => Value::Text(written.trim().to_owned()),
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| settle(item, source)).collect()),
        Raw::Map(pairs) => Value::Map(pairs.into_iter().map(|(k, v)| (settle(k, source), settle(v, source))).collect()),
    };
    Node { place, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list or a map")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Empty)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Empty)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Raw::Map(pairs))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Map(pairs) = &node.value else { panic!("a map") };
        &pairs.iter().find(|(k, _)| k.text() == Some(key)).expect("the key").1
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let node =
            parse("t.yaml", "a: 4.10\nb: no\nc: '1'\nd: true\ne: 0x10\nf: ~\ng:\nh: 007\ni: 1e3\nj: 2026-11-20\n").unwrap();
        for (key, text) in [
            ("a", "4.10"),
            ("b", "no"),
            ("c", "1"),
            ("d", "true"),
            ("e", "0x10"),
            ("h", "007"),
            ("i", "1e3"),
            ("j", "2026-11-20"),
        ] {
            assert_eq!(get(&node, key).text(), Some(text), "{key}");
        }
        assert_eq!(get(&node, "f").value, Value::Empty);
        assert_eq!(get(&node, "g").value, Value::Empty);
    }

    #[test]
    fn every_value_knows_its_place() {
        let node = parse("t.yaml", "# é\nsteps:\n  - { task: Ünder, id: x }\n").unwrap();
        let Value::List(steps) = &get(&node, "steps").value else { panic!("a list") };
        assert_eq!(get(&steps[0], "id").place, Place { line: 3, column: 24, chars: 1 });
        assert_eq!(get(&steps[0], "task").place, Place { line: 3, column: 13, chars: 5 });
    }

    #[test]
    fn an_unquoted_template_is_recognised() {
        let node = parse("t.yaml", "value: {{ version }}\n").unwrap();
        assert!(get(&node, "value").is_unquoted_template());
    }

    #[test]
    fn bad_texts_get_one_clear_problem_each() {
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain(
                (1..12)
                    .map(|i| format!("a{i}: &a{i} [*a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}]\n", p = i - 1)),
            )
            .collect();
        let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
        let wide =
            format!("a: &a [{}]\n{}", "x, ".repeat(3000), (0..100).map(|i| format!("b{i}: *a\n")).collect::<Vec<_>>().concat());
        let cases = [
            ("a: 1\na: 2\n", "the key `a` stands twice in one map"),
            ("a: [{ b: 1, b: 2 }]\n", "the key `b` stands twice in one map"),
            ("a:\n\tb: 1\n", "a tab is used for indentation"),
            ("a: 1\r\nb: 2\rc: d: e\n", "a carriage return stands alone"),
            ("a: [1, 2\n", "unclosed bracket"),
            (&bomb, "the file stands for more than 50000 values"),
            (&wide, "the file stands for more than 50000 values"),
            ("a: &a [*a]\n", "an anchor that contains itself has no end"),
            ("a: *b\n", "a text that begins with `*` is an alias to YAML"),
            (&deep, "lists and maps are nested more than 40 deep"),
            ("a: 1\n---\nb: 2\n", "a second document begins here"),
            ("a: {{ b }} c\n", "an unquoted `{{ … }}` is a map to YAML, and no text can go on after it"),
            ("a: \u{0}\n", "unexpected character"),
        ];
        for (text, expected) in cases {
            let problem = parse("t.yaml", text).expect_err(text);
            assert!(problem.what.contains(expected), "{problem}");
            assert!(problem.help.is_some(), "{problem}");
        }
        // Lines may end as Windows ends them. A document may begin and end with its marks.
        assert!(parse("t.yaml", "a: 1\r\nb: 2\r\n").is_ok());
        assert!(parse("t.yaml", "---\na: 1\n...\n").is_ok());
        let huge = "a".repeat(FILE_BYTES_MAX + 1);
        assert!(parse("t.yaml", &huge).expect_err("too large").what.contains("bytes"));
    }
}
