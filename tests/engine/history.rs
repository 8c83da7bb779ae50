//! What is remembered of finished rollouts: nothing is read before somebody asks, never more than there is room for, and nothing twice.

use std::time::Duration;

use tminus::domain::history::Filter;
use tminus::domain::rollout::command::CommandBody;
use tminus::engine::history::{RUNS_MAX, Runs};

use crate::stage::Stage;

const TASK: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ task: Do it, id: it }] }]
";

const FINISHED: usize = RUNS_MAX + 20;

#[tokio::test(start_paused = true)]
async fn only_the_latest_are_read_when_somebody_looks_and_each_of_them_once() {
    let mut stage = Stage::with(TASK).await;
    for number in 0..FINISHED {
        let id = stage.start_as(&format!("over-{number}")).await;
        stage.does(&id, "maria", CommandBody::Abort { reason: "a trial".into(), generation: None }).await.unwrap();
    }
    for _ in 0..4000 {
        if stage.conductor.with_registry(|registry| registry.open().count()) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.close().await;
    stage.restart().await;
    let reads = |stage: &Stage| stage.reads.all().iter().filter(|read| read.stream.starts_with("rollout/")).count();
    assert_eq!(reads(&stage), 0, "a start reads nothing of what is over");

    let runs = Runs::new(stage.conductor.clone());
    let filter = Filter { runbook: Some("test"), rehearsals: false };
    let two = async || tokio::join!(runs.latest(&filter, None, usize::MAX), runs.latest(&filter, None, usize::MAX));
    let (first, second) = two().await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.len(), RUNS_MAX);
    assert_eq!(first, second);
    let numbers =
        stage.conductor.with_registry(|registry| first.iter().map(|run| registry.rollouts[&run.id].number).collect::<Vec<_>>());
    let newest: Vec<u32> = (1..=u32::try_from(FINISHED).unwrap()).rev().take(RUNS_MAX).collect();
    assert_eq!(numbers, newest, "the latest, newest first");
    assert_eq!(reads(&stage), RUNS_MAX, "also two who look at once read each stream once");

    // A second look costs nothing; whoever looks further back reads only that.
    assert_eq!(runs.latest(&filter, None, RUNS_MAX).await.unwrap(), first);
    assert_eq!((reads(&stage), runs.read()), (RUNS_MAX, RUNS_MAX as u64));
    let earlier = runs.latest(&filter, Some(newest[RUNS_MAX - 1] + 2), 5).await.unwrap();
    assert_eq!(earlier.len(), 5);
    assert_eq!(reads(&stage), RUNS_MAX + 3, "two of the five are known");
    assert!(runs.latest(&Filter { runbook: Some("other"), rehearsals: true }, None, 5).await.unwrap().is_empty());
}
