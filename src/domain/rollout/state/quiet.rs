//! Until when nobody has to be written to, as far as it was worked out: looking through a long roster after every click would make
//! each of them as slow as the roster is long.

use chrono::{DateTime, Utc};

use crate::domain::people::PersonId;
use crate::domain::rollout::event::{Event, Recorded};

use super::State;

/// What was worked out, if it still holds. It is no fact and no part of what a state is: two states that differ in it alone are the
/// same, it is never written down, and without it everything is worked out anew.
#[derive(Clone, Debug, Default)]
pub(in crate::domain::rollout) struct Quiet(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    until: DateTime<Utc>,
    /// The owners who are awaited themselves. Where all of them are, nobody is told that something is overdue; once one of them
    /// is not awaited any more, that one is.
    awaited_owners: Vec<PersonId>,
}

impl PartialEq for Quiet {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl State {
    /// Nobody has to be written to before then, unless something happens; not known where it is not worked out.
    pub(in crate::domain::rollout) fn quiet_until(&self) -> Option<DateTime<Utc>> {
        self.quiet.0.as_ref().map(|known| known.until)
    }

    /// Remembers when somebody has to be written to next, which is the end of time where nobody ever has; and the owners who are
    /// awaited themselves.
    pub(in crate::domain::rollout) fn note_quiet(&mut self, next: Option<DateTime<Utc>>, awaited_owners: Vec<PersonId>) {
        self.quiet = Quiet(Some(Known { until: next.unwrap_or(DateTime::<Utc>::MAX_UTC), awaited_owners }));
    }

    /// After an event that may make it earlier it is not known any more.
    pub(super) fn stir(&mut self, recorded: &Recorded) {
        let is_of_owner = |known: &Known| whose(recorded).is_some_and(|person| known.awaited_owners.contains(person));
        if !only_spares(&recorded.event) || self.quiet.0.as_ref().is_some_and(is_of_owner) {
            self.quiet = Quiet::default();
        }
    }
}

/// Who may not be awaited any more after an event.
fn whose(recorded: &Recorded) -> Option<&PersonId> {
    match &recorded.event {
        Event::VoteCast { instead_of: Some(voter), .. } => Some(voter),
        _ => recorded.by.as_ref(),
    }
}

/// Whether an event writes to nobody earlier than before: it awaits fewer people (of whom none owns the
/// rollout), or has nothing to do with that.
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
