//! What leaves the straight road: skipping, reopening, waiving, giving away, backing off, fates nobody knows.

use chrono::TimeDelta;
use tminus::domain::message::card::card;
use tminus::domain::people::PersonId;
use tminus::domain::rollout::command::{Change, CommandBody};
use tminus::domain::rollout::event::{ActionOutcome, Choice, DeliveryOutcome, Event, Fate};
use tminus::domain::rollout::state::StepStatus;
use tminus::domain::runbook::model::Outcome;

use crate::support::{Table, ack, done, named, run, vote, vote_for};

const TASKS: &str = "
runbook: test
people: { owner: maria, crew: [ana, raj] }
audiences: { watch: [slack:andromeda-preproduction-watch, email:andromeda-preproduction-watch] }
inputs: { version: { default: '4.3' }, plan: { tentative: true } }
phases:
  - phase: one
    parallel: true
    steps:
      - { task: Must be done, id: must, who: crew }
      - { task: May be done, id: may, who: crew, required: false }
      - { acknowledge: Know, id: know, from: [changeset-team] }
      - { announce: commencement, id: told, to: [watch] }
  - { phase: two, steps: [{ task: At last, id: last }] }
";

fn table() -> Table {
    Table::of(TASKS, &[("version", "4.3")])
}

fn shown(table: &Table) -> String {
    card(&table.state, &table.people, table.now, &|_| None).markdown()
}

fn skip(step: &str, reason: &str) -> CommandBody {
    CommandBody::SkipStep { step: named(step), reason: reason.into() }
}

fn reopen(step: &str, reason: &str) -> CommandBody {
    CommandBody::ReopenStep { step: named(step), reason: reason.into() }
}

fn waive(whom: &str, reason: &str) -> CommandBody {
    CommandBody::Waive { whom: whom.into(), reason: reason.into() }
}

#[test]
fn an_optional_step_takes_one_person_and_a_required_one_two() {
    let mut table = table();
    assert!(table.refused("ana", skip("may", "")).contains("needs a reason"));
    assert!(table.refused("sam", skip("may", "no")).contains("is for Ana and Raj"));
    table.does("ana", skip("may", "nobody asked"));
    assert!(table.refused("ana", skip("must", "no")).contains("Only Maria can propose to skip a required step"));
    assert!(matches!(table.does("maria", skip("must", "no time"))[..], [Event::SkipProposed { .. }]));
    assert!(table.refused("maria", skip("must", "again")).contains("A second person has to agree"));
    let events = table.does("sam", skip("must", ""));
    assert!(
        matches!(&events[0], Event::StepSkipped { proposed_by: Some(by), reason, .. } if by.as_str() == "maria" && reason == "no time")
    );
    // What was skipped reads as nothing, and can be taken up again.
    assert!(!table.open().contains(&"must"));
    table.does("maria", reopen("must", "there is time after all"));
    assert!(table.open().contains(&"must"));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn a_proposal_to_skip_is_over_when_the_step_is_done_and_needs_the_owner_of_the_day() {
    let mut table = table();
    table.does("maria", skip("must", "not needed today"));
    table.does("maria", done("must", &[]));
    table.does("maria", reopen("must", "it is needed after all"));
    assert!(table.refused("sam", skip("must", "")).contains("needs a reason"), "nobody proposes it any more");
    table.does("maria", skip("must", "no time"));
    table.does("maria", CommandBody::HandOver { to: "ana".into() });
    assert!(table.refused("sam", skip("must", "")).contains("Only Ana can agree to skip it now"));
    table.does("ana", skip("must", ""));
}

#[test]
fn a_mistaken_done_is_undone_by_who_did_it_or_by_the_owner() {
    let mut table = table();
    table.does("ana", done("must", &[]));
    assert!(table.refused("raj", reopen("must", "no")).starts_with("Only Maria can reopen what somebody else completed"));
    assert!(table.refused("ana", reopen("must", " ")).contains("needs a reason"));
    table.does("ana", reopen("must", "wrong one"));
    assert!(table.open().contains(&"must"));
    assert!(table.refused("maria", reopen("told", "oops")).contains("`/rollout correct told TEXT` sends a correction"));
    assert!(table.refused("maria", reopen("last", "oops")).contains("it is not done"));
    // A phase that was settled is open again with its step, and what comes after waits for it.
    table.does("ana", done("must", &[]));
    table.does("ana", done("may", &[]));
    for person in ["ana", "raj", "li"] {
        table.does(person, ack());
    }
    table.outside_does_its_part();
    assert_eq!(table.open(), ["last"]);
    table.does("ana", reopen("must", "it was the other one"));
    assert_eq!(table.open(), ["must", "last"]);
    table.does("maria", done("last", &[]));
    assert_eq!(table.state.ended, None, "the first phase is open again");
    table.does("raj", done("must", &[]));
    assert!(table.state.ended.is_some());
}

#[test]
fn what_is_reopened_holds_up_everything_that_comes_after_it() {
    let yaml = "
runbook: test
people: { owner: maria }
inputs: { window: { type: window } }
phases:
  - { phase: one, steps: [{ task: First, id: first }] }
  - { phase: two, steps: [{ task: Second, id: second }] }
  - { phase: three, at: T-0, steps: [{ task: Third, id: third }] }
";
    let mut table = Table::of(yaml, &[("window", "2026-11-20 13:00")]);
    table.does("maria", done("first", &[]));
    table.does("maria", done("second", &[]));
    table.does("maria", reopen("first", "not confirmed"));
    assert_eq!(table.until("2026-11-20T13:00:00Z"), [], "its time has come, and something before it is open");
    table.does("maria", done("first", &[]));
    assert_eq!(table.open(), ["third"]);
    let report = tminus::domain::report::report(&table.state, &table.people);
    assert_eq!(report.course, ["2026-11-20 12:00 UTC: Maria Keller reopened “First”: not confirmed"]);
}

#[test]
fn steps_and_the_rollout_can_be_given_away() {
    let mut table = table();
    let assign = |to: &str| CommandBody::AssignStep { step: named("must"), to: to.into() };
    assert!(table.refused("sam", assign("sam")).contains("is for Ana and Raj"));
    assert_eq!(table.refused("ana", assign("lii")), "I don't know `lii`. Did you mean `li`?");
    table.does("ana", assign("Li"));
    assert!(table.refused("ana", done("must", &[])).contains("is for Li"));
    table.does("li", done("must", &[]));
    assert_eq!(table.refused("ana", CommandBody::HandOver { to: "ana".into() }), "Only Maria can hand it over.");
    table.does("maria", CommandBody::HandOver { to: "sam".into() });
    assert!(table.refused("maria", skip("may", "x")).contains("is for Ana and Raj"));
    table.does("sam", waive("li", "on leave"));
}

#[test]
fn the_owner_goes_on_without_who_is_awaited_and_without_what_did_not_arrive() {
    let mut table = table();
    assert_eq!(table.refused("ana", waive("li", "on leave")), "Only Maria can waive.");
    assert!(table.refused("maria", waive("li", "")).contains("needs a reason"));
    assert!(table.refused("maria", waive("sam", "x")).starts_with("Nothing waits for Sam by name."));
    table.does("ana", ack());
    table.does("raj", ack());
    table.does("maria", waive("li", "on leave"));
    assert!(!table.open().contains(&"know"));
    // One destination fails; the other has it.
    let sequence = table.state.announcements.iter().find(|a| a.step.is_some()).expect("issued").sequence;
    for (slot, outcome) in [
        (0, DeliveryOutcome::Failed { reason: "is_archived".into() }),
        (1, DeliveryOutcome::Delivered { reference: "1".into(), possibly_repeated: false }),
    ] {
        let body = CommandBody::RecordDelivery { announcement: sequence, slot, attempt: 1, outcome };
        table.give(None, body).expect("a receipt");
    }
    assert!(matches!(table.state.steps[3].status, StepStatus::Failed { .. }));
    assert!(
        table.refused("maria", waive("slack:andromeda", "x")).contains("Did you mean `slack:andromeda-preproduction-watch`?")
    );
    // Sent again, it fails again; then it is done without.
    let events = table.does("maria", run("told"));
    assert!(matches!(events[..], [Event::DeliveryRetried { slot: 0, attempt: 2, .. }]), "{events:?}");
    let again = CommandBody::RecordDelivery {
        announcement: sequence,
        slot: 0,
        attempt: 2,
        outcome: DeliveryOutcome::Failed { reason: "is_archived".into() },
    };
    table.give(None, again).expect("a receipt");
    table.does("maria", waive("slack:andromeda-preproduction-watch", "archived last week"));
    table.does("maria", run("told"));
    assert!(matches!(table.state.steps[3].status, StepStatus::Done { .. }), "{:?}", table.state.steps[3].status);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn what_was_announced_is_corrected_and_what_no_step_announces_is_announced() {
    let mut table = table();
    let correct = |text: &str| CommandBody::Correct { step: named("told"), text: text.into() };
    let announce = |text: &str, to: &str| CommandBody::Announce { text: text.into(), audience: to.into() };
    assert_eq!(table.refused("ana", correct("x")), "Only Maria can correct an announcement.");
    table.does("maria", correct("it is *tomorrow*"));
    assert!(table.refused("maria", announce("hello", "wach")).contains("Did you mean `watch`?"));
    table.does("maria", announce("back to normal", "watch"));
    let said = table.outside_does_its_part();
    assert!(said.contains(&"slack:andromeda-preproduction-watch: **Correction:** it is \\*tomorrow\\*".to_owned()), "{said:?}");
    assert!(said.contains(&"email:andromeda-preproduction-watch: back to normal".to_owned()), "{said:?}");
    assert!(matches!(table.state.steps[3].status, StepStatus::Done { .. }), "a correction is not the announcement");
}

#[test]
fn inputs_change_only_where_they_may() {
    let mut table = table();
    let set = |input: &str, text: &str| CommandBody::SetInput { input: input.into(), text: text.into() };
    assert_eq!(table.refused("ana", set("plan", "b")), "Only Maria can change what was said at the start.");
    assert!(table.refused("maria", set("plam", "b")).contains("Did you mean `plan`?"));
    assert!(table.refused("maria", set("version", "4.4")).contains("is fixed since the start"));
    table.does("maria", set("plan", "b"));
    assert!(table.refused("maria", set("plan", "b")).contains("is that already"));
    assert_eq!(
        table.refused("maria", CommandBody::Reschedule { text: "02:00".into() }),
        "r has no window, so there is nothing to move."
    );
}

const RUNS: &str = "
runbook: test
people: { owner: maria }
phases:
  - phase: go
    back-off: back
    steps:
      - { run: ci.command.deploy, id: deploy, with: { argv: [deploy] }, press: owner, four-eyes: true }
      - { task: Look at it, id: look }
  - phase: back
    if: backed_off('go')
    steps:
      - { task: Undo it, id: undo, if: failed('deploy') }
      - { result: failed }
  - phase: through
    if: result is none
    steps: [{ result: succeeded }]
";

fn begun() -> Table {
    let mut table = Table::of(RUNS, &[]);
    assert!(matches!(table.does("maria", run("deploy"))[..], [Event::RunApproved { .. }]));
    table
}

fn attempted(table: &mut Table, attempt: u32) {
    table.give(None, CommandBody::BeginAttempt { step: 0, attempt }).expect("wanted");
}

fn ends(table: &mut Table, attempt: u32, outcome: ActionOutcome) -> Vec<Event> {
    table.give(None, CommandBody::RecordAction { step: 0, attempt, outcome }).expect("a receipt")
}

#[test]
fn four_eyes_are_those_of_two_people() {
    let mut table = begun();
    assert!(table.refused("maria", run("deploy")).contains("A second person has to press it too"));
    // The first is whom the step names; the second is anybody else, unless `may.second` says who.
    assert!(shown(&table).contains("Maria pressed Run; a second person has to press it too"));
    assert!(matches!(table.does("ana", run("deploy"))[..], [Event::ActionRequested { .. }]));
    let mut table = Table::of(&RUNS.replace("people: { owner: maria }", "people: { owner: maria }\nmay: { second: [raj] }"), &[]);
    assert!(table.refused("ana", run("deploy")).contains("is for Maria"), "not as the first");
    table.does("maria", run("deploy"));
    assert!(table.refused("ana", run("deploy")).contains("Only Raj can press Run as the second"));
    table.does("raj", run("deploy"));
}

#[test]
fn every_attempt_takes_two_anew() {
    let failed = || ActionOutcome::Failed { reason: "no".into() };
    let mut table = begun();
    table.does("ana", run("deploy"));
    attempted(&mut table, 1);
    ends(&mut table, 1, failed());
    assert!(
        matches!(table.does("maria", run("deploy"))[..], [Event::RunApproved { .. }]),
        "it failed, and one alone runs nothing"
    );
    // What is amended meanwhile is not what was approved.
    let change = Change::Inputs([("argv.0".to_owned(), "deploy2".to_owned())].into());
    table.does("maria", CommandBody::Amend { step: named("deploy"), change });
    table.does("sam", CommandBody::AgreeToAmendment { generation: None });
    assert!(matches!(table.does("maria", run("deploy"))[..], [Event::RunApproved { .. }]));
    assert!(matches!(table.does("ana", run("deploy"))[..], [Event::ActionRequested { .. }]));
    attempted(&mut table, 2);
    ends(&mut table, 2, ActionOutcome::Unknown { reason: "lost".into() });
    let rerun = || CommandBody::SayFate { step: named("deploy"), fate: Fate::Rerun };
    assert!(matches!(table.does("maria", rerun())[..], [Event::RunApproved { .. }]));
    assert!(table.refused("maria", rerun()).contains("A second person has to press it too"));
    assert!(matches!(table.does("ana", rerun())[..], [Event::FateSaid { .. }, Event::ActionRequested { .. }]));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn a_fate_that_nobody_knows_is_said_by_a_person() {
    let unknown = || ActionOutcome::Unknown { reason: "connection reset".into() };
    let fate = |fate| CommandBody::SayFate { step: named("deploy"), fate };
    for said in [Fate::Ran, Fate::Rerun, Fate::Look, Fate::Hold] {
        let mut table = Table::of(&RUNS.replace(", four-eyes: true", ""), &[]);
        table.does("maria", run("deploy"));
        attempted(&mut table, 1);
        ends(&mut table, 1, unknown());
        assert!(table.refused("maria", run("deploy")).contains("`/rollout fate deploy`"), "it is never run again on a guess");
        assert!(table.refused("ana", fate(said)).contains("is for Maria"));
        table.does("maria", fate(said));
        match said {
            Fate::Ran => assert_eq!(table.open(), ["look"]),
            Fate::Rerun => {
                attempted(&mut table, 2);
                // The word on the first attempt comes after all: it changes nothing.
                let late = ends(&mut table, 1, ActionOutcome::Succeeded { outputs: serde_json::Map::new() });
                assert!(matches!(late[..], [Event::ReceiptCameLate { attempt: 1, .. }]), "{late:?}");
            }
            Fate::Look => {
                assert!(table.state.awaits(0, 1), "it is looked up under its own identity");
                ends(&mut table, 1, ActionOutcome::Succeeded { outputs: serde_json::Map::new() });
                assert_eq!(table.open(), ["look"]);
            }
            Fate::Hold => assert!(table.state.held.is_some() && table.open() == ["deploy"]),
        }
        assert_eq!(table.replayed(), table.state);
    }
}

#[test]
fn a_running_action_is_asked_to_stop_once() {
    let mut table = Table::of(&RUNS.replace(", four-eyes: true", ""), &[]);
    let cancel = || CommandBody::CancelStep { step: named("deploy") };
    table.does("maria", run("deploy"));
    // Nobody was asked yet: it does not begin.
    assert!(matches!(table.does("maria", cancel())[..], [Event::ActionEnded { .. }]));
    table.does("maria", run("deploy"));
    attempted(&mut table, 2);
    assert!(matches!(table.does("maria", cancel())[..], [Event::CancelRequested { .. }]));
    assert!(table.refused("maria", cancel()).contains("is being cancelled since"));
    ends(&mut table, 2, ActionOutcome::Failed { reason: "it was cancelled".into() });
    assert_eq!(table.open(), ["deploy"]);
}

#[test]
fn backing_off_leaves_what_failed_and_goes_by_the_way_back() {
    let mut table = Table::of(&RUNS.replace(", four-eyes: true", ""), &[]);
    let back = || CommandBody::BackOff { generation: None };
    table.does("maria", run("deploy"));
    attempted(&mut table, 1);
    assert!(table.refused("maria", back()).contains("Still running: “command."));
    ends(&mut table, 1, ActionOutcome::Failed { reason: "exit 1".into() });
    assert_eq!(table.refused("ana", back()), "Only Maria can back off.");
    table.does("maria", back());
    assert_eq!(table.open(), ["undo"], "what failed reads as failed still");
    table.does("maria", done("undo", &[]));
    assert_eq!((table.state.result, table.state.ended.is_some()), (Some(Outcome::Failed), true));
    assert_eq!(table.replayed(), table.state);
}

const DECIDES: &str = "
runbook: test
people: { owner: maria }
phases:
  - phase: one
    parallel: true
    steps:
      - { decide: Go?, id: go, voters: [changeset-team], rule: majority, veto: true, stand-ins: [owner, sam] }
      - { run: ci.command.x, id: x, with: { argv: [x] }, press: owner }
";

#[test]
fn stand_ins_vote_for_who_is_away_and_a_veto_is_one_word() {
    let mut table = Table::of(DECIDES, &[]);
    // Nobody guesses who is away.
    let says = table.refused("sam", vote(Choice::Go));
    assert!(says.contains("You are a stand-in, not a voter. For whom do you vote? `/rollout go for ana` or"), "{says}");
    assert!(table.refused("sam", vote_for("tom", Choice::Go)).contains("`tom` is not a voter here; voters are Ana, Raj and Li"));
    assert!(table.refused("li", vote_for("ana", Choice::Go)).contains("nobody votes for another"));
    let events = table.does("sam", vote_for("Ana", Choice::Go));
    assert!(matches!(&events[0], Event::VoteCast { instead_of: Some(voter), .. } if voter.as_str() == "ana"), "{events:?}");
    assert!(table.refused("ines", vote(Choice::Go)).starts_with("You are not a voter here"));
    table.does("li", vote(Choice::Go));
    // Who was away is back: the vote is theirs.
    table.does("ana", vote(Choice::Go));
    assert_eq!(table.state.steps[0].votes.len(), 2);
    table.does("maria", vote(Choice::Go));
    assert!(table.refused("sam", vote(Choice::Go)).contains("Everybody has voted"));
    // A majority says GO, and one NO-GO stops it all the same; nothing runs while it settles. A reason may begin with “for”.
    table.does("raj", vote_for("safety", Choice::NoGo));
    assert_eq!(table.state.steps[0].votes[&PersonId::new("raj")].reason.as_deref(), Some("for safety"));
    assert!(table.refused("maria", run("x")).contains("is about to be NO-GO"));
    table.passes(TimeDelta::seconds(60));
    assert_eq!(table.state.steps[0].decision, Some(Choice::NoGo));
    assert_eq!(table.replayed(), table.state);
}
