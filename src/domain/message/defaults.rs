//! What T-minus says by itself, and a team may want in its own words: a file of the same name under `messages/` goes before it.

use crate::domain::runbook::model::MessageTemplate;

/// The names of what is written to people by itself: `messages/reminder.md` and so on.
pub const TO_PEOPLE: [&str; 4] = ["needed", "reminder", "escalation", "retimed"];

/// The announcement that tells stakeholders how it is going: where it is, what was done since the last one, what is next, when
/// it should be over.
const UPDATE: &str = "**{{ rollout.title }}**: {{ rollout.phase }}, {{ rollout.progress }}.\
{% if rollout.done %} Since the last update: {{ rollout.done }}.{% endif %}\
{% if rollout.next %} Next: {{ rollout.next }}.{% endif %}\
{% if rollout.ends %} Expected end: {{ rollout.ends }}.{% endif %}";

/// A message that is there without a file.
#[must_use]
pub fn built_in(name: &str) -> Option<MessageTemplate> {
    (name == "update").then(|| MessageTemplate {
        subject: Some("{{ rollout.title }}: {{ rollout.phase }}".to_owned()),
        must_know: false,
        body: UPDATE.to_owned(),
    })
}
