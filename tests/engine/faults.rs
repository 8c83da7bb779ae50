//! The journal fails in every way it can: nothing is lost, nothing happens twice, and nobody is told otherwise.

use chrono::{DateTime, Utc};
use tminus::domain::people::Directory;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::state::State;
use tminus::engine::conductor::Rejected;
use tminus::engine::journal::Journal;
use tminus::engine::journal::memory::Fault;

use crate::stage::{Stage, ack, note};

const ROLL_CALL: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ acknowledge: Know, from: [staging-changeset-group] }, { task: Do it, id: it }] }]
";

fn count(happened: &[String], what: &str) -> usize {
    happened.iter().filter(|kind| *kind == what).count()
}

#[tokio::test(start_paused = true)]
async fn another_writer_is_caught_up_with() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    stage.somebody_else_notes(&id, "one").await;
    stage.somebody_else_notes(&id, "two").await;
    let answer = stage.does(&id, "ana", ack()).await.unwrap();
    assert!(answer.starts_with("Thank you, Ana."), "{answer}");
    let happened = stage.happened(&id).await;
    assert_eq!((count(&happened, "note-added"), count(&happened, "acknowledged")), (2, 1), "{happened:?}");
    let notes = stage.conductor.look(&id, |state, _, _| state.notes.len()).await.unwrap();
    assert_eq!(notes, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_runbook_is_in_memory_once_also_after_a_catching_up() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let (one, other) = (stage.start_as("one").await, stage.start_as("other").await);
    stage.somebody_else_notes(&one, "one").await;
    stage.does(&one, "ana", ack()).await.unwrap();
    let [one, other] = [one, other].map(|id| {
        let conductor = stage.conductor.clone();
        async move { conductor.look(&id, |state, _, _| state.runbook.clone()).await.unwrap().unwrap() }
    });
    assert!(std::sync::Arc::ptr_eq(&one.await, &other.await));
}

#[tokio::test(start_paused = true)]
async fn an_append_of_unknown_fate_happens_once_whether_it_was_written_or_not() {
    for fault in [Fault::UnknownWritten, Fault::UnknownNotWritten] {
        let mut stage = Stage::with(ROLL_CALL).await;
        let id = stage.start().await;
        stage.journal.fail_next(fault);
        let answer = stage.does(&id, "ana", ack()).await.unwrap();
        assert!(answer.starts_with("Thank you, Ana."), "{answer}");
        assert_eq!(count(&stage.happened(&id).await, "acknowledged"), 1);
        // The second arrival of a command of unknown fate is recognised too.
        let again = stage.sends(&id, "ana", "c1", ack()).await.unwrap();
        assert!(again.starts_with("Thank you, Ana."), "{again}");
        assert_eq!(count(&stage.happened(&id).await, "acknowledged"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_of_unknown_fate_makes_one_rollout() {
    for fault in [Fault::UnknownWritten, Fault::UnknownNotWritten] {
        let mut stage = Stage::with(ROLL_CALL).await;
        stage.journal.fail_next(fault);
        let id = stage.start().await;
        let again = stage.start().await;
        assert_eq!((id.as_str(), stage.conductor.registry().rollouts.len()), (again.as_str(), 1));
        stage.does(&id, "ana", ack()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_journal_accepts_nothing_until_a_restart_and_loses_nothing() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    stage.does(&id, "ana", ack()).await.unwrap();
    stage.journal.fail_next(Fault::Poisoned);
    for person in ["raj", "li"] {
        let rejected = stage.does(&id, person, ack()).await.unwrap_err();
        assert!(matches!(rejected, Rejected::FateUnknown(_) | Rejected::NotRecorded(_)), "{rejected}");
    }
    assert!(stage.conductor.stopped().is_some());
    let seen = stage.conductor.look(&id, |state, _, _| state.steps[0].acknowledged.len()).await.unwrap();
    assert_eq!(seen, Some(1), "nobody sees what is not durable");
    stage.journal.restart();
    stage.restart().await;
    assert!(stage.conductor.stopped().is_none());
    let happened = stage.happened(&id).await;
    assert_eq!(count(&happened, "acknowledged"), 1, "only what was acknowledged to somebody: {happened:?}");
    stage.does(&id, "raj", ack()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_burst_on_one_rollout_shares_commits_and_loses_nothing() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    stage.until(&id, "card-posted").await;
    let before = *stage.journal.follow().borrow();
    let stage = std::sync::Arc::new(stage);
    let notes = (0..500).map(|n| {
        let (stage, id) = (stage.clone(), id.clone());
        tokio::spawn(async move { stage.sends(&id, "sam", &format!("burst-{n}"), note(&format!("{n}"))).await })
    });
    for answered in futures_util::future::join_all(notes).await {
        assert_eq!(answered.unwrap().unwrap(), "Noted.");
    }
    let commits = *stage.journal.follow().borrow() - before;
    let notes = stage.conductor.look(&id, |state, _, _| state.notes.len()).await.unwrap();
    assert_eq!(notes, Some(500));
    assert!(commits <= 10, "500 clicks became {commits} commits");
    // And the rooms see a handful of edits, of which the last shows how things stand.
    let sequence = stage.conductor.look(&id, |state, _, _| state.sequence).await.unwrap().unwrap();
    stage.until_shown(sequence).await;
    let edits = stage.outside.cards.lock().unwrap().len();
    assert!(edits <= 12, "500 clicks became {edits} edits");
}

#[tokio::test(start_paused = true)]
async fn a_second_arrival_is_answered_like_the_first_also_after_a_restart() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    let first = stage.sends(&id, "ana", "click-1", ack()).await.unwrap();
    stage.restart().await;
    let second = stage.sends(&id, "ana", "click-1", ack()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(count(&stage.happened(&id).await, "acknowledged"), 1);
}

#[tokio::test(start_paused = true)]
async fn timers_come_from_the_state_also_after_a_restart() {
    let mut stage = Stage::with(
        "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ decide: Shall we?, id: shall, voters: [maria] }, { task: Do it, id: it }] }]
",
    )
    .await;
    let id = stage.start().await;
    let go = tminus::domain::rollout::event::Choice::Go;
    let vote = CommandBody::CastVote {
        step: tminus::domain::rollout::command::StepRef::TheOpenOne,
        choice: go,
        reason: None,
        instead_of: None,
    };
    stage.does(&id, "maria", vote).await.unwrap();
    stage.restart().await;
    assert_eq!(count(&stage.happened(&id).await, "decision-taken"), 0);
    stage.passes(chrono::TimeDelta::seconds(61)).await;
    stage.until(&id, "decision-taken").await;
    // What was due while nobody was there happens at the start.
    let mut stage = stage;
    stage.restart().await;
    assert_eq!(count(&stage.happened(&id).await, "decision-taken"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_whose_task_breaks_is_taken_up_again_a_few_times() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    for (broken, person) in ["ana", "raj", "li"].into_iter().enumerate() {
        // Whatever breaks in the task, here the look itself, costs the one who asked; a look falls back on the journal.
        let looked = stage.conductor.look(&id, break_the_first_time()).await.unwrap();
        assert_eq!(looked, Some(broken), "what was acknowledged before is not lost");
        stage.until_loaded(&id).await;
        stage.does(&id, person, ack()).await.unwrap();
    }
    stage.conductor.look(&id, break_the_first_time()).await.unwrap();
    let refused = stage.until_refused(&id).await;
    assert!(matches!(refused, Rejected::NotRecorded(_)), "{refused}");
    stage.restart().await;
    assert_eq!(count(&stage.happened(&id).await, "acknowledged"), 3);
    stage.does(&id, "sam", note("and on")).await.unwrap();
}

/// Panics in the rollout's own task, and counts acknowledgements where it is asked a second time.
fn break_the_first_time() -> impl Fn(&State, &Directory, DateTime<Utc>) -> usize + Send + Sync + 'static {
    let asked = std::sync::atomic::AtomicBool::new(false);
    move |state, _, _| {
        assert!(asked.swap(true, std::sync::atomic::Ordering::SeqCst), "broken on purpose");
        state.steps[0].acknowledged.len()
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_it_closes_is_recorded_or_told_that_it_is_not() {
    let mut stage = Stage::with(ROLL_CALL).await;
    let id = stage.start().await;
    stage.until(&id, "card-posted").await;
    let stage = std::sync::Arc::new(stage);
    let notes: Vec<_> = (0..300)
        .map(|n| {
            let (stage, id) = (stage.clone(), id.clone());
            tokio::spawn(async move { stage.sends(&id, "sam", &format!("last-{n}"), note(&format!("{n}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    stage.conductor.close().await;
    let mut recorded = 0;
    for answered in futures_util::future::join_all(notes).await {
        match answered.unwrap() {
            Ok(_) => recorded += 1,
            Err(rejected) => assert_eq!(rejected, Rejected::Stopping),
        }
    }
    assert_eq!(count(&stage.happened(&id).await, "note-added"), recorded);
    let after = stage.sends(&id, "sam", "after", note("after")).await.unwrap_err();
    assert_eq!(after, Rejected::Stopping);
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_moved_once_for_a_command_also_when_another_rollout_was_opened_since() {
    use tminus::domain::rollout::command::{Actor, CommandId};
    use tminus::engine::conductor::Advance;
    let mut stage = Stage::with(ROLL_CALL).await;
    let first = stage.start().await;
    let advance = || stage.conductor.advance_all(CommandId("advance".into()), Actor::Engine, Advance::By(3600));
    advance().await.unwrap();
    let second = stage.start_as("second").await;
    advance().await.unwrap();
    for (id, shift) in [(first, 3600), (second, 0)] {
        let seconds = stage.conductor.look(&id, |state, _, _| state.shift_seconds).await.unwrap();
        assert_eq!(seconds, Some(shift), "{id}");
    }
}
