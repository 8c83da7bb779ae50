//! One rollout: what is asked of it, what happened to it, what it owes the world.
//!
//! ```text
//! Command ──decide──▶ events ──evolve──▶ State ──effects──▶ what the world is owed
//!                        ▲                 │
//!                        └────follow───────┘   what happens by itself: phases open, steps complete
//! ```
//!
//! [`handle`] is the whole of it for one command. Live and replay share [`State::evolve`].

pub mod amendment;
pub mod command;
mod decide;
pub mod effect;
pub mod event;
mod follow;
pub mod scope;
pub mod state;
pub mod view;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::freeze::Frozen;
use crate::domain::people::{Directory, PersonId};

use self::command::{Command, CommandBody};
use self::event::{Event, Recorded};
use self::state::State;

pub use self::command::{Refusal, RefusalKind};
pub use self::decide::{SETTLE_SECONDS, decide, tally, verbs};
pub use self::follow::{due_of, follow, meant, next_due, next_move, next_wake, offers_done, step_moves, waits_for_opening};

/// Who may let a rollout go on in a freeze: whom the freeze names, in the words of the installation, and whom the runbook does.
#[must_use]
pub fn may_override(state: &State, freeze: &Frozen, people: &Directory) -> Vec<PersonId> {
    let mut allowed = people.named(&freeze.may_override);
    for person in state.resolve(&state.runbook.may.override_freeze, people) {
        if !allowed.contains(&person) {
            allowed.push(person);
        }
    }
    allowed
}

/// How many rounds of consequences one command may have. A runbook of [`STEPS_MAX`](super::runbook) steps that all
/// settle by themselves needs two a step; beyond that something runs in a circle.
const ROUNDS_MAX: usize = 5000;

/// Decides a command and everything that follows from it by itself, and evolves the state through it.
///
/// # Errors
/// The refusal; the state is unchanged then.
pub fn handle(state: &mut State, command: &Command, people: &Directory) -> Result<Vec<Recorded>, Refusal> {
    let decided = decide(state, command, people)?;
    let mut recorded = Vec::new();
    record(state, command, command.actor.person(), command.at, decided, &mut recorded);
    // After the clock was moved it is later than when the command was given.
    let moved = match command.body {
        CommandBody::AdvanceClock { seconds } => TimeDelta::seconds(seconds),
        _ => TimeDelta::zero(),
    };
    settle(state, command, command.at + moved, people, &mut recorded);
    Ok(recorded)
}

/// Lets everything happen that happens by itself, until nothing does.
pub fn settle(state: &mut State, command: &Command, at: DateTime<Utc>, people: &Directory, recorded: &mut Vec<Recorded>) {
    for _ in 0..ROUNDS_MAX {
        let events = follow(state, at, people);
        if events.is_empty() {
            follow::rest(state, at, people);
            return;
        }
        // What follows by itself was nobody's act.
        record(state, command, None, at, events, recorded);
    }
    // No runbook is known to do this. Should one, it is held, where a person sees it, instead of spinning.
    let reason = Some("its steps run in a circle".to_owned());
    record(state, command, None, at, vec![Event::held(reason)], recorded);
}

fn record(
    state: &mut State,
    command: &Command,
    by: Option<&PersonId>,
    at: DateTime<Utc>,
    events: Vec<Event>,
    recorded: &mut Vec<Recorded>,
) {
    for event in events {
        let one = Recorded::new(&command.id, by, state.not_before(at), event);
        state.evolve(&one);
        recorded.push(one);
    }
}
