//! The words of a digest: what is open and what is over since the last one.

use chrono::{DateTime, Utc};

use crate::domain::conversation::voice::shorten;
use crate::domain::digest::Digest;
use crate::domain::message::template::escape_markdown;
use crate::domain::registry::Registry;

/// How many rollouts are named; there is a command for all of them.
const LINES_MAX: usize = 40;
/// How long the line of one may be, in characters.
const LINE_CHARS_MAX: usize = 600;

/// As many lines as anybody reads, and how many there are more.
fn listed(lines: &[String]) -> impl Iterator<Item = String> + '_ {
    let more = lines.len().saturating_sub(LINES_MAX);
    let more = (more > 0).then(|| format!("and {more} more: `/rollout list`"));
    lines.iter().take(LINES_MAX).map(|line| shorten(line, LINE_CHARS_MAX)).chain(more)
}

/// A digest in words: its subject, and its Markdown. Nothing where there is nothing to say. `open` has what the open rollouts
/// say of themselves.
#[must_use]
pub fn digest(
    digest: &Digest,
    registry: &Registry,
    open: &[String],
    since: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Option<(String, String)> {
    let ended = registry.rollouts.iter().filter(|(_, rollout)| !rollout.rehearsal && rollout.parent.is_none());
    let mut ended: Vec<_> = ended
        .filter_map(|(id, rollout)| Some((rollout.closed_at.filter(|at| (since..due).contains(at))?, id, rollout)))
        .collect();
    ended.sort_by_key(|(at, ..)| *at);
    let ended: Vec<String> = ended
        .into_iter()
        .filter_map(|(_, id, rollout)| {
            Some(format!("**{}** ({id}): {}", escape_markdown(&rollout.title), rollout.closed?.title()))
        })
        .collect();
    if open.is_empty() && ended.is_empty() && !digest.also_empty {
        return None;
    }
    let day = due.with_timezone(&digest.at.zone()).format("%a %-d %b %H:%M %Z");
    let how_many = match open.len() {
        0 => "no rollout is open".to_owned(),
        1 => "one rollout is open".to_owned(),
        many => format!("{many} rollouts are open"),
    };
    let mut text = format!("**{}**, {day}: {how_many}.", escape_markdown(&digest.name));
    for line in listed(open) {
        text.push_str(&format!("\n- {line}"));
    }
    if !ended.is_empty() {
        text.push_str("\n\nOver since the last one:");
        for line in listed(&ended) {
            text.push_str(&format!("\n- {line}"));
        }
    }
    Some((format!("{}: {how_many}", digest.name), text))
}
