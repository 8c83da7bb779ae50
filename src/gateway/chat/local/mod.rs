//! Rooms that T-minus keeps itself: no platform, no account, nothing to install. The page and the API show them.
//!
//! What stands in a room is kept in a stream of its own in the journal, so it survives like everything else: the card as it
//! was last shown, the log in its thread, announcements, and what people said.

#[cfg(test)]
mod model;
pub mod outbound;
mod recent;
mod rendering;
mod transcript;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::Journal;
use crate::engine::ports::{Author, Belongs, Clock, HouseRooms, RoomError, RoomInfo, RoomMessage};
use crate::engine::snapshots::{self, Keeper, NoSnapshots, SnapshotStore};

use self::transcript::{Limits, Post, ROOMS, RoomEvent, Transcript};

/// After how many new events of a room it is written down where everything stands in it: reading so many takes some milliseconds.
const SNAPSHOT_EVENTS: u64 = 1024;
/// The same at the end: a room with fewer is read as quickly as its snapshot.
const LAST_SNAPSHOT_EVENTS: u64 = 64;
/// How long the end waits for the last snapshots, of all rooms together: they only spare the next start some reading.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many rooms are read at once at a start: reading is done on other threads, and none of those should wait.
const OPENED_AT_ONCE: usize = 16;
/// How often it is decided what to write: a second time over what is there, when the first did not get there.
const WRITE_ATTEMPTS_MAX: usize = 2;

/// All rooms of our own.
pub struct LocalRooms {
    rooms: BTreeMap<String, Room>,
    writer: Arc<Writer>,
}

struct Room {
    info: RoomInfo,
    /// Who has it writes there.
    turn: Arc<Mutex<()>>,
    /// Not held while something is being written: who looks sees what stood there before.
    transcript: Arc<Mutex<Transcript>>,
}

/// What writing takes.
struct Writer {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
    snapshots: Keeper,
}

impl LocalRooms {
    /// Opens the rooms and reads all that ever happened in them.
    ///
    /// # Errors
    /// When the journal can't be read, or is not the one any more that snapshots were made of.
    pub async fn open(infos: Vec<RoomInfo>, journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Result<Self, RoomError> {
        Self::open_with(infos, journal, clock, Arc::new(NoSnapshots)).await
    }

    /// Opens the rooms and reads what came after their snapshots, as far as those fit; and keeps those up to date. Snapshots of
    /// rooms that are no more are removed, their streams stay.
    ///
    /// # Errors
    /// When the journal can't be read, or is not the one any more that snapshots were made of.
    pub async fn open_with(
        infos: Vec<RoomInfo>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn SnapshotStore>,
    ) -> Result<Self, RoomError> {
        let kept = infos.iter().map(|info| Transcript::stream_of(&info.id)).collect();
        snapshots::tidy(&store, journal.as_ref(), ROOMS, kept).await.map_err(RoomError::Lost)?;
        let opened = stream::iter(infos).map(|info| open(info, journal.as_ref(), &store)).buffered(OPENED_AT_ONCE);
        let rooms = opened.try_collect().await?;
        let snapshots = Keeper::start(store, journal.clone());
        Ok(Self { rooms, writer: Arc::new(Writer { journal, clock, changes: watch::Sender::new(0), snapshots }) })
    }

    /// Has written down how everything stands, so that the next start need not read it. When nobody writes any more. Takes some
    /// seconds at most: what is not written by then is read at the next start.
    pub async fn close(&self) {
        let all = async {
            for room in self.rooms.values() {
                let mut transcript = room.transcript.lock().await;
                if let Some(index) = transcript.to_write_down(LAST_SNAPSHOT_EVENTS) {
                    self.writer.snapshots.hand_over(transcript.stream().clone(), index.clone(), None).await;
                    transcript.wrote_down();
                }
            }
            self.writer.snapshots.finish().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, all).await.is_err() {
            tracing::warn!("Not all rooms were written down within {} s; the next start reads more", CLOSE_TIMEOUT.as_secs());
        }
    }

    fn room(&self, room: &str) -> Result<&Room, RoomError> {
        self.rooms.get(room).ok_or_else(|| RoomError::Unknown(room.to_owned()))
    }

    fn journal(&self) -> &dyn Journal {
        self.writer.journal.as_ref()
    }

    /// A room as the journal has it, but for what somebody is writing just now.
    async fn enter(&self, room: &str) -> Result<MutexGuard<'_, Transcript>, RoomError> {
        let room = self.room(room)?;
        let mut transcript = room.transcript.lock().await;
        if transcript.is_behind() && room.turn.try_lock().is_ok() {
            self.writer.catch_up(&mut transcript).await?;
        }
        Ok(transcript)
    }

    /// A room when nobody is writing there.
    async fn enter_after_writing(&self, room: &str) -> Result<MutexGuard<'_, Transcript>, RoomError> {
        drop(self.room(room)?.turn.lock().await);
        self.enter(room).await
    }

    /// Writes what is decided over a room as it stands; answers what was decided with it. It is carried out also when whoever
    /// asked is gone before it is: otherwise the journal might have it, and the room not know.
    async fn write<T: Send + 'static>(
        &self,
        room: &str,
        decide: impl Fn(&Transcript) -> (Vec<RoomEvent>, T) + Send + 'static,
    ) -> Result<T, RoomError> {
        let room = self.room(room)?;
        let turn = room.turn.clone().lock_owned().await;
        let (writer, transcript) = (self.writer.clone(), room.transcript.clone());
        let writing = tokio::spawn(async move {
            let _turn = turn;
            writer.write(&transcript, decide).await
        });
        writing.await.unwrap_or_else(|gone| Err(RoomError::Unclear(gone.to_string())))
    }
}

impl Writer {
    async fn write<T>(
        &self,
        room: &Mutex<Transcript>,
        decide: impl Fn(&Transcript) -> (Vec<RoomEvent>, T) + Send,
    ) -> Result<T, RoomError> {
        let at = self.clock.now();
        let mut transcript = room.lock().await;
        if transcript.is_behind() {
            self.catch_up(&mut transcript).await?;
        }
        let mut attempts = 0;
        loop {
            let (events, answer) = decide(&transcript);
            if events.is_empty() {
                return Ok(answer);
            }
            attempts += 1;
            let entry = transcript.begin(at, events)?;
            drop(transcript);
            // Nobody waits for what stands in a room as they do for the answer to a press.
            let appended = self.journal.append_patiently(vec![entry.append.clone()], 0).await;
            transcript = room.lock().await;
            let known = transcript.sequence();
            let written = transcript.end(self.journal.as_ref(), entry, appended).await;
            self.write_down(&mut transcript);
            self.tell(&transcript, known);
            match written {
                Ok(()) => return Ok(answer),
                Err(unwritten) if unwritten.again && attempts < WRITE_ATTEMPTS_MAX => {}
                Err(unwritten) => return Err(unwritten.error),
            }
        }
    }

    async fn catch_up(&self, transcript: &mut Transcript) -> Result<(), RoomError> {
        let known = transcript.sequence();
        let caught_up = transcript.catch_up(self.journal.as_ref()).await;
        self.tell(transcript, known);
        caught_up
    }

    fn write_down(&self, transcript: &mut Transcript) {
        if let Some(index) = transcript.to_write_down(SNAPSHOT_EVENTS)
            && self.snapshots.offer(transcript.stream().clone(), index)
        {
            transcript.wrote_down();
        }
    }

    /// Tells pages that a room is not as it was, if it is not.
    fn tell(&self, transcript: &Transcript, known: u64) {
        if transcript.sequence() != known {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

async fn open(info: RoomInfo, journal: &dyn Journal, store: &Arc<dyn SnapshotStore>) -> Result<(String, Room), RoomError> {
    let limits = if info.hosts { Limits::HOSTING } else { Limits::LISTENING };
    let transcript = Transcript::load(journal, store, &info.id, limits).await?;
    Ok((info.id.clone(), Room { info, turn: Arc::default(), transcript: Arc::new(Mutex::new(transcript)) }))
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
        Ok(self.enter(room).await?.count())
    }

    async fn messages(&self, room: &str, after: u64) -> Result<Vec<RoomMessage>, RoomError> {
        self.enter(room).await?.messages(self.journal(), after).await
    }

    async fn rollout_of(&self, room: &str, id: u64) -> Result<Belongs, RoomError> {
        self.enter(room).await?.rollout_of(self.journal(), id).await
    }

    async fn cards(&self, room: &str) -> Result<Vec<(u64, RolloutId)>, RoomError> {
        let transcript = self.enter(room).await?;
        Ok(transcript.cards().map(|(message, rollout)| (message, rollout.clone())).collect())
    }

    async fn say(&self, room: &str, person: &PersonId, text: &str, key: Option<&str>) -> Result<u64, RoomError> {
        if !self.room(room)?.info.hosts {
            return Err(RoomError::ListensOnly(room.to_owned()));
        }
        let said = key.map(str::to_owned);
        let post = Post { text: rendering::said(text), said: said.clone(), ..Post::by(Author::Person(person.clone())) };
        let decide = move |transcript: &Transcript| match said.as_deref().and_then(|key| transcript.said(key)) {
            Some(known) => (Vec::new(), known),
            None => (vec![RoomEvent::Posted(post.clone())], transcript.next_id()),
        };
        self.write(room, decide).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.writer.changes.subscribe()
    }
}
