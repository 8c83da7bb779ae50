//! What stands in one room: its messages, and how to find what T-minus put there by identity.
//!
//! The messages are in the journal. Kept in memory is where to find them, and the newest ones that somebody looked at: a room
//! that was used for years is no larger than one that was opened yesterday.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::message::card::Button;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::chain::hex;
use crate::engine::journal::{Append, Journal, NewRecord, Record, StreamName};
use crate::engine::ports::{Author, RoomError, RoomMessage};
use crate::engine::snapshots::{self, SnapshotStore, Snapshotted};

use super::recent::Recent;

/// The version that room events are written in.
const ROOM_EVENT_VERSION: u16 = 1;
/// How many records are read from the journal at once.
const READ_RECORDS_MAX: usize = 512;
/// Where every so many messages stand in the stream is remembered: so many are read at most to get at one.
const MARK_MESSAGES: u64 = 256;
/// How many messages are read at once: more than a page shows.
pub const MESSAGES_READ_MAX: usize = 1000;
/// How many of the newest messages are kept in a room where rollouts are hosted: what a page shows of it, so that looking on costs
/// no reading.
const LATEST_HOSTING_MAX: usize = 700;
/// The same where announcements only arrive: few look there, and there are many such rooms.
const LATEST_MAX: usize = 64;
/// How many deliveries are recognised without reading: those that may be tried again in a moment.
const DELIVERED_MAX: usize = 256;
/// How many messages of people are recognised when they arrive again: as many as a rollout remembers commands.
const SAID_MAX: usize = 4096;

/// How much of a hash tells one text of a card from another.
const FINGERPRINT_BYTES: usize = 16;

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
    index: Index,
    /// The newest messages, as far as somebody looked at them or they came since.
    latest: VecDeque<RoomMessage>,
    latest_max: usize,
    /// All deliveries that ever arrived, once one had to be looked for among them.
    delivered: Option<HashMap<String, u64>>,
    /// Up to which record the index was written down last.
    snapshot_at: u64,
}

/// Where everything stands: what a start needs to know, and can be told by a snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    sequence: u64,
    messages: u64,
    /// The sequence of the message 1, and of every further one after so many.
    marks: Vec<u64>,
    /// The cards, by their messages.
    cards: BTreeMap<u64, Standing>,
    /// What is known of rollouts that something stands here of.
    rollouts: HashMap<RolloutId, InRoom>,
    /// Deliveries by their identity.
    delivered: Recent,
    /// What people said, by its identity.
    said: Recent,
}

/// A card as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Standing {
    rollout: RolloutId,
    /// The record that says how it stands.
    sequence: u64,
    /// Of its text and buttons.
    fingerprint: String,
}

/// What a room knows of one rollout.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct InRoom {
    card: Option<u64>,
    log_cursor: u64,
}

impl Snapshotted for Index {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Transcript {
    pub async fn load(journal: &dyn Journal, store: &Arc<dyn SnapshotStore>, room: &str, hosts: bool) -> Result<Self, RoomError> {
        let stream = StreamName::new(format!("room/{room}"));
        let index: Index = snapshots::take(store, journal, &stream).await.unwrap_or_default();
        let mut transcript = Self {
            room: room.to_owned(),
            stream,
            snapshot_at: index.sequence,
            index,
            latest: VecDeque::new(),
            latest_max: if hosts { LATEST_HOSTING_MAX } else { LATEST_MAX },
            delivered: None,
        };
        loop {
            let records = transcript.read(journal, transcript.index.sequence + 1, READ_RECORDS_MAX).await?;
            let count = records.len();
            for (_, recorded) in records {
                transcript.index.evolve(&recorded);
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
            records.push(NewRecord { id: format!("{}#{index}", self.index.sequence + 1), payload });
        }
        let append = Append { stream: self.stream.clone(), expected: self.index.sequence, records };
        journal.append(vec![append], 0).await.map_err(|error| RoomError::Store(error.to_string()))?;
        for one in recorded {
            self.index.evolve(&one);
            self.keep(one);
        }
        Ok(())
    }

    /// Keeps what came, with the newest that are kept.
    fn keep(&mut self, recorded: Recorded) {
        match recorded.event {
            RoomEvent::Posted(post) => {
                if let (Some(delivered), Some(effect)) = (&mut self.delivered, &post.effect) {
                    delivered.insert(effect.clone(), self.index.messages);
                }
                self.latest.push_back(message_of(self.index.messages, recorded.at, post));
                if self.latest.len() > self.latest_max {
                    self.latest.pop_front();
                }
            }
            RoomEvent::Edited { message, text, buttons } => {
                let first = self.first_kept();
                let place = message.checked_sub(first).and_then(|place| usize::try_from(place).ok());
                if let Some(known) = place.and_then(|place| self.latest.get_mut(place)) {
                    (known.text, known.buttons, known.edited_at) = (text, buttons, Some(recorded.at));
                }
            }
        }
    }

    /// The first message from which on all are in memory; the next one where none is.
    fn first_kept(&self) -> u64 {
        self.index.messages + 1 - self.latest.len() as u64
    }

    /// The id that the next message will have: ids count from 1 without gaps.
    pub const fn next_id(&self) -> u64 {
        self.index.messages + 1
    }

    /// How many messages there are.
    pub const fn count(&self) -> u64 {
        self.index.messages
    }

    pub fn room(&self) -> &str {
        &self.room
    }

    /// Up to [`MESSAGES_READ_MAX`] messages after one, oldest first.
    pub async fn messages(&mut self, journal: &dyn Journal, after: u64) -> Result<Vec<RoomMessage>, RoomError> {
        // What comes after the last message is nothing yet.
        let after = after.min(self.index.messages);
        let last = self.index.messages.min(after + MESSAGES_READ_MAX as u64);
        let first_kept = self.first_kept();
        let mut messages = self.read_messages(journal, after + 1, last.min(first_kept - 1)).await?;
        if last + 1 >= first_kept && !messages.is_empty() {
            // Whoever looks at the end of a room looks again in a moment.
            let room_left = self.latest_max.saturating_sub(self.latest.len());
            for message in messages.iter().rev().take(room_left) {
                self.latest.push_front(message.clone());
            }
        }
        let kept_before = usize::try_from((after + 1).saturating_sub(first_kept)).unwrap_or(usize::MAX);
        let kept_last = usize::try_from((last + 1).saturating_sub(first_kept)).unwrap_or(usize::MAX);
        let kept_since = self.latest.len() - usize::try_from(self.index.messages + 1 - first_kept).unwrap_or_default();
        messages.extend(self.latest.iter().skip(kept_since).take(kept_last).skip(kept_before).cloned());
        Ok(messages)
    }

    /// One message.
    pub async fn message(&self, journal: &dyn Journal, id: u64) -> Result<Option<RoomMessage>, RoomError> {
        if id == 0 || id > self.index.messages {
            return Ok(None);
        }
        let kept = id.checked_sub(self.first_kept()).and_then(|place| usize::try_from(place).ok());
        match kept {
            Some(place) => Ok(self.latest.get(place).cloned()),
            None => Ok(self.read_messages(journal, id, id).await?.pop()),
        }
    }

    /// The rollout that a message belongs to, if that is known without reading.
    pub fn rollout_of(&self, id: u64) -> Option<&RolloutId> {
        let place = id.checked_sub(self.first_kept()).and_then(|place| usize::try_from(place).ok());
        let kept = place.and_then(|place| self.latest.get(place)).and_then(|message| message.rollout.as_ref());
        kept.or_else(|| self.index.cards.get(&id).map(|card| &card.rollout))
    }

    /// The messages from `first` to `last` from the journal, as they stand now.
    async fn read_messages(&self, journal: &dyn Journal, first: u64, last: u64) -> Result<Vec<RoomMessage>, RoomError> {
        let mut messages: Vec<RoomMessage> = Vec::new();
        let mark = usize::try_from(first.saturating_sub(1) / MARK_MESSAGES).unwrap_or(usize::MAX);
        let Some(mut sequence) = self.index.marks.get(mark).copied().filter(|_| first <= last) else { return Ok(messages) };
        let mut id = mark as u64 * MARK_MESSAGES;
        while id < last {
            let records = self.read(journal, sequence, READ_RECORDS_MAX).await?;
            let Some((end, _)) = records.last() else { return Err(self.unreadable("its messages are not where they were")) };
            sequence = end + 1;
            for (_, Recorded { at, event, .. }) in records {
                let RoomEvent::Posted(post) = event else { continue };
                id += 1;
                if (first..=last).contains(&id) {
                    messages.push(message_of(id, at, post));
                }
            }
        }
        for message in messages.iter_mut().filter(|message| message.is_card) {
            let Some(standing) = self.index.cards.get(&message.id) else { continue };
            let edit = self.read(journal, standing.sequence, 1).await?.pop();
            if let Some((_, Recorded { at, event: RoomEvent::Edited { text, buttons, .. }, .. })) = edit {
                (message.text, message.buttons, message.edited_at) = (text, buttons, Some(at));
            }
        }
        Ok(messages)
    }

    async fn read(&self, journal: &dyn Journal, from: u64, limit: usize) -> Result<Vec<(u64, Recorded)>, RoomError> {
        let records = journal.read(&self.stream, from, limit).await.map_err(|error| self.unreadable(&error.to_string()))?;
        records.into_iter().map(|record| self.decode(&record)).collect()
    }

    fn decode(&self, record: &Record) -> Result<(u64, Recorded), RoomError> {
        let recorded: Recorded = serde_json::from_slice(&record.payload).map_err(|error| self.unreadable(&error.to_string()))?;
        if recorded.v > ROOM_EVENT_VERSION {
            let what = format!("event {} has version {}: use the newer program", record.sequence, recorded.v);
            return Err(self.unreadable(&what));
        }
        Ok((record.sequence, recorded))
    }

    fn unreadable(&self, what: &str) -> RoomError {
        RoomError::Store(format!("the room {} can't be read: {what}", self.room))
    }

    /// The message that a delivery became, if it arrived lately. Whoever does not know whether it arrived at all asks
    /// [`find`](Self::find).
    pub fn delivered(&self, effect: &str) -> Option<u64> {
        let all = self.delivered.as_ref().and_then(|all| all.get(effect).copied());
        all.or_else(|| self.index.delivered.get(effect))
    }

    /// The message that a delivery became, whenever that was. After a crash a room is read once for it.
    pub async fn find(&mut self, journal: &dyn Journal, effect: &str) -> Result<Option<u64>, RoomError> {
        let known = self.delivered(effect);
        if known.is_some() || self.delivered.is_some() || self.index.delivered.is_whole() {
            return Ok(known);
        }
        let (mut all, mut id, mut sequence) = (HashMap::new(), 0, 0);
        while sequence < self.index.sequence {
            let records = self.read(journal, sequence + 1, READ_RECORDS_MAX).await?;
            let Some((end, _)) = records.last() else { return Err(self.unreadable("it ends before its end")) };
            sequence = *end;
            for (_, recorded) in records {
                let RoomEvent::Posted(post) = recorded.event else { continue };
                id += 1;
                all.extend(post.effect.map(|effect| (effect, id)));
            }
        }
        let found = all.get(effect).copied();
        self.delivered = Some(all);
        Ok(found)
    }

    pub fn said(&self, id: &str) -> Option<u64> {
        self.index.said.get(id)
    }

    /// The cards with their rollouts, in the order in which they were posted.
    pub fn cards(&self) -> impl Iterator<Item = (u64, &RolloutId)> {
        self.index.cards.iter().map(|(message, standing)| (*message, &standing.rollout))
    }

    pub fn card(&self, rollout: &RolloutId) -> Option<u64> {
        self.index.rollouts.get(rollout)?.card
    }

    /// Whether a card stands as it would with this text and these buttons.
    pub fn stands(&self, card: u64, text: &str, buttons: &[Button]) -> bool {
        self.index.cards.get(&card).is_some_and(|standing| standing.fingerprint == fingerprint(text, buttons))
    }

    pub fn log_cursor(&self, rollout: &RolloutId) -> u64 {
        self.index.rollouts.get(rollout).map_or(0, |known| known.log_cursor)
    }

    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What is to be written down, if so many events came since the last time.
    pub const fn to_write_down(&self, after_events: u64) -> Option<&Index> {
        if self.index.sequence >= self.snapshot_at + after_events { Some(&self.index) } else { None }
    }

    pub const fn wrote_down(&mut self) {
        self.snapshot_at = self.index.sequence;
    }
}

impl Index {
    fn evolve(&mut self, recorded: &Recorded) {
        self.sequence += 1;
        match &recorded.event {
            RoomEvent::Posted(post) => {
                if self.messages.is_multiple_of(MARK_MESSAGES) {
                    self.marks.push(self.sequence);
                }
                self.messages += 1;
                let id = self.messages;
                if let Some(rollout) = &post.rollout
                    && (post.card || post.log_sequence.is_some())
                {
                    let known = self.rollouts.entry(rollout.clone()).or_default();
                    known.log_cursor = post.log_sequence.unwrap_or(known.log_cursor);
                    if post.card {
                        known.card = Some(id);
                        let fingerprint = fingerprint(&post.text, &post.buttons);
                        self.cards.insert(id, Standing { rollout: rollout.clone(), sequence: self.sequence, fingerprint });
                    }
                }
                if let Some(effect) = &post.effect {
                    self.delivered.note(effect, id, DELIVERED_MAX);
                }
                if let Some(said) = &post.said {
                    self.said.note(said, id, SAID_MAX);
                }
            }
            RoomEvent::Edited { message, text, buttons } => {
                if let Some(standing) = self.cards.get_mut(message) {
                    standing.sequence = self.sequence;
                    standing.fingerprint = fingerprint(text, buttons);
                }
            }
        }
    }
}

fn message_of(id: u64, at: DateTime<Utc>, post: Post) -> RoomMessage {
    let Post { author, text, subject, buttons, thread_of, rollout, card, .. } = post;
    RoomMessage { id, author, text, subject, buttons, thread_of, rollout, is_card: card, at, edited_at: None }
}

/// What tells a card from another without keeping it.
fn fingerprint(text: &str, buttons: &[Button]) -> String {
    let mut hash = Sha256::new();
    hash.update(text);
    // No text has this byte in it.
    hash.update([0xff]);
    // Buttons always have a JSON form; one that had none would be posted once more.
    hash.update(serde_json::to_vec(buttons).unwrap_or_default());
    hex(&hash.finalize()[..FINGERPRINT_BYTES])
}
