//! What stands in one room: its messages, and how to find what T-minus put there by identity.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::message::card::Button;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::{Append, Journal, NewRecord, StreamName};
use crate::engine::ports::{Author, RoomError, RoomMessage};

/// The version that room events are written in.
const ROOM_EVENT_VERSION: u16 = 1;
/// How many records are read from the journal at once.
const READ_RECORDS_MAX: usize = 512;

/// What can happen in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub(super) enum RoomEvent {
    /// Somebody wrote something.
    Posted(Post),
    /// A message was changed.
    Edited {
        /// Which.
        message: u64,
        /// Its Markdown now.
        text: String,
        /// Its buttons now.
        buttons: Vec<Button>,
    },
}

/// A message as it is posted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Post {
    pub author: Author,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_of: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// Whether it is the rollout's card.
    #[serde(default)]
    pub card: bool,
    /// The identity of the delivery that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// The sequence of the rollout's event that this line of its log is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_sequence: Option<u64>,
    /// The identity of what a person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Post {
    pub fn by(author: Author) -> Self {
        Self {
            author,
            text: String::new(),
            subject: None,
            buttons: Vec::new(),
            thread_of: None,
            rollout: None,
            card: false,
            effect: None,
            log_sequence: None,
            said: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Recorded {
    v: u16,
    at: DateTime<Utc>,
    event: RoomEvent,
}

/// One room.
pub(super) struct Transcript {
    room: String,
    stream: StreamName,
    sequence: u64,
    messages: Vec<RoomMessage>,
    by_effect: HashMap<String, u64>,
    by_said: HashMap<String, u64>,
    cards: HashMap<RolloutId, u64>,
    log_cursors: HashMap<RolloutId, u64>,
}

impl Transcript {
    pub async fn load(journal: &dyn Journal, room: &str) -> Result<Self, RoomError> {
        let mut transcript = Self {
            room: room.to_owned(),
            stream: StreamName::new(format!("room/{room}")),
            sequence: 0,
            messages: Vec::new(),
            by_effect: HashMap::new(),
            by_said: HashMap::new(),
            cards: HashMap::new(),
            log_cursors: HashMap::new(),
        };
        let unreadable = |what: String| RoomError::Store(format!("the room {room} can't be read: {what}"));
        loop {
            let records = journal.read(&transcript.stream, transcript.sequence + 1, READ_RECORDS_MAX).await;
            let records = records.map_err(|error| unreadable(error.to_string()))?;
            let count = records.len();
            for record in records {
                let recorded: Recorded =
                    serde_json::from_slice(&record.payload).map_err(|error| unreadable(error.to_string()))?;
                if recorded.v > ROOM_EVENT_VERSION {
                    return Err(unreadable(format!(
                        "event {} has version {}: use the newer program",
                        record.sequence, recorded.v
                    )));
                }
                transcript.evolve(&recorded);
            }
            if count < READ_RECORDS_MAX {
                return Ok(transcript);
            }
        }
    }

    /// Appends to the room's stream; on success the room has changed.
    pub async fn record(&mut self, journal: &dyn Journal, at: DateTime<Utc>, events: Vec<RoomEvent>) -> Result<(), RoomError> {
        let recorded: Vec<Recorded> = events.into_iter().map(|event| Recorded { v: ROOM_EVENT_VERSION, at, event }).collect();
        let mut records = Vec::with_capacity(recorded.len());
        for (index, one) in recorded.iter().enumerate() {
            let payload = serde_json::to_vec(one).map_err(|error| RoomError::Store(error.to_string()))?;
            records.push(NewRecord { id: format!("{}#{index}", self.sequence + 1), payload });
        }
        let append = Append { stream: self.stream.clone(), expected: self.sequence, records };
        journal.append(vec![append], 0).await.map_err(|error| RoomError::Store(error.to_string()))?;
        for one in &recorded {
            self.evolve(one);
        }
        Ok(())
    }

    fn evolve(&mut self, recorded: &Recorded) {
        self.sequence += 1;
        match &recorded.event {
            RoomEvent::Posted(post) => {
                let id = self.next_id();
                if let Some(rollout) = &post.rollout {
                    if post.card {
                        self.cards.insert(rollout.clone(), id);
                    }
                    if let Some(sequence) = post.log_sequence {
                        self.log_cursors.insert(rollout.clone(), sequence);
                    }
                }
                self.by_effect.extend(post.effect.clone().map(|effect| (effect, id)));
                self.by_said.extend(post.said.clone().map(|said| (said, id)));
                self.messages.push(RoomMessage {
                    id,
                    author: post.author.clone(),
                    text: post.text.clone(),
                    subject: post.subject.clone(),
                    buttons: post.buttons.clone(),
                    thread_of: post.thread_of,
                    rollout: post.rollout.clone(),
                    is_card: post.card,
                    at: recorded.at,
                    edited_at: None,
                });
            }
            RoomEvent::Edited { message, text, buttons } => {
                let index = usize::try_from(message.saturating_sub(1)).unwrap_or(usize::MAX);
                if let Some(known) = self.messages.get_mut(index) {
                    known.text.clone_from(text);
                    known.buttons.clone_from(buttons);
                    known.edited_at = Some(recorded.at);
                }
            }
        }
    }

    /// The id that the next message will have: ids count from 1 without gaps.
    pub fn next_id(&self) -> u64 {
        self.messages.len() as u64 + 1
    }

    pub fn room(&self) -> &str {
        &self.room
    }

    pub fn messages(&self) -> &[RoomMessage] {
        &self.messages
    }

    pub fn message(&self, id: u64) -> Option<&RoomMessage> {
        self.messages.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    pub fn delivered(&self, effect: &str) -> Option<u64> {
        self.by_effect.get(effect).copied()
    }

    pub fn said(&self, id: &str) -> Option<u64> {
        self.by_said.get(id).copied()
    }

    pub fn card(&self, rollout: &RolloutId) -> Option<u64> {
        self.cards.get(rollout).copied()
    }

    pub fn log_cursor(&self, rollout: &RolloutId) -> u64 {
        self.log_cursors.get(rollout).copied().unwrap_or(0)
    }
}
