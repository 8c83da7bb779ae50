//! The environment before its time: taken early, given back, in line.

use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::effect::{Effect, effects};
use tminus::domain::rollout::event::{ActionOutcome, Event};
use tminus::domain::rollout::state::EnvironmentStage;

use crate::support::{Table, done, named};

const RUNBOOK: &str = "
runbook: test
environment: shop/staging
timezone: America/New_York
people: { owner: maria }
inputs: { window: { type: window } }
phases:
  - { phase: prepare, steps: [{ task: Prepare, id: ready }] }
  - { phase: change, at: T-0, steps: [{ run: ci.command.tests, with: { argv: [./tests.sh] }, id: tests }, { task: Look, id: look }] }
  - { phase: wrap, steps: [{ result: succeeded, id: good }, { task: Write it down, id: written }] }
";

fn table(window: &str) -> Table {
    Table::of(RUNBOOK, &[("window", window)])
}

fn claims(table: &Table) -> bool {
    effects(&table.state).iter().any(|effect| matches!(effect, Effect::ClaimEnvironment { .. }))
}

#[test]
fn the_environment_is_taken_and_given_back_before_its_time_by_whom_it_concerns() {
    let mut table = table("2026-11-26 10:00");
    assert!(table.refused("maria", CommandBody::Unlock).contains("does not hold shop/staging, and is not in line"));
    assert!(table.refused("ana", CommandBody::Lock).contains("Only Maria can take the environment before its time"));
    assert_eq!(table.does("maria", CommandBody::Lock), [Event::EnvironmentClaimed]);
    assert!(claims(&table));
    assert!(table.refused("maria", CommandBody::Lock).contains("r is in line for shop/staging already"));
    table.outside_does_its_part();
    assert!(table.refused("maria", CommandBody::Lock).contains("r holds shop/staging already"));
    assert!(table.refused("ana", CommandBody::Unlock).contains("Only Maria can give the environment back"));
    assert_eq!(table.does("maria", CommandBody::Unlock), [Event::EnvironmentGivenUp]);
    assert!(table.refused("maria", CommandBody::Unlock).contains("is being given back already"));
    table.outside_does_its_part();
    assert_eq!((table.state.environment, table.state.gives_up), (EnvironmentStage::NotNeeded, false));
    // Out of the line, too; and when its time comes it is asked for as always.
    table.does("maria", CommandBody::Lock);
    table.does("maria", CommandBody::Unlock);
    table.outside_does_its_part();
    table.does("maria", done("ready", &[]));
    assert_eq!(table.until("2026-11-26T15:00:00Z")[..1], [Event::EnvironmentClaimed]);
    assert!(table.refused("maria", CommandBody::Unlock).contains("needs shop/staging from here on"));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn what_was_taken_early_stays_when_its_time_has_come() {
    let mut table = table("2026-11-26 10:00");
    table.does("maria", CommandBody::Lock);
    table.outside_does_its_part();
    table.does("maria", done("ready", &[]));
    // Asked for like any other, so that a freeze counts that has begun since; granted at once to who has it.
    assert_eq!(table.until("2026-11-26T15:00:00Z"), [Event::EnvironmentNeeded]);
    assert!(table.refused("maria", CommandBody::Unlock).contains("needs shop/staging from here on"));
    let events = table.give(None, CommandBody::RecordEnvironmentGranted).unwrap();
    assert!(matches!(events[1], Event::PhaseOpened { phase: 1, .. }), "{events:?}");
    table.give(None, CommandBody::BeginAttempt { step: 1, attempt: 1 }).unwrap();
    assert!(table.refused("maria", CommandBody::Unlock).contains("is not given back while"));
    let outcome = ActionOutcome::Succeeded { outputs: serde_json::Map::new() };
    table.give(None, CommandBody::RecordAction { step: 1, attempt: 1, outcome }).unwrap();
    assert!(table.refused("maria", CommandBody::Unlock).contains("needs shop/staging from here on"));
}

#[test]
fn what_was_given_back_is_changed_by_no_reopening() {
    let mut table = table("2026-11-26 10:00");
    table.does("maria", done("ready", &[]));
    table.until("2026-11-26T15:00:00Z");
    table.outside_does_its_part();
    table.does("maria", done("look", &[]));
    table.outside_does_its_part();
    assert_eq!(table.state.environment, EnvironmentStage::Released);
    let reopen = |step: &str| CommandBody::ReopenStep { step: named(step), reason: "once more".into() };
    assert!(table.refused("maria", reopen("tests")).contains("shop/staging is not held any more"));
    // What people do is theirs to undo.
    table.does("maria", reopen("look"));
}

#[test]
fn no_phase_opens_in_an_environment_that_is_being_given_back() {
    let mut table = table("2026-11-26 10:00");
    table.does("maria", done("ready", &[]));
    for taken in [false, true] {
        table.does("maria", CommandBody::Lock);
        if taken {
            table.outside_does_its_part();
        }
        table.does("maria", CommandBody::Unlock);
        assert!(table.refused("maria", CommandBody::Lock).contains("is being given back; ask again in a moment"));
        if !taken {
            let takeover = CommandBody::TakeOver { reason: "mine".into() };
            assert!(table.refused("maria", takeover).contains("is being given back; ask again in a moment"));
            table.outside_does_its_part();
        }
    }
    assert_eq!(table.until("2026-11-26T15:00:00Z"), [], "the time has come, and the next in line may have it by now");
    let events = table.give(None, CommandBody::RecordEnvironmentReleased).unwrap();
    assert_eq!(events, [Event::EnvironmentReleased, Event::EnvironmentClaimed]);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn a_grant_that_crosses_the_giving_up_is_given_back_all_the_same() {
    let mut table = table("2026-11-26 10:00");
    table.does("maria", CommandBody::Lock);
    table.does("maria", CommandBody::Unlock);
    table.give(None, CommandBody::RecordEnvironmentGranted).unwrap();
    assert!(matches!(effects(&table.state)[..], [Effect::ReleaseEnvironment { .. }]));
    table.outside_does_its_part();
    assert_eq!(table.state.environment, EnvironmentStage::NotNeeded);
}

#[test]
fn what_needs_no_environment_has_nothing_to_lock() {
    let without = RUNBOOK.replace("environment: shop/staging\n", "");
    let mut table = Table::of(&without, &[("window", "2026-11-26 10:00")]);
    for body in [CommandBody::Lock, CommandBody::Unlock] {
        assert!(table.refused("maria", body).contains("r needs no environment"));
    }
}
