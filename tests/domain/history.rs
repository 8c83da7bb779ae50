//! How it went before: durations as people measure them, what is usual, outcomes by month.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use tminus::domain::history::{Filter, Run, Took, median, months, run, runbooks, slowest, so_far, steps, usual, usual_by_step};
use tminus::domain::registry::{Entry, Registry, RegistryEvent};
use tminus::domain::rollout::command::{CommandBody, CommandId, RolloutId};
use tminus::domain::rollout::event::{ActionOutcome, Choice};
use tminus::domain::runbook::model::Outcome;

use crate::support::{Table, done, named, run as press, utc, vote};

const RUNBOOK: &str = "
runbook: test
people: { owner: maria }
phases:
  - phase: before
    steps:
      - { task: Make a copy, id: copy }
      - { task: Not today, id: never, if: 1 == 2 }
      - { task: Perhaps, id: perhaps, required: false }
      - { decide: Go?, id: go, voters: [changeset-team], rule: any }
  - phase: after
    steps:
      - { run: ci.command.deploy, id: deploy, press: owner, with: { argv: [deploy] } }
      - { result: succeeded, id: fine }
";

fn minutes(table: &mut Table, minutes: i64) {
    table.passes(TimeDelta::minutes(minutes));
}

/// The action that is wanted is begun, and ends. A hold in between does not stop it.
fn deploys(table: &mut Table, took: i64) {
    let attempt = table.state.steps[4].action.as_ref().expect("an action").attempt;
    table.give(None, CommandBody::BeginAttempt { step: 4, attempt }).expect("it is wanted");
    minutes(table, 1);
    table.does("maria", CommandBody::Hold);
    minutes(table, took - 1);
    let outcome = ActionOutcome::Succeeded { outputs: serde_json::Map::new() };
    table.give(None, CommandBody::RecordAction { step: 4, attempt, outcome }).expect("a receipt");
}

fn took(run: &Run) -> BTreeMap<&str, i64> {
    run.steps.iter().map(|took| (took.step.as_str(), took.seconds / 60)).collect()
}

#[test]
fn durations_are_as_people_measure_them() {
    let mut table = Table::of(RUNBOOK, &[]);
    minutes(&mut table, 10);
    // Nobody works on what is on hold.
    table.does("maria", CommandBody::Hold);
    minutes(&mut table, 60);
    table.does("maria", CommandBody::Resume { generation: None });
    minutes(&mut table, 5);
    assert_eq!(so_far(&table.state, table.now), [("copy".to_owned(), (15 * 60, false))].into());
    table.does("maria", done("copy", &[]));
    minutes(&mut table, 3);
    table.does("maria", CommandBody::SkipStep { step: named("perhaps"), reason: "no time".into() });
    minutes(&mut table, 4);
    table.does("ana", vote(Choice::Go));
    minutes(&mut table, 1);
    // From the press on nobody waits for a person; what a system does is measured from when it began.
    minutes(&mut table, 20);
    table.does("maria", press("deploy"));
    minutes(&mut table, 2);
    let waiting = so_far(&table.state, table.now);
    assert!(!waiting.contains_key("deploy"), "it is wanted and has not begun: {waiting:?}");
    deploys(&mut table, 11);
    table.does("maria", CommandBody::Resume { generation: None });
    minutes(&mut table, 1);
    let run = run(&table.state);
    assert_eq!(took(&run), [("copy", 15), ("go", 5), ("deploy", 11)].into());
    assert_eq!((run.result, run.ended), (Some(Outcome::Succeeded), table.state.ended));
    assert_eq!(tminus::domain::history::run(&table.replayed()), run);
}

#[test]
fn what_was_reopened_took_as_long_as_since_then() {
    let mut table = Table::of(RUNBOOK, &[]);
    minutes(&mut table, 10);
    table.does("maria", done("copy", &[]));
    minutes(&mut table, 2);
    table.does("maria", CommandBody::ReopenStep { step: named("copy"), reason: "the wrong one".into() });
    minutes(&mut table, 7);
    table.does("maria", done("copy", &[]));
    assert_eq!(took(&run(&table.state))["copy"], 7);
}

fn a_run(id: &str, steps: &[(&str, i64)]) -> Run {
    let took = |(step, seconds): &(&str, i64)| Took { step: (*step).into(), title: format!("{step} of {id}"), seconds: *seconds };
    let (started, ended) = (utc("2026-11-20T12:00:00Z"), None);
    Run { id: RolloutId(id.into()), title: id.into(), result: None, started, ended, steps: steps.iter().map(took).collect() }
}

#[test]
fn steps_over_several_runs() {
    let runs = [
        a_run("r4", &[("copy", 100), ("new", 7)]),
        a_run("r3", &[("copy", 60), ("deploy", 700)]),
        a_run("r2", &[("copy", 80), ("deploy", 900), ("gone", 3)]),
        a_run("r1", &[("copy", 70), ("deploy", 800)]),
    ];
    let steps = steps(&runs);
    let order: Vec<&str> = steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(order, ["copy", "new", "deploy", "gone"]);
    let copy = &steps[0];
    assert_eq!((copy.runs, copy.median_seconds, copy.slowest_seconds, copy.newest_seconds), (4, 75, 100, 100));
    assert_eq!((copy.earlier_median_seconds, copy.slowest.as_str(), copy.title.as_str()), (Some(70), "r4", "copy of r4"));
    // Three runs are too few to hold the newest against the others.
    let deploy = &steps[2];
    assert_eq!((deploy.median_seconds, deploy.earlier_median_seconds, deploy.newest.as_str()), (800, None, "r3"));
    let slow: Vec<&str> = slowest(&steps).iter().map(|step| step.step.as_str()).collect();
    assert_eq!(slow, ["deploy", "copy", "new", "gone"]);
    assert!(tminus::domain::history::steps(&[]).is_empty());
}

#[test]
fn what_is_usual_takes_three_runs_to_say() {
    for (earlier, says) in [
        (vec![], None),
        (vec![60, 60], None),
        (vec![720, 720, 720], Some("14m; usually 12m over 3 earlier runs")),
        (vec![660, 720, 690, 5000], Some("14m; usually 11m 22s to 29m 50s over 4 earlier runs")),
        (vec![660, 665, 670, 680, 690, 700, 715, 720], Some("14m; usually 11m 8s to 11m 43s over 8 earlier runs")),
    ] {
        let usual = usual(&earlier);
        assert_eq!(usual.map(|usual| usual.said_of(840, true)).as_deref(), says, "{earlier:?}");
        assert_eq!(
            usual.is_some_and(|usual| usual.is_exceeded_by(840)),
            earlier.len() >= 3 && earlier.iter().all(|one| *one < 840)
        );
    }
    let running = usual(&[60, 60, 60]).expect("three").said_of(30, false);
    assert_eq!(running, "30s so far; usually 1m over 3 earlier runs");
    let runs = [a_run("a", &[("x", 1)]), a_run("b", &[("x", 2)]), a_run("c", &[("x", 3), ("y", 1)])];
    assert_eq!(usual_by_step(&runs).into_keys().collect::<Vec<_>>(), ["x"]);
    assert_eq!([median(&[]), median(&[3]), median(&[1, 4]), median(&[9, 1, 5])], [None, Some(3), Some(2), Some(5)]);
}

/// Id, runbook, whose checklist it is, whether it is a rehearsal, how and when it ended.
type Known<'k> = (&'k str, &'k str, Option<&'k str>, bool, Option<(Outcome, &'k str)>);

fn registry(rollouts: &[Known<'_>]) -> Registry {
    let mut registry = Registry::default();
    for (id, runbook, parent, rehearsal, closed) in rollouts {
        let id = RolloutId((*id).into());
        let registered = RegistryEvent::RolloutRegistered {
            id: id.clone(),
            number: registry.next_number(),
            runbook: (*runbook).into(),
            title: String::new(),
            rooms: Vec::new(),
            parent: parent.map(|parent| RolloutId(parent.into())),
            rehearsal: *rehearsal,
        };
        registry.evolve(&Entry::new(&CommandId(id.to_string()), None, utc("2026-08-01T00:00:00Z"), registered));
        if let Some((result, at)) = closed {
            let closed = RegistryEvent::RolloutClosed { id, result: *result };
            registry.evolve(&Entry::new(&CommandId("end".into()), None, utc(at), closed));
        }
    }
    registry
}

#[test]
fn outcomes_by_month_leave_out_what_is_open_rehearsed_or_part_of_another() {
    let (november, october) = ("2026-11-20T12:00:00Z", "2026-10-31T23:59:59Z");
    let registry = registry(&[
        ("a", "shop", None, false, Some((Outcome::Succeeded, october))),
        ("b", "shop", None, false, Some((Outcome::NoGo, november))),
        ("c", "bank", None, false, Some((Outcome::Succeeded, november))),
        ("d", "shop", None, true, Some((Outcome::Failed, november))),
        ("e", "tests", Some("c"), false, Some((Outcome::Aborted, november))),
        ("f", "shop", None, false, None),
    ]);
    let counted = |runbook, rehearsals| {
        let finished = Filter { runbook, rehearsals }.finished(&registry);
        let ids: Vec<&str> = finished.iter().map(|(id, _)| id.as_str()).collect();
        let months = months(finished.iter().map(|(_, rollout)| *rollout));
        let months: Vec<String> = months
            .iter()
            .map(|m| format!("{} {}+{}+{}+{}={}", m.month, m.succeeded, m.failed, m.no_go, m.aborted, m.all()))
            .collect();
        (ids.join(" "), months.join(", "))
    };
    for (runbook, rehearsals, ids, months) in [
        (None, false, "c b a", "2026-11 1+0+1+0=2, 2026-10 1+0+0+0=1"),
        (None, true, "d c b a", "2026-11 1+1+1+0=3, 2026-10 1+0+0+0=1"),
        (Some("shop"), false, "b a", "2026-11 0+0+1+0=1, 2026-10 1+0+0+0=1"),
        (Some("tests"), false, "e", "2026-11 0+0+0+1=1"),
        (Some("none"), true, "", ""),
    ] {
        assert_eq!(counted(runbook, rehearsals), (ids.to_owned(), months.to_owned()), "{runbook:?} {rehearsals}");
    }
    assert_eq!(runbooks(&registry, false), [("shop".to_owned(), 2), ("bank".to_owned(), 1), ("tests".to_owned(), 1)]);
}
