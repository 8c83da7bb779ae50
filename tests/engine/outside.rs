//! The outside does everything it can do wrong: every effect ends in one outcome, or in a question for a person.

use std::time::Duration;

use chrono::TimeDelta;
use tminus::domain::rollout::command::{Actor, CommandBody, CommandId, StepRef};
use tminus::engine::conductor::Advance;
use tminus::engine::ports::{Found, Polled, Sent, StartError};

use crate::stage::{Send, Stage, Start};

const ANNOUNCE: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
audiences: { watch: [slack:andromeda-preproduction-watch] }
inputs: { version: { default: '4.3' } }
phases: [{ phase: one, steps: [{ announce: commencement, to: [watch] }, { task: Do it, id: it }] }]
";

const ACT: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ run: ci.command.x, id: x, with: { argv: [x] } }, { task: Do it, id: it }] }]
";

fn there() -> Found {
    Found::There { reference: "1".into() }
}

fn cannot_tell() -> Found {
    Found::CannotTell { why: "no history".into() }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_tried_again_until_it_arrives() {
    let mut stage = Stage::with(ANNOUNCE).await;
    let again = |after| Send::Is(Sent::TryAgain { after, why: "rate_limited".into() });
    stage.outside.will_send(again(Some(Duration::from_secs(30)))).will_send(again(None));
    let begun = tokio::time::Instant::now();
    let id = stage.start().await;
    stage.until(&id, "delivery-ended").await;
    assert!(begun.elapsed() >= Duration::from_secs(30), "what the platform asked for is waited for");
    assert_eq!(stage.outside.calls(), vec!["deliver to slack:andromeda-preproduction-watch"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_a_clear_answer_is_looked_up_before_it_is_sent_again() {
    let unclear: fn() -> Send = || Send::Is(Sent::Unclear { why: "the line broke".into() });
    let lost: [fn() -> Send; 2] = [|| Send::Hangs, unclear];
    let became = [(there(), 1), (Found::Absent, 2), (cannot_tell(), 2)];
    for (lost, (found, sends)) in lost.iter().flat_map(|lost| became.iter().map(move |became| (lost, became.clone()))) {
        let mut stage = Stage::with(ANNOUNCE).await;
        stage.outside.will_send(lost()).will_find(found.clone());
        let id = stage.start().await;
        stage.until(&id, "delivery-ended").await;
        let calls = stage.outside.calls();
        assert_eq!(calls.iter().filter(|call| call.starts_with("deliver")).count(), sends, "{found:?}: {calls:?}");
        let repeated =
            stage.conductor.look(&id, |state, _, _| format!("{:?}", state.announcements[0].destinations[0].outcome)).await;
        let repeated = repeated.unwrap().unwrap().contains("possibly_repeated: true");
        assert_eq!(repeated, found == cannot_tell(), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_breaks_loses_nothing_and_its_lane_goes_on() {
    let mut stage = Stage::with(ANNOUNCE).await;
    stage.outside.will_send(Send::Breaks);
    *stage.outside.breaks.lock().unwrap() = 2;
    let id = stage.start().await;
    stage.until(&id, "delivery-ended").await;
    let to = "slack:andromeda-preproduction-watch";
    assert_eq!(stage.outside.calls(), [format!("deliver to {to}"), format!("find {to}"), format!("deliver to {to}")]);
    assert_eq!(stage.outside.delivered.lock().unwrap().len(), 1);
    stage.until_all_shown(&id).await;
    assert_eq!(*stage.outside.breaks.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_breaks_its_courier_again_and_again_is_for_a_person_to_decide() {
    let mut stage = Stage::with(ANNOUNCE).await;
    stage.outside.will_send(Send::Breaks).will_send(Send::Breaks).will_send(Send::Breaks);
    let id = stage.start().await;
    stage.until(&id, "step-failed").await;
    let card = stage.card(&id).await;
    assert!(card.contains("nobody knows whether it arrived: bringing it broke T-minus itself 3 times"), "{card}");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_must_have_it_is_not_sent_it_twice_on_a_guess() {
    let must = ANNOUNCE.replace("slack:andromeda-preproduction-watch", "{ to: slack:andromeda-preproduction-watch, must: true }");
    let mut stage = Stage::with(&must).await;
    stage.outside.will_send(Send::Hangs).will_find(cannot_tell());
    let id = stage.start().await;
    stage.until(&id, "step-failed").await;
    assert_eq!(
        stage.outside.calls(),
        ["deliver to slack:andromeda-preproduction-watch", "find slack:andromeda-preproduction-watch"]
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_delivery_is_looked_up_first() {
    let mut stage = Stage::with(ANNOUNCE).await;
    stage.outside.will_send(Send::Hangs);
    let id = stage.start().await;
    while stage.outside.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    stage.outside.will_find(there());
    stage.restart().await;
    stage.until(&id, "delivery-ended").await;
    assert_eq!(
        stage.outside.calls(),
        ["deliver to slack:andromeda-preproduction-watch", "find slack:andromeda-preproduction-watch"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_never_arrive_is_a_failure_in_the_room() {
    let mut stage = Stage::with(ANNOUNCE).await;
    stage.outside.will_send(Send::Is(Sent::Never { why: "is_archived".into() }));
    let id = stage.start().await;
    stage.until(&id, "step-failed").await;
    let card = stage
        .conductor
        .look(&id, |state, people, now| tminus::domain::message::card::card(state, people, now, &|_| None).markdown());
    let card = card.await.unwrap().unwrap();
    assert!(card.contains("**Failed**: it did not reach slack:andromeda-preproduction-watch"), "{card}");
    assert!(card.contains("Slack andromeda-preproduction-watch: failed: is\\_archived"), "{card}");
    stage
        .does(&id, "maria", CommandBody::CompleteStep { step: StepRef::TheOpenOne, typed: std::collections::BTreeMap::new() })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_connected_fails_politely() {
    let mut stage = Stage::with(&ANNOUNCE.replace("slack:", "email:")).await;
    let id = stage.start().await;
    stage.until(&id, "step-failed").await;
    assert_eq!(stage.outside.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_action_is_begun_once_and_its_attempt_is_on_record_before() {
    let mut stage = Stage::with(ACT).await;
    let id = stage.start().await;
    let happened = stage.until(&id, "action-ended").await;
    let place = |what: &str| happened.iter().position(|kind| kind == what).expect("it happened");
    assert!(place("action-requested") < place("action-attempted") && place("action-attempted") < place("action-ended"));
    assert_eq!(stage.outside.calls(), ["start x attempt 1", "poll x"]);
}

#[tokio::test(start_paused = true)]
async fn an_action_whose_answer_is_lost_is_looked_up_and_never_begun_again_by_itself() {
    let unclear = || Start::Is(Err(StartError::Unclear { why: "connection reset".into() }));
    for (start, found, outcome) in [
        (Start::Hangs, there(), "succeeded"),
        (unclear(), there(), "succeeded"),
        (unclear(), Found::Absent, "failed"),
        (unclear(), cannot_tell(), "unknown"),
        (Start::Is(Err(StartError::Refused { why: "AccessDenied".into() })), there(), "failed"),
    ] {
        let mut stage = Stage::with(ACT).await;
        stage.outside.will_start(start).will_find(found);
        let id = stage.start().await;
        stage.until(&id, "action-ended").await;
        let events = stage.conductor.events(&id, 1, 500).await.unwrap().unwrap();
        let ended = events.iter().find(|(_, r)| crate::stage::kind(r) == "action-ended").unwrap();
        assert_eq!(serde_json::to_value(&ended.1.event).unwrap()["outcome"], outcome);
        assert_eq!(stage.outside.calls().iter().filter(|call| call.starts_with("start")).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_an_attempted_action_is_looked_up_first() {
    for (found, calls) in [
        (there(), vec!["start x attempt 1", "find x attempt 1", "poll x"]),
        // It never arrived: begun under the same identity.
        (Found::Absent, vec!["start x attempt 1", "find x attempt 1", "start x attempt 1", "poll x"]),
        (cannot_tell(), vec!["start x attempt 1", "find x attempt 1"]),
    ] {
        let mut stage = Stage::with(ACT).await;
        stage.outside.will_start(Start::Hangs);
        let id = stage.start().await;
        while stage.outside.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        stage.outside.will_find(found);
        stage.restart().await;
        stage.until(&id, "action-ended").await;
        assert_eq!(stage.outside.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_rollout_begins_nothing_and_goes_on_after() {
    let mut stage = Stage::with(&ACT.replace("with: { argv: [x] }", "with: { argv: [x] }, press: owner")).await;
    let id = stage.start().await;
    stage.does(&id, "sam", CommandBody::Hold).await.unwrap();
    let run = CommandBody::RunStep { step: StepRef::TheOpenOne };
    let refused = stage.does(&id, "maria", run.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("is on hold by Sam"), "{refused}");
    stage.does(&id, "maria", CommandBody::Resume { generation: None }).await.unwrap();
    stage.does(&id, "maria", run).await.unwrap();
    stage.until(&id, "action-ended").await;
    assert_eq!(stage.outside.calls(), ["start x attempt 1", "poll x"]);
}

#[tokio::test(start_paused = true)]
async fn a_system_that_does_not_say_how_it_is_going_is_asked_again() {
    let mut stage = Stage::with(ACT).await;
    for _ in 0..3 {
        stage.outside.polls.lock().unwrap().push_back(Err("503".into()));
    }
    let id = stage.start().await;
    stage.until(&id, "action-ended").await;
    assert_eq!(stage.outside.calls().len(), 5);
    let outcome = stage.conductor.look(&id, |state, _, _| state.steps[0].status.is_settled()).await.unwrap();
    assert_eq!(outcome, Some(true));
}

const PRESSED: &str = "
runbook: test
environment: shop/staging
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ run: ci.command.x, id: x, with: { argv: [x] }, press: owner, timeout: 10m }, { task: Do it, id: it }] }]
";

fn running(stage: &Stage) -> Polled {
    use tminus::engine::ports::Clock;
    let again = stage.clock.now() + TimeDelta::seconds(30);
    Polled::Running { progress: tminus::domain::message::card::Progress { line: None, link: None }, again }
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_no_action_and_the_environment_waits_for_its_end() {
    let mut stage = Stage::with(PRESSED).await;
    stage.outside.polls.lock().unwrap().extend([Ok(running(&stage))]);
    let id = stage.start().await;
    stage.does(&id, "maria", CommandBody::RunStep { step: StepRef::TheOpenOne }).await.unwrap();
    stage.until_called("poll x").await;
    let abort = CommandBody::Abort { reason: "enough".into(), generation: None };
    stage.does(&id, "maria", abort).await.unwrap();
    let happened = stage.happened(&id).await;
    assert!(!happened.iter().any(|kind| kind == "environment-released"), "it is still running: {happened:?}");
    // The process dies in between. The action is found again, and its end is what frees the environment.
    stage.outside.will_find(there());
    stage.restart().await;
    let happened = stage.until(&id, "environment-released").await;
    let place = |what: &str| happened.iter().position(|kind| kind == what).expect("it happened");
    assert!(place("action-ended") < place("environment-released"), "{happened:?}");
    assert_eq!(stage.outside.calls(), ["start x attempt 1", "poll x", "find x attempt 1", "poll x"]);
    assert_eq!(stage.conductor.registry().holder("shop/staging"), None);
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_its_time_is_a_late_receipt_and_changes_nothing() {
    let mut stage = Stage::with(PRESSED).await;
    stage.outside.polls.lock().unwrap().extend([Ok(running(&stage)), Ok(running(&stage)), Ok(running(&stage))]);
    let id = stage.start().await;
    stage.does(&id, "maria", CommandBody::RunStep { step: StepRef::TheOpenOne }).await.unwrap();
    stage.until_called("poll x").await;
    stage.passes(TimeDelta::minutes(11)).await;
    let happened = stage.until(&id, "receipt-came-late").await;
    assert_eq!(happened.iter().filter(|kind| *kind == "action-ended").count(), 1, "{happened:?}");
    let unknown = stage.conductor.look(&id, |state, _, _| format!("{:?}", state.steps[0].status)).await.unwrap().unwrap();
    assert!(unknown.contains("unknown: true"), "a person says what became of it: {unknown}");
}

#[tokio::test(start_paused = true)]
async fn moving_the_clock_on_leaps_over_nothing_that_was_asked_and_waits_for_nobody_who_is_silent() {
    for (start, expected) in [(Start::Slowly, 30), (Start::Hangs, 600)] {
        let mut stage = Stage::with(PRESSED).await;
        stage.outside.polls.lock().unwrap().extend([Ok(running(&stage)), Ok(running(&stage))]);
        stage.outside.will_start(start);
        let id = stage.start().await;
        stage.until(&id, "environment-granted").await;
        stage.does(&id, "maria", CommandBody::RunStep { step: StepRef::TheOpenOne }).await.unwrap();
        // Nobody waits here for the system to have been called: what is next is its own next word, or else the time-out.
        let (command, nobody) = (CommandId("on".into()), Actor::Engine);
        stage.conductor.advance(&id, command, nobody, Advance::ToNext).await.unwrap();
        let shifted = stage.conductor.look(&id, |state, _, _| state.shift_seconds).await.unwrap().unwrap();
        assert_eq!(shifted, expected, "{:?}", stage.outside.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_rollout_waits_for_the_environment_and_gets_it() {
    let mut stage = Stage::with(PRESSED).await;
    let first = stage.start().await;
    stage.until(&first, "environment-granted").await;
    let second = stage.start_as("again").await;
    stage.until(&second, "environment-claimed").await;
    assert!(!stage.happened(&second).await.iter().any(|kind| kind == "phase-opened"));
    let card = stage.card(&second).await;
    assert!(card.contains("shop/staging"), "it says what it waits for: {card}");
    let abort = CommandBody::Abort { reason: "the other one first".into(), generation: None };
    stage.does(&first, "maria", abort).await.unwrap();
    stage.until(&second, "environment-granted").await;
    stage.until(&second, "phase-opened").await;
    assert_eq!(stage.conductor.registry().holder("shop/staging"), Some(&second));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_with_an_unknown_end_is_shown_all_the_same() {
    let mut stage = Stage::with(ACT).await;
    let id = stage.start().await;
    stage.until(&id, "action-ended").await;
    stage.journal.fail_next(tminus::engine::journal::memory::Fault::UnknownWritten);
    stage.does(&id, "sam", crate::stage::note("look here")).await.unwrap();
    let sequence = stage.conductor.look(&id, |state, _, _| state.sequence).await.unwrap().unwrap();
    stage.until_shown(sequence).await;
    let last = stage.outside.cards.lock().unwrap().last().unwrap().card.markdown();
    assert!(last.contains("look here"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_taken_over_with_a_reason_and_who_held_it_is_put_on_hold_and_gets_it_back() {
    let mut stage = Stage::with(PRESSED).await;
    let first = stage.start().await;
    stage.until(&first, "environment-granted").await;
    let second = stage.start_as("again").await;
    stage.until(&second, "environment-claimed").await;
    let take = |reason: &str| CommandBody::TakeOver { reason: reason.into() };
    let refused = |said: Result<String, tminus::engine::conductor::Rejected>| said.unwrap_err().to_string();
    assert!(refused(stage.does(&first, "maria", take("x")).await).contains("holds shop/staging already"));
    assert!(refused(stage.does(&second, "ana", take("x")).await).contains("Only Maria can take the environment over"));
    assert!(refused(stage.does(&second, "maria", take(" ")).await).contains("needs a reason"));
    stage.does(&second, "maria", take("a fix that can't wait")).await.unwrap();
    stage.until(&second, "phase-opened").await;
    stage.until(&first, "environment-taken").await;
    assert_eq!(stage.conductor.registry().holder("shop/staging"), Some(&second));
    let card = stage.card(&first).await;
    assert!(card.contains("took shop/staging over: a fix that can't wait"), "{card}");
    assert!(refused(stage.does(&first, "maria", CommandBody::Resume { generation: None }).await).contains("takes it back"));
    // Also after a restart it knows who holds what; and it is next in line.
    stage.restart().await;
    let abort = CommandBody::Abort { reason: "done with it".into(), generation: None };
    stage.does(&second, "maria", abort).await.unwrap();
    stage.until(&second, "environment-released").await;
    stage.until_holder("shop/staging", &first).await;
    stage.until_grants(&first, 2).await;
    stage.does(&first, "maria", CommandBody::Resume { generation: None }).await.unwrap();
    stage.does(&first, "maria", CommandBody::RunStep { step: StepRef::TheOpenOne }).await.unwrap();
    stage.until(&first, "action-ended").await;
}

const WINDOWED: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
inputs: { window: { type: window, default: '2026-11-20 14:00' } }
phases: [{ phase: one, steps: [{ task: Do it, id: it }] }]
";

#[tokio::test(start_paused = true)]
async fn the_card_says_anew_how_far_t0_is_although_nothing_happens() {
    let mut stage = Stage::with(WINDOWED).await;
    let id = stage.start().await;
    stage.until(&id, "step-opened").await;
    let sequence = stage.conductor.look(&id, |state, _, _| state.sequence).await.unwrap().unwrap();
    stage.until_shown(sequence).await;
    stage.passes(TimeDelta::minutes(60)).await;
    stage.until_card_says("in 1h)").await;
    stage.passes(TimeDelta::minutes(45)).await;
    stage.until_card_says("in 15m)").await;
    let happened = stage.conductor.look(&id, |state, _, _| state.sequence).await.unwrap().unwrap();
    assert_eq!(happened, sequence, "time alone is not journaled");
}
