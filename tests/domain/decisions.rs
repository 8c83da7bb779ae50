//! What commands become: tables that a person can read.

use chrono::TimeDelta;
use tminus::domain::people::PersonId;
use tminus::domain::rollout::command::{CommandBody, StepRef};
use tminus::domain::rollout::event::{ActionOutcome, Choice, Event, NoteKind};
use tminus::domain::rollout::next_move;
use tminus::domain::runbook::model::Outcome;

use crate::support::{Table, ack, answer, done, form, named, run, utc, vote, vote_for};

/// Andromeda at the point where its fifth day before has come.
fn pre_flight() -> Table {
    let mut table = Table::andromeda();
    assert_eq!(table.open(), Vec::<&str>::new());
    table.until("2026-11-20T13:00:00Z");
    assert_eq!(table.open(), ["aware"]);
    table
}

/// Andromeda at its go/no-go.
fn go_no_go() -> Table {
    let mut table = pre_flight();
    for person in ["ines", "tom", "ana", "raj", "li"] {
        table.does(person, ack());
    }
    table.does("maria", done("go_call", &[]));
    table.does("maria", answer("confirm_window", &[("window", "2026-11-25 08:00")]));
    table.does("maria", answer("preparation_inputs", &[("blue", "b"), ("green", "g"), ("container", "4.3.0")]));
    table.until("2026-11-25T09:00:00Z");
    table.does("maria", done("backup", &[("backup_id", "4711"), ("finished", "yes")]));
    table.until("2026-11-25T12:59:00Z");
    table.outside_does_its_part();
    table.does("maria", run("update_containers"));
    table.outside_does_its_part();
    table.checklist_settles("blue_tests", Some(Outcome::Succeeded));
    table.does("maria", done("blue_tests", &[("issue", "#1")]));
    assert_eq!(table.open(), ["cutover"]);
    table
}

#[test]
fn the_straight_road_says_exactly_these_things_to_the_outside() {
    let mut table = go_no_go();
    for person in ["ana", "raj", "li"] {
        table.does(person, vote(Choice::Go));
    }
    table.passes(TimeDelta::seconds(60));
    let mut said = table.outside_does_its_part();
    for step in ["prescale", "dns"] {
        table.does("maria", run(step));
        said.extend(table.outside_does_its_part());
    }
    table.does("maria", done("review", &[]));
    assert_eq!(
        said,
        [
            "email:andromeda-preproduction-watch: We are a **GO** on updating the Staging stack.",
            "slack:andromeda-preproduction-watch: We are a **GO** on updating the Staging stack.",
            r#"autoscaling.prescale {"group":"b","like":"g"}"#,
            r#"route53.switch-record {"record":"staging.andromeda.abccompany.com","target":"b"}"#,
            r#"command.post-cutover-tests {"argv":["./post-cutover.sh","staging"]}"#,
            "email:andromeda-preproduction-watch: Changeset 4.3 was successfully deployed to the Staging environment for the Andromeda system.",
            "slack:andromeda-preproduction-watch: Changeset 4.3 was successfully deployed to the Staging environment for the Andromeda system.",
        ]
    );
    assert_eq!((table.state.result, table.state.ended.is_some()), (Some(Outcome::Succeeded), true));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn who_may_do_what_in_pre_flight() {
    let cases: [(&str, CommandBody, Result<usize, &str>); 12] = [
        ("ana", ack(), Ok(1)),
        ("maria", ack(), Ok(1)),
        (
            "ana",
            done("aware", &[]),
            Err("`done` does not fit “You know of this promotion and have subscribed to it”. Possible: `/rollout ack aware`."),
        ),
        ("ana", done("awre", &[]), Err("There is no step `awre` in r. Did you mean `aware`?")),
        (
            "maria",
            done("go_call", &[]),
            Err(
                "“Confirm Go Call” is not open yet. It belongs to “Pre-Flight” and comes after what is open now. Open now: “You know of this promotion and have subscribed to it” (`aware`).",
            ),
        ),
        (
            "maria",
            done("backup", &[]),
            Err(
                "“Kick off special pre-change backup” is not open yet. “Change Preparation” opens at Wed 25 Nov 04:00 EST. Open now: “You know of this promotion and have subscribed to it” (`aware`).",
            ),
        ),
        (
            "ana",
            vote(Choice::Go),
            Err("Nothing is open that `go` fits. Open now: “You know of this promotion and have subscribed to it” (`aware`)."),
        ),
        (
            "ana",
            CommandBody::Abort { reason: "no".into(), generation: None },
            Err("Only Maria can abort it; anyone can `/rollout hold` it."),
        ),
        (
            "maria",
            CommandBody::Abort { reason: " ".into(), generation: None },
            Err("An abort needs a reason: `/rollout abort REASON`."),
        ),
        (
            "ana",
            CommandBody::Resume { generation: None },
            Err("r is not on hold. Open now: “You know of this promotion and have subscribed to it” (`aware`)."),
        ),
        ("ana", CommandBody::Hold, Ok(1)),
        ("ana", CommandBody::AddNote { text: String::new(), kind: NoteKind::Remark }, Err("A note needs some words.")),
    ];
    for (person, body, expected) in cases {
        let mut table = pre_flight();
        match expected {
            Ok(events) => assert_eq!(table.does(person, body.clone()).len(), events, "{person} {body:?}"),
            Err(says) => assert_eq!(table.refused(person, body), says),
        }
    }
}

#[test]
fn an_acknowledgement_counts_once_and_others_become_listeners() {
    let mut table = pre_flight();
    assert_eq!(table.does("ana", ack()), [Event::Acknowledged { step: 0, count: 1, of: 5 }]);
    assert_eq!(
        table.refused("ana", ack()),
        "You acknowledged “You know of this promotion and have subscribed to it” at 08:00 EST already: 1 of 5."
    );
    assert_eq!(table.does("sam", ack()), [Event::Listening { step: 0 }]);
    assert_eq!(
        table.refused("sam", ack()),
        "You are on the list as a listener of “You know of this promotion and have subscribed to it” already."
    );
    for person in ["ines", "tom", "raj"] {
        table.does(person, ack());
    }
    let last = table.does("li", ack());
    // Maria, who has to do the next thing, is told: it was not her act that it waits for her now.
    let [
        Event::Acknowledged { count: 5, .. },
        Event::StepCompleted { .. },
        Event::StepOpened { .. },
        Event::Nudged { people, .. },
    ] = &last[..]
    else {
        panic!("{last:?}")
    };
    assert_eq!(people.iter().map(PersonId::as_str).collect::<Vec<_>>(), ["maria"]);
    // What her own act opens she knows of.
    let events = table.does("maria", done("go_call", &[]));
    assert!(!events.iter().any(|event| matches!(event, Event::Nudged { .. })), "{events:?}");
}

#[test]
fn a_button_counts_for_its_step_and_generation_only() {
    let mut table = pre_flight();
    let button = |index, generation| CommandBody::Acknowledge { step: StepRef::Button { index, generation } };
    assert!(table.refused("ana", button(0, 2)).contains("has changed since that button was made"));
    assert!(table.refused("ana", button(1, 1)).contains("“Confirm Go Call” is not open yet."));
    assert!(table.refused("ana", button(99, 1)).contains("belongs to nothing here"));
    table.does("ana", button(0, 1));
    for person in ["ines", "tom", "raj", "li"] {
        table.does(person, button(0, 1));
    }
    assert!(table.refused("maria", button(0, 1)).contains("was completed at 08:00 EST"));
}

#[test]
fn a_form_is_taken_whole_or_not_at_all() {
    let mut table = pre_flight();
    for person in ["ines", "tom", "ana", "raj", "li"] {
        table.does(person, ack());
    }
    table.does("maria", done("go_call", &[]));
    let says = table.refused("maria", answer("confirm_window", &[("window", "soon"), ("widow", "x")]));
    assert_eq!(
        says,
        "Nothing was recorded for “Confirm the maintenance window”. **widow**: there is no field “widow” here; did you mean “window”?; \
         **Maintenance window**: “soon” is not a time; write it like “2026-11-26 02:00” (America/New\\_York) or “02:00”. \
         In words: `/rollout answer confirm_window window=…`."
    );
    assert!(table.refused("maria", answer("confirm_window", &[("window", "2026-11-01 02:00")])).contains("began before now"));
    assert!(table.refused("ana", answer("confirm_window", &[])).contains("is for Maria"));
    assert_eq!(
        table.refused("maria", answer("confirm_window", &[])),
        "Nothing was recorded for “Confirm the maintenance window”, because nothing was said. What is proposed would be \
         `/rollout answer confirm_window window=\"2026-11-25 08:00 EST\"`."
    );
    table.does("maria", answer("confirm_window", &[("window", "2026-12-01 02:00 for 2h")]));
    assert_eq!(table.state.window().map(|w| (w.starts, w.seconds)), Some((utc("2026-12-01T07:00:00Z"), Some(7200))));
    // It is another date, so what people acknowledged for the old one is asked again.
    assert_eq!(table.open(), ["aware"]);
    for person in ["ines", "tom", "ana", "raj", "li"] {
        table.does(person, ack());
    }
    // What a phase needs is asked before it opens, and its time follows T-0.
    assert_eq!(table.open(), ["preparation_inputs"]);
    // The command that would do is said whole: what was right as it was, and a gap for what was not.
    let says = table.refused("maria", answer("preparation_inputs", &[("blue", "b 1"), ("green", "")]));
    assert!(says.ends_with("In words: `/rollout answer preparation_inputs blue=\"b 1\" green=… container=…`."), "{says}");
    table.does("maria", answer("preparation_inputs", &[("blue", "b"), ("green", "g"), ("container", "c")]));
    assert_eq!(next_move(&table.state), Some(utc("2026-12-01T03:00:00Z")));
}

#[test]
fn votes_follow_the_rule_and_settle_before_they_count() {
    let mut table = go_no_go();
    assert_eq!(
        table.refused("ines", vote(Choice::Go)),
        "You are not a voter here; voters are Ana, Raj and Li. You can add a note: `/rollout note …`."
    );
    table.does("ana", vote(Choice::Go));
    assert!(table.refused("ana", vote(Choice::Go)).starts_with("You voted GO at 07:59 EST already."));
    table.does("raj", vote(Choice::Go));
    let third = table.does("li", vote(Choice::Go));
    assert!(matches!(third[1], Event::DecisionSettling { choice: Choice::Go, .. }), "{third:?}");
    assert_eq!(table.passes(TimeDelta::seconds(59)), []);
    // One changes to NO-GO in the last second: the other way settles anew.
    let changed = table.does("li", vote(Choice::NoGo));
    assert!(matches!(changed[1], Event::DecisionSettling { choice: Choice::NoGo, .. }), "{changed:?}");
    assert_eq!(table.passes(TimeDelta::seconds(59)), []);
    let taken = table.passes(TimeDelta::seconds(1));
    // One commit: nobody sees a decision that is not on its way to everybody.
    assert!(
        matches!(taken[..], [Event::DecisionTaken { choice: Choice::NoGo, .. }, Event::AnnouncementIssued { .. }]),
        "{taken:?}"
    );
    let said = table.outside_does_its_part();
    assert_eq!(said[0], "email:andromeda-preproduction-watch: We are a **NO-GO** on updating the Staging stack.");
    assert!(said.contains(&"slack:andromeda-preproduction-watch: Changeset 4.3 was a no-go to deploy to the Staging environment for the Andromeda system.".to_owned()));
    table.checklist_settles("post_mortem", None);
    table.does("maria", done("post_mortem", &[("issue", "#2")]));
    table.does("maria", done("review", &[]));
    assert_eq!(table.state.result, Some(Outcome::NoGo));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn rules_other_than_unanimous() {
    const RUNBOOK: &str = "
runbook: test
people: { owner: maria }
phases:
  - phase: only
    steps:
      - { decide: Shall we?, id: shall, voters: [changeset-team], rule: RULE }
";
    use Choice::{Go, NoGo};
    type Votes<'a> = &'a [(&'a str, Choice)];
    let cases: [(&str, Votes<'_>, Option<Choice>); 7] = [
        ("any", &[("ana", NoGo)], Some(NoGo)),
        ("any", &[("ana", Go)], Some(Go)),
        ("majority", &[("ana", Go)], None),
        ("majority", &[("ana", NoGo), ("raj", Go), ("li", Go)], Some(Go)),
        ("majority", &[("ana", NoGo), ("raj", NoGo)], Some(NoGo)),
        ("{ at-least: 2 }", &[("ana", Go), ("raj", Go)], Some(Go)),
        ("unanimous", &[("ana", NoGo)], Some(NoGo)),
    ];
    for (rule, votes, expected) in cases {
        let mut table = Table::of(&RUNBOOK.replace("RULE", rule), &[]);
        for (person, choice) in votes {
            table.does(person, vote(*choice));
        }
        table.passes(TimeDelta::minutes(2));
        assert_eq!(table.state.steps[0].decision, expected, "{rule} {votes:?}");
    }
}

#[test]
fn hold_stops_what_starts_by_itself_and_nothing_else() {
    let mut table = pre_flight();
    table.does("sam", CommandBody::Hold);
    assert!(table.refused("sam", CommandBody::Hold).contains("is on hold since 08:00 EST already"));
    table.does("ana", ack());
    for person in ["ines", "tom", "raj"] {
        table.does(person, ack());
    }
    // The step completes; the next one waits.
    assert_eq!(table.does("li", ack()).len(), 2);
    assert_eq!(table.open(), Vec::<&str>::new());
    assert_eq!(table.refused("ana", CommandBody::Resume { generation: None }), "Only Maria can let it go on.");
    table.does("maria", CommandBody::Resume { generation: None });
    assert_eq!(table.open(), ["go_call"]);
}

#[test]
fn an_abort_closes_what_is_open_and_lets_what_wraps_up_run() {
    let mut table = pre_flight();
    table.does("maria", CommandBody::Abort { reason: "wrong changeset".into(), generation: None });
    let said = table.outside_does_its_part();
    assert_eq!(said, Vec::<String>::new(), "who was not told that it begins is not told that it does not");
    assert_eq!(table.open(), ["review"]);
    assert!(
        table
            .refused("maria", CommandBody::Abort { reason: "again".into(), generation: None })
            .contains("The result of r is recorded: ABORTED.")
    );
    table.does("maria", done("review", &[]));
    assert_eq!((table.state.result, table.state.ended.is_some()), (Some(Outcome::Aborted), true));
    assert!(table.refused("maria", done("review", &[])).starts_with("r ended ABORTED at 08:00 EST."));
}

#[test]
fn an_action_that_fails_waits_for_a_person() {
    let mut table = go_no_go();
    for person in ["ana", "raj", "li"] {
        table.does(person, vote(Choice::Go));
    }
    table.passes(TimeDelta::seconds(60));
    table.outside_does_its_part();
    assert!(table.refused("ana", run("prescale")).contains("is for Maria"));
    table.does("maria", run("prescale"));
    let step = table.state.runbook.step_index("prescale").expect("the step");
    assert!(table.refused("maria", run("prescale")).contains("is running"));
    table.give(None, CommandBody::BeginAttempt { step, attempt: 1 }).expect("wanted");
    assert!(table.give(None, CommandBody::BeginAttempt { step, attempt: 1 }).is_err(), "an attempt begins once");
    let failed = ActionOutcome::Failed { reason: "Rate exceeded".into() };
    table.give(None, CommandBody::RecordAction { step, attempt: 1, outcome: failed.clone() }).expect("a receipt");
    assert_eq!(table.open(), ["prescale"]);
    // A second word on the same attempt changes nothing, and is on record.
    let late = table.give(None, CommandBody::RecordAction { step, attempt: 1, outcome: failed }).expect("a receipt");
    assert!(matches!(late[..], [Event::ReceiptCameLate { attempt: 1, .. }]), "{late:?}");
    let again = table.does("maria", run("prescale"));
    assert!(matches!(again[..], [Event::ActionRequested { attempt: 2, .. }]), "{again:?}");
    table.outside_does_its_part();
    assert_eq!(table.open(), ["dns"]);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn an_action_without_an_end_becomes_a_question_and_a_requirement_can_fail() {
    let mut table = pre_flight();
    for person in ["ines", "tom", "ana", "raj", "li"] {
        table.does(person, ack());
    }
    table.does("maria", done("go_call", &[]));
    table.does("maria", answer("confirm_window", &[("window", "2026-11-25 08:00")]));
    table.does("maria", answer("preparation_inputs", &[("blue", "b"), ("green", "g"), ("container", "c")]));
    table.until("2026-11-25T09:00:00Z");
    table.does("maria", done("backup", &[("backup_id", "4711"), ("finished", "yes")]));
    table.until("2026-11-25T12:59:00Z");
    // The notice is delivered, the environment granted; the stack that is read is another one.
    let step = table.state.runbook.step_index("blue_now").expect("the step");
    while table.state.steps[step].action.is_none() {
        use tminus::domain::rollout::effect::{Effect, effects};
        match effects(&table.state).remove(0) {
            Effect::ClaimEnvironment { .. } => drop(table.give(None, CommandBody::RecordEnvironmentGranted)),
            Effect::Deliver(delivery) => {
                let outcome = tminus::domain::rollout::event::DeliveryOutcome::Delivered {
                    reference: "1".into(),
                    possibly_repeated: false,
                };
                let (announcement, slot) = (delivery.id.sequence, usize::from(delivery.id.slot));
                table.give(None, CommandBody::RecordDelivery { announcement, slot, attempt: 1, outcome }).expect("a receipt");
            }
            other => panic!("{other:?}"),
        }
    }
    table.give(None, CommandBody::BeginAttempt { step, attempt: 1 }).expect("wanted");
    let outputs = [("BlueStackId".to_owned(), "green-1".into())].into_iter().collect();
    table
        .give(None, CommandBody::RecordAction { step, attempt: 1, outcome: ActionOutcome::Succeeded { outputs } })
        .expect("a receipt");
    let says = table.refused("maria", run("update_containers"));
    assert!(says.contains("not open yet"), "{says}");
    let failed = table.history.iter().rev().find_map(|r| match &r.event {
        Event::StepFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("The Blue stack is green-1, not the one recorded (b)"));
    table.does("maria", CommandBody::CompleteStep { step: named("blue_now"), typed: form(&[]) });
    table.does("maria", run("update_containers"));
    let step = table.state.runbook.step_index("update_containers").expect("the step");
    table.give(None, CommandBody::BeginAttempt { step, attempt: 1 }).expect("wanted");
    assert_eq!(next_move(&table.state), Some(table.now + TimeDelta::minutes(45)));
    let timed_out = table.passes(TimeDelta::minutes(45));
    assert!(matches!(&timed_out[..], [Event::ActionEnded { outcome: ActionOutcome::Unknown { .. }, .. }]), "{timed_out:?}");
    assert_eq!(table.open(), ["update_containers"]);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn a_late_phase_opens_at_once_says_so_and_runs_nothing_unpressed() {
    const RUNBOOK: &str = "
runbook: test
inputs: { window: { type: window } }
people: { owner: maria }
phases:
  - phase: late
    at: T-1h
    steps:
      - { run: ci.command.x, id: x, with: { argv: [x] } }
";
    let mut table = Table::of(RUNBOOK, &[("window", "2026-11-20 14:00")]);
    let opened = table.until("2026-11-20T13:30:00Z");
    assert!(matches!(opened[0], Event::PhaseOpened { late_seconds: 1800, .. }), "{opened:?}");
    assert!(matches!(opened[1], Event::StepOpened { confirm: true, .. }), "{opened:?}");
    assert_eq!(opened.len(), 2, "nothing ran: {opened:?}");
    assert!(matches!(table.does("maria", run("x"))[..], [Event::ActionRequested { .. }]));
    let mut punctual = Table::of(RUNBOOK, &[("window", "2026-11-20 14:00")]);
    let opened = punctual.until("2026-11-20T13:00:05Z");
    assert!(matches!(opened[2], Event::ActionRequested { .. }), "{opened:?}");
}

#[test]
fn what_a_phase_needs_is_not_asked_when_it_is_known() {
    const RUNBOOK: &str = "
runbook: test
inputs: { blue: { needed-by: two }, green: { needed-by: two, required: false } }
people: { owner: maria }
phases:
  - { phase: one, steps: [{ task: First, id: first }] }
  - { phase: two, steps: [{ task: 'Then {{ blue }}', id: then }] }
";
    let mut asked = Table::of(RUNBOOK, &[("blue", "b")]);
    asked.does("maria", done("first", &[]));
    assert_eq!(asked.open(), ["two_inputs"], "green is not known");
    asked.does("maria", answer("two_inputs", &[("blue", "b")]));
    assert_eq!(asked.open(), ["then"]);
    let mut known = Table::of(RUNBOOK, &[("blue", "b"), ("green", "g")]);
    known.does("maria", done("first", &[]));
    assert_eq!(known.open(), ["then"]);
}

#[test]
fn the_clock_moves_only_where_it_may_and_only_forward() {
    let mut table = Table::andromeda();
    for seconds in [0, -1, 400 * 86_400] {
        assert!(table.refused("maria", CommandBody::AdvanceClock { seconds }).contains("A clock moves forward"));
    }
    let events = table.does("maria", CommandBody::AdvanceClock { seconds: 3600 });
    assert!(
        matches!(
            events[..],
            [Event::ClockAdvanced { .. }, Event::PhaseOpened { .. }, Event::StepOpened { .. }, Event::Nudged { .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn who_decides_is_said_once_for_all_decisions_or_by_each() {
    let runbook = "
runbook: test
people: { owner: maria }
may: { decide: [ana, raj] }
phases: [{ phase: one, parallel: true, steps: [{ decide: 'First?', id: first }, { decide: 'Second?', id: second, voters: [li] }] }]
";
    let table = Table::of(runbook, &[]);
    let voters = |step: usize| table.state.steps[step].people.iter().map(PersonId::as_str).collect::<Vec<_>>();
    assert_eq!((voters(0), voters(1)), (vec!["ana", "raj"], vec!["li"]));
    let nobody = runbook.replace("may: { decide: [ana, raj] }\n", "");
    let unusable = tminus::settings::Files::embedded().with("config/runbooks/test.yaml", &nobody).settings().unwrap_err();
    let said = unusable.to_string();
    assert!(said.contains("a decision needs `voters`") && said.contains("may: { decide: … }"), "{said}");
}

/// Who may do what at the go/no-go: everything that anybody may ask for, by role. `+` is done, `-` is refused.
#[test]
fn who_may_do_what_is_one_table() {
    let text = |text: &str| text.to_owned();
    let commands: Vec<(&str, CommandBody, &str)> = vec![
        // The owner, two voters, a listener of the roster, an auditor, a known outsider.
        //                                                                                          maria ana li tom sam
        ("note", CommandBody::AddNote { text: text("seen"), kind: NoteKind::Remark }, "+ + + + +"),
        ("hold", CommandBody::Hold, "+ + + + +"),
        ("vote", vote(Choice::Go), "- + + - -"),
        ("ack", ack(), "- - - - -"),
        ("stand in", vote_for("raj", Choice::Go), "+ - - - -"),
        ("abort", CommandBody::Abort { reason: text("no"), generation: None }, "+ - - - -"),
        ("reschedule", CommandBody::Reschedule { text: text("2026-12-01 02:00") }, "+ - - - -"),
        ("reopen another's", CommandBody::ReopenStep { step: named("go_call"), reason: text("no") }, "+ - - - -"),
        ("propose to skip", CommandBody::SkipStep { step: named("cutover"), reason: text("no") }, "+ - - - -"),
        ("waive", CommandBody::Waive { whom: text("raj"), reason: text("away") }, "- - - - -"),
        ("hand over", CommandBody::HandOver { to: text("ana") }, "+ - - - -"),
        ("announce", CommandBody::Announce { text: text("soon"), audience: text("watch") }, "+ - - - -"),
        ("run what is not open", run("dns"), "- - - - -"),
        ("set what is fixed", CommandBody::SetInput { input: text("version"), text: text("4.4") }, "- - - - -"),
        ("back off", CommandBody::BackOff { generation: None }, "- - - - -"),
        ("unlock", CommandBody::Unlock, "- - - - -"),
        ("take over", CommandBody::TakeOver { reason: text("mine") }, "- - - - -"),
        ("resume what is not held", CommandBody::Resume { generation: None }, "- - - - -"),
    ];
    let table = go_no_go();
    for (what, body, expected) in commands {
        let outcome = |person: &str| {
            let mut table = table.clone();
            let before = table.state.clone();
            let given = table.give(Some(person), body.clone());
            assert!(given.is_ok() || table.state == before, "{what} by {person}: a refusal changes nothing");
            if given.is_ok() { "+" } else { "-" }
        };
        assert_eq!(["maria", "ana", "li", "tom", "sam"].map(outcome).join(" "), expected, "{what}");
    }
}
