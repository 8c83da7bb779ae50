//! Rooms that T-minus keeps itself: no platform, no account, nothing to install. The page and the API show them.
//!
//! What stands in a room is kept in a stream of its own in the journal, so it survives like everything else: the card as it
//! was last shown, the log in its thread, announcements, and what people said.

pub mod outbound;
mod rendering;
mod transcript;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use crate::domain::people::PersonId;
use crate::engine::journal::Journal;
use crate::engine::ports::{Author, Clock, HouseRooms, RoomError, RoomInfo, RoomMessage};

use self::transcript::{Post, RoomEvent, Transcript};

/// The longest message a person may write in a room, in characters.
pub const SAID_CHARS_MAX: usize = 8000;

/// All rooms of our own.
pub struct LocalRooms {
    rooms: BTreeMap<String, Room>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
}

struct Room {
    info: RoomInfo,
    transcript: Mutex<Transcript>,
}

impl LocalRooms {
    /// Opens the rooms and reads what stands in them.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub async fn open(infos: Vec<RoomInfo>, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Result<Self, RoomError> {
        let mut rooms = BTreeMap::new();
        for info in infos {
            let transcript = Mutex::new(Transcript::load(journal.as_ref(), &info.id).await?);
            rooms.insert(info.id.clone(), Room { info, transcript });
        }
        Ok(Self { rooms, journal, clock, changes: watch::Sender::new(0) })
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
            match Transcript::load(self.journal.as_ref(), &room).await {
                Ok(loaded) => *transcript = loaded,
                // What was known stays: a store that can't be read any more takes nothing either, and says so again.
                Err(unreadable) => tracing::error!("After an entry of unknown fate {unreadable}"),
            }
            return Err(error);
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

    async fn messages(&self, room: &str, after: u64) -> Result<Vec<RoomMessage>, RoomError> {
        let transcript = self.room(room)?.transcript.lock().await;
        Ok(transcript.messages().iter().filter(|message| message.id > after).cloned().collect())
    }

    async fn message(&self, room: &str, id: u64) -> Result<Option<RoomMessage>, RoomError> {
        Ok(self.room(room)?.transcript.lock().await.message(id).cloned())
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
