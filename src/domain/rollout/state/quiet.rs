//! Until when nobody has to be written to, as far as it was worked out: looking through a long roster after every click would make
//! each of them as slow as the roster is long.

use chrono::{DateTime, Utc};

use crate::domain::rollout::event::Event;

use super::State;

/// What was worked out, if it still holds. It is no fact and no part of what a state is: two states that differ in it alone are the
/// same, it is never written down, and without it everything is worked out anew.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::domain::rollout) struct Quiet(Option<DateTime<Utc>>);

impl PartialEq for Quiet {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl State {
    /// Nobody has to be written to before then, unless something happens; not known where it is not worked out.
    pub(in crate::domain::rollout) const fn quiet_until(&self) -> Option<DateTime<Utc>> {
        self.quiet.0
    }

    /// Remembers when somebody has to be written to next; the end of time where nobody ever has.
    pub(in crate::domain::rollout) fn note_quiet(&mut self, next: Option<DateTime<Utc>>) {
        self.quiet = Quiet(Some(next.unwrap_or(DateTime::<Utc>::MAX_UTC)));
    }

    /// After an event that may make it earlier it is not known any more.
    pub(super) fn stir(&mut self, event: &Event) {
        if !only_spares(event) {
            self.quiet = Quiet::default();
        }
    }
}

/// Whether an event writes to nobody earlier than before: it awaits fewer people, or has nothing to do with that.
const fn only_spares(event: &Event) -> bool {
    matches!(
        event,
        Event::Acknowledged { .. }
            | Event::Listening { .. }
            | Event::AnswerGiven { .. }
            | Event::VoteCast { .. }
            | Event::ItemTicked { .. }
            | Event::NoteAdded { .. }
            | Event::CardPosted { .. }
            | Event::DeliveryEnded { .. }
    )
}
