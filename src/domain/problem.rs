//! What is wrong with a file that people wrote, and where.

use std::fmt;

/// A place in a text: both from 1, columns in characters; `chars` is how much of the line is underlined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1. 0 where the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub chars: usize,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and is probably not what was meant.
    Warning,
}

/// One problem in one file. Checking returns all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path as the person knows it: `config/runbooks/andromeda-staging.yaml`.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, one sentence without a full stop.
    pub what: String,
    /// What would be right, if that can be said.
    pub help: Option<String>,
    /// How it comes about, where the place alone does not show it.
    pub note: Option<Box<str>>,
}

impl Problem {
    /// An error at a place.
    #[must_use]
    pub fn error(file: &str, place: Place, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place, severity: Severity::Error, what: what.into(), help: None, note: None }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem as a compiler would print it, with the offending line of `source` underlined.
    #[must_use]
    pub fn render(&self, source: Option<&str>) -> String {
        let label = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{label}: {}\n", visible(&self.what));
        if self.place.line == 0 {
            text.push_str(&format!(" --> {}\n", visible(&self.file)));
        } else {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            text.push_str(&format!("{margin}--> {}:{}:{}\n", visible(&self.file), self.place.line, self.place.column));
            if let Some(line) = source.and_then(|s| s.lines().nth(self.place.line - 1)) {
                let (line, before) = cut(&visible(line), self.place.column.saturating_sub(1));
                let room = line.chars().count().saturating_sub(before).max(1);
                // Tabs are kept so that the underline stands under the text in any terminal.
                let pad: String = line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                let underline = "^".repeat(self.place.chars.clamp(1, room));
                text.push_str(&format!("{margin} |\n{number} | {line}\n{margin} | {pad}{underline}\n"));
            }
        }
        for (label, said) in [("help", self.help.as_deref()), ("note", self.note.as_deref())] {
            if let Some(said) = said {
                text.push_str(&format!("  = {label}: {}\n", visible(said)));
            }
        }
        text
    }
}

/// A text as it can be shown: what would move the cursor or colour the terminal stands there as a sign of its own.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The part of a line that is worth showing, and where the column is in it.
fn cut(line: &str, column: usize) -> (String, usize) {
    /// Two lines of a wide terminal.
    const CHARS_MAX: usize = 240;
    /// How much of what stands before is shown.
    const BEFORE: usize = 60;
    let chars = line.chars().count();
    if chars <= CHARS_MAX {
        return (line.to_owned(), column);
    }
    let skipped = column.saturating_sub(BEFORE).min(chars);
    let part: String = line.chars().skip(skipped).take(CHARS_MAX).collect();
    let start = if skipped > 0 { "…" } else { "" };
    let end = if skipped + CHARS_MAX < chars { "…" } else { "" };
    (format!("{start}{part}{end}"), column - skipped + start.chars().count())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(None))
    }
}

/// The longest word that is compared with others, in bytes: comparing takes the product of both lengths, and what is longer is no slip.
const WORD_BYTES_MAX: usize = 100;

/// The name in `known` that `word` was probably meant to be.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Below this similarity a suggestion confuses more than it helps; found by trying typical slips.
    const SIMILARITY_MIN: f64 = 0.78;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .filter(|k| k.len() <= WORD_BYTES_MAX)
        .map(|k| (strsim::jaro_winkler(&word, &k.to_lowercase()), k))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// The names in `known` that are nearest to `word`, however far they are; of `Europe/Berlin`, its last part counts as well as the whole.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str], count: usize) -> Vec<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return known.iter().take(count).copied().collect();
    }
    let word = word.to_lowercase();
    let similar = |name: &str| {
        let name = name.to_lowercase();
        let last = name.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&word, &name).max(strsim::jaro_winkler(&word, last))
    };
    let mut found: Vec<(f64, &str)> = known.iter().map(|name| (similar(name), *name)).collect();
    // The sort is stable, so equals stay in their order.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(count).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_like_a_compiler() {
        let problem =
            Problem::error("a.yaml", Place { line: 2, column: 3, chars: 4 }, "unknown key `stpe`").help("did you mean `step`?");
        assert_eq!(
            problem.render(Some("x: 1\n  stpe: 2\n")),
            "error: unknown key `stpe`\n --> a.yaml:2:3\n  |\n2 |   stpe: 2\n  |   ^^^^\n  = help: did you mean `step`?\n"
        );
    }

    #[test]
    fn shows_the_part_of_a_long_line_and_nothing_that_moves_the_cursor() {
        let line = format!("{}\u{1b}[31mstpe{}", "x".repeat(500), "y".repeat(500));
        let said = Problem::error("a.yaml", Place { line: 1, column: 506, chars: 4 }, "what\u{7}").render(Some(&line));
        let shown = said.lines().nth(3).unwrap();
        assert!(shown.starts_with("1 | …xxx") && shown.ends_with("yyy…") && shown.chars().count() < 260, "{said}");
        let mark = said.lines().nth(4).unwrap().find('^').unwrap();
        assert_eq!(shown.chars().skip(mark).take(4).collect::<String>(), "stpe", "{said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said}");
    }

    #[test]
    fn suggests_only_what_is_close() {
        assert_eq!(did_you_mean("strat", ["start", "status", "go"]), Some("start"));
        assert_eq!(did_you_mean("xyzzy", ["start", "status", "go"]), None);
        // What is very long is not compared at all.
        let long = "a".repeat(WORD_BYTES_MAX + 1);
        assert_eq!(did_you_mean(&long, [long.as_str()]), None);
        assert_eq!(did_you_mean("start", [long.as_str(), "start"]), Some("start"));
    }

    #[test]
    fn of_many_only_the_nearest_are_said() {
        let zones: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        assert_eq!(nearest("berlin", &zones, 4)[0], "Europe/Berlin");
        assert_eq!(nearest("New_York", &zones, 1), ["America/New_York"]);
        assert_eq!(nearest("", &["a", "b"], 3), ["a", "b"]);
    }
}
