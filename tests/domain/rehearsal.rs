//! Rehearsals: nothing is touched, and nothing leaves the rooms.

use tminus::domain::conversation::log::log_line;
use tminus::domain::message::card::card;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::effect::{Effect, effects};
use tminus::domain::rollout::event::Event;
use tminus::domain::rollout::state::EnvironmentStage;
use tminus::domain::runbook::model::Outcome;

use crate::support::{Table, ack, done};

const RUNBOOK: &str = "
runbook: test
environment: shop/staging
people: { owner: maria, crew: [ana] }
audiences: { watch: [slack:andromeda-preproduction-watch, email:andromeda-preproduction-watch] }
inputs: { version: { default: '4.3' } }
phases:
  - phase: one
    steps:
      - { acknowledge: Know, id: know, from: [crew] }
      - { announce: commencement, id: told, to: [watch] }
      - { run: ci.command.tests, with: { argv: [./tests.sh] }, id: tests }
      - { checklist: minimal, id: list, with: { service: web } }
      - { task: At last, id: last }
  - { phase: two, steps: [{ result: succeeded, id: good }] }
";

#[test]
fn nothing_is_owed_to_anybody_outside_and_every_action_is_pretended() {
    let mut table = Table::rehearsal_of(RUNBOOK, &[("version", "4.3")]);
    let leaves = |table: &Table| {
        effects(&table.state).into_iter().any(|effect| matches!(effect, Effect::Deliver(_) | Effect::ClaimEnvironment { .. }))
    };
    assert!(!leaves(&table), "Ana is asked by name, and not written to");
    table.does("ana", ack());
    assert!(!leaves(&table));
    let owed = effects(&table.state);
    assert!(matches!(&owed[..], [Effect::Act(action)] if action.rehearsal), "{owed:?}");
    table.give(None, CommandBody::BeginAttempt { step: 2, attempt: 1 }).unwrap();
    let outcome = tminus::domain::rollout::event::ActionOutcome::Succeeded { outputs: serde_json::Map::new() };
    table.give(None, CommandBody::RecordAction { step: 2, attempt: 1, outcome }).unwrap();
    let owed = effects(&table.state);
    assert!(matches!(&owed[..], [Effect::StartChild(child)] if child.rehearsal), "its checklists are rehearsals: {owed:?}");
    assert_eq!(table.state.environment, EnvironmentStage::NotNeeded, "no environment was asked for");
    table.checklist_settles("list", Some(Outcome::Succeeded));
    table.does("maria", done("last", &[]));
    assert_eq!(table.state.result, Some(Outcome::Succeeded));
    assert!(
        !table.history.iter().any(|recorded| matches!(recorded.event, Event::EnvironmentClaimed | Event::DeliveryEnded { .. }))
    );
    assert_eq!(table.written_to, Vec::<String>::new());
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn the_words_stay_in_the_room_with_where_they_would_go() {
    let mut table = Table::rehearsal_of(RUNBOOK, &[("version", "4.3")]);
    table.does("ana", ack());
    let says = card(&table.state, &table.people, table.now, &|_| None).markdown();
    assert!(says.contains("REHEARSAL"), "the newest events are marked: {says}");
    let log: Vec<String> = table.history.iter().filter_map(|recorded| log_line(&table.state, &table.people, recorded)).collect();
    assert!(log.iter().all(|line| line.contains("REHEARSAL · ")), "{log:#?}");
    let announced = log.iter().find(|line| line.contains("“commencement”")).expect("the announcement");
    assert!(
        announced.contains(
            "would go to slack:andromeda-preproduction-watch, email:andromeda-preproduction-watch and stays here:\n\n> "
        ) && announced.contains("> Changeset 4.3 is commencing"),
        "{announced}"
    );
    let asked = log.iter().find(|line| line.contains("Ana would be written to, and is not:")).expect("the reminder");
    assert!(asked.contains("> You are needed in"), "{asked}");
    let report = tminus::domain::report::report(&table.state, &table.people);
    assert!(report.rehearsal);
    assert!(report.deliveries[0].contains("would have got it"), "{:?}", report.deliveries);
}

#[test]
fn what_needs_an_environment_is_refused_with_the_reason() {
    let mut table = Table::rehearsal_of(RUNBOOK, &[("version", "4.3")]);
    for body in [CommandBody::Lock, CommandBody::Unlock, CommandBody::TakeOver { reason: "x".into() }] {
        assert!(table.refused("maria", body.clone()).contains("is a rehearsal: it takes no environment"), "{body:?}");
    }
}

#[test]
fn a_correction_and_an_announcement_of_nobodys_step_stay_too() {
    let mut table = Table::rehearsal_of(RUNBOOK, &[("version", "4.3")]);
    table.does("ana", ack());
    table.does("maria", CommandBody::Announce { text: "soon".into(), audience: "watch".into() });
    table.does("maria", CommandBody::Correct { step: crate::support::named("told"), text: "later".into() });
    assert!(!effects(&table.state).iter().any(|effect| matches!(effect, Effect::Deliver(_))));
    let log: Vec<String> = table.history.iter().filter_map(|recorded| log_line(&table.state, &table.people, recorded)).collect();
    for words in ["an announcement would go to slack:", "a correction would go to slack:"] {
        assert!(log.iter().any(|line| line.contains(words)), "{words}: {log:#?}");
    }
}
