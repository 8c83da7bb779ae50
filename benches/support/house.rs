//! The configurations that the benches run with: people, rooms, runbooks, as the files that a team would write.

use std::fs;
use std::path::Path;

use tminus::settings::{Files, Settings};

use super::Outcome;

/// The files of a configuration, by their paths.
pub struct House {
    files: Vec<(String, String)>,
}

impl House {
    /// So many people, of whom `p000` owns everything; so many rooms, and the runbooks, by name.
    pub fn new(people: usize, rooms: usize, runbooks: Vec<(String, String)>) -> Self {
        let persons: String = (0..people).map(|n| format!("  {}: {{ name: {} }}\n", person(n), name(n))).collect();
        let all: Vec<String> = (0..people).map(person).collect();
        let some = |count: usize| all.iter().skip(1).take(count).cloned().collect::<Vec<_>>().join(", ");
        let (crew, voters) = (some(CREW), some(VOTERS));
        let people = format!("people:\n{persons}teams:\n  all: [{}]\n  crew: [{crew}]\n  voters: [{voters}]\n", all.join(", "));
        let rooms: String = (0..rooms).map(|n| format!("  {}: {{ local: true }}\n", room(n))).collect();
        let tminus = format!("rooms:\n{rooms}addresses:\n  watch: {{ slack: C0WATCH001, email: [watch@example.com] }}\n");
        let message = "---\nsubject: \"{{ rollout.title }}\"\n---\nThe update to version {{ version }} goes on. Whoever sees \
                       something out of the ordinary says so in the room of the rollout, where everybody who can help reads it.\n";
        let fixed = [
            ("config/people.yaml".to_owned(), people),
            ("config/tminus.yaml".to_owned(), tminus),
            ("messages/news.md".to_owned(), message.to_owned()),
        ];
        let runbooks = runbooks.into_iter().map(|(name, text)| (format!("config/runbooks/{name}.yaml"), text));
        Self { files: fixed.into_iter().chain(runbooks).collect() }
    }

    /// Typed, as the program reads it.
    pub fn settings(&self) -> Outcome<Settings> {
        Files::of(self.files.iter().cloned()).settings().map_err(|unusable| format!("{unusable}").into())
    }

    /// As files below a folder, for the real program.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        for (path, text) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
            fs::write(path, text)?;
        }
        Ok(())
    }
}

/// How many people a team for an everyday roster has.
pub const CREW: usize = 20;
/// How many vote.
pub const VOTERS: usize = 5;

pub fn person(number: usize) -> String {
    format!("p{number:04}")
}

/// A full name: some share the first one, all differ.
fn name(number: usize) -> String {
    const FIRST: [&str; 8] = ["Maria", "Ines", "Tom", "Ana", "Raj", "Li", "Sam", "Noor"];
    let first = FIRST[number % FIRST.len()];
    // Every second one has a first name of their own.
    if number.is_multiple_of(2) { format!("{first} Family{number}") } else { format!("{first}{number} Family") }
}

pub fn room(number: usize) -> String {
    format!("room-{number:02}")
}

/// A runbook that calls the roll of everybody, so many times side by side.
pub fn roll_call(name: &str, room: &str, steps: usize) -> (String, String) {
    let steps: String =
        (0..steps).map(|n| format!("      - {{ acknowledge: 'You know of part {n}', id: part_{n}, from: [all] }}\n")).collect();
    let text = format!(
        "runbook: {name}\ntitle: Roll call {{{{ version }}}}\ninputs:\n  version: {{ label: Version, positional: true, example: '1' }}\n\
         people:\n  owner: [{owner}]\nrooms: [{room}]\nphases:\n  - phase: roll\n    parallel: true\n    steps:\n{steps}",
        owner = person(0),
    );
    (name.to_owned(), text)
}

/// A runbook of an everyday update: two rosters, sixteen tasks, a question, a vote, three announcements; some 200 events. It
/// takes place in one room.
pub fn update(name: &str, room: &str) -> (String, String) {
    let task = |number: usize, phase: &str| {
        format!(
            "      - task: 'Look at part {number} of the {phase}'\n        id: {phase}_{number}\n        items: ['The first thing', 'The \
             second thing', 'The third thing', 'The fourth thing']\n        help: What to look for stands in the handbook.\n        \
             takes: 10m\n"
        )
    };
    let tasks = |phase: &str, count: usize| (0..count).map(|number| task(number, phase)).collect::<String>();
    let text = format!(
        "runbook: {name}
title: Update {{{{ version }}}}
timezone: Europe/Berlin
inputs:
  version: {{ label: Version, positional: true, example: '1' }}
  window: {{ label: Window, type: window }}
people:
  owner: [{owner}]
rooms: [{room}]
audiences:
  watch: [{{ to: 'email:watch', must: true }}, {{ to: 'slack:watch', must: true }}]
phases:
  - phase: ready
    title: Getting ready
    steps:
      - {{ acknowledge: You know of the update, id: aware, from: [crew] }}
      - {{ announce: news, id: begins, to: [watch] }}
{ready}      - ask: How large is it?
        id: size
        fields: {{ hosts: {{ label: Hosts, type: number }} }}
  - phase: asked
    title: Everybody is asked
    steps:
      - {{ acknowledge: You have what you need, id: equipped, from: [crew] }}
  - phase: cutover
    title: Cutover
    at: T-0
    steps:
      - {{ announce: news, id: runs, to: [watch] }}
{cutover}      - {{ decide: Are we GO?, id: go, voters: [voters], rule: unanimous }}
      - {{ announce: news, id: over, to: [watch] }}
",
        owner = person(0),
        ready = tasks("ready", 18),
        cutover = tasks("cutover", 1),
    );
    (name.to_owned(), text)
}

/// A runbook whose phases open by themselves, so many seconds apart, and settle by themselves.
pub fn phases_in_time(name: &str, room: &str, phases: u32, apart_seconds: u32) -> (String, String) {
    let phase = |number: u32| {
        let at = number * apart_seconds;
        format!(
            "  - phase: phase_{number}\n    at: T+{at}s\n    steps:\n      - {{ let: value_{number}, value: '{number}', id: let_{number} }}\n"
        )
    };
    let text = format!(
        "runbook: {name}\ntitle: Clockwork {{{{ version }}}}\ninputs:\n  version: {{ label: Version, positional: true, example: '1' }}\n  \
         window: {{ label: Window, type: window }}\npeople:\n  owner: [{owner}]\nrooms: [{room}]\nphases:\n{phases}",
        owner = person(0),
        phases = (0..phases).map(phase).collect::<String>(),
    );
    (name.to_owned(), text)
}
