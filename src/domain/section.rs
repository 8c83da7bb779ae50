//! Reading a map key by key: what is there, what is missing, what was misspelt; every problem is collected.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::problem::{Place, Problem, Severity, did_you_mean, nearest};
use super::yaml::{Node, Value};

/// How many errors of one file are said: nobody mends more of them at once.
const ERRORS_MAX: usize = 200;

/// How many known names are said where none is near.
const KNOWN_SAID_MAX: usize = 40;
/// How many of more than these are said.
const KNOWN_NEAR_MAX: usize = 4;

/// The problems of one file, as they are found.
#[derive(Debug)]
pub struct Report {
    file: String,
    problems: RefCell<Vec<Problem>>,
    errors: Cell<usize>,
}

impl Report {
    /// An empty report on a file.
    #[must_use]
    pub fn on(file: &str) -> Self {
        Self { file: file.to_owned(), problems: RefCell::default(), errors: Cell::default() }
    }

    /// Notes a problem.
    pub fn error(&self, place: Place, what: impl Into<String>) {
        self.note(Problem::error(&self.file, place, what));
    }

    /// Notes a problem and what would be right.
    pub fn error_help(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        self.note(Problem::error(&self.file, place, what).help(help));
    }

    fn note(&self, problem: Problem) {
        let errors = self.errors.get();
        match errors.cmp(&ERRORS_MAX) {
            Ordering::Less => self.problems.borrow_mut().push(problem),
            Ordering::Equal => {
                let what = format!("there are more than {ERRORS_MAX} errors; the others are not said");
                self.problems.borrow_mut().push(Problem::error(&self.file, Place::default(), what));
            }
            Ordering::Greater => return,
        }
        self.errors.set(errors + 1);
    }

    /// Notes what can be used and is probably not what was meant.
    pub fn warning_help(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        let problem = Problem { severity: Severity::Warning, ..Problem::error(&self.file, place, what) };
        self.problems.borrow_mut().push(problem.help(help));
    }

    /// Notes that a name is not known, with the nearest one that is.
    pub fn unknown<'a>(&self, place: Place, what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) {
        if self.errors.get() > ERRORS_MAX {
            return;
        }
        let known: Vec<&str> = known.into_iter().collect();
        let problem = Problem::error(&self.file, place, format!("unknown {what} `{name}`"));
        let help = match did_you_mean(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("no {what} is defined"),
            // Of hundreds, nobody reads the list.
            None if known.len() > KNOWN_SAID_MAX => {
                let near = nearest(name, &known, KNOWN_NEAR_MAX);
                format!("{} are known; the nearest are {}", known.len(), near.join(", "))
            }
            None => format!("known: {}", known.join(", ")),
        };
        self.note(problem.help(help));
    }

    /// The file it is on.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Notes what `check` notes, changed: it stands in another file.
    pub fn elsewhere(&self, check: impl FnOnce(), change: impl FnMut(&mut Problem)) {
        let before = self.problems.borrow().len();
        check();
        self.problems.borrow_mut().iter_mut().skip(before).for_each(change);
    }

    /// Whether no error was noted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.get() == 0
    }

    /// What was noted, in the order of the file.
    #[must_use]
    pub fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems
    }
}

/// A text and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Located<'n> {
    /// The text.
    pub text: &'n str,
    /// Where it stands.
    pub place: Place,
}

/// A map being read.
#[derive(Debug)]
pub struct Section<'n, 'r> {
    /// Where problems go.
    pub report: &'r Report,
    /// Where the map begins.
    pub place: Place,
    what: &'static str,
    pairs: &'n [(Node, Node)],
    taken: BTreeSet<&'static str>,
}

impl<'n, 'r> Section<'n, 'r> {
    /// Begins to read a map; `what` names it in messages ("a phase"). Anything else is a problem.
    #[must_use]
    pub fn open(report: &'r Report, node: &'n Node, what: &'static str) -> Option<Self> {
        match &node.value {
            Value::Map(_) if node.is_unquoted_template() => {
                unquoted(report, node.place);
                None
            }
            Value::Map(pairs) => Some(Self { report, place: node.place, what, pairs, taken: BTreeSet::new() }),
            _ => {
                report.error(node.place, format!("{what} is written as a map, this is {}", node.kind()));
                None
            }
        }
    }

    /// The value of a key, which is known from then on.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.taken.insert(key);
        self.pairs.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    /// Whether a key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(k, _)| k.text() == Some(key))
    }

    /// Whether a key is there; it is known from then on.
    pub fn given(&mut self, key: &'static str) -> bool {
        self.take(key).is_some()
    }

    /// The keys that are there, and where.
    pub fn keys(&self) -> impl Iterator<Item = (&'n str, Place)> + use<'n> {
        self.pairs.iter().filter_map(|(key, _)| Some((key.text()?, key.place)))
    }

    /// The place of a key itself.
    #[must_use]
    pub fn key_place(&self, key: &str) -> Place {
        self.pairs.iter().find(|(k, _)| k.text() == Some(key)).map_or(self.place, |(k, _)| k.place)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<Located<'n>> {
        let node = self.take(key)?;
        text_of(self.report, node, key)
    }

    /// A text that must be there.
    pub fn needed(&mut self, key: &'static str) -> Option<Located<'n>> {
        if !self.has(key) {
            self.taken.insert(key);
            self.report.error(self.place, format!("{} needs `{key}`", self.what));
            return None;
        }
        self.text(key)
    }

    /// One text, or a list of texts.
    pub fn texts(&mut self, key: &'static str) -> Vec<Located<'n>> {
        self.take(key).map(|node| texts_of(self.report, node, key)).unwrap_or_default()
    }

    /// `true` or `false`; false when it is not there.
    pub fn flag(&mut self, key: &'static str) -> bool {
        self.flag_or(key, false)
    }

    /// `true` or `false`, with what holds when it is not there.
    pub fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        let Some(located) = self.text(key) else { return default };
        match located.text {
            "true" => true,
            "false" => false,
            other => {
                self.report.error(located.place, format!("`{key}` is `true` or `false`, not `{other}`"));
                default
            }
        }
    }

    /// The named values of a map: `people: { owner: … }`.
    pub fn entries(&mut self, key: &'static str) -> Vec<(Located<'n>, &'n Node)> {
        self.take(key).map(|node| entries_of(self.report, node, key)).unwrap_or_default()
    }

    /// The items of a list.
    pub fn items(&mut self, key: &'static str) -> &'n [Node] {
        match self.take(key) {
            Some(Node { value: Value::List(items), .. }) => items,
            Some(Node { value: Value::Empty, .. }) | None => &[],
            Some(node) => {
                self.report.error(node.place, format!("`{key}` is a list, this is {}", node.kind()));
                &[]
            }
        }
    }

    /// Ends the reading: keys that nobody took are unknown, or, when listed in `later`, not supported yet.
    pub fn close(self, later: &[&str]) {
        for (key, _) in self.pairs {
            match key.text() {
                Some(name) if self.taken.contains(name) => {}
                Some(name) if later.contains(&name) => self.report.error_help(
                    key.place,
                    format!("`{name}` of {} is not supported by this version", self.what),
                    "take it out for now; nothing in a runbook is ever ignored",
                ),
                Some(name) => self.report.unknown(
                    key.place,
                    &format!("key in {}", self.what),
                    name,
                    self.taken.iter().copied().chain(later.iter().copied()),
                ),
                None => self.report.error(key.place, format!("a key of {} is a text, this is {}", self.what, key.kind())),
            }
        }
    }
}

/// The text of a node, or a problem.
#[must_use]
pub fn text_of<'n>(report: &Report, node: &'n Node, key: &str) -> Option<Located<'n>> {
    match &node.value {
        Value::Text(text) if !text.trim().is_empty() => Some(Located { text, place: node.place }),
        Value::Map(_) if node.is_unquoted_template() => {
            unquoted(report, node.place);
            None
        }
        Value::Empty | Value::Text(_) => {
            report.error(node.place, format!("`{key}` is empty"));
            None
        }
        _ => {
            report.error(node.place, format!("`{key}` is a text, this is {}", node.kind()));
            None
        }
    }
}

/// The texts of a node: one, or a list.
#[must_use]
pub fn texts_of<'n>(report: &Report, node: &'n Node, key: &str) -> Vec<Located<'n>> {
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| text_of(report, item, key)).collect(),
        _ => text_of(report, node, key).into_iter().collect(),
    }
}

/// The named values of a map node.
#[must_use]
pub fn entries_of<'n>(report: &Report, node: &'n Node, key: &str) -> Vec<(Located<'n>, &'n Node)> {
    match &node.value {
        Value::Map(pairs) if !node.is_unquoted_template() => {
            pairs.iter().filter_map(|(name, value)| Some((text_of(report, name, key)?, value))).collect()
        }
        Value::Map(_) => {
            unquoted(report, node.place);
            Vec::new()
        }
        Value::Empty => Vec::new(),
        _ => {
            report.error(node.place, format!("`{key}` is a map, this is {}", node.kind()));
            Vec::new()
        }
    }
}

/// The one slip of YAML that everybody makes with templates.
pub fn unquoted(report: &Report, place: Place) {
    report.error_help(place, "an unquoted `{{ … }}` is a map to YAML", "quote it: \"{{ … }}\"");
}
