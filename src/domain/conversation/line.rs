//! Who holds an environment and who waits for it, in words.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::message::template::escape_markdown;
use crate::domain::registry::{Line, Registry};
use crate::domain::rollout::command::RolloutId;
use crate::domain::time::write_time;

use super::voice::Voice;

/// How a rollout stands in the line for its environment; nothing where there is no line.
#[must_use]
pub fn line_of(voice: &Voice<'_>, line: &Line) -> Option<String> {
    let own = &voice.state.id;
    if voice.state.ended.is_some() {
        return None;
    }
    said(line, own, &|at| voice.time(at))
}

/// What stands beside a rollout in the list of all: whether it holds an environment, or waits for one.
pub(super) fn in_list(registry: &Registry, id: &RolloutId, zone: Tz) -> Option<String> {
    let is_in = |line: &Line| line.holder.as_ref() == Some(id) || line.waiting.contains(id);
    let line = registry.environments.keys().filter_map(|name| registry.line(name)).find(is_in)?;
    said(&line, id, &|at| write_time(at, zone))
}

fn said(line: &Line, own: &RolloutId, time: &dyn Fn(DateTime<Utc>) -> String) -> Option<String> {
    let environment = escape_markdown(&line.environment);
    let since = line.since.map(|since| format!(" since {}", time(since))).unwrap_or_default();
    let names = |ids: &[RolloutId]| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let others = if line.waiting.is_empty() { String::new() } else { format!("; in line: {}", names(&line.waiting)) };
    let place = line.waiting.iter().position(|id| id == own);
    Some(match (&line.holder, place) {
        (Some(holder), _) if holder == own => format!("Holds {environment}{since}{others}"),
        (Some(holder), Some(place)) => {
            format!("Waits for {environment}: held by `{holder}`{since}, {} in line{}", ordinal(place + 1), rest(line, own))
        }
        (Some(holder), None) => format!("{environment} is held by `{holder}`{since}{others}"),
        (None, _) => return None,
    })
}

/// Who else waits.
fn rest(line: &Line, own: &RolloutId) -> String {
    let others: Vec<String> = line.waiting.iter().filter(|id| *id != own).map(|id| format!("`{id}`")).collect();
    if others.is_empty() { String::new() } else { format!(" (also {})", others.join(", ")) }
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (1, 11) | (2, 12) | (3, 13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_line_is_said_as_people_say_it() {
        for (number, said) in
            [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (113, "113th")]
        {
            assert_eq!(ordinal(number), said);
        }
    }

    #[test]
    fn who_holds_it_who_waits_and_who_only_looks_on_are_told_how_it_stands() {
        let id = |id: &str| RolloutId(id.to_owned());
        let since = "2026-11-20T12:00:00Z".parse().ok();
        let line =
            Line { environment: "andromeda/staging".to_owned(), holder: Some(id("a")), since, waiting: vec![id("b"), id("c")] };
        let time = |at: DateTime<Utc>| write_time(at, Tz::UTC);
        for (own, expected) in [
            ("a", "Holds andromeda/staging since 2026-11-20 12:00 UTC; in line: `b`, `c`"),
            ("b", "Waits for andromeda/staging: held by `a` since 2026-11-20 12:00 UTC, 1st in line (also `c`)"),
            ("c", "Waits for andromeda/staging: held by `a` since 2026-11-20 12:00 UTC, 2nd in line (also `b`)"),
            ("d", "andromeda/staging is held by `a` since 2026-11-20 12:00 UTC; in line: `b`, `c`"),
        ] {
            assert_eq!(said(&line, &id(own), &time).as_deref(), Some(expected));
        }
        let free = Line { holder: None, since: None, waiting: Vec::new(), ..line };
        assert_eq!(said(&free, &id("a"), &time), None);
    }
}
