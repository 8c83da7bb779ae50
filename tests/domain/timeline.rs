//! The picture of a rollout: what it holds, that long silences are left out, and that nothing in it covers anything else.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::event::{ActionOutcome, Choice};
use tminus::domain::runbook::model::Outcome;
use tminus::domain::timeline::scene::{Bounds, Format, Role, Scene, Shape, scene};
use tminus::domain::timeline::svg::{Look, svg};
use tminus::domain::timeline::{Axis, BarStatus, Dot, Mark, MarkKind, PhaseBar, Span, StepBar, Timeline, timeline};

use crate::support::{Table, ack, answer, done, named, run, utc, vote};

const FORMATS: [Format; 3] = [Format::PAGE, Format::PHONE, Format::FILE];

/// Looks at the picture of a rollout as it stands.
fn pictured(table: &Table) -> Timeline {
    let timeline = timeline(&table.state, table.now);
    for format in FORMATS {
        is_tidy(&timeline, &format);
    }
    assert_eq!(tminus::domain::timeline::timeline(&table.replayed(), table.now), timeline, "the same state is the same picture");
    timeline
}

/// No two words overlap, nothing leaves the picture, and every bar lies on the axis.
fn is_tidy(timeline: &Timeline, format: &Format) -> Scene {
    let scene = scene(timeline, format);
    let texts: Vec<_> = scene.items.iter().filter(|item| item.is_text()).map(|item| (item, item.bounds())).collect();
    for (place, (item, bounds)) in texts.iter().enumerate() {
        assert!(bounds.left >= -0.01 && bounds.right <= scene.width + 0.01, "{item:?} leaves the picture of {format:?}");
        assert!(bounds.top >= -0.01 && bounds.bottom <= scene.height + 0.01, "{item:?} leaves the picture of {format:?}");
        for (other, bounds_of_other) in &texts[place + 1..] {
            assert!(!bounds.overlap(bounds_of_other), "{item:?} lies over {other:?} in {format:?}");
        }
    }
    let on_axis = [
        Role::PhaseBar,
        Role::Wait,
        Role::Done,
        Role::Running,
        Role::Open,
        Role::Failed,
        Role::Over,
        Role::Expected,
        Role::Gap,
        Role::Window,
        Role::Hold,
    ];
    let Bounds { left, right, bottom, .. } = scene.area;
    for item in scene.items.iter().filter(|item| on_axis.contains(&item.role)) {
        let bounds = item.bounds();
        // What symbols mean is said below, with samples.
        if bounds.top < bottom {
            assert!(bounds.left >= left - 0.01 && bounds.right <= right + 0.01, "{item:?} is not between {left} and {right}");
        }
    }
    for look in [Look::Page("desk"), Look::Alone] {
        let svg = svg(&scene, look);
        assert!(!svg.contains("style="), "the page's policy allows no styles of their own");
        assert!(svg.len() < 400_000, "{} bytes", svg.len());
    }
    scene
}

fn words(scene: &Scene) -> Vec<&str> {
    let words = scene.items.iter().filter_map(|item| match &item.shape {
        Shape::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    words.collect()
}

/// Andromeda from the start to the end: five days, and most of it in an hour.
fn andromeda() -> Table {
    let mut table = Table::andromeda();
    table.until("2026-11-20T13:00:00Z");
    for (person, hours) in [("ines", 1), ("tom", 3), ("ana", 2), ("raj", 14), ("li", 4)] {
        table.passes(TimeDelta::minutes(hours * 60 - 7));
        table.does(person, ack());
    }
    table.passes(TimeDelta::minutes(31));
    table.does("maria", done("go_call", &[]));
    table.passes(TimeDelta::minutes(3));
    table.does("maria", answer("confirm_window", &[("window", "2026-11-25 08:00 for 2h")]));
    table.does("maria", answer("preparation_inputs", &[("blue", "b-17"), ("green", "g-16"), ("container", "4.3.0")]));
    table.outside_does_its_part();
    table.until("2026-11-25T09:00:00Z");
    table.passes(TimeDelta::minutes(42));
    table.does("maria", CommandBody::TickItem { step: named("backup"), item: 0 });
    table.does("maria", CommandBody::TickItem { step: named("backup"), item: 1 });
    table.passes(TimeDelta::minutes(25));
    table.does("maria", done("backup", &[("backup_id", "b1"), ("finished", "yes")]));
    table.until("2026-11-25T12:59:00Z");
    table.outside_does_its_part();
    table.passes(TimeDelta::seconds(20));
    table.outside_does_its_part();
    table.passes(TimeDelta::minutes(4));
    table
}

fn goes_on(table: &mut Table) {
    begins(table, "update_containers");
    table.passes(TimeDelta::minutes(14));
    ends(table, "update_containers", ActionOutcome::Succeeded { outputs: serde_json::Map::new() });
    table.outside_does_its_part();
    table.passes(TimeDelta::minutes(12));
    table.checklist_settles("blue_tests", Some(Outcome::Succeeded));
    table.passes(TimeDelta::minutes(1));
    table.does("maria", done("blue_tests", &[("issue", "#4711")]));
    for (person, minutes) in [("ana", 2), ("raj", 1), ("li", 4)] {
        table.passes(TimeDelta::minutes(minutes));
        table.does(person, vote(Choice::Go));
    }
    table.passes(TimeDelta::minutes(1));
    table.outside_does_its_part();
}

fn begins(table: &mut Table, id: &str) {
    table.does("maria", run(id));
    let step = table.state.runbook.step_index(id).expect("a step");
    let attempt = table.state.steps[step].action.as_ref().expect("an action").attempt;
    table.give(None, CommandBody::BeginAttempt { step, attempt }).expect("it is wanted");
}

fn ends(table: &mut Table, id: &str, outcome: ActionOutcome) {
    let step = table.state.runbook.step_index(id).expect("a step");
    let attempt = table.state.steps[step].action.as_ref().expect("an action").attempt;
    table.give(None, CommandBody::RecordAction { step, attempt, outcome }).expect("a receipt is not refused");
}

fn bar<'t>(timeline: &'t Timeline, id: &str) -> &'t StepBar {
    let mut steps = timeline.phases.iter().flat_map(|phase| &phase.steps);
    steps.find(|step| step.id == id).unwrap_or_else(|| panic!("{id} has no bar"))
}

fn minutes(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to - from).num_minutes()
}

#[test]
fn what_has_not_begun_has_no_bar_and_says_when_it_opens() {
    let table = Table::andromeda();
    let timeline = pictured(&table);
    assert!(timeline.phases.iter().all(|phase| phase.steps.is_empty() && phase.open.is_none()));
    assert_eq!(timeline.phases[0].due, Some(utc("2026-11-20T13:00:00Z")));
    assert_eq!(timeline.phases[4].due, None);
    assert_eq!(timeline.now, Some(table.now));
    assert_eq!(timeline.to, utc("2026-11-25T13:00:00Z"), "T-0 is to come, and in the picture");
    assert!(timeline.words().contains("Change Preparation: opens 2026-11-25 04:00 EST."), "{}", timeline.words());
    let scene = scene(&timeline, &Format::PAGE);
    assert!(words(&scene).contains(&"opens 04:00 · 2 steps"), "{:?}", words(&scene));
}

#[test]
fn five_days_are_a_picture_of_what_happened_and_not_of_the_silence() {
    let mut table = andromeda();
    goes_on(&mut table);
    let timeline = pictured(&table);
    let axis = Axis::new(&timeline.moments(), 0.0, 600.0);
    assert!((3..=5).contains(&axis.stretches.len()), "{:?}", axis.stretches);
    // From T-4h on it is a twentieth of the time, and nearly half of the picture.
    let busy = axis.stretches.iter().filter(|stretch| stretch.from >= utc("2026-11-25T09:00:00Z"));
    let wide: f64 = busy.map(|stretch| stretch.right - stretch.left).sum();
    assert!(wide > 270.0, "{wide} of 600");
    let update = bar(&timeline, "update_containers");
    assert_eq!((update.status, minutes(update.begin, update.end.unwrap())), (BarStatus::Done, 14));
    assert_eq!(minutes(update.begin, update.expected.unwrap()), 12);
    assert!(update.opened < update.begin, "it waited for somebody to press Run");
    assert_eq!(bar(&timeline, "cutover").dots.iter().filter(|dot| dot.vote == Some(Choice::Go)).count(), 3);
    assert_eq!(bar(&timeline, "aware").dots.len(), 5);
    let kinds: Vec<MarkKind> = timeline.marks.iter().map(|mark| mark.kind).collect();
    for kind in [MarkKind::Started, MarkKind::Window, MarkKind::WindowEnd, MarkKind::Announced, MarkKind::Go] {
        assert!(kinds.contains(&kind), "{kind:?} is missing: {kinds:?}");
    }
    let scene = scene(&timeline, &Format::FILE);
    let words = words(&scene);
    for part in ["14m", "GO · 8m", "T-0 08:00", "now 08:38", "Fri 20 Nov", "America/New_York", "longer than expected"] {
        assert!(words.contains(&part), "{part} is not in {words:?}");
    }
}

#[test]
fn reopened_held_failed_and_late_are_seen() {
    let table = bumpy();
    let timeline = pictured(&table);
    let copy = bar(&timeline, "copy");
    assert_eq!(minutes(copy.begin, copy.end.unwrap()), 17, "since it was reopened");
    let update = bar(&timeline, "update");
    assert_eq!((update.status, update.end, update.seconds(timeline.now)), (BarStatus::Running, None, 19 * 60));
    assert_eq!(timeline.holds.len(), 1);
    assert_eq!(minutes(timeline.holds[0].from, timeline.holds[0].to.unwrap()), 26);
    assert_eq!(timeline.phases[1].late_seconds, 18 * 60);
    let of_steps: Vec<(MarkKind, Option<usize>)> =
        timeline.marks.iter().filter(|mark| mark.step.is_some()).map(|mark| (mark.kind, mark.step)).collect();
    assert_eq!(of_steps, [(MarkKind::Reopened, Some(0)), (MarkKind::Go, Some(1)), (MarkKind::Failed, Some(2))]);
    let votes: Vec<Option<Choice>> = bar(&timeline, "go").dots.iter().map(|dot| dot.vote).collect();
    assert_eq!(votes, [Some(Choice::NoGo), Some(Choice::Go), Some(Choice::Go)]);
    let scene = scene(&timeline, &Format::PAGE);
    assert!(words(&scene).contains(&"running 19m") && words(&scene).contains(&"31m · 18m late"), "{:?}", words(&scene));
    assert_eq!(scene.items.iter().filter(|item| item.role == Role::Hold).count(), 1);
    assert!(timeline.words().contains("Failed: ROLLBACK_COMPLETE"), "{}", timeline.words());
}

#[test]
fn an_abort_ends_a_hold_and_is_the_result() {
    let mut table = bumpy();
    table.does("maria", CommandBody::Hold);
    table.passes(TimeDelta::minutes(7));
    assert_eq!(pictured(&table).holds[1].to, None);
    table.does("maria", CommandBody::Abort { reason: "enough".into(), generation: None });
    table.passes(TimeDelta::minutes(9));
    let timeline = pictured(&table);
    assert_eq!(minutes(timeline.holds[1].from, timeline.holds[1].to.unwrap()), 7);
    let result = timeline.marks.iter().find(|mark| mark.kind == MarkKind::Result).expect("a result");
    assert_eq!((result.text.as_str(), timeline.status.as_str()), ("ABORTED", "ABORTED"));
}

#[test]
fn ten_minutes_are_one_piece_and_a_hundred_steps_have_a_row_each() {
    let timeline = pictured(&quick());
    assert_eq!(Axis::new(&timeline.moments(), 0.0, 600.0).stretches.len(), 1);
    assert_eq!((timeline.now, timeline.status.as_str()), (None, "SUCCEEDED"));
    let file = scene(&timeline, &Format::FILE);
    assert!(words(&file).contains(&"12:01:30"), "{:?}", words(&file));

    let timeline = pictured(&hundred());
    let page = scene(&timeline, &Format::PAGE);
    let names = words(&page).into_iter().filter(|text| text.starts_with("Move customer number")).count();
    assert_eq!(names, 100);
    assert_eq!(words(&page).iter().filter(|text| **text == "12:30").count(), 2, "times stand at the bottom too");
    let gap = page.items.iter().filter_map(|item| item.tip.as_deref()).find(|tip| tip.contains("left out"));
    assert_eq!(gap, Some("9h are left out: nothing happened"));
}

#[test]
fn more_steps_than_rows_are_left_out_and_counted() {
    let from = utc("2026-11-20T12:00:00Z");
    let step = |number: i64| StepBar {
        index: usize::try_from(number).unwrap(),
        id: format!("s{number}"),
        title: format!("Step {number}"),
        status: BarStatus::Done,
        opened: from,
        begin: from,
        end: Some(from + TimeDelta::seconds(number)),
        expected: None,
        dots: Vec::new(),
    };
    let phase = PhaseBar {
        id: "one".into(),
        title: "One".into(),
        open: Some(Span { from, to: None }),
        due: None,
        late_seconds: 0,
        to_come: 0,
        steps: (0..1000).map(step).collect(),
    };
    let timeline = Timeline { phases: vec![phase], ..empty(from) };
    for format in FORMATS {
        let scene = is_tidy(&timeline, &format);
        let words = words(&scene);
        let shown = words.iter().filter(|text| text.starts_with("Step ")).count();
        assert_eq!(shown, tminus::domain::timeline::scene::ROWS_MAX - 1);
        assert!(words.contains(&"Step 999") && !words.contains(&"Step 5"), "the longest are shown");
        assert!(words.iter().any(|text| text.contains("761 short steps not shown")), "{:?}", &words[..20]);
    }
}

#[test]
fn no_steps_and_no_time_are_a_picture_too() {
    let timeline = empty(utc("2026-11-20T12:00:00Z"));
    for format in FORMATS {
        is_tidy(&timeline, &format);
    }
    assert!(timeline.words().starts_with("Nothing, open, from 2026-11-20 12:00 UTC"), "{}", timeline.words());
}

#[test]
fn what_people_write_is_text_in_a_picture() {
    let mut timeline = empty(utc("2026-11-20T12:00:00Z"));
    timeline.title = "<script>alert(1)</script>\u{202e}\u{0}".into();
    timeline.marks[0].text = "\"]]><b onload='x'>".into();
    for look in [Look::Page("wide"), Look::Alone] {
        let svg = svg(&scene(&timeline, &Format::FILE), look);
        assert!(!svg.contains("<script") && !svg.contains("<b ") && !svg.contains('\u{202e}') && !svg.contains('\u{0}'), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
    }
}

fn empty(at: DateTime<Utc>) -> Timeline {
    Timeline {
        rollout: "r".into(),
        title: "Nothing".into(),
        status: "open".into(),
        timezone: chrono_tz::Tz::UTC,
        from: at,
        to: at,
        now: Some(at),
        window: None,
        holds: Vec::new(),
        phases: Vec::new(),
        marks: vec![Mark { at, kind: MarkKind::Started, step: None, text: "Started".into() }],
    }
}

/// Seconds from the start: most of it close together, some far away.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..7200, 2 => 80_000i64..90_000, 1 => 0i64..600_000, 1 => Just(0)]
}

fn title() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z ]{0,70}",
        1 => Just("W".repeat(200)),
        1 => Just("漢字かな交じり文の長い題名です".repeat(3)),
        1 => Just("e\u{301}".repeat(40)),
        1 => Just(String::new()),
    ]
}

fn step_bar() -> impl Strategy<Value = StepBar> {
    let status = prop::sample::select(vec![BarStatus::Open, BarStatus::Running, BarStatus::Failed, BarStatus::Done]);
    let dots = prop::collection::vec((moment(), prop::sample::select(vec![None, Some(Choice::Go), Some(Choice::NoGo)])), 0..5);
    (title(), status, moment(), 0i64..4000, moment(), prop::option::of(0i64..9000), dots, 0usize..12).prop_map(
        |(title, status, opened, waited, took, expected, dots, index)| {
            let at = |seconds: i64| utc("2026-03-28T12:00:00Z") + TimeDelta::seconds(seconds);
            let begin = opened + waited;
            let ended = matches!(status, BarStatus::Done | BarStatus::Failed);
            StepBar {
                index,
                id: "s".into(),
                title,
                status,
                opened: at(opened),
                begin: at(begin),
                end: ended.then(|| at(begin + took)),
                expected: expected.map(|expected| at(begin + expected)),
                dots: dots.into_iter().map(|(after, vote)| Dot { at: at(opened + after), vote }).collect(),
            }
        },
    )
}

fn any_timeline() -> impl Strategy<Value = Timeline> {
    let at = |seconds: i64| utc("2026-03-28T12:00:00Z") + TimeDelta::seconds(seconds);
    let span = move |(from, long, open): (i64, i64, bool)| Span { from: at(from), to: (!open).then(|| at(from + long)) };
    let spans = || (moment(), moment(), any::<bool>());
    let phase =
        (title(), prop::option::of(spans()), prop::option::of(moment()), 0i64..3, prop::collection::vec(step_bar(), 0..9));
    let phase = phase.prop_map(move |(title, open, due, late, steps)| PhaseBar {
        id: "p".into(),
        title,
        open: open.map(span),
        due: due.map(at),
        late_seconds: late * 4000,
        to_come: 3,
        steps,
    });
    let kinds = prop::sample::select(vec![
        MarkKind::Started,
        MarkKind::Window,
        MarkKind::WindowEnd,
        MarkKind::Retimed,
        MarkKind::Held,
        MarkKind::Resumed,
        MarkKind::Announced,
        MarkKind::Go,
        MarkKind::NoGo,
        MarkKind::Reopened,
        MarkKind::Failed,
        MarkKind::Result,
    ]);
    let mark = (moment(), kinds, prop::option::of(0usize..12), title());
    let mark = mark.prop_map(move |(seconds, kind, step, text)| Mark { at: at(seconds), kind, step, text });
    let parts = (
        title(),
        prop::sample::select(vec!["open", "on hold", "SUCCEEDED", "ABORTED"]),
        prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
        prop::option::of(moment()),
        prop::option::of(spans()),
        prop::collection::vec(spans(), 0..3),
        prop::collection::vec(phase, 0..6),
        prop::collection::vec(mark, 0..16),
    );
    parts.prop_map(move |(title, status, zone, now, window, holds, phases, mut marks)| {
        marks.sort_by_key(|mark| mark.at);
        let mut timeline = Timeline {
            title,
            status: status.into(),
            timezone: zone.parse().unwrap(),
            now: now.map(at),
            window: window.map(span),
            holds: holds.into_iter().map(span).collect(),
            phases,
            marks,
            ..empty(at(0))
        };
        let moments = timeline.moments();
        (timeline.from, timeline.to) = (moments[0], moments[moments.len() - 1]);
        timeline
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn no_two_words_overlap_and_every_bar_lies_on_the_axis(timeline in any_timeline()) {
        for format in FORMATS {
            is_tidy(&timeline, &format);
        }
    }

    #[test]
    fn later_is_never_further_left(timeline in any_timeline(), width in 100.0f64..1500.0) {
        let moments = timeline.moments();
        let axis = Axis::new(&moments, 10.0, 10.0 + width);
        let places: Vec<f64> = moments.iter().map(|at| axis.x(*at)).collect();
        prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1]), "{places:?}");
        prop_assert!(places.iter().all(|x| (10.0..=10.0 + width + 0.001).contains(x)), "{places:?}");
        // What is left out holds no moment.
        for pair in axis.stretches.windows(2) {
            prop_assert!(!moments.iter().any(|at| *at > pair[0].to && *at < pair[1].from));
        }
    }
}

/// A step reopened, a vote changed, a hold, a failure, all of it late.
fn bumpy() -> Table {
    let yaml = "
runbook: test
timezone: Europe/Berlin
people: { owner: maria }
inputs: { version: { default: '4.3' }, window: { type: window } }
audiences: { watch: [slack:andromeda-preproduction-watch] }
phases:
  - phase: before
    title: Before
    at: T-1h
    steps:
      - { task: Make a copy, id: copy, takes: 10m }
      - { decide: Go?, id: go, voters: [changeset-team], rule: majority, takes: 5m }
  - phase: after
    title: After
    at: T-0
    steps:
      - { run: aws-staging.cloudformation.update-stack, id: update, press: owner, takes: 12m, with: { stack: Shop Stack, parameters: { Size: '2' } } }
      - { task: Tidy up, id: tidy }
      - { result: succeeded }
  - { phase: wrap_up, title: Wrap up, always: true, steps: [{ announce: deployed, id: told, to: [watch], if: result == 'succeeded' }, { task: Close, id: close }] }
";
    let mut table = Table::of(yaml, &[("version", "4.3"), ("window", "2026-11-20 15:00 for 1h")]);
    table.until("2026-11-20T13:20:00Z");
    table.passes(TimeDelta::minutes(8));
    table.does("maria", done("copy", &[]));
    table.passes(TimeDelta::minutes(2));
    table.does("ana", vote(Choice::NoGo));
    table.passes(TimeDelta::minutes(2));
    table.does("maria", CommandBody::ReopenStep { step: named("copy"), reason: "the copy was of yesterday".into() });
    table.passes(TimeDelta::minutes(17));
    table.does("maria", done("copy", &[]));
    for person in ["raj", "li"] {
        table.passes(TimeDelta::minutes(1));
        table.does(person, vote(Choice::Go));
    }
    table.passes(TimeDelta::minutes(1));
    table.does("maria", CommandBody::Hold);
    table.passes(TimeDelta::minutes(26));
    table.does("maria", CommandBody::Resume { generation: None });
    table.passes(TimeDelta::minutes(3));
    begins(&mut table, "update");
    table.passes(TimeDelta::minutes(4));
    ends(&mut table, "update", ActionOutcome::Failed { reason: "ROLLBACK_COMPLETE".into() });
    table.passes(TimeDelta::minutes(5));
    begins(&mut table, "update");
    table.passes(TimeDelta::minutes(19));
    table
}

/// Five and a half minutes from the start to the end.
fn quick() -> Table {
    let yaml = "
runbook: test
people: { owner: maria }
phases:
  - { phase: one, title: Look, steps: [{ task: Is anybody against it?, id: a }, { task: Has the build passed?, id: b }] }
  - { phase: two, title: Do, steps: [{ run: ci.command.deploy, id: deploy, with: { argv: [deploy] }, takes: 3m }, { result: succeeded }] }
";
    let mut table = Table::of(yaml, &[]);
    table.passes(TimeDelta::seconds(95));
    table.does("maria", done("a", &[]));
    table.passes(TimeDelta::seconds(40));
    table.does("maria", done("b", &[]));
    table.give(None, CommandBody::BeginAttempt { step: 2, attempt: 1 }).expect("wanted");
    table.passes(TimeDelta::seconds(200));
    ends(&mut table, "deploy", ActionOutcome::Succeeded { outputs: serde_json::Map::new() });
    table
}

/// A hundred steps, of which twenty take long; somebody sleeps in between.
fn hundred() -> Table {
    let step = |step: i64| format!("      - {{ task: Move customer number {step} to the new house, id: s{step} }}");
    let steps = (0..100).map(step).collect::<Vec<_>>().join("\n");
    let mut table = Table::of(
        &format!("runbook: test\npeople: {{ owner: maria }}\nphases:\n  - phase: one\n    title: Move\n    steps:\n{steps}"),
        &[],
    );
    for step in 0..100 {
        table.passes(TimeDelta::seconds(if step == 50 { 9 * 3600 } else { 20 + step * step % 170 }));
        table.does("maria", done(&format!("s{step}"), &[]));
    }
    table
}
