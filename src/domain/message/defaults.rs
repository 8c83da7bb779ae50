//! What T-minus says by itself, and a team may want in its own words: a file of the same name under `messages/` goes before it.

use crate::domain::runbook::model::MessageTemplate;

/// The names of what is said by itself: `messages/reminder.md` and so on.
pub const BY_ITSELF: [&str; 5] = ["needed", "reminder", "escalation", "retimed", ENDED];

/// The name of what is said in the rooms when a rollout is over.
pub const ENDED: &str = "ended";

/// That without a file: how it ended, what it took, who decided, what was out of the ordinary.
pub const ENDED_BODY: &str = "**{{ rollout.title }}** (`{{ rollout.id }}`) ended **{{ result|upper }}**, {{ rollout.duration }} after it started\
{% if rollout.after_t0 %}, {{ rollout.after_t0 }}{% endif %}.\
{% if rollout.decided %}\n- Decided: {{ rollout.decided }}{% endif %}\
{% if rollout.slowest %}\n- Slowest: {{ rollout.slowest }}{% endif %}\
{% if rollout.unusual %}\n- Out of the ordinary: {{ rollout.unusual }}{% endif %}\
{% if rollout.delivered %}\n- Announced: {{ rollout.delivered }}{% endif %}\n\n\
`/rollout {{ rollout.id }} report` is the checklist as it was, every item with name and time.";

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
