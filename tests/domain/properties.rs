//! Any sequence of commands, by anybody, at any time: no panic, replay equals live, and the invariants hold.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::prelude::*;
use tminus::domain::conversation::form::{Field, FieldKind};
use tminus::domain::freeze::Frozen;
use tminus::domain::message::card::card;
use tminus::domain::rollout::command::{Change, CommandBody, RolloutId, StepRef};
use tminus::domain::rollout::effect::{Effect, EffectId, effects, effects_not_in_hand, is_settled};
use tminus::domain::rollout::event::{ActionOutcome, Choice, DeliveryOutcome, Event, Fate, NoteKind};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::view::view;
use tminus::domain::rollout::{follow, next_due, next_wake};
use tminus::domain::runbook::model::{Outcome, Runbook, StepKind};
use tminus::engine::journal::StreamName;
use tminus::engine::snapshots::{decode, encode};
use tminus::settings::Files;

use crate::support::{Table, form, utc};

#[derive(Clone, Debug)]
enum Happening {
    Person(&'static str, CommandBody),
    /// Time passes, in seconds.
    Passes(i64),
    /// The outside does its part for one effect, well or badly.
    Receipt(u8, u8),
    /// Receipts that nobody waits for.
    Stray(CommandBody),
    /// Somebody who is awaited does what is awaited, or the next moment comes: so that many sequences reach an end.
    Sensible(u8),
}

fn person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["maria", "ines", "tom", "ana", "raj", "li", "sam"])
}

fn step_ref() -> impl Strategy<Value = StepRef> {
    prop_oneof![
        4 => Just(StepRef::TheOpenOne),
        2 => prop::sample::select(vec!["aware", "go_call", "backup", "update_containers", "cutover", "dns", "nope", "preparation_inputs"])
            .prop_map(|id| StepRef::Named(id.to_owned())),
        3 => (0usize..22, 1u32..4).prop_map(|(index, generation)| StepRef::Button { index, generation }),
    ]
}

fn typed() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    prop_oneof![
        Just(form(&[])),
        Just(form(&[("blue", "b"), ("green", "g"), ("container", "4.3.0")])),
        Just(form(&[("issue", "#1")])),
        Just(form(&[("backup_id", "{{ x }} *_<b>"), ("finished", "yes")])),
        Just(form(&[("window", "2026-12-24 02:00 for 2h")])),
        Just(form(&[("window", "nonsense"), ("stray", "1")])),
    ]
}

fn body() -> impl Strategy<Value = CommandBody> {
    let choice = prop_oneof![3 => Just(Choice::Go), 1 => Just(Choice::NoGo)];
    prop_oneof![
        6 => step_ref().prop_map(|step| CommandBody::Acknowledge { step }),
        5 => (step_ref(), typed()).prop_map(|(step, typed)| CommandBody::CompleteStep { step, typed }),
        1 => (step_ref(), 0usize..4).prop_map(|(step, item)| CommandBody::TickItem { step, item }),
        5 => (step_ref(), typed()).prop_map(|(step, typed)| CommandBody::AnswerStep { step, typed }),
        6 => (step_ref(), choice).prop_map(|(step, choice)| CommandBody::CastVote { step, choice, reason: None, instead_of: None }),
        4 => step_ref().prop_map(|step| CommandBody::RunStep { step }),
        1 => ".{0,20}".prop_map(|text| CommandBody::AddNote { text, kind: NoteKind::Problem }),
        3 => (step_ref(), reason()).prop_map(|(step, reason)| CommandBody::SkipStep { step, reason }),
        2 => (step_ref(), reason()).prop_map(|(step, reason)| CommandBody::ReopenStep { step, reason }),
        1 => step_ref().prop_map(|step| CommandBody::ConfirmStep { step }),
        1 => (step_ref(), reason()).prop_map(|(step, reason)| CommandBody::FailStep { step, reason }),
        1 => step_ref().prop_map(|step| CommandBody::CancelStep { step }),
        2 => (step_ref(), fate()).prop_map(|(step, fate)| CommandBody::SayFate { step, fate }),
        1 => (step_ref(), name()).prop_map(|(step, to)| CommandBody::AssignStep { step, to }),
        1 => name().prop_map(|to| CommandBody::HandOver { to }),
        2 => (name(), reason()).prop_map(|(whom, reason)| CommandBody::Waive { whom, reason }),
        1 => (name(), reason()).prop_map(|(input, text)| CommandBody::SetInput { input, text }),
        1 => (1u8..28, 0u8..24).prop_map(|(day, hour)| CommandBody::Reschedule { text: format!("2026-12-{day:02} {hour:02}:00") }),
        1 => prop::option::of(name()).prop_map(|phase| CommandBody::OpenPhase { phase }),
        2 => Just(CommandBody::BackOff { generation: None }),
        1 => (step_ref(), reason()).prop_map(|(step, text)| CommandBody::Correct { step, text }),
        1 => reason().prop_map(|text| CommandBody::Announce { text, audience: "watch".into() }),
        1 => reason().prop_map(|reason| CommandBody::TakeOver { reason }),
        1 => Just(CommandBody::Lock),
        1 => Just(CommandBody::Unlock),
        1 => reason().prop_map(|reason| CommandBody::OverrideFreeze { reason }),
        2 => (step_ref(), change()).prop_map(|(step, change)| CommandBody::Amend { step, change }),
        2 => Just(CommandBody::AgreeToAmendment { generation: None }),
        1 => Just(CommandBody::Hold),
        2 => Just(CommandBody::Resume { generation: None }),
        1 => prop::option::weighted(0.1, "[a-z]{1,5}").prop_map(|reason| CommandBody::Abort { reason: reason.unwrap_or_default(), generation: None }),
        1 => (-10i64..200_000).prop_map(|seconds| CommandBody::AdvanceClock { seconds }),
    ]
}

/// A freeze that anybody of the team may override.
fn freeze() -> Frozen {
    let (from, until) = (utc("2026-11-20T12:00:00Z"), utc("2026-11-23T12:00:00Z"));
    let may_override = vec!["changeset-team".to_owned()];
    Frozen { name: "weekend".into(), from, until, timezone: chrono_tz::Tz::UTC, reason: None, may_override }
}

fn reason() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 6 => "[a-z]{1,5}"]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Nothing),
        "[a-z{ ]{0,8}".prop_map(Change::Add),
        reason().prop_map(Change::Drop),
        "[a-z]{1,3}".prop_map(|text| Change::Inputs(form(&[("ContainerVersion", text.as_str()), ("stack", "x")]))),
        Just(Change::Inputs(form(&[("record", "other.example.com")]))),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Ran), Just(Fate::Rerun), Just(Fate::Look), Just(Fate::Hold)]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        person().prop_map(str::to_owned),
        Just("slack:andromeda-preproduction-watch".to_owned()),
        Just("container".to_owned()),
        Just("go".to_owned())
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let outcome = || Just(ActionOutcome::Succeeded { outputs: serde_json::Map::new() });
    let delivered = || DeliveryOutcome::Failed { reason: "gone".into() };
    prop_oneof![
        14 => any::<u8>().prop_map(Happening::Sensible),
        8 => (person(), body()).prop_map(|(person, body)| Happening::Person(person, body)),
        3 => prop_oneof![0i64..120, Just(86_400), Just(5 * 86_400)].prop_map(Happening::Passes),
        10 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Happening::Receipt(which, how)),
        1 => (0usize..25, 0u32..4, outcome()).prop_map(|(step, attempt, outcome)| Happening::Stray(CommandBody::RecordAction { step, attempt, outcome })),
        1 => (0usize..25, 0u32..4).prop_map(|(step, attempt)| Happening::Stray(CommandBody::BeginAttempt { step, attempt })),
        1 => (0u64..80, 0usize..3, 0u32..3).prop_map(move |(announcement, slot, attempt)| {
            Happening::Stray(CommandBody::RecordDelivery { announcement, slot, attempt, outcome: delivered() })
        }),
        1 => (0usize..25, any::<bool>()).prop_map(|(step, ended)| {
            let result = ended.then_some(Outcome::Failed);
            Happening::Stray(CommandBody::RecordChildSettled { step, child: RolloutId("child".into()), result })
        }),
        1 => (0usize..25, 0u64..80).prop_map(|(step, sequence)| Happening::Stray(CommandBody::RecordChildTold { step, sequence })),
        1 => (0usize..25).prop_map(|step| Happening::Stray(CommandBody::RecordChild { step, child: Ok(RolloutId("child".into())) })),
        1 => Just(Happening::Stray(CommandBody::RecordEnvironmentGranted)),
        1 => any::<bool>().prop_map(|began| Happening::Stray(CommandBody::RecordFreeze { freeze: began.then(freeze) })),
        1 => Just(Happening::Stray(CommandBody::RecordEnvironmentTaken { by: RolloutId("other".into()), reason: "urgent".into() })),
        1 => Just(Happening::Stray(CommandBody::RecordEnvironmentReleased)),
        1 => (prop::option::of(any::<bool>()), 0i64..100).prop_map(|(held, shift_seconds)| {
            let aborted = (shift_seconds > 90).then(|| "the whole is".to_owned());
            Happening::Stray(CommandBody::FollowParent { held: held.unwrap_or_default(), aborted, window: None, shift_seconds })
        }),
    ]
}

/// Every kind of step and of phase at once.
const EVERYTHING: &str = "
runbook: test
environment: shop/staging
lock-from: changes
timezone: America/New_York
people: { owner: maria, crew: [ana, raj, li] }
audiences: { watch: [slack:andromeda-preproduction-watch, { to: email:andromeda-preproduction-watch, must: true }] }
notes: [{ question: 'Who tells the others?', who: [crew], before: changes }]
cc: [sam]
may: { decide: [crew], second: [crew], waive: [owner, ana], take-over: [owner, ana] }
days: { Day 0: T-1d, Day 1: T-0, Day 2: manual }
inputs:
  window: { type: window }
  size: { type: number, tentative: true }
  container: { required: false }
phases:
  - phase: before
    at: Day 0 09:00
    offer-done: true
    parallel: true
    steps:
      - { acknowledge: Know of it, id: aware, from: [crew], remind: 1h, due: 2h }
      - { task: Back up, id: backup, items: [first, second], evidence: { backup_id: { label: Which }, finished: { type: confirm } }, due: 3h }
      - { ask: 'How was it?', id: survey, from: [crew, owner], due: 1h, fields: { grade: { type: choice, options: [good, bad] } } }
      - { ask: 'How large?', id: sizing, sets: size, fields: { size: { type: number } } }
      - { checklist: minimal, id: side, with: { service: web }, gate: false, evidence: { issue: { label: Issue } } }
  - phase: changes
    at: Day 1 08:00
    back-off: back
    during: [{ announce: update, to: [watch], every: 30m }]
    steps:
      - { let: side_now, value: \"{{ 'a' if size == 'x' else 'b' }}\", confirm: owner }
      - { run: aws-staging.cloudformation.describe-stack, id: look, with: { stack: '{{ side_now }}' }, require: [{ that: outputs.status != 'DOWN', else: it is down }] }
      - { run: ci.command.change, id: change, each: [core, web], with: { argv: ['./{{ each }}'] }, press: owner, four-eyes: true, timeout: 10m, takes: 5s..2m }
      - { run: nothing.at.all, id: by_hand }
      - { wait: 10m, id: pause }
      - { decide: 'Shall we?', id: cutover, rule: majority, veto: true, stand-ins: [owner], due: 20m, notice: shop-notice, to: [watch] }
      - { result: succeeded, id: good, if: decision.cutover == 'go' }
  - phase: back
    if: decision.cutover == 'no-go' or backed_off('changes')
    steps: [{ run: ci.command.back, id: dns, with: { argv: [./back] } }, { result: failed, id: bad, required: false }]
  - phase: later
    at: Day 2 09:00
    opens: owner
    always: true
    steps: [{ task: Tidy up, id: tidy, required: false }]
";

fn everything() -> Table {
    let files = Files::embedded()
        .with("config/runbooks/test.yaml", EVERYTHING)
        .with("messages/shop-notice.md", "We are {{ decision.cutover }}, {{ rollout.title }}.");
    let settings = files.settings().unwrap_or_else(|unusable| panic!("{unusable}"));
    let runbook = Runbook::clone(&settings.runbooks["test"]);
    Table::start(&settings, runbook, &[("window", "2026-11-25 08:00")])
}

fn receipt(table: &mut Table, which: u8, how: u8) {
    let owed = effects(&table.state);
    if owed.is_empty() {
        return;
    }
    let body = match owed[usize::from(which) % owed.len()].clone() {
        Effect::Deliver(delivery) => CommandBody::RecordDelivery {
            announcement: delivery.id.sequence,
            slot: usize::from(delivery.id.slot),
            attempt: u32::from(delivery.id.attempt),
            outcome: if how > 20 {
                DeliveryOutcome::Delivered { reference: "1".into(), possibly_repeated: how > 200 }
            } else {
                DeliveryOutcome::Failed { reason: "is_archived".into() }
            },
        },
        Effect::Act(action) if action.attempted.is_none() => {
            CommandBody::BeginAttempt { step: action.step, attempt: action.attempt }
        }
        Effect::Act(action) => CommandBody::RecordAction {
            step: action.step,
            attempt: action.attempt,
            outcome: match how {
                0..30 => ActionOutcome::Failed { reason: "Throttling".into() },
                30..45 => ActionOutcome::Unknown { reason: "lost".into() },
                _ => {
                    let blue = table.state.values_as_text().get("blue").cloned().unwrap_or_default();
                    ActionOutcome::Succeeded { outputs: [("BlueStackId".to_owned(), blue.into())].into_iter().collect() }
                }
            },
        },
        Effect::StartChild(child) => {
            let started = if how > 20 { Ok(RolloutId("child".into())) } else { Err("version is needed".into()) };
            CommandBody::RecordChild { step: child.step, child: started }
        }
        Effect::TellChild { step, sequence, .. } => CommandBody::RecordChildTold { step, sequence },
        Effect::TellParent { result, .. } => CommandBody::RecordParentTold { ended: result.is_some() },
        Effect::Cancel(action) => CommandBody::RecordAction {
            step: action.step,
            attempt: action.attempt,
            outcome: ActionOutcome::Failed { reason: "it was cancelled".into() },
        },
        Effect::Check(check) => CommandBody::RecordCheck {
            step: check.step,
            generation: check.generation,
            outcome: match how {
                0..100 => ActionOutcome::Failed { reason: "not yet".into() },
                _ => ActionOutcome::Succeeded { outputs: serde_json::Map::new() },
            },
        },
        Effect::ClaimEnvironment { .. } => CommandBody::RecordEnvironmentGranted,
        Effect::ReleaseEnvironment { .. } => CommandBody::RecordEnvironmentReleased,
    };
    let _ = table.give(None, body);
}

fn sensible(table: &mut Table, which: u8) {
    use tminus::domain::conversation::voice::Voice;
    let voice = Voice { state: &table.state, people: &table.people, now: table.now };
    let next = table.state.open_steps().find_map(|(index, step, _)| {
        let awaited = voice.awaited(index);
        let person = awaited.get(usize::from(which) % awaited.len().max(1))?.clone();
        let id = StepRef::Named(step.id.clone());
        let body = match &step.kind {
            StepKind::Acknowledge { .. } => CommandBody::Acknowledge { step: id },
            StepKind::Task { evidence, .. } | StepKind::Checklist { evidence, .. } => {
                let value = |field: &Field| if field.kind == FieldKind::Confirm { "yes" } else { "#1" };
                let typed = evidence.iter().map(|field| (field.name.clone(), value(field).to_owned())).collect();
                CommandBody::CompleteStep { step: id, typed }
            }
            StepKind::Ask { fields, .. } => {
                let typed =
                    fields.iter().filter(|f| f.name != "window").map(|field| (field.name.clone(), "x".to_owned())).collect();
                CommandBody::AnswerStep { step: id, typed }
            }
            StepKind::Decide { .. } => CommandBody::CastVote { step: id, choice: Choice::Go, reason: None, instead_of: None },
            _ => CommandBody::RunStep { step: id },
        };
        Some((person, body))
    });
    let child = table.state.steps.iter().position(|step| step.child.as_ref().is_some_and(|child| !child.settled));
    match next {
        None if child.is_some_and(|_| which > 60) => {
            let step = child.expect("one is under way");
            let result = [None, Some(Outcome::Succeeded), Some(Outcome::Failed)][usize::from(which) % 3];
            drop(table.give(None, CommandBody::RecordChildSettled { step, child: RolloutId("child".into()), result }));
        }
        Some((person, body)) => drop(table.give(Some(person.as_str()), body)),
        None => match next_due(&table.state, table.now, &table.people) {
            Some(due) => {
                table.now = due.max(table.now);
                drop(table.give(None, CommandBody::Wake));
            }
            None => receipt(table, which, 100),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands(happenings in prop::collection::vec(happening(), 1..220), cut in 0usize..220) {
        play(Table::andromeda(), happenings, cut)?;
    }

    #[test]
    fn any_sequence_of_commands_in_a_runbook_of_everything(happenings in prop::collection::vec(happening(), 1..220), cut in 0usize..220) {
        play(everything(), happenings, cut)?;
    }
}

/// What a rollout remembers of when somebody has to be written to keeps nothing from happening, and from being woken for.
fn remembers_rightly(table: &Table, anew: &State) -> Result<(), TestCaseError> {
    let due = next_due(anew, table.now, &table.people);
    let wake = next_wake(&table.state, table.now, &table.people);
    prop_assert!(due.is_none_or(|due| wake.is_some_and(|wake| wake <= due)), "{due:?} is due and woken for at {wake:?}");
    let later = [0, 20, 14 * 60].map(|minutes| table.now + TimeDelta::minutes(minutes));
    for at in later.into_iter().chain(due) {
        prop_assert_eq!(follow(&table.state, at, &table.people), follow(anew, at, &table.people), "at {}", at);
    }
    Ok(())
}

/// How often it is looked at what is owed: where nothing is delivered for long, making all of it takes longer than the commands.
const LOOKED_EVERY: usize = 50;

/// What is in somebody's hands is left out of what is owed, and nothing else is; what came to its end is never owed again.
fn hands_on_rightly(
    state: &State,
    handed_on: &mut BTreeSet<EffectId>,
    settled: &mut BTreeSet<EffectId>,
) -> Result<(), TestCaseError> {
    let owed = effects(state);
    let ids: Vec<EffectId> = owed.iter().filter_map(Effect::id).collect();
    prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no two have one identity: {:?}", ids);
    // Every other one is in somebody's hands.
    let in_hand: BTreeSet<EffectId> = ids.iter().copied().step_by(2).collect();
    let others = owed.iter().filter(|effect| effect.id().is_none_or(|id| !in_hand.contains(&id)));
    prop_assert!(effects_not_in_hand(state, &|id| in_hand.contains(id)).iter().eq(others));
    prop_assert!(ids.iter().all(|id| !is_settled(state, id) && !settled.contains(id)), "owed again: {:?}", ids);
    handed_on.extend(ids);
    settled.extend(handed_on.iter().filter(|id| is_settled(state, id)));
    let delivered = handed_on.iter().filter(|id| state.announcement(id.sequence).is_some() && id.attempt > 0);
    let under_way = delivered.filter(|id| !settled.contains(id)).count();
    let owed_to = owed.iter().filter(|effect| matches!(effect, Effect::Deliver(_))).count();
    prop_assert_eq!(under_way, owed_to, "deliveries that are remembered and that are owed");
    Ok(())
}

/// Lets it all happen, and looks at what became of it.
fn play(mut table: Table, happenings: Vec<Happening>, cut: usize) -> Result<(), TestCaseError> {
    let stream = StreamName::new("rollout/1");
    let mut snapshot = Vec::new();
    // The same without what a rollout remembers of when somebody has to be written to: everything is worked out anew.
    let (mut anew, mut known) = (State::begin(&table.history[0]).unwrap(), 1);
    let (mut handed_on, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for (index, happening) in happenings.into_iter().enumerate() {
        if index == cut {
            snapshot = encode(&stream, &[0; 32], &table.state).unwrap();
        }
        let before = table.state.clone();
        let refused = match happening {
            Happening::Person(person, body) => {
                let moved = if let CommandBody::AdvanceClock { seconds } = body { seconds } else { 0 };
                let refused = table.give(Some(person), body).is_err();
                table.now += TimeDelta::seconds(if refused { 0 } else { moved });
                refused
            }
            Happening::Passes(seconds) => {
                table.passes(TimeDelta::seconds(seconds));
                false
            }
            Happening::Receipt(which, how) => {
                receipt(&mut table, which, how);
                false
            }
            Happening::Sensible(which) => {
                sensible(&mut table, which);
                false
            }
            Happening::Stray(body) => table.give(None, body).is_err(),
        };
        prop_assert!(!refused || table.state == before, "a refusal changes nothing");
        table.history[known..].iter().for_each(|recorded| anew.evolve(recorded));
        known = table.history.len();
        remembers_rightly(&table, &anew)?;
        if index % LOOKED_EVERY == LOOKED_EVERY - 1 {
            hands_on_rightly(&table.state, &mut handed_on, &mut settled)?;
        }
        if table.state.sequence == before.sequence {
            continue;
        }
        // What everybody looks at can always be shown.
        let now = table.now;
        let card = card(&table.state, &table.people, now, &|_| None);
        prop_assert!(!card.markdown().is_empty());
        prop_assert!(card.buttons.iter().all(|button| button.id.len() <= 64 && button.label.chars().count() <= 75));
        let _ = serde_json::to_string(&view(&table.state, &table.people, now)).unwrap();
    }
    prop_assert_eq!(table.replayed(), table.state.clone(), "replay equals live");

    // Written down somewhere on the way, and what came after it: the same.
    if snapshot.is_empty() {
        snapshot = encode(&stream, &[0; 32], &table.state).unwrap();
    }
    let (mut resumed, _) = decode::<State>(&stream, &snapshot).unwrap();
    let known = usize::try_from(resumed.sequence).unwrap();
    table.history[known..].iter().for_each(|recorded| resumed.evolve(recorded));
    prop_assert_eq!(&resumed, &table.state, "a snapshot and the rest equal a replay");

    // Time never runs backwards; an action is attempted only after it was wanted, and each attempt once.
    let mut wanted = BTreeSet::new();
    let mut attempted = BTreeSet::new();
    let mut issued = std::collections::BTreeMap::<usize, u32>::new();
    let mut last = table.history[0].at;
    for recorded in &table.history {
        prop_assert!(recorded.at >= last);
        last = recorded.at;
        match &recorded.event {
            Event::ActionRequested { step, attempt, .. } => prop_assert!(wanted.insert((*step, *attempt))),
            Event::ActionAttempted { step, attempt } => {
                prop_assert!(wanted.contains(&(*step, *attempt)));
                prop_assert!(attempted.insert((*step, *attempt)));
            }
            Event::AnnouncementIssued { step, .. } => *issued.entry(*step).or_default() += 1,
            _ => {}
        }
    }
    let repeated =
        |step: &usize| matches!(&table.state.runbook.steps[*step].kind, StepKind::Announce { every_seconds: Some(_), .. });
    prop_assert!(issued.iter().all(|(step, count)| *count == 1 || repeated(step)), "an announcement is issued once: {issued:?}");
    let ended = table.history.iter().filter(|recorded| matches!(recorded.event, Event::Ended { .. })).count();
    prop_assert!(ended <= 1);
    Ok(())
}
