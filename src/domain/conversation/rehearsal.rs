//! What a rehearsal shows of what it does not send: the words, and where they would go.

use crate::domain::conversation::voice::Voice;
use crate::domain::message::template::escape_markdown;
use crate::domain::people::Directory;
use crate::domain::rollout::event::{Event, Recorded};
use crate::domain::rollout::state::State;
use crate::domain::runbook::model::Address;

/// What would have been sent with an event, in its words; nothing for events that send nothing.
#[must_use]
pub fn would_go(state: &State, people: &Directory, recorded: &Recorded) -> Option<String> {
    let voice = Voice { state, people, now: recorded.at };
    Some(match &recorded.event {
        Event::AnnouncementIssued { message, to, subject, text, .. } => {
            let subject = subject.as_ref().map(|subject| format!("**{}**\n\n", escape_markdown(subject))).unwrap_or_default();
            let words = quoted(&format!("{subject}{text}"));
            format!("announcement “{}” would go to {} and stays here:\n\n{words}", escape_markdown(message), addresses(to))
        }
        Event::Told { corrects, to, text } => {
            let what = if corrects.is_some() { "a correction" } else { "an announcement" };
            format!("{what} would go to {} and stays here:\n\n{}", addresses(to), quoted(text))
        }
        Event::Nudged { people: whom, text, .. } | Event::Informed { people: whom, text } => {
            format!("{} would be written to, and is not:\n\n{}", voice.names(whom), quoted(text))
        }
        _ => return None,
    })
}

fn addresses(to: &[Address]) -> String {
    let names: Vec<String> = to.iter().map(|address| escape_markdown(&address.to_string())).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
