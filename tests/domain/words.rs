//! What T-minus says by itself, and what a team says instead.

use chrono::TimeDelta;
use tminus::domain::conversation::voice::Voice;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::runbook::model::Runbook;
use tminus::settings::Files;

use crate::support::{Table, answer, done};

const YAML: &str = "
runbook: test
title: 'Move {{ version }}'
people: { owner: maria }
inputs: { version: { default: '4.3' }, window: { type: window } }
audiences: { all: ['slack:andromeda-preproduction-watch'] }
phases:
  - phase: work
    title: 'Working on {{ version }}'
    steps:
      - { task: First things first, id: first, who: [tom], takes: 10m, remind: 1h }
      - { task: 'Then {{ version }}', id: then, takes: 20m }
      - { acknowledge: You know, id: know, from: [ana], due: 30m }
    during:
      - { announce: update, to: [all], every: 30m, id: how }
  - { phase: tidy, title: Tidying up, at: T+1h, steps: [{ task: Tidy, id: tidy_it }] }
";

fn table(messages: &[(&str, &str)]) -> Table {
    let files = messages.iter().fold(Files::embedded().with("config/runbooks/test.yaml", YAML), |files, (name, text)| {
        files.with(&format!("messages/{name}.md"), text)
    });
    let settings = files.settings().unwrap_or_else(|unusable| panic!("{unusable}"));
    let runbook = Runbook::clone(&settings.runbooks["test"]);
    Table::start(&settings, runbook, &[("version", "4.3"), ("window", "2026-11-20 13:00")])
}

#[test]
fn stakeholders_hear_where_it_is_what_was_done_and_what_is_next() {
    let mut table = table(&[]);
    assert!(table.outside_does_its_part().is_empty(), "it has only just begun");
    table.passes(TimeDelta::minutes(30));
    let said = table.outside_does_its_part();
    assert_eq!(
        said,
        ["slack:andromeda-preproduction-watch: **Test**: Working on 4.3, 0 of 5 steps settled. \
          Next: Then 4.3. Expected end: 2026-11-20 13:00 UTC."]
    );
    table.passes(TimeDelta::minutes(5));
    table.does("maria", done("first", &[]));
    table.passes(TimeDelta::minutes(25));
    let said = table.outside_does_its_part();
    assert!(said[0].contains("1 of 5 steps settled. Since the last update: First things first. Next: You know."), "{said:?}");
    // Only what is new is news.
    table.passes(TimeDelta::minutes(30));
    let said = table.outside_does_its_part();
    assert!(said.len() == 1 && !said[0].contains("Since the last update"), "{said:?}");
}

#[test]
fn a_phase_whose_questions_are_open_does_not_come_by_itself() {
    const ASKS: &str = "
runbook: test
people: { owner: maria }
inputs: { stack: { needed-by: prepare }, window: { type: window } }
phases:
  - { phase: one, steps: [{ task: First, id: first }] }
  - { phase: prepare, title: Change Preparation, at: T-1h, steps: [{ task: Then, id: then }] }
";
    let next = |table: &Table| Voice { state: &table.state, people: &table.people, now: table.now }.next_by_itself();
    let mut table = Table::of(ASKS, &[("window", "2026-11-20 18:00")]);
    table.does("maria", done("first", &[]));
    assert_eq!(table.open(), ["prepare_inputs"]);
    let asked = next(&table).expect("something");
    assert!(asked.contains("17:00 UTC “Change Preparation”, once “") && asked.contains("” is answered (in "), "{asked}");
    table.does("maria", answer("prepare_inputs", &[("stack", "blue-17")]));
    let known = next(&table).expect("something");
    assert!(known.contains("17:00 UTC “Change Preparation” (in "), "{known}");
}

#[test]
fn a_team_says_it_in_its_own_words() {
    let reminder = "{{ rollout.awaited }}, “{{ rollout.step }}” still waits in {{ rollout.id }}.";
    let mut table = table(&[
        ("needed", "Please: {{ rollout.step }}{% if rollout.due %} by {{ rollout.due }}{% endif %}."),
        ("reminder", reminder),
        ("retimed", "It is {{ window }} now."),
        ("update", "We are in {{ rollout.phase }}."),
    ]);
    table.passes(TimeDelta::minutes(30));
    let said = table.outside_does_its_part();
    assert_eq!(said, ["slack:andromeda-preproduction-watch: We are in Working on 4.3."]);
    table.passes(TimeDelta::minutes(31));
    table.outside_does_its_part();
    assert!(
        table.written_to.contains(&"person:tom: Tom, “First things first” still waits in r.".to_owned()),
        "{:?}",
        table.written_to
    );
    table.does("maria", done("first", &[]));
    table.does("maria", done("then", &[]));
    table.outside_does_its_part();
    assert!(
        table.written_to.last().is_some_and(|text| text == "person:ana: Please: You know by 2026-11-20 13:31 UTC."),
        "{:?}",
        table.written_to
    );
    table.does("maria", CommandBody::Reschedule { text: "2026-11-20 15:00".into() });
    table.outside_does_its_part();
    assert!(table.written_to.iter().any(|text| text == "person:ana: It is 2026-11-20 15:00 UTC now."), "{:?}", table.written_to);
}

#[test]
fn own_words_are_checked_like_announcements() {
    let files = Files::embedded().with("config/runbooks/test.yaml", YAML).with("messages/reminder.md", "{{ rollout.stepp }}");
    let problems: Vec<String> = files.check().problems.iter().map(|problem| problem.render(files.text(&problem.file))).collect();
    assert!(
        problems.iter().any(|said| said.contains("messages/reminder.md:1") && said.contains("did you mean `step`?")),
        "{problems:?}"
    );
}
