//! The window's clock on the card, and evidence for who decides.

use chrono::TimeDelta;
use tminus::domain::conversation::voice::Voice;
use tminus::domain::conversation::window::{next_refresh, window_line};
use tminus::domain::message::card::card;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::event::NoteKind;

use crate::support::{Table, ack, done, run, utc};

const YAML: &str = "
runbook: test
people: { owner: maria, crowd: [ines, tom, ana, raj, li] }
inputs: { window: { type: window } }
phases:
  - phase: go
    at: T-0
    back-off: back
    steps:
      - { run: ci.command.a, id: a, with: { argv: [a] }, press: owner, takes: 10m }
      - { task: Look, id: look, takes: 4m }
      - { decide: Are we good?, id: good, voters: [maria], evidence: [a, look] }
      - { result: succeeded, id: ok }
  - phase: back
    if: backed_off('go')
    steps: [{ run: ci.command.b, id: b, with: { argv: [b] }, takes: 6m }]
";

fn line(table: &Table) -> Option<String> {
    window_line(&Voice { state: &table.state, people: &table.people, now: table.now })
}

fn shown(table: &Table) -> String {
    card(&table.state, &table.people, table.now, &|_| None).markdown()
}

#[test]
fn the_card_says_what_is_left_of_the_window_and_by_when_to_decide() {
    let mut table = Table::of(YAML, &[("window", "2026-11-20 13:00 for 30m")]);
    assert_eq!(line(&table), None, "before T-0 the distance is enough");
    table.until("2026-11-20T13:00:00Z");
    table.outside_does_its_part();
    assert_eq!(
        line(&table).as_deref(),
        Some("30m left of the window; remaining steps about 14m, way back about 6m: decide by 13:24 UTC")
    );
    table.does("maria", run("a"));
    let requested = table.state.clone();
    table.passes(TimeDelta::minutes(4));
    assert_eq!(requested.values, table.state.values);
    table.outside_does_its_part();
    // What is done is not ahead any more.
    assert_eq!(
        line(&table).as_deref(),
        Some("26m left of the window; remaining steps about 4m, way back about 6m: decide by 13:24 UTC")
    );
    table.until("2026-11-20T13:24:00Z");
    assert!(line(&table).expect("a line").ends_with("way back about 6m: **decide now**"));
    table.until("2026-11-20T13:42:00Z");
    assert_eq!(line(&table).as_deref(), Some("**The window is over since 12m**; remaining steps about 4m"));
    assert!(shown(&table).contains("The window is over since 12m"));
    // A window without an end leaves nothing.
    let mut table = Table::of(YAML, &[("window", "2026-11-20 13:00")]);
    table.until("2026-11-20T13:10:00Z");
    assert_eq!(line(&table), None);
}

#[test]
fn a_window_in_which_clocks_change_is_as_long_as_it_says_and_its_phases_come_by_the_real_clock() {
    let phases = "
runbook: test
timezone: America/New_York
people: { owner: maria }
inputs: { window: { type: window } }
phases:
  - { phase: start, at: T-0, steps: [{ task: Begin, id: begin }] }
  - { phase: after, at: T+90m, steps: [{ task: Go on, id: go_on }, { task: Look, id: look }] }
";
    for (window, starts, after, said, left) in [
        // Clocks go back at two: the first one o'clock, and ninety minutes later it is half past one for the second time.
        ("2027-11-07 01:00 for 3h", "2027-11-07T05:00:00Z", "2027-11-07T06:30:00Z", "01:30 EST", "1h 30m left of the window"),
        // Clocks go forward at two: half past one, and ninety minutes later it is four.
        ("2027-03-14 01:30 for 2h", "2027-03-14T06:30:00Z", "2027-03-14T08:00:00Z", "04:00 EDT", "30m left of the window"),
    ] {
        let mut table = Table::of(phases, &[("window", window)]);
        assert_eq!(table.state.window().expect("a window").starts, utc(starts), "{window}");
        table.until(starts);
        assert_eq!(table.open(), ["begin"], "{window}");
        assert!(shown(&table).contains(said), "what is next is said with its zone: {}", shown(&table));
        table.does("maria", done("begin", &[]));
        table.now = utc(after) - TimeDelta::seconds(1);
        assert_eq!(table.give(None, CommandBody::Wake).expect("it only looks"), [], "{window}");
        table.until(after);
        assert_eq!(table.open(), ["go_on"], "{window}");
        assert!(line(&table).expect("a line").starts_with(left), "{window}: {:?}", line(&table));
    }
}

#[test]
fn who_decides_sees_what_came_out_what_was_recorded_and_what_is_still_a_problem() {
    let mut table = Table::of(YAML, &[("window", "2026-11-20 13:00 for 30m")]);
    table.until("2026-11-20T13:00:00Z");
    table.outside_does_its_part();
    table.does("maria", run("a"));
    table.outside_does_its_part();
    table.does("maria", done("look", &[]));
    let note = |text: &str, kind| CommandBody::AddNote { text: text.into(), kind };
    table.does("tom", note("the old one is solved", NoteKind::Problem));
    table.does("tom", note("it was the cache", NoteKind::Resolution));
    table.does("ana", note("latency doubled", NoteKind::Problem));
    let card = shown(&table);
    assert!(card.contains("Evidence: “command.a on ci” done in 0s (BlueStackId: )"), "{card}");
    assert!(card.contains("**Problem** noted by Ana at 13:00 UTC: latency doubled"), "{card}");
    assert!(!card.contains("**Problem** noted by Tom"), "{card}");
}

#[test]
fn the_card_is_made_anew_at_the_moments_people_look_for() {
    let mut table = Table::of(YAML, &[("window", "2026-11-22 13:00 for 30m")]);
    let starts = utc("2026-11-22T13:00:00Z");
    let mut moments = Vec::new();
    while let Some(at) = next_refresh(&table.state, table.now) {
        moments.push((starts - at).num_seconds());
        table.now = at;
    }
    assert_eq!(moments, [86_400, 14_400, 3600, 900, 300, 60, 0]);
    table.does("maria", CommandBody::Abort { reason: "no".into(), generation: None });
    assert!(table.state.ended.is_some());
    assert_eq!(next_refresh(&table.state, starts - TimeDelta::days(2)), None, "what is over is not looked at by the clock");
}

#[test]
fn a_long_roster_names_who_is_awaited_and_a_very_long_one_the_first() {
    let everybody = |count: usize| {
        let people: Vec<String> = (0..count).map(|n| format!("  p{n:03}: {{ name: Person {n:03} }}\n")).collect();
        let people = people.concat();
        let crowd = (0..count).map(|n| format!("p{n:03}")).collect::<Vec<_>>().join(", ");
        let yaml = format!(
            "runbook: test\npeople: {{ owner: p000, crowd: [{crowd}] }}\nphases: [{{ phase: one, steps: [{{ acknowledge: Know, from: [crowd] }}] }}]\n"
        );
        let files = tminus::settings::Files::default()
            .with("config/people.yaml", &format!("people:\n{people}"))
            .with("config/runbooks/test.yaml", &yaml);
        let settings = files.settings().unwrap_or_else(|unusable| panic!("{unusable}"));
        let runbook = tminus::domain::runbook::model::Runbook::clone(&settings.runbooks["test"]);
        let mut table = Table::start(&settings, runbook, &[]);
        for n in 0..3 {
            table.does(&format!("p{n:03}"), ack());
        }
        shown(&table)
    };
    let short = everybody(20);
    assert!(short.contains("☑ Person") && short.contains("crowd (3 of 20)"), "{short}");
    let long = everybody(21);
    assert!(long.contains("crowd (3 of 21): awaited: Person 003, Person 004"), "{long}");
    assert!(!long.contains("more") && !long.contains('☑'), "{long}");
    let longer = everybody(70);
    assert!(longer.contains("crowd (3 of 70)") && longer.contains(", and 52 more"), "{longer}");
}
