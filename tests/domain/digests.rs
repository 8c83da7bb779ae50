//! Digests: how they are configured, and when they are due.

use tminus::domain::calendar::Calendar;
use tminus::domain::digest::{Digest, Digested};
use tminus::settings::{Files, Unusable};

use crate::support::utc;

fn settings(digests: &str) -> Result<Vec<Digest>, Unusable> {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + digests;
    Files::embedded().with("config/tminus.yaml", &settings).settings().map(|settings| settings.digests)
}

#[test]
fn digests_are_read_with_everything_that_is_wrong_with_them() {
    let good = "digests:
  - { name: morning, at: '0 0 8 * * Mon-Fri', timezone: Europe/Berlin, to: [email:andromeda-preproduction-watch, local:andromeda-rollouts] }
  - { name: weekly, at: '0 0 9 * * Mon', to: slack:andromeda-preproduction-watch, also-empty: true }
";
    let read = settings(good).unwrap_or_else(|unusable| panic!("{unusable}"));
    let said: Vec<String> = read
        .iter()
        .map(|digest| format!("{}: {} to {} ({})", digest.name, digest.at, digest.to.len(), digest.also_empty))
        .collect();
    assert_eq!(said, ["morning: 0 0 8 * * Mon-Fri (Europe/Berlin) to 2 (false)", "weekly: 0 0 9 * * Mon (UTC) to 1 (true)"]);
    for (digest, expected) in [
        ("name: a, at: 0 8 * * *, to: slack:andromeda-preproduction-watch", "“0 8 * * *” is no cron expression: it has 5 fields"),
        ("name: a, at: '0 0 8 * * *', to: andromeda-preproduction-watch", "does not say on which platform"),
        ("name: a, at: '0 0 8 * * *', to: slak:andromeda-preproduction-watch", "unknown platform `slak`"),
        ("name: a, at: '0 0 8 * * *', to: slack:andromeda-preproduction-wach", "unknown address `andromeda-preproduction-wach`"),
        ("name: a, at: '0 0 8 * * *'", "a digest needs `to`"),
        ("at: '0 0 8 * * *', to: slack:andromeda-preproduction-watch", "a digest needs `name`"),
        ("name: b, at: '0 0 8 * * *', to: slack:andromeda-preproduction-watch", "there is a digest `b` already"),
        ("name: a, at: '0 0 8 * * *', to: slack:andromeda-preproduction-watch, whom: x", "unknown key in a digest `whom`"),
    ] {
        let digests =
            format!("digests:\n  - {{ name: b, at: '0 0 9 * * *', to: local:andromeda-rollouts }}\n  - {{ {digest} }}\n");
        let said = settings(&digests).map_or_else(|unusable| unusable.to_string(), |_| "no problem".to_owned());
        assert!(said.contains(expected), "{digest}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{digest}: {said}");
    }
}

#[test]
fn a_digest_is_due_once_however_often_it_was_missed_and_at_its_hour_when_clocks_change() {
    let at = Calendar::parse("0 30 1 * * *", chrono_tz::America::New_York).unwrap();
    let digest = Digest { name: "night".into(), at, to: Vec::new(), also_empty: false };
    let due = |until: &str, now: &str| digest.due(&Digested { until: utc(until), last: None }, utc(now));
    assert_eq!(due("2026-11-20T06:30:00Z", "2026-11-21T06:29:59Z"), None);
    assert_eq!(due("2026-11-20T06:30:00Z", "2026-11-21T06:30:00Z"), Some(utc("2026-11-21T06:30:00Z")));
    assert_eq!(due("2026-11-20T06:30:00Z", "2026-11-25T12:00:00Z"), Some(utc("2026-11-25T06:30:00Z")), "four were missed");
    // On 1 November half past one is there twice, and counts once; on 14 March there is none at 02:30, and 01:30 is.
    assert_eq!(due("2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z"), Some(utc("2026-11-01T05:30:00Z")));
    assert_eq!(due("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"), None);
    assert_eq!(due("2027-03-13T06:30:00Z", "2027-03-14T06:30:00Z"), Some(utc("2027-03-14T06:30:00Z")));
    let skipped = Digest { at: Calendar::parse("0 30 2 * * *", chrono_tz::America::New_York).unwrap(), ..digest };
    let known = Digested { until: utc("2027-03-13T07:30:00Z"), last: None };
    assert_eq!(skipped.due(&known, utc("2027-03-14T12:00:00Z")), Some(utc("2027-03-14T07:30:00Z")), "as long after the change");
}
