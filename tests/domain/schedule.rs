//! When things happen: moving T-0, named days, phases that people open, what lives beside a phase, waits.

use chrono::TimeDelta;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::event::{ActionOutcome, Choice, Event};
use tminus::domain::rollout::{due_of, next_due, next_move, next_wake};

use crate::support::{Table, ack, done, named, run, utc, vote, vote_for};

fn reschedule(text: &str) -> CommandBody {
    CommandBody::Reschedule { text: text.into() }
}

fn open(phase: Option<&str>) -> CommandBody {
    CommandBody::OpenPhase { phase: phase.map(str::to_owned) }
}

const WINDOW: &str = "
runbook: test
timezone: America/New_York
people: { owner: maria }
inputs: { window: { type: window } }
phases:
  - phase: one
    steps:
      - { acknowledge: Know, id: know, from: [changeset-team] }
      - { decide: Go?, id: go, voters: [changeset-team], rule: majority }
  - { phase: two, at: T-4h, steps: [{ task: Do it, id: it, due: T-1h }] }
";

#[test]
fn moving_t_0_moves_what_is_to_come_and_asks_again_only_when_it_is_another_time() {
    let start = || {
        let mut table = Table::of(WINDOW, &[("window", "2026-11-25 12:00")]);
        for person in ["ana", "raj", "li"] {
            table.does(person, ack());
        }
        table.does("ana", vote(Choice::Go));
        table
    };
    let mut table = start();
    assert_eq!(table.refused("ana", reschedule("2026-11-25 12:30")), "Only Maria can change what was said at the start.");
    assert!(table.refused("maria", reschedule("tomorrow")).contains("is not a time"));
    assert!(table.refused("maria", reschedule("2026-11-19 12:00")).contains("began before now"));
    // Half an hour: people are told, and what they said stands.
    table.does("maria", reschedule("2026-11-25 12:30"));
    assert_eq!(table.open(), ["go"]);
    assert_eq!(table.state.steps[1].votes.len(), 1);
    assert_eq!(next_move(&table.state), None, "the decision comes first");
    table.outside_does_its_part();
    let told = "person:li: T-0 of r moved from Wed 25 Nov 12:00 EST to Wed 25 Nov 12:30 EST.";
    assert!(table.written_to.contains(&told.to_owned()), "{:?}", table.written_to);
    // Two hours, or another date: it is asked again.
    for again in ["2026-11-25 14:00", "2026-11-26 11:59"] {
        let mut table = start();
        table.does("maria", reschedule(again));
        assert_eq!(table.open(), ["know", "go"]);
        assert!(table.state.steps[1].votes.is_empty());
        assert_eq!(table.replayed(), table.state);
    }
}

#[test]
fn a_due_time_moves_with_t_0() {
    let mut table = Table::of(WINDOW, &[("window", "2026-11-25 12:00")]);
    assert_eq!(due_of(&table.state, 2), Some(utc("2026-11-25T16:00:00Z")));
    table.does("maria", reschedule("2026-11-25 13:00"));
    assert_eq!(due_of(&table.state, 2), Some(utc("2026-11-25T17:00:00Z")));
}

const DAYS: &str = "
runbook: test
timezone: America/New_York
people: { owner: maria, ops: [ana, raj] }
inputs: { window: { type: window } }
days: { Day 0: T-1d, Day 1: T-0, Day 2: manual }
phases:
  - { phase: before, offer-done: true, at: T-2d, steps: [{ task: Set the TTL, id: ttl, who: ops }, { task: Tell them, id: tell }] }
  - { phase: day_0, at: Day 0 09:00, steps: [{ task: Copy, id: copy }] }
  - { phase: day_1, at: Day 1 09:00, steps: [{ task: Launch, id: launch }] }
  - { phase: day_2, at: Day 2 09:00, opens: ops, steps: [{ task: Clean up, id: clean }] }
";

#[test]
fn days_have_names_and_the_last_comes_when_somebody_says_so() {
    // The clocks go forward in the night before Day 1.
    let mut table = Table::of(DAYS, &[("window", "2027-03-14 10:00")]);
    table.until("2027-03-12T15:00:00Z");
    table.does("ana", done("ttl", &[]));
    table.does("maria", done("tell", &[]));
    assert_eq!(next_move(&table.state), Some(utc("2027-03-13T14:00:00Z")), "nine o'clock EST");
    table.until("2027-03-13T14:00:00Z");
    table.does("maria", done("copy", &[]));
    assert_eq!(next_move(&table.state), Some(utc("2027-03-14T13:00:00Z")), "nine o'clock EDT");
    assert!(table.refused("ana", open(None)).starts_with("No phase waits to be opened by a person."));
    table.until("2027-03-14T13:00:00Z");
    table.does("maria", done("launch", &[]));
    assert_eq!(next_move(&table.state), None);
    assert_eq!(table.refused("maria", open(None)), "“Day 2” is opened by Ana and Raj.");
    assert!(table.refused("ana", open(Some("day_3"))).contains("Did you mean `day_"));
    table.does("raj", open(None));
    assert_eq!(table.open(), ["clean"]);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn what_is_done_already_is_ticked_before_its_phase_opens() {
    let mut table = Table::of(DAYS, &[("window", "2026-12-14 10:00")]);
    assert_eq!(table.open(), Vec::<&str>::new());
    assert!(table.refused("sam", done("ttl", &[])).contains("is for Ana and Raj"));
    table.does("ana", done("ttl", &[]));
    assert!(table.refused("ana", done("copy", &[])).contains("is not open yet"));
    table.until("2026-12-12T16:00:00Z");
    assert_eq!(table.open(), ["tell"]);
}

const BESIDE: &str = "
runbook: test
people: { owner: maria }
audiences: { watch: [slack:andromeda-preproduction-watch] }
inputs: { version: { default: '4.3' } }
phases:
  - phase: one
    during:
      - { announce: commencement, id: updates, to: [watch], every: 30m }
      - { wait: healthy, id: healthy, of: { run: ci.command.health, with: { argv: [health] } }, every: 1m, bad: tell }
    steps: [{ task: Do it, id: it }]
  - { phase: two, steps: [{ wait: 24h, id: soak }, { task: Close, id: close }] }
";

fn check(table: &mut Table, step: usize, good: bool) -> Vec<Event> {
    let generation = (table.state.steps[step].generation, table.state.generation);
    let outcome = if good {
        ActionOutcome::Succeeded { outputs: serde_json::Map::new() }
    } else {
        ActionOutcome::Failed { reason: "burning".into() }
    };
    table.give(None, CommandBody::RecordCheck { step, generation, outcome }).expect("a check is not refused")
}

#[test]
fn what_lives_beside_a_phase_goes_on_until_the_phase_is_settled_and_holds_nothing_up() {
    let mut table = Table::of(BESIDE, &[("version", "4.3")]);
    let step = |id: &str| table.state.runbook.step_index(id).expect("a step");
    let healthy = step("healthy");
    assert_eq!(table.open(), ["it", "updates", "healthy"]);
    assert_eq!(table.passes(TimeDelta::minutes(29)), []);
    assert!(matches!(table.passes(TimeDelta::minutes(1))[..], [Event::AnnouncementIssued { .. }]));
    table.does("maria", CommandBody::Hold);
    assert_eq!(table.passes(TimeDelta::minutes(30)), [], "a held rollout announces nothing");
    table.does("maria", CommandBody::Resume { generation: None });
    assert_eq!(table.state.announcements.len(), 2);
    // Only turns are news: good is expected, bad is said once, good again too.
    assert_eq!(check(&mut table, healthy, true), []);
    assert!(matches!(check(&mut table, healthy, false)[..], [Event::Checked { good: false, .. }]));
    assert_eq!(check(&mut table, healthy, false), []);
    assert!(matches!(check(&mut table, healthy, true)[..], [Event::Checked { good: true, .. }]));
    table.does("maria", done("it", &[]));
    assert_eq!(table.open(), ["soak"]);
    assert_eq!(check(&mut table, healthy, false), [], "its phase is over");
    assert_eq!(next_move(&table.state), Some(table.now + TimeDelta::hours(24)));
    table.passes(TimeDelta::hours(24));
    assert_eq!(table.open(), ["close"]);
    assert_eq!(table.replayed(), table.state);
}

const WAITS: &str = "
runbook: test
people: { owner: maria }
phases:
  - phase: one
    parallel: true
    steps:
      - wait: The site is up
        id: up
        until: { run: ci.command.up, with: { argv: [up] }, require: [{ that: outputs.code == '0', else: 'code {{ outputs.code }}' }] }
        timeout: 90m
      - { wait: Quiet cycles, id: quiet, cycles: 2, every: 15m, of: { run: ci.command.q, with: { argv: [q] } }, bad: restart }
      - { wait: Strict cycles, id: strict, cycles: 2, every: 15m, of: { run: ci.command.s, with: { argv: [s] } }, bad: fail }
";

#[test]
fn waits_end_when_they_come_true_or_are_given_up() {
    let mut table = Table::of(WAITS, &[]);
    let up = |table: &mut Table, code: &str| {
        let outputs = [("code".to_owned(), code.into())].into_iter().collect();
        let generation = (table.state.steps[0].generation, 0);
        let body = CommandBody::RecordCheck { step: 0, generation, outcome: ActionOutcome::Succeeded { outputs } };
        table.give(None, body).expect("a check is not refused")
    };
    assert_eq!(up(&mut table, "1"), [], "not yet, and no news");
    table.passes(TimeDelta::minutes(90));
    assert_eq!(table.open(), ["up", "quiet", "strict"]);
    let failed = format!("{:?}", table.state.steps[0].status);
    assert!(failed.contains("it did not come true within 1h 30m"), "{failed}");
    assert_eq!(up(&mut table, "0"), [], "it was given up");
    table.does("maria", run("up"));
    assert!(matches!(up(&mut table, "0")[..], [Event::StepCompleted { .. }]));
    // Good ones in a row count; a bad one starts over, or fails.
    for (good, counted) in [(true, 1), (false, 0), (true, 1)] {
        check(&mut table, 1, good);
        assert_eq!(table.state.steps[1].checks.good, counted);
    }
    check(&mut table, 1, true);
    check(&mut table, 2, true);
    check(&mut table, 2, false);
    assert_eq!(table.open(), ["strict"]);
    assert!(format!("{:?}", table.state.steps[2].status).contains("burning"));
    table.does("maria", run("strict"));
    check(&mut table, 2, true);
    check(&mut table, 2, true);
    assert!(table.state.ended.is_some());
    assert_eq!(table.replayed(), table.state);
}

const NUDGES: &str = "
runbook: test
timezone: America/New_York
people: { owner: maria }
inputs: { window: { type: window } }
phases:
  - phase: one
    steps:
      - { acknowledge: Know, id: know, from: [ana, raj], remind: 4h, due: 6h }
  - { phase: two, at: T-4h, steps: [{ task: Do it, id: it, who: li, remind: 10m }] }
";

/// What people were written since the last look.
fn written(table: &mut Table) -> Vec<String> {
    table.outside_does_its_part();
    std::mem::take(&mut table.written_to)
        .into_iter()
        .map(|said| said.split(" **").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn who_is_awaited_is_written_to_once_then_reminded_then_the_owner_is_told() {
    let mut table = Table::of(NUDGES, &[("window", "2026-11-25 12:00")]);
    assert_eq!(written(&mut table), ["person:ana: You are needed in", "person:raj: You are needed in"]);
    table.does("ana", ack());
    assert_eq!(next_due(&table.state, table.now, &table.people), Some(table.now + TimeDelta::hours(4)));
    table.passes(TimeDelta::hours(4));
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
    // Its time passes: once more, and on the rhythm from then.
    table.passes(TimeDelta::hours(2));
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
    table.passes(TimeDelta::hours(4));
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
    // Nobody is written to between 22:00 and 07:00 of their own time: the owner is told in the morning of Berlin, who is
    // awaited is reminded in the morning of New York; and a day later it is one reminder, not six.
    table.until("2026-11-21T03:30:00Z");
    assert_eq!(written(&mut table), Vec::<String>::new());
    assert_eq!(next_due(&table.state, table.now, &table.people), Some(utc("2026-11-21T06:00:00Z")), "seven o'clock CET");
    table.until("2026-11-21T06:00:00Z");
    assert_eq!(written(&mut table), ["person:maria: Overdue in"]);
    assert_eq!(next_due(&table.state, table.now, &table.people), Some(utc("2026-11-21T12:00:00Z")), "seven o'clock EST");
    table.until("2026-11-22T15:00:00Z");
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
    table.does("raj", ack());
    table.passes(TimeDelta::hours(30));
    assert_eq!(written(&mut table), Vec::<String>::new());
}

#[test]
fn who_may_stand_in_is_asked_to_when_a_vote_is_overdue_and_only_then() {
    let yaml = "
runbook: test
people: { owner: maria }
phases: [{ phase: one, steps: [{ decide: 'Go?', id: go, voters: [raj, li], stand-ins: [owner, sam], due: 20m, remind: 10m }] }]
";
    let mut table = Table::of(yaml, &[]);
    table.until("2026-11-20T12:29:59Z");
    assert!(written(&mut table).iter().all(|line| !line.starts_with("person:sam")), "not before it is overdue");
    table.does("raj", vote(Choice::Go));
    table.until("2026-11-20T12:30:00Z");
    table.outside_does_its_part();
    let to_sam: Vec<String> = table.written_to.iter().filter(|line| line.starts_with("person:sam")).cloned().collect();
    assert_eq!(
        to_sam,
        ["person:sam: You are needed as a stand-in in **Test** (`r`): “Go?”. Still awaited: Li. `/rollout go for li` or \
          `/rollout no-go for li REASON` votes for who is away."]
    );
    table.does("sam", vote(Choice::Go));
    table.passes(TimeDelta::hours(1));
    table.outside_does_its_part();
    assert_eq!(table.written_to.iter().filter(|line| line.starts_with("person:sam")).count(), 1, "once");
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn in_the_window_the_night_is_no_reason() {
    let mut table = Table::of(NUDGES, &[("window", "2026-11-25 02:00")]);
    table.does("ana", ack());
    table.does("raj", ack());
    written(&mut table);
    table.until("2026-11-25T03:00:00Z");
    assert_eq!(written(&mut table), ["person:li: You are needed in"], "at 22:00 EST, four hours before T-0");
    table.passes(TimeDelta::minutes(10));
    assert_eq!(written(&mut table), ["person:li: A reminder:"]);
    table.does("maria", CommandBody::Hold);
    table.passes(TimeDelta::minutes(30));
    assert_eq!(written(&mut table), Vec::<String>::new(), "a held rollout reminds nobody");
}

#[test]
fn an_owner_who_is_awaited_too_is_told_once_they_are_not_and_others_still_are() {
    let yaml = "
runbook: test
people: { owner: maria }
phases: [{ phase: one, steps: [{ WHAT, from: [maria, raj], due: 1h }] }]
";
    for (what, answer) in [
        ("acknowledge: Know", ack()),
        (
            "ask: How was it?, fields: { grade: {} }",
            CommandBody::AnswerStep {
                step: named("ask"),
                typed: [("grade".to_owned(), "good".to_owned())].into_iter().collect(),
            },
        ),
    ] {
        let mut table = Table::of(&yaml.replace("WHAT", &format!("{what}, id: ask")), &[]);
        table.until("2026-11-20T13:00:00Z");
        written(&mut table);
        table.until("2026-11-20T13:05:00Z");
        assert_eq!(next_wake(&table.state, table.now, &table.people), None, "{what}: who would be told is awaited");
        table.does("maria", answer);
        let at = Some(utc("2026-11-20T13:15:00Z"));
        assert_eq!(next_due(&table.state, table.now, &table.people), at, "{what}");
        assert_eq!(next_wake(&table.state, table.now, &table.people), at, "{what}");
        table.until("2026-11-20T13:20:00Z");
        assert_eq!(written(&mut table), ["person:maria: Overdue in"], "{what}");
    }
}

#[test]
fn an_owner_for_whom_a_stand_in_voted_is_told_that_others_still_have_to() {
    let yaml = "
runbook: test
people: { owner: maria }
phases: [{ phase: one, steps: [{ decide: 'Go?', id: go, voters: [maria, raj], rule: unanimous, stand-ins: [sam], due: 1h }] }]
";
    let mut table = Table::of(yaml, &[]);
    table.until("2026-11-20T13:20:00Z");
    written(&mut table);
    table.does("sam", vote_for("maria", Choice::Go));
    assert_eq!(written(&mut table), ["person:maria: Overdue in"]);
}

/// Asked of Raj, who lives in New York, at seven o'clock in the morning before T-0.
const NIGHT: &str = "
runbook: test
timezone: America/New_York
people: { owner: maria }
inputs: { window: { type: window } }
phases: [{ phase: one, steps: [{ acknowledge: Know, id: know, from: [raj], remind: REMIND }] }]
";

fn asked_in_the_morning(remind: &str) -> Table {
    let mut table = Table::of(&NIGHT.replace("REMIND", remind), &[("window", "2026-11-21 05:00")]);
    assert_eq!(written(&mut table), ["person:raj: You are needed in"]);
    table
}

#[test]
fn a_night_ends_when_the_rollout_is_under_way() {
    // The reminder would come at half past ten in the evening.
    let mut table = asked_in_the_morning("15h 30m");
    let awake = Some(utc("2026-11-21T06:00:00Z"));
    assert_eq!(next_due(&table.state, table.now, &table.people), awake, "at one in the night, four hours before T-0");
    assert_eq!(next_wake(&table.state, table.now, &table.people), awake);
    table.until("2026-11-21T05:59:59Z");
    assert_eq!(written(&mut table), Vec::<String>::new());
    table.until("2026-11-21T06:00:00Z");
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
}

#[test]
fn what_came_due_while_held_is_said_when_the_rollout_is_under_way() {
    // At eight in the evening, while it is held; it goes on at eleven.
    let mut table = asked_in_the_morning("13h");
    table.until("2026-11-20T23:00:00Z");
    table.does("maria", CommandBody::Hold);
    table.until("2026-11-21T04:00:00Z");
    table.does("maria", CommandBody::Resume { generation: None });
    assert_eq!(written(&mut table), Vec::<String>::new(), "it is night, and not yet T-4h");
    let awake = Some(utc("2026-11-21T06:00:00Z"));
    assert_eq!(next_due(&table.state, table.now, &table.people), awake);
    assert_eq!(next_wake(&table.state, table.now, &table.people), awake);
    table.until("2026-11-21T06:30:00Z");
    assert_eq!(written(&mut table), ["person:raj: A reminder:"]);
}

const MADE: &str = "
runbook: test
people: { owner: maria, sre: [ana] }
phases:
  - phase: one
    parallel: true
    steps:
      - { task: 'Check {{ each }}', each: [core, web], id: look, who: sre, evidence: { ip: {} } }
      - { ask: Any concerns?, id: concerns, from: [raj, li] }
  - phase: two
    steps:
      - { run: rancher.read-lb, id: lb, require: [{ that: \"outputs.active in ['a', 'b']\", else: 'it is {{ outputs.active }}' }] }
      - { let: old_side, value: '{{ steps.lb.outputs.active }}', confirm: sre }
      - { let: new_side, value: \"{{ 'b' if old_side == 'a' else 'a' }}\" }
      - { task: 'Deploy {{ new_side }} after {{ steps.look[\"core\"].ip }}', id: deploy, if: done('look') }
";

#[test]
fn steps_are_made_of_items_values_are_worked_out_once_and_what_no_system_does_people_do() {
    let mut table = Table::of(MADE, &[]);
    assert_eq!(table.open(), ["look[core]", "look[web]", "concerns"]);
    assert_eq!(table.state.step_title(0), "Check core");
    table.does("ana", done("look[core]", &[("ip", "10.0.0.1")]));
    table.does("ana", done("look[web]", &[("ip", "10.0.0.2")]));
    let answer = |text: &str| CommandBody::AnswerStep {
        step: named("concerns"),
        typed: [("answer".to_owned(), text.to_owned())].into_iter().collect(),
    };
    assert!(table.refused("maria", answer("none")).contains("is asked of Raj and Li"));
    table.does("raj", answer("none"));
    table.does("li", answer("a few"));
    // The system is not configured: what people record stands for its outputs, and has to hold.
    assert_eq!(table.open(), ["lb"]);
    let says = table.refused("maria", done("lb", &[]));
    assert!(says.contains("**Active** is needed") && says.contains("In words: `/rollout done lb active="), "{says}");
    table.does("maria", done("lb", &[("active", "c")]));
    assert!(format!("{:?}", table.state.steps[3].status).contains("it is c"));
    table.does("maria", done("lb", &[("active", "a")]));
    let value = format!("{:?}", table.state.steps[4].fields);
    assert!(value.contains("Text(\"a\")"), "it is worked out and waits to be confirmed: {value}");
    assert!(table.refused("li", CommandBody::ConfirmStep { step: named("let_old_side") }).contains("is for Ana"));
    table.does("ana", CommandBody::ConfirmStep { step: named("let_old_side") });
    assert_eq!(table.open(), ["deploy"]);
    assert_eq!(table.state.step_title(6), "Deploy b after 10.0.0.1");
    assert_eq!(table.replayed(), table.state);
}
