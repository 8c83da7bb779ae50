//! Freezes: times in which nothing is to be changed in an environment, unless somebody who may says that it is.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::message::template::escape_markdown;

/// The longest freeze, in seconds: ninety days. What lasts longer is not a freeze but an end.
pub const FREEZE_SECONDS_MAX: i64 = 90 * 86_400;
/// The shortest freeze, in seconds.
pub const FREEZE_SECONDS_MIN: i64 = 60;

/// A freeze as it is configured. It may change while rollouts are under way: what it decided is in their events.
#[derive(Clone, Debug, PartialEq)]
pub struct Freeze {
    /// Its name.
    pub name: String,
    /// When it begins.
    pub starts: Calendar,
    /// How long it lasts, in real seconds: it is as long when clocks change in it.
    pub seconds: i64,
    /// The environments it is for; `*` stands for anything.
    pub environments: Vec<String>,
    /// Who may let a rollout go on in it: people, teams, roles of the installation.
    pub may_override: Vec<String>,
    /// Why there is one.
    pub reason: Option<String>,
}

/// One time that a freeze lasts. Journaled with the rollouts that it keeps waiting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The name of the freeze.
    pub name: String,
    /// Since when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// The zone in which it is kept.
    pub timezone: Tz,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who may let a rollout go on in it: people, teams, roles of the installation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_override: Vec<String>,
}

impl Frozen {
    /// Whether it is the same freeze at the same time, whatever else was changed in it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.from == other.from
    }

    /// From when to when, in its own zone: `Fri 20 Nov 17:00 to Mon 23 Nov 07:00 EST`.
    #[must_use]
    pub fn span(&self) -> String {
        let (from, until) = (self.from.with_timezone(&self.timezone), self.until.with_timezone(&self.timezone));
        // Where clocks change in it, both ends say which time they mean.
        let same_zone = from.format("%Z").to_string() == until.format("%Z").to_string();
        let from = from.format(if same_zone { "%a %-d %b %H:%M" } else { "%a %-d %b %H:%M %Z" });
        format!("{from} to {}", until.format("%a %-d %b %H:%M %Z"))
    }

    /// The name, with the reason where there is one; safe in Markdown.
    #[must_use]
    pub fn called(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(" ({})", escape_markdown(reason))).unwrap_or_default();
        format!("{}{reason}", escape_markdown(&self.name))
    }
}

impl Freeze {
    /// Whether it is for an environment.
    #[must_use]
    pub fn covers(&self, environment: &str) -> bool {
        self.environments.iter().any(|pattern| matches(pattern, environment))
    }

    /// The time it lasts at a moment, if it does.
    #[must_use]
    pub fn at(&self, at: DateTime<Utc>) -> Option<Frozen> {
        let from = self.starts.until(at)?;
        let until = from + TimeDelta::seconds(self.seconds);
        (at < until).then(|| self.frozen(from))
    }

    fn frozen(&self, from: DateTime<Utc>) -> Frozen {
        Frozen {
            name: self.name.clone(),
            from,
            until: from + TimeDelta::seconds(self.seconds),
            timezone: self.starts.zone(),
            reason: self.reason.clone(),
            may_override: self.may_override.clone(),
        }
    }
}

/// All freezes of the installation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Freezes(pub Vec<Freeze>);

impl Freezes {
    /// The freeze of an environment at a moment; of several the one that ends last. `overridden` tells which do not count.
    #[must_use]
    pub fn at(&self, environment: &str, at: DateTime<Utc>, overridden: &dyn Fn(&Frozen) -> bool) -> Option<Frozen> {
        let frozen = self.of(environment).filter_map(|freeze| freeze.at(at)).filter(|frozen| !overridden(frozen));
        frozen.max_by_key(|frozen| frozen.until)
    }

    /// The next moment after one at which a freeze of an environment begins.
    #[must_use]
    pub fn next_start(&self, environment: &str, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.of(environment).filter_map(|freeze| freeze.starts.after(after)).min()
    }

    /// The freeze that a time falls into, wholly or in part; the first one.
    #[must_use]
    pub fn within(&self, environment: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Frozen> {
        let first = |freeze: &Freeze| {
            let begins = || freeze.starts.after(from).filter(|begins| *begins < until).map(|begins| freeze.frozen(begins));
            freeze.at(from).or_else(begins)
        };
        self.of(environment).filter_map(first).min_by_key(|frozen| frozen.from)
    }

    /// What is said of a window that falls into a freeze.
    #[must_use]
    pub fn warning(&self, environment: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<String> {
        let frozen = self.within(environment, from, until)?;
        Some(format!("The window falls into the freeze {}: {}.", frozen.called(), frozen.span()))
    }

    fn of<'a>(&'a self, environment: &'a str) -> impl Iterator<Item = &'a Freeze> {
        self.0.iter().filter(move |freeze| freeze.covers(environment))
    }
}

/// Whether a name fits a pattern in which `*` stands for anything, also for nothing.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The first place that fits leaves the most for what comes after.
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn weekend() -> Freeze {
        Freeze {
            name: "weekend".into(),
            starts: Calendar::parse("0 0 17 * * Fri", chrono_tz::America::New_York).unwrap(),
            seconds: 62 * 3600,
            environments: vec!["andromeda/*".into()],
            may_override: vec!["lead".into()],
            reason: None,
        }
    }

    fn span(frozen: Option<Frozen>) -> Option<String> {
        frozen.map(|frozen| frozen.span())
    }

    #[test]
    fn patterns_stand_for_environments() {
        for (pattern, name, fits) in [
            ("andromeda/*", "andromeda/staging", true),
            ("andromeda/*", "andromeda/", true),
            ("andromeda/*", "andromedas/staging", false),
            ("andromeda/staging", "andromeda/staging", true),
            ("andromeda/staging", "andromeda/staging-2", false),
            ("*", "shop/production", true),
            ("*/production", "shop/production", true),
            ("*/production", "shop/production/eu", false),
            ("*/prod*/eu", "shop/production/eu", true),
            ("a*a", "a", false),
            ("*a*b*", "xbxaxb", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_freeze_lasts_from_its_beginning_until_just_before_its_end() {
        let weekend = weekend();
        let said = Some("Fri 20 Nov 17:00 to Mon 23 Nov 07:00 EST".to_owned());
        for (at, expected) in [
            ("2026-11-20T21:59:59Z", None),
            ("2026-11-20T22:00:00Z", said.clone()),
            ("2026-11-22T03:00:00Z", said.clone()),
            ("2026-11-23T11:59:59Z", said),
            ("2026-11-23T12:00:00Z", None),
        ] {
            assert_eq!(span(weekend.at(utc(at))), expected, "{at}");
        }
    }

    #[test]
    fn a_freeze_is_as_long_as_it_says_when_clocks_change_in_it() {
        let weekend = weekend();
        // Clocks go back on Sunday, 1 November: 62 hours end an hour earlier on the wall.
        let autumn = weekend.at(utc("2026-11-01T12:00:00Z"));
        assert_eq!(span(autumn.clone()), Some("Fri 30 Oct 17:00 EDT to Mon 2 Nov 06:00 EST".to_owned()));
        // They went forward on Sunday, 8 March: an hour later.
        let spring = weekend.at(utc("2026-03-08T12:00:00Z"));
        assert_eq!(span(spring.clone()), Some("Fri 6 Mar 17:00 EST to Mon 9 Mar 08:00 EDT".to_owned()));
        for frozen in [autumn, spring].into_iter().flatten() {
            assert_eq!((frozen.until - frozen.from).num_hours(), 62);
            assert!(weekend.at(frozen.until - TimeDelta::seconds(1)).is_some());
            assert_eq!(weekend.at(frozen.until), None);
        }
    }

    #[test]
    fn of_several_freezes_the_one_that_ends_last_counts_and_others_can_be_overridden() {
        let christmas = Freeze {
            name: "christmas".into(),
            starts: Calendar::parse("0 0 0 18 Dec *", chrono_tz::America::New_York).unwrap(),
            seconds: 17 * 86_400,
            environments: vec!["*".into()],
            may_override: Vec::new(),
            reason: Some("nobody is here".into()),
        };
        let freezes = Freezes(vec![weekend(), christmas]);
        let at = utc("2026-12-19T12:00:00Z");
        let name = |frozen: Option<Frozen>| frozen.map(|frozen| frozen.name);
        assert_eq!(name(freezes.at("andromeda/staging", at, &|_| false)).as_deref(), Some("christmas"));
        assert_eq!(name(freezes.at("andromeda/staging", at, &|frozen| frozen.name == "christmas")).as_deref(), Some("weekend"));
        assert_eq!(name(freezes.at("shop/production", utc("2026-11-21T12:00:00Z"), &|_| false)), None);
        assert_eq!(freezes.next_start("andromeda/staging", at), Some(utc("2026-12-25T22:00:00Z")));
    }

    #[test]
    fn a_window_that_falls_into_a_freeze_is_said() {
        let freezes = Freezes(vec![Freeze { reason: Some("nobody is here".into()), ..weekend() }]);
        let said = "The window falls into the freeze weekend (nobody is here): Fri 20 Nov 17:00 to Mon 23 Nov 07:00 EST.";
        for (environment, from, until, expected) in [
            ("andromeda/staging", "2026-11-21T02:00:00Z", "2026-11-21T02:00:00Z", Some(said)),
            // It begins before, and reaches into it.
            ("andromeda/staging", "2026-11-20T21:00:00Z", "2026-11-20T23:00:00Z", Some(said)),
            ("andromeda/staging", "2026-11-20T21:00:00Z", "2026-11-20T22:00:00Z", None),
            ("andromeda/staging", "2026-11-23T12:00:00Z", "2026-11-23T14:00:00Z", None),
            ("shop/staging", "2026-11-21T02:00:00Z", "2026-11-21T02:00:00Z", None),
        ] {
            assert_eq!(freezes.warning(environment, utc(from), utc(until)).as_deref(), expected, "{environment} {from}");
        }
    }
}
