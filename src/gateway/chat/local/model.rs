//! A room against a plain list of what was written in it: through limits that are crossed at once, snapshots, restarts, and
//! appends of unknown fate.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::domain::message::card::{Button, ButtonStyle};
use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::engine::journal::memory::{Fault, MemoryJournal};
use crate::engine::journal::{Journal as _, StreamName};
use crate::engine::ports::{Author, Belongs, RoomMessage};
use crate::engine::snapshots::{NoSnapshots, SnapshotStore, Snapshotted as _, encode};

use super::transcript::{Index, Limits, Post, RoomEvent, Transcript, Unwritten};

const ROOM: &str = "rollouts";
const LIMITS: Limits = Limits { mark_messages: 3, read_records: 4, read_messages: 5, latest: 4, delivered: 2, said: 2 };

/// What happens to a room, or is asked of it. Rollouts, keys and deliveries are few, so that they come again.
#[derive(Clone, Debug)]
enum Step {
    Say {
        key: Option<u8>,
    },
    Deliver {
        effect: u8,
        rollout: Option<u8>,
    },
    Show {
        rollout: u8,
        text: u8,
        lines: u8,
    },
    /// An edit of any message, as no writer of today makes one.
    Edit {
        message: u64,
        text: u8,
    },
    Fails {
        is_written: bool,
    },
    WriteDown,
    Restart {
        with_snapshot: bool,
    },
    Messages {
        after: u64,
    },
    Message {
        id: u64,
    },
    Find {
        effect: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let rollout = 0..4u8;
    prop_oneof![
        3 => proptest::option::of(0..5u8).prop_map(|key| Step::Say { key }),
        3 => (0..8u8, proptest::option::of(rollout.clone())).prop_map(|(effect, rollout)| Step::Deliver { effect, rollout }),
        4 => (rollout, 0..3u8, 0..3u8).prop_map(|(rollout, text, lines)| Step::Show { rollout, text, lines }),
        1 => (0..40u64, 0..3u8).prop_map(|(message, text)| Step::Edit { message, text }),
        1 => any::<bool>().prop_map(|is_written| Step::Fails { is_written }),
        1 => Just(Step::WriteDown),
        2 => any::<bool>().prop_map(|with_snapshot| Step::Restart { with_snapshot }),
        3 => (0..40u64).prop_map(|after| Step::Messages { after }),
        3 => (0..40u64).prop_map(|id| Step::Message { id }),
        2 => (0..8u8).prop_map(|effect| Step::Find { effect }),
    ]
}

/// What stands in the room, as anybody would write it down.
#[derive(Default)]
struct Model {
    messages: Vec<RoomMessage>,
    effects: BTreeMap<String, u64>,
    said: Vec<(String, u64)>,
    cards: BTreeMap<RolloutId, u64>,
    cursors: BTreeMap<RolloutId, u64>,
}

impl Model {
    fn next_id(&self) -> u64 {
        self.messages.len() as u64 + 1
    }

    fn message(&self, id: u64) -> Option<&RoomMessage> {
        self.messages.get(usize::try_from(id.checked_sub(1)?).unwrap())
    }

    fn apply(&mut self, at: DateTime<Utc>, event: &RoomEvent) {
        match event {
            RoomEvent::Posted(post) => {
                let id = self.next_id();
                self.effects.extend(post.effect.clone().map(|effect| (effect, id)));
                self.said.extend(post.said.clone().map(|said| (said, id)));
                if let Some(rollout) = &post.rollout {
                    if post.card {
                        self.cards.insert(rollout.clone(), id);
                    }
                    self.cursors.extend(post.log_sequence.map(|sequence| (rollout.clone(), sequence)));
                }
                let Post { author, text, subject, buttons, thread_of, rollout, card, .. } = post.clone();
                let message =
                    RoomMessage { id, author, text, subject, buttons, thread_of, rollout, is_card: card, at, edited_at: None };
                self.messages.push(message);
            }
            RoomEvent::Edited { message, text, buttons } => {
                let place = usize::try_from(*message).unwrap().wrapping_sub(1);
                if let Some(card) = self.messages.get_mut(place).filter(|message| message.is_card) {
                    (card.text, card.buttons, card.edited_at) = (text.clone(), buttons.clone(), Some(at));
                }
            }
        }
    }
}

/// The latest snapshot of the one stream there is.
#[derive(Default)]
struct Memory(Mutex<Option<Vec<u8>>>);

impl SnapshotStore for Memory {
    fn read(&self, _: &StreamName) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn write(&self, _: &StreamName, snapshot: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(snapshot.to_vec());
        Ok(())
    }

    fn streams(&self, _: &str) -> io::Result<Vec<StreamName>> {
        Ok(Vec::new())
    }

    fn keep_only(&self, _: &str, _: &BTreeSet<StreamName>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &StreamName) -> io::Result<()> {
        Ok(())
    }
}

struct World {
    journal: MemoryJournal,
    snapshots: Arc<Memory>,
    transcript: Transcript,
    model: Model,
    now: DateTime<Utc>,
}

fn rollout(number: u8) -> RolloutId {
    RolloutId(format!("rollout-{number}"))
}

fn effect(number: u8) -> String {
    format!("effect-{number}")
}

fn buttons(text: u8) -> Vec<Button> {
    let button = |label: String| Button {
        id: label.clone(),
        label,
        style: ButtonStyle::Default,
        confirm: None,
        reason: false,
        fields: Vec::new(),
    };
    (0..text).map(|number| button(number.to_string())).collect()
}

impl World {
    async fn new() -> Self {
        let journal = MemoryJournal::new();
        let snapshots = Arc::new(Memory::default());
        let none: Arc<dyn SnapshotStore> = Arc::new(NoSnapshots);
        let transcript = Transcript::load(&journal, &none, ROOM, LIMITS).await.unwrap();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        Self { journal, snapshots, transcript, model: Model::default(), now }
    }

    async fn load(&self, with_snapshot: bool) -> Transcript {
        let store: Arc<dyn SnapshotStore> = if with_snapshot { self.snapshots.clone() } else { Arc::new(NoSnapshots) };
        Transcript::load(&self.journal, &store, ROOM, LIMITS).await.unwrap()
    }

    async fn record(&mut self, events: Vec<RoomEvent>) {
        if events.is_empty() {
            return;
        }
        self.now += TimeDelta::seconds(1);
        if let Err(unwritten) = self.write(events.clone()).await {
            assert!(unwritten.again, "{unwritten:?}");
            self.write(events.clone()).await.unwrap();
        }
        for event in &events {
            self.model.apply(self.now, event);
        }
    }

    async fn write(&mut self, events: Vec<RoomEvent>) -> Result<(), Unwritten> {
        let entry = self.transcript.begin(self.now, events).unwrap();
        let appended = self.journal.append(vec![entry.append.clone()], 0).await;
        self.transcript.end(&self.journal, entry, appended).await
    }

    async fn write_down(&mut self) {
        let Some(index) = self.transcript.to_write_down(1) else { return };
        let stream = self.transcript.stream();
        let chain = self.journal.chain(stream, index.sequence()).await.unwrap().unwrap();
        self.snapshots.write(stream, &encode(stream, &chain, index).unwrap()).unwrap();
        self.transcript.wrote_down();
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Say { key } => {
                let key = key.map(|key| format!("key-{key}"));
                let remembered = self.model.said.iter().rev().take(LIMITS.said).find(|(said, _)| Some(said) == key.as_ref());
                let known = key.as_deref().and_then(|key| self.transcript.said(key));
                assert_eq!(known, remembered.map(|(_, id)| *id));
                if known.is_none() {
                    let text = format!("said {}", self.model.next_id());
                    let post = Post { text, said: key, ..Post::by(Author::Person(PersonId::new("maria"))) };
                    self.record(vec![RoomEvent::Posted(post)]).await;
                }
            }
            Step::Deliver { effect: number, rollout: of } => {
                let effect = effect(number);
                if !self.model.effects.contains_key(&effect) {
                    let post =
                        Post { text: effect.clone(), effect: Some(effect), rollout: of.map(rollout), ..Post::by(Author::Bot) };
                    self.record(vec![RoomEvent::Posted(post)]).await;
                }
            }
            Step::Show { rollout: number, text, lines } => self.show(&rollout(number), text, lines).await,
            Step::Edit { message, text } => {
                if self.model.message(message).is_some() {
                    self.record(vec![RoomEvent::Edited { message, text: format!("edit {text}"), buttons: buttons(text) }]).await;
                }
            }
            Step::Fails { is_written } => {
                let fault = if is_written { Fault::UnknownWritten } else { Fault::UnknownNotWritten };
                self.journal.fail_next(fault);
                let post = Post { text: "of unknown fate".to_owned(), ..Post::by(Author::Bot) };
                self.record(vec![RoomEvent::Posted(post)]).await;
            }
            Step::WriteDown => self.write_down().await,
            Step::Restart { with_snapshot } => {
                let begun = self.load(with_snapshot).await;
                assert_eq!(index_of(&begun), index_of(&self.transcript));
                self.transcript = begun;
            }
            Step::Messages { after } => {
                let messages = self.transcript.messages(&self.journal, after).await.unwrap();
                let expected = self.model.messages.iter().filter(|message| message.id > after);
                let max = usize::try_from(LIMITS.read_messages).unwrap();
                assert_eq!(messages, expected.take(max).cloned().collect::<Vec<_>>());
            }
            Step::Message { id } => {
                let message = self.transcript.message(&self.journal, id).await.unwrap();
                assert_eq!(message.as_ref(), self.model.message(id));
                let belongs = match self.model.message(id) {
                    None => Belongs::NoMessage,
                    Some(message) => message.rollout.clone().map_or(Belongs::ToNone, Belongs::To),
                };
                assert_eq!(self.transcript.rollout_of(&self.journal, id).await.unwrap(), belongs);
            }
            Step::Find { effect: number } => {
                let effect = effect(number);
                let found = self.transcript.find(&self.journal, &effect).await.unwrap();
                assert_eq!(found, self.model.effects.get(&effect).copied());
            }
        }
    }

    async fn show(&mut self, rollout: &RolloutId, text: u8, lines: u8) {
        let known = self.transcript.card(rollout);
        assert_eq!(known, self.model.cards.get(rollout).copied());
        let cursor = self.transcript.log_cursor(rollout);
        assert_eq!(cursor, self.model.cursors.get(rollout).copied().unwrap_or_default());
        let (card, words, buttons) = (known.unwrap_or(self.model.next_id()), format!("card {text}"), buttons(text));
        let of = Post { rollout: Some(rollout.clone()), ..Post::by(Author::Bot) };
        let mut events = Vec::new();
        match known.and_then(|known| self.model.message(known)) {
            None => events.push(RoomEvent::Posted(Post { text: words, buttons, card: true, ..of.clone() })),
            Some(shown) => {
                let stands = (&shown.text, &shown.buttons) == (&words, &buttons);
                assert_eq!(self.transcript.stands(card, &words, &buttons), stands);
                if !stands {
                    events.push(RoomEvent::Edited { message: card, text: words, buttons });
                }
            }
        }
        events.extend((1..=u64::from(lines)).map(|line| {
            let log_sequence = Some(cursor + line);
            RoomEvent::Posted(Post { text: format!("line {line}"), thread_of: Some(card), log_sequence, ..of.clone() })
        }));
        self.record(events).await;
    }
}

/// Where everything stands, in a form that can be compared.
fn index_of(transcript: &Transcript) -> Option<serde_json::Value> {
    transcript.to_write_down(0).map(|index: &Index| serde_json::to_value(index).unwrap())
}

proptest! {
    #[test]
    fn a_room_is_what_was_written_in_it(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
                assert_eq!(world.transcript.count(), world.model.messages.len() as u64);
            }
            // All of it, page after page, however it was started.
            world.write_down().await;
            for with_snapshot in [true, false] {
                world.take(Step::Restart { with_snapshot }).await;
                for after in (0..=world.transcript.count()).step_by(usize::try_from(LIMITS.read_messages).unwrap()) {
                    world.take(Step::Messages { after }).await;
                }
                let cards: BTreeMap<u64, RolloutId> = world.transcript.cards().map(|(id, of)| (id, of.clone())).collect();
                let expected = world.model.cards.iter().map(|(of, id)| (*id, of.clone())).collect();
                assert_eq!(cards, expected);
            }
        });
    }
}
