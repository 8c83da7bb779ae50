//! Rooms that T-minus keeps itself: no platform, no account, nothing to install. The page and the API show them.
//!
//! What stands in a room is kept in a stream of its own in the journal, so it survives like everything else: the card as it
//! was last shown, the log in its thread, announcements, and what people said.

pub mod outbound;
mod recent;
mod rendering;
mod transcript;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::Journal;
use crate::engine::ports::{Author, Clock, HouseRooms, RoomError, RoomInfo, RoomMessage};
use crate::engine::snapshots::{Keeper, NoSnapshots, SnapshotStore};

use self::transcript::{Post, RoomEvent, Transcript};

pub use self::transcript::MESSAGES_READ_MAX;

/// The longest message a person may write in a room, in characters.
pub const SAID_CHARS_MAX: usize = 8000;
/// After how many new events of a room it is written down where everything stands in it: reading so many takes some milliseconds.
const SNAPSHOT_EVENTS: u64 = 1024;

/// All rooms of our own.
pub struct LocalRooms {
    rooms: BTreeMap<String, Room>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
    store: Arc<dyn SnapshotStore>,
    snapshots: Keeper,
}

struct Room {
    info: RoomInfo,
    transcript: Mutex<Transcript>,
}

impl LocalRooms {
    /// Opens the rooms and reads all that ever happened in them.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub async fn open(infos: Vec<RoomInfo>, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Result<Self, RoomError> {
        Self::open_with(infos, journal, clock, Arc::new(NoSnapshots)).await
    }

    /// The same, reading only what came after the snapshots that fit; and keeps those up to date.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub async fn open_with(
        infos: Vec<RoomInfo>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn SnapshotStore>,
    ) -> Result<Self, RoomError> {
        let mut rooms = BTreeMap::new();
        for info in infos {
            let transcript = Mutex::new(Transcript::load(journal.as_ref(), &store, &info.id, info.hosts).await?);
            rooms.insert(info.id.clone(), Room { info, transcript });
        }
        let snapshots = Keeper::start(store.clone(), journal.clone());
        Ok(Self { rooms, journal, clock, changes: watch::Sender::new(0), store, snapshots })
    }

    /// Has written down how everything stands, so that the next start need not read it. When nobody writes any more.
    pub async fn close(&self) {
        for room in self.rooms.values() {
            let mut transcript = room.transcript.lock().await;
            if let Some(index) = transcript.to_write_down(1) {
                self.snapshots.hand_over(transcript.stream().clone(), index.clone()).await;
                transcript.wrote_down();
            }
        }
        self.snapshots.finish().await;
    }

    fn room(&self, room: &str) -> Result<&Room, RoomError> {
        self.rooms.get(room).ok_or_else(|| RoomError::Unknown(room.to_owned()))
    }

    async fn record(&self, transcript: &mut Transcript, events: Vec<RoomEvent>) -> Result<(), RoomError> {
        if events.is_empty() {
            return Ok(());
        }
        if let Err(error) = transcript.record(self.journal.as_ref(), self.clock.now(), events).await {
            // It may stand there all the same: what does is found by its identity when it is tried again.
            let room = transcript.room().to_owned();
            let hosts = self.room(&room)?.info.hosts;
            match Transcript::load(self.journal.as_ref(), &self.store, &room, hosts).await {
                Ok(loaded) => *transcript = loaded,
                // What was known stays: a store that can't be read any more takes nothing either, and says so again.
                Err(unreadable) => tracing::error!("After an entry of unknown fate {unreadable}"),
            }
            return Err(error);
        }
        if let Some(index) = transcript.to_write_down(SNAPSHOT_EVENTS)
            && self.snapshots.offer(transcript.stream().clone(), index)
        {
            transcript.wrote_down();
        }
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }
}

#[async_trait]
impl HouseRooms for LocalRooms {
    fn rooms(&self) -> Vec<RoomInfo> {
        self.rooms.values().map(|room| room.info.clone()).collect()
    }

    fn info(&self, room: &str) -> Option<RoomInfo> {
        self.rooms.get(room).map(|room| room.info.clone())
    }

    async fn count(&self, room: &str) -> Result<u64, RoomError> {
        Ok(self.room(room)?.transcript.lock().await.count())
    }

    async fn messages(&self, room: &str, after: u64) -> Result<Vec<RoomMessage>, RoomError> {
        self.room(room)?.transcript.lock().await.messages(self.journal.as_ref(), after).await
    }

    async fn message(&self, room: &str, id: u64) -> Result<Option<RoomMessage>, RoomError> {
        self.room(room)?.transcript.lock().await.message(self.journal.as_ref(), id).await
    }

    async fn rollout_of(&self, room: &str, id: u64) -> Result<Option<Option<RolloutId>>, RoomError> {
        let transcript = self.room(room)?.transcript.lock().await;
        if let Some(rollout) = transcript.rollout_of(id) {
            return Ok(Some(Some(rollout.clone())));
        }
        Ok(transcript.message(self.journal.as_ref(), id).await?.map(|message| message.rollout))
    }

    async fn cards(&self, room: &str) -> Result<Vec<(u64, RolloutId)>, RoomError> {
        let transcript = self.room(room)?.transcript.lock().await;
        Ok(transcript.cards().map(|(message, rollout)| (message, rollout.clone())).collect())
    }

    async fn say(&self, room: &str, person: &PersonId, text: &str, id: &str) -> Result<u64, RoomError> {
        let known = self.room(room)?;
        if !known.info.hosts {
            return Err(RoomError::ListensOnly(room.to_owned()));
        }
        let mut transcript = known.transcript.lock().await;
        if let Some(known) = transcript.said(id) {
            return Ok(known);
        }
        let post = Post { text: rendering::said(text), said: Some(id.to_owned()), ..Post::by(Author::Person(person.clone())) };
        let message = transcript.next_id();
        self.record(&mut transcript, vec![RoomEvent::Posted(post)]).await?;
        Ok(message)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
