//! What stands in one room: its messages, and how to find what T-minus put there by identity.
//!
//! The messages are in the journal. Kept in memory is where to find them, and the newest ones that somebody looked at: what was
//! said for years takes eight bytes for every 256 messages. Only a card is remembered for ever, since its rollout may be corrected
//! after its end: some 300 bytes for each rollout that a room hosted, in memory and in its snapshot.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::message::card::Button;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::chain::hex;
use crate::engine::journal::{Append, AppendError, Journal, NewRecord, Record, StreamName};
use crate::engine::ports::{Author, Belongs, ROOM_LOOKED_AT_MAX, RoomError, RoomMessage};
use crate::engine::snapshots::{self, SnapshotStore, Snapshotted};

use super::recent::Recent;

/// What the names of the streams of rooms begin with.
pub(super) const ROOMS: &str = "room/";
/// The version that room events are written in.
const ROOM_EVENT_VERSION: u16 = 1;
/// How many records are read from the journal at once.
const READ_RECORDS_MAX: usize = 512;
/// Where every so many messages stand in the stream is remembered: so many are read at most to get at one. Snapshots hold the
/// places, so their number has to rise with it.
const MARK_MESSAGES: u64 = 256;
/// How many messages are read at once: more than a page shows.
const MESSAGES_READ_MAX: u64 = 1000;
/// How many of the newest messages are kept where announcements only arrive: few look there, and there are many such rooms.
const LATEST_MAX: usize = 64;
/// How many deliveries are recognised without reading: those that may be tried again in a moment.
const DELIVERED_MAX: usize = 256;
/// How many messages that came with a key of their sender are recognised when they arrive again: as many as a rollout remembers
/// commands.
const SAID_MAX: usize = 4096;
/// How much of a hash tells one text of a card from another.
const FINGERPRINT_BYTES: usize = 16;

/// How much of a room is kept in memory, and read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub mark_messages: u64,
    pub read_records: usize,
    pub read_messages: u64,
    pub latest: usize,
    pub delivered: usize,
    pub said: usize,
}

impl Limits {
    /// Of a room where announcements only arrive.
    pub const LISTENING: Self = Self {
        mark_messages: MARK_MESSAGES,
        read_records: READ_RECORDS_MAX,
        read_messages: MESSAGES_READ_MAX,
        latest: LATEST_MAX,
        delivered: DELIVERED_MAX,
        said: SAID_MAX,
    };
    /// Of a room where rollouts are hosted: what a page shows of it is kept, so that looking on costs no reading.
    pub const HOSTING: Self = Self { latest: ROOM_LOOKED_AT_MAX, ..Self::LISTENING };
}

// Whoever looks at a page gets all of it at once.
const _: () = assert!(ROOM_LOOKED_AT_MAX as u64 <= MESSAGES_READ_MAX);

/// What can happen in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub(super) enum RoomEvent {
    /// Somebody wrote something.
    Posted(Post),
    /// A card was changed. Nothing else that stands in a room ever is.
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
    /// The identity of what a person said, where they gave it a key.
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
    limits: Limits,
    index: Index,
    /// The newest messages, as far as somebody looked at them or they came since.
    latest: VecDeque<RoomMessage>,
    /// Whether the journal may have more of this room than is known here: an append began, and how it ended is not known yet.
    is_behind: bool,
    /// Up to which record the index was written down last.
    snapshot_at: u64,
}

/// What is being written.
pub(super) struct Entry {
    pub append: Append,
    recorded: Vec<Recorded>,
}

/// Why something does not stand in a room, as far as is known.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub error: RoomError,
    /// Whether it certainly does not, and what does stand there is known: then it can be decided once more.
    pub again: bool,
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
    /// What people said with a key, by its identity.
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
    pub async fn load(
        journal: &dyn Journal,
        store: &Arc<dyn SnapshotStore>,
        room: &str,
        limits: Limits,
    ) -> Result<Self, RoomError> {
        let stream = Self::stream_of(room);
        let index: Index = snapshots::take(store, journal, &stream).await.map_err(RoomError::Lost)?.unwrap_or_default();
        let mut transcript = Self {
            room: room.to_owned(),
            stream,
            limits,
            snapshot_at: index.sequence,
            index,
            latest: VecDeque::new(),
            is_behind: true,
        };
        // Nobody has looked at anything yet, so nothing of it is kept.
        transcript.read_on(journal, |transcript, recorded| transcript.index.evolve(&recorded, &limits)).await?;
        Ok(transcript)
    }

    /// The stream in which a room is.
    pub fn stream_of(room: &str) -> StreamName {
        StreamName::new(format!("{ROOMS}{room}"))
    }

    /// Begins to write: what is answered is for the journal, and then for [`end`](Self::end). One at a time; until its end the room
    /// is behind, and shows what it showed before.
    pub fn begin(&mut self, at: DateTime<Utc>, events: Vec<RoomEvent>) -> Result<Entry, RoomError> {
        let recorded: Vec<Recorded> = events.into_iter().map(|event| Recorded { v: ROOM_EVENT_VERSION, at, event }).collect();
        let expected = self.index.sequence;
        let mut records = Vec::with_capacity(recorded.len());
        for (index, one) in recorded.iter().enumerate() {
            let payload = serde_json::to_vec(one).map_err(|error| RoomError::Store(error.to_string()))?;
            records.push(NewRecord { id: format!("{}#{index}", expected + 1), payload });
        }
        self.is_behind = true;
        Ok(Entry { append: Append { stream: self.stream.clone(), expected, records }, recorded })
    }

    /// Ends it with what the journal answered; on success the room has changed.
    pub async fn end(&mut self, journal: &dyn Journal, entry: Entry, appended: Result<(), AppendError>) -> Result<(), Unwritten> {
        match appended {
            Ok(()) => {
                for one in entry.recorded {
                    self.take(one);
                }
                self.is_behind = false;
                Ok(())
            }
            Err(error) => self.look_for(journal, entry.append.expected, &entry.append.records, error).await,
        }
    }

    /// Sees whether what an append did not acknowledge stands in the journal, and takes in what does.
    async fn look_for(
        &mut self,
        journal: &dyn Journal,
        expected: u64,
        sought: &[NewRecord],
        error: AppendError,
    ) -> Result<(), Unwritten> {
        let (again, error) = match error {
            AppendError::Conflict { .. } => (true, RoomError::Store(error.to_string())),
            AppendError::Unknown(_) => (true, RoomError::Unclear(error.to_string())),
            AppendError::Poisoned(_) => (false, RoomError::Unclear(error.to_string())),
            AppendError::Invalid(_) => (false, RoomError::Store(error.to_string())),
        };
        let there = journal.read(&self.stream, expected + 1, sought.len()).await.map_err(|why| self.unreadable(&why.to_string()));
        let caught_up = self.catch_up(journal).await;
        let unreadable = match (there, caught_up) {
            (Ok(there), Ok(())) => {
                // Nobody else writes here with this very time, so what is the same is the same.
                let is_same =
                    |(there, sought): (&Record, &NewRecord)| (&there.id, &there.payload) == (&sought.id, &sought.payload);
                let is_there = there.len() == sought.len() && there.iter().zip(sought).all(is_same);
                return if is_there { Ok(()) } else { Err(Unwritten { error, again }) };
            }
            (Err(why), _) | (_, Err(why)) => why,
        };
        // What was known stays, and is caught up with before anybody sees it.
        tracing::error!("After an entry of unknown fate {unreadable}");
        Err(Unwritten { error: RoomError::Unclear(error.to_string()), again: false })
    }

    /// Takes in what the journal has of this room and is not known here yet.
    pub async fn catch_up(&mut self, journal: &dyn Journal) -> Result<(), RoomError> {
        self.read_on(journal, Self::take).await
    }

    /// Whether it has to [catch up](Self::catch_up) before anybody may rely on it.
    pub const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Reads what follows what is known, up to the end.
    async fn read_on(&mut self, journal: &dyn Journal, take: impl Fn(&mut Self, Recorded) + Send) -> Result<(), RoomError> {
        loop {
            let records = self.read(journal, self.index.sequence + 1, self.limits.read_records).await?;
            let is_end = records.len() < self.limits.read_records;
            for (_, recorded) in records {
                take(self, recorded);
            }
            if is_end {
                self.is_behind = false;
                return Ok(());
            }
        }
    }

    /// Takes in what is durable, and keeps it with the newest that are kept.
    fn take(&mut self, recorded: Recorded) {
        self.index.evolve(&recorded, &self.limits);
        match recorded.event {
            RoomEvent::Posted(post) => {
                self.latest.push_back(message_of(self.index.messages, recorded.at, post));
                if self.latest.len() > self.limits.latest {
                    self.latest.pop_front();
                }
            }
            RoomEvent::Edited { message, text, buttons } => {
                let place = self.place_of(message);
                let known = place.and_then(|place| self.latest.get_mut(place)).filter(|known| known.is_card);
                if let Some(known) = known {
                    (known.text, known.buttons, known.edited_at) = (text, buttons, Some(recorded.at));
                }
            }
        }
    }

    /// The first message from which on all are in memory; the next one where none is.
    fn first_kept(&self) -> u64 {
        self.index.messages + 1 - self.latest.len() as u64
    }

    /// Where a message is among those in memory, if it is.
    fn place_of(&self, id: u64) -> Option<usize> {
        let place = usize::try_from(id.checked_sub(self.first_kept())?).ok()?;
        (place < self.latest.len()).then_some(place)
    }

    /// The id that the next message will have: ids count from 1 without gaps.
    pub const fn next_id(&self) -> u64 {
        self.index.messages + 1
    }

    /// How many messages there are.
    pub const fn count(&self) -> u64 {
        self.index.messages
    }

    /// Up to which record of its stream the room is known.
    pub const fn sequence(&self) -> u64 {
        self.index.sequence
    }

    /// The messages after one, oldest first; no more than some at once.
    pub async fn messages(&mut self, journal: &dyn Journal, after: u64) -> Result<Vec<RoomMessage>, RoomError> {
        // What comes after the last message is nothing yet.
        let after = after.min(self.index.messages);
        let last = self.index.messages.min(after + self.limits.read_messages);
        let first_kept = self.first_kept();
        let mut messages = self.read_messages(journal, after + 1, last.min(first_kept - 1)).await?;
        let read = messages.len();
        messages.extend((first_kept.max(after + 1)..=last).filter_map(|id| self.latest.get(self.place_of(id)?).cloned()));
        if last + 1 >= first_kept {
            // Whoever looks at the end of a room looks again in a moment.
            let room_left = self.limits.latest.saturating_sub(self.latest.len());
            for message in messages.iter().take(read).rev().take(room_left) {
                self.latest.push_front(message.clone());
            }
        }
        Ok(messages)
    }

    /// One message.
    pub async fn message(&self, journal: &dyn Journal, id: u64) -> Result<Option<RoomMessage>, RoomError> {
        if id == 0 || id > self.index.messages {
            return Ok(None);
        }
        match self.place_of(id) {
            Some(place) => Ok(self.latest.get(place).cloned()),
            None => Ok(self.read_messages(journal, id, id).await?.pop()),
        }
    }

    /// What a message belongs to; a card is known without reading.
    pub async fn rollout_of(&self, journal: &dyn Journal, id: u64) -> Result<Belongs, RoomError> {
        if let Some(card) = self.index.cards.get(&id) {
            return Ok(Belongs::To(card.rollout.clone()));
        }
        let message = self.message(journal, id).await?;
        Ok(message.map_or(Belongs::NoMessage, |message| message.rollout.map_or(Belongs::ToNone, Belongs::To)))
    }

    /// The messages from `first` to `last` from the journal, as they stand now.
    async fn read_messages(&self, journal: &dyn Journal, first: u64, last: u64) -> Result<Vec<RoomMessage>, RoomError> {
        let mut messages: Vec<RoomMessage> = Vec::new();
        let mark = usize::try_from(first.saturating_sub(1) / self.limits.mark_messages).unwrap_or(usize::MAX);
        let Some(mut sequence) = self.index.marks.get(mark).copied().filter(|_| first <= last) else { return Ok(messages) };
        let mut id = mark as u64 * self.limits.mark_messages;
        while id < last {
            let records = self.read(journal, sequence, self.limits.read_records).await?;
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
        self.index.delivered.get(effect)
    }

    /// The message that a delivery became, whenever that was. What did not arrive lately is looked for in all of the room, which
    /// only a crash or a lost answer asks for.
    pub async fn find(&self, journal: &dyn Journal, effect: &str) -> Result<Option<u64>, RoomError> {
        let known = self.delivered(effect);
        if known.is_some() || self.index.delivered.is_whole() {
            return Ok(known);
        }
        let (mut id, mut sequence) = (0, 0);
        while sequence < self.index.sequence {
            let records = self.read(journal, sequence + 1, self.limits.read_records).await?;
            let Some((end, _)) = records.last() else { return Err(self.unreadable("it ends before its end")) };
            sequence = *end;
            for (_, recorded) in records {
                let RoomEvent::Posted(post) = recorded.event else { continue };
                id += 1;
                if post.effect.as_deref() == Some(effect) {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    /// The message that somebody sent with a key, if that was lately.
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
    fn evolve(&mut self, recorded: &Recorded, limits: &Limits) {
        self.sequence += 1;
        match &recorded.event {
            RoomEvent::Posted(post) => {
                if self.messages.is_multiple_of(limits.mark_messages) {
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
                    self.delivered.note(effect, id, limits.delivered);
                }
                if let Some(said) = &post.said {
                    self.said.note(said, id, limits.said);
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
