//! Configurations: a runbook, the people, the settings and messages, as somebody wrote them. Whatever `check` accepts can be started.
//!
//! A line `=== PATH` begins a file; what stands before the first one is a runbook.

use std::collections::BTreeMap;

use tminus::domain::problem::Severity;
use tminus::domain::runbook::model::Runbook;
use tminus::settings::Files;

use super::bounds::timed;
use super::stage::{Luck, Stage};

/// Where a text without a path is put.
const RUNBOOK: &str = "config/runbooks/small.yaml";
/// How many files an input has at most.
const FILES_MAX: usize = 16;
/// How many problems of one file are said: 200 errors, one line that there are more, and warnings.
const ERRORS_MAX: usize = 201;
/// How far what was accepted is played.
const MOVES_MAX: usize = 40;

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut texts = BTreeMap::from([
        ("config/people.yaml".to_owned(), include_str!("../stages/people.yaml").to_owned()),
        ("config/tminus.yaml".to_owned(), include_str!("../stages/tminus.yaml").to_owned()),
        ("messages/notice.md".to_owned(), include_str!("../stages/notice.md").to_owned()),
    ]);
    texts.extend(files(&text));
    let files = Files::of(texts.clone());
    let checked = timed("checking", || files.check());
    let mut errors = BTreeMap::<&str, usize>::new();
    timed("saying what is wrong", || {
        for problem in &checked.problems {
            let source = texts.get(&problem.file);
            let rendered = problem.render(source.map(String::as_str));
            assert!(!rendered.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "it steers a terminal: {rendered:?}");
            let lines = source.map_or(0, |text| text.lines().count());
            assert!(problem.place.line <= lines + 1, "there is no line {} in {lines}: {problem}", problem.place.line);
            if problem.severity == Severity::Error {
                *errors.entry(problem.file.as_str()).or_default() += 1;
            }
        }
    });
    if let Some((file, count)) = errors.iter().find(|(_, count)| **count > ERRORS_MAX * 2) {
        panic!("{count} errors of {file}");
    }
    assert_eq!(files.settings().is_ok(), errors.is_empty(), "it can be used, or there is an error");
    if !errors.is_empty() {
        return;
    }
    for runbook in checked.settings.runbooks.values() {
        let written = serde_json::to_string(runbook).expect("a runbook has a JSON form");
        let read: Runbook = serde_json::from_str(&written).expect("a runbook reads back");
        assert!(read == **runbook, "a runbook is not what was written");
        timed("a start, and what follows", || play(Stage::start(&checked.settings, runbook, "maria")));
    }
}

fn play(mut stage: Stage) {
    for _ in 0..MOVES_MAX {
        if !stage.outside(Luck::Good) && !stage.next_moment() {
            break;
        }
    }
    stage.assert_whole();
}

fn files(text: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let (mut path, mut content) = (RUNBOOK.to_owned(), String::new());
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("=== ").filter(|_| files.len() < FILES_MAX) {
            Some(next) => {
                files.insert(std::mem::replace(&mut path, next.trim().to_owned()), std::mem::take(&mut content));
            }
            None => content.push_str(line),
        }
    }
    files.insert(path, content);
    files
}
