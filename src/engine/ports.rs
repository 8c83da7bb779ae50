//! What the engine needs of the outside, as traits: clocks, couriers that bring messages, executors that have systems
//! do things, and the rooms that T-minus keeps itself.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::message::card::{Button, Card, Progress};
use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::effect::{Action, Delivery};
use crate::domain::rollout::event::ActionOutcome;
use crate::domain::runbook::model::Venue;

use super::snapshots::Lost;

/// Where the time comes from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
    /// Waits until then; returns at once if that has passed.
    async fn sleep_until(&self, at: DateTime<Utc>);
}

/// What became of one attempt to send something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is there.
    Delivered {
        /// The platform's reference to the message.
        reference: String,
    },
    /// Not now; perhaps later.
    TryAgain {
        /// How long the platform wants us to wait, if it said so.
        after: Option<Duration>,
        /// The platform's words.
        why: String,
    },
    /// It may be there or not: it is looked up before it is sent again.
    Unclear {
        /// What is known.
        why: String,
    },
    /// It will never arrive this way.
    Never {
        /// The platform's words.
        why: String,
    },
}

/// What became of something that may have been sent or begun before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    There {
        /// The outside's reference to it.
        reference: String,
    },
    /// It is certainly not there.
    Absent,
    /// The outside can't tell.
    CannotTell {
        /// Why not.
        why: String,
    },
}

/// A line of a rollout's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The sequence of its event: the line's identity within the rollout.
    pub sequence: u64,
    /// Markdown, with its time.
    pub text: String,
    /// What is said in the room itself, besides the line in the log.
    pub aloud: Option<String>,
}

/// What a room should show of a rollout: the card as it is now, and the log lines it does not have yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The rollout.
    pub rollout: RolloutId,
    /// The room, and on which platform.
    pub venue: Venue,
    /// The card.
    pub card: Card,
    /// The log after what the room had.
    pub log: Vec<LogLine>,
    /// The reference of the card's message, once it was posted.
    pub posted: Option<String>,
    /// The sequence of the rollout up to which this goes.
    pub sequence: u64,
    /// Whether the log goes on after this piece.
    pub more: bool,
    /// What the rollout's clock says.
    pub at: DateTime<Utc>,
}

/// Brings messages to a platform.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Sends an announcement. Called once per delivery, or again after [`Sent::TryAgain`] or [`Found::Absent`].
    /// It may be dropped before it answers, and be carried out all the same.
    async fn deliver(&self, delivery: &Delivery) -> Sent;
    /// Looks a delivery up by its identity, after a crash or a lost answer.
    async fn find(&self, delivery: &Delivery) -> Found;
    /// Shows the card and adds log lines; answers the reference of the card's message.
    ///
    /// # Errors
    /// The platform's words; it is tried again with whatever is to be shown then.
    async fn show(&self, projection: &Projection) -> Result<String, String>;
    /// The sequence of the last log line that stands in a room, 0 if none does.
    ///
    /// # Errors
    /// The platform's words.
    async fn log_cursor(&self, rollout: &RolloutId, venue: &Venue) -> Result<u64, String>;
    /// The least time between two edits of one card.
    fn edit_pause(&self) -> Duration;
}

/// Why an action did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It certainly did not, and will not.
    Refused {
        /// The system's words.
        why: String,
    },
    /// It may have.
    Unclear {
        /// What is known.
        why: String,
    },
}

/// How an action is getting on.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    /// It is not over.
    Running {
        /// How far it is, for people.
        progress: Progress,
        /// When to look again, on the rollout's clock.
        again: DateTime<Utc>,
    },
    /// It is over.
    Ended(ActionOutcome),
}

/// Has a system do things.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Begins an action. Its attempt is in the journal. `now` is on the rollout's clock.
    ///
    /// # Errors
    /// See [`StartError`].
    async fn start(&self, action: &Action, now: DateTime<Utc>) -> Result<(), StartError>;
    /// Looks an action up by its identity, after a crash or a lost answer.
    async fn find(&self, action: &Action) -> Found;
    /// Asks how it is getting on.
    ///
    /// # Errors
    /// The system's words; it is asked again.
    async fn poll(&self, action: &Action, now: DateTime<Utc>) -> Result<Polled, String>;
    /// Asks it to stop. What it did until then, its end says, as [`poll`](Self::poll) tells it.
    ///
    /// # Errors
    /// The system's words, when it can't be stopped or did not answer.
    async fn cancel(&self, action: &Action, now: DateTime<Utc>) -> Result<(), CancelError>;
    /// What it says once more of an action whose end it has told, if it is a system that may say things twice.
    async fn said_again(&self, _action: &Action) -> Option<ActionOutcome> {
        None
    }
}

/// Why an action was not asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelError {
    /// What was begun can't be stopped; its end is awaited.
    Impossible {
        /// Why.
        why: String,
    },
    /// It was not heard; it is asked again.
    TryAgain {
        /// The system's words.
        why: String,
    },
}

/// Who wrote a message in a room of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// T-minus.
    Bot,
    /// A person.
    Person(PersonId),
}

/// A room that T-minus keeps itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomInfo {
    /// Its id in addresses.
    pub id: String,
    /// What people read.
    pub title: String,
    /// Whether rollouts are hosted here, or announcements only arrive.
    pub hosts: bool,
    /// The one person who reads it, where T-minus writes to one.
    pub person: Option<PersonId>,
}

/// A message in a room of our own.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomMessage {
    /// Its id within the room.
    pub id: u64,
    /// Who wrote it.
    pub author: Author,
    /// Markdown.
    pub text: String,
    /// The subject, where an announcement has one.
    pub subject: Option<String>,
    /// What can be pressed.
    pub buttons: Vec<Button>,
    /// The message whose thread it stands in.
    pub thread_of: Option<u64>,
    /// The rollout it belongs to.
    pub rollout: Option<RolloutId>,
    /// Whether it is a rollout's card.
    pub is_card: bool,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// When it was last changed.
    pub edited_at: Option<DateTime<Utc>>,
}

/// Why a room of our own did not take something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// There is no such room.
    #[error("there is no room `{0}`")]
    Unknown(String),
    /// Announcements arrive in this room, and nobody talks in it.
    #[error("the room `{0}` only receives announcements")]
    ListensOnly(String),
    /// The journal is not the one any more that snapshots were made of.
    #[error("{0}")]
    Lost(Lost),
    /// The store did not take it.
    #[error("the room could not be written: {0}")]
    Store(String),
    /// The store may have taken it or not.
    #[error("it is not known whether the room was written: {0}")]
    Unclear(String),
}

/// How many of its newest messages are looked at again and again, at most, where rollouts are hosted: so many of a room are at
/// hand without reading.
pub const ROOM_LOOKED_AT_MAX: usize = 700;

/// What a message of a room belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// There is no such message.
    NoMessage,
    /// To no rollout.
    ToNone,
    /// To this rollout.
    To(RolloutId),
}

/// The rooms that T-minus keeps itself: what the page and the API show.
#[async_trait]
pub trait HouseRooms: Send + Sync + 'static {
    /// All of them.
    fn rooms(&self) -> Vec<RoomInfo>;
    /// One of them.
    fn info(&self, room: &str) -> Option<RoomInfo>;
    /// How many messages a room has; their ids count from 1.
    ///
    /// # Errors
    /// When there is no such room.
    async fn count(&self, room: &str) -> Result<u64, RoomError>;
    /// The messages of a room, oldest first, after a message id; no more than some at once.
    ///
    /// # Errors
    /// When there is no such room, or it can't be read.
    async fn messages(&self, room: &str, after: u64) -> Result<Vec<RoomMessage>, RoomError>;
    /// What a message of a room belongs to.
    ///
    /// # Errors
    /// When there is no such room, or it can't be read.
    async fn rollout_of(&self, room: &str, id: u64) -> Result<Belongs, RoomError>;
    /// The cards in a room: their messages, and whose they are, in the order in which they were posted.
    ///
    /// # Errors
    /// When there is no such room.
    async fn cards(&self, room: &str) -> Result<Vec<(u64, RolloutId)>, RoomError>;
    /// A person writes something. `key` makes a second arrival the same message, as long as it is among the latest that had one.
    /// A call that is dropped before it answers may still be carried out.
    ///
    /// # Errors
    /// See [`RoomError`].
    async fn say(&self, room: &str, person: &PersonId, text: &str, key: Option<&str>) -> Result<u64, RoomError>;
    /// Changes whenever anything in any room changed.
    fn watch(&self) -> watch::Receiver<u64>;
}
