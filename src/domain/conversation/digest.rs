//! The words of a digest: what is open and what is over since the last one.

use chrono::{DateTime, Utc};

use crate::domain::digest::Digest;
use crate::domain::message::template::escape_markdown;
use crate::domain::registry::Registry;

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
            Some(format!("- **{}** ({id}): {}", escape_markdown(&rollout.title), rollout.closed?.title()))
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
    for line in open {
        text.push_str(&format!("\n- {line}"));
    }
    if !ended.is_empty() {
        text.push_str(&format!("\n\nOver since the last one:\n{}", ended.join("\n")));
    }
    Some((format!("{}: {how_many}", digest.name), text))
}
