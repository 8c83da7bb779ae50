//! Freezes: how they are configured, what they keep from happening, and who lets a rollout go on all the same.

use tminus::domain::freeze::Frozen;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::effect::{Effect, effects};
use tminus::domain::rollout::event::Event;
use tminus::domain::rollout::next_move;
use tminus::domain::rollout::state::EnvironmentStage;
use tminus::settings::Files;

use crate::support::{Table, done, utc};

fn said(freezes: &str) -> String {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + freezes;
    match Files::embedded().with("config/tminus.yaml", &settings).settings() {
        Ok(_) => "no problem".to_owned(),
        Err(unusable) => unusable.to_string(),
    }
}

#[test]
fn freezes_are_read_with_everything_that_is_wrong_with_them() {
    let good = "freezes:
  - { name: weekend, starts: '0 0 17 * * Fri', lasts: 62h, timezone: America/New_York, environments: [andromeda/*], override: [operator, sam, auditors], reason: nobody is here }
  - { name: holidays, starts: '0 0 0 18 Dec *', lasts: 17d, environments: '*' }
";
    let settings = include_str!("../../config/tminus.yaml").to_owned() + good;
    let settings = Files::embedded().with("config/tminus.yaml", &settings).settings().unwrap_or_else(|no| panic!("{no}"));
    let named: Vec<String> = settings.freezes.0.iter().map(|freeze| format!("{}: {}", freeze.name, freeze.starts)).collect();
    assert_eq!(named, ["weekend: 0 0 17 * * Fri (America/New_York)", "holidays: 0 0 0 18 Dec * (UTC)"]);
    for (freeze, expected) in [
        ("name: a, starts: '0 17 * * Fri', lasts: 1h, environments: x", "“0 17 * * Fri” is no cron expression: it has 5 fields"),
        (
            "name: a, starts: 'at noon', lasts: 1h, environments: x",
            "six fields: second, minute, hour, day of the month, month, day of the week, like `0 0 17 * * Fri`",
        ),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1w, environments: x", "“1w” is not a duration"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 91d, environments: x", "a freeze does not last “91d”"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1h", "a freeze needs `environments`"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1h, environments: x, timezone: Mars", "unknown time zone `Mars`"),
        (
            "name: a, starts: '0 0 17 * * Fri', lasts: 1h, environments: x, override: [oprator]",
            "unknown person, team or role `oprator`",
        ),
        ("starts: '0 0 17 * * Fri', lasts: 1h, environments: x", "a freeze needs `name`"),
        ("name: b, starts: '0 0 17 * * Fri', lasts: 1h, environments: x", "there is a freeze `b` already"),
    ] {
        let said = said(&format!(
            "freezes:\n  - {{ name: b, starts: '0 0 8 * * *', lasts: 1h, environments: y }}\n  - {{ {freeze} }}\n"
        ));
        assert!(said.contains(expected), "{freeze}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{freeze}: {said}");
    }
}

const CHANGE: &str = "
runbook: test
environment: shop/production
lock-from: changing
people: { owner: maria }
may: { override: [raj] }
phases:
  - { phase: preparing, steps: [{ task: Prepare, id: prepare }] }
  - { phase: changing, steps: [{ task: Change, id: change }] }
  - { phase: wrapping, always: true, steps: [{ task: Wrap up, id: wrap_up }] }
";

fn weekend(reason: Option<&str>) -> Frozen {
    Frozen {
        name: "weekend".into(),
        from: utc("2026-11-20T22:00:00Z"),
        until: utc("2026-11-23T12:00:00Z"),
        timezone: chrono_tz::America::New_York,
        reason: reason.map(str::to_owned),
        may_override: vec!["sam".into(), "auditors".into()],
    }
}

/// A rollout that wants its environment in a freeze.
fn frozen() -> Table {
    let mut table = Table::of(CHANGE, &[]);
    table.until("2026-11-21T12:00:00Z");
    table.does("maria", done("prepare", &[]));
    assert_eq!(table.state.environment, EnvironmentStage::Claimed);
    let events = table.give(None, told(Some(weekend(None)))).expect("it is told");
    assert!(matches!(events[..], [Event::FreezeBegan { .. }]), "{events:?}");
    table
}

fn told(freeze: Option<Frozen>) -> CommandBody {
    CommandBody::RecordFreeze { freeze }
}

fn overrides(reason: &str) -> CommandBody {
    CommandBody::OverrideFreeze { reason: reason.into() }
}

#[test]
fn in_a_freeze_nothing_is_asked_for_and_nothing_opens_until_it_is_over() {
    let mut table = frozen();
    assert_eq!(effects(&table.state), [], "the environment is not asked for");
    assert_eq!(table.open(), Vec::<&str>::new());
    assert_eq!(next_move(&table.state), Some(utc("2026-11-23T12:00:00Z")));
    // Told again, nothing is new; what changed is.
    assert_eq!(table.give(None, told(Some(weekend(None)))), Ok(Vec::new()));
    let events = table.give(None, told(Some(weekend(Some("nobody is here"))))).expect("it is told");
    assert!(matches!(&events[..], [Event::FreezeBegan { freeze }] if freeze.reason.is_some()), "{events:?}");
    let refused = table.refused("maria", CommandBody::TakeOver { reason: "now".into() });
    assert!(
        refused.starts_with("Nothing is taken over in a freeze. The freeze weekend (nobody is here) lasts until "),
        "{refused}"
    );
    let events = table.give(None, told(None)).expect("it is told");
    assert_eq!(events, [Event::FreezeEnded { name: "weekend".into() }]);
    assert!(matches!(effects(&table.state)[..], [Effect::ClaimEnvironment { .. }]));
    table.outside_does_its_part();
    assert_eq!(table.open(), ["change"]);
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn a_freeze_is_overridden_by_whom_it_names_or_the_runbook_with_a_reason() {
    for (person, may) in [("sam", true), ("ines", true), ("raj", true), ("maria", false), ("ana", false)] {
        let mut table = frozen();
        if !may {
            let says = table.refused(person, overrides("it burns"));
            assert_eq!(
                says,
                "The freeze weekend lasts until Mon 23 Nov 12:00 UTC. Sam, Ines, Tom or Raj can override it: \
                 `/rollout override REASON`."
            );
            continue;
        }
        assert!(table.refused(person, overrides(" ")).contains("needs a reason"), "{person}");
        let events = table.does(person, overrides("it burns"));
        assert!(matches!(&events[..], [Event::FreezeOverridden { reason, .. }] if reason == "it burns"), "{events:?}");
        // It stays overridden, this time; another time it is asked again.
        assert_eq!(table.give(None, told(Some(weekend(None)))), Ok(Vec::new()));
        assert!(matches!(effects(&table.state)[..], [Effect::ClaimEnvironment { .. }]));
        let next = Frozen { from: utc("2026-11-27T22:00:00Z"), until: utc("2026-11-30T12:00:00Z"), ..weekend(None) };
        assert!(!table.state.overrides(&next));
        table.outside_does_its_part();
        assert_eq!(table.open(), ["change"]);
        assert!(table.refused(person, overrides("again")).starts_with("No freeze keeps r waiting"));
        assert_eq!(table.replayed(), table.state);
    }
}

#[test]
fn what_nobody_may_override_says_so() {
    let mut table = Table::of(&CHANGE.replace("may: { override: [raj] }\n", ""), &[]);
    table.does("maria", done("prepare", &[]));
    table.give(None, told(Some(Frozen { may_override: Vec::new(), ..weekend(None) }))).expect("it is told");
    assert!(table.refused("maria", overrides("it burns")).ends_with("Nobody may override it."));
}

#[test]
fn a_freeze_that_begins_while_the_environment_is_held_or_not_needed_changes_nothing() {
    let mut table = Table::of(CHANGE, &[]);
    assert_eq!(table.give(None, told(Some(weekend(None)))), Ok(Vec::new()), "it prepares");
    table.does("maria", done("prepare", &[]));
    table.outside_does_its_part();
    assert_eq!(table.give(None, told(Some(weekend(None)))), Ok(Vec::new()), "it holds it");
    assert_eq!(table.open(), ["change"]);
}

#[test]
fn an_abort_in_a_freeze_wraps_up_at_once() {
    let mut table = frozen();
    table.does("maria", CommandBody::Abort { reason: "too late".into(), generation: None });
    assert_eq!((table.open(), &table.state.freeze), (vec!["wrap_up"], &None));
    assert_eq!(table.replayed(), table.state);
}
