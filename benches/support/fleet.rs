//! An installation in everyday use: ten teams, each with a room and a runbook of its own.

use chrono::{DateTime, TimeDelta, Utc};

use super::house::{House, room, update};
use super::play::{Piece, began};

const PEOPLE: usize = 40;
const TEAMS: u32 = 10;
/// People of an open rollout have done so much: some have acknowledged the second roster, the others are awaited.
const OPEN_EVENTS: u64 = 180;

/// Its configuration.
pub fn house() -> House {
    let runbooks = (0..TEAMS).map(|team| update(&format!("fleet-{team}"), &room(team as usize))).collect();
    House::new(PEOPLE, TEAMS as usize, runbooks)
}

/// So many rollouts that are over, and after them so many that wait for their people, and for a T-0 that is years away.
pub fn pieces(open: u32, finished: u32) -> Vec<Piece> {
    (1..=finished + open)
        .map(|number| {
            let at = began() + TimeDelta::minutes(number.into());
            let is_over = number <= finished;
            Piece {
                number,
                runbook: format!("fleet-{}", number % TEAMS),
                at,
                window: if is_over { at + TimeDelta::days(1) } else { far() },
                until: if is_over { u64::MAX } else { OPEN_EVENTS },
            }
        })
        .collect()
}

/// A T-0 that does not come while anybody measures.
fn far() -> DateTime<Utc> {
    began() + TimeDelta::days(20 * 365)
}
