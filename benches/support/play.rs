//! Plays rollouts into a journal as the program would have written them: people do what is open, one command a commit; what is
//! owed is delivered to rooms of our own and receipted; cards and logs are shown. Nobody waits for anything but the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tminus::cli::serve::{JOURNAL_DIR, Manner, room_infos};
use tminus::domain::conversation::form::{FieldValue, Window};
use tminus::domain::conversation::log::{log_line, said_aloud};
use tminus::domain::message::card::card;
use tminus::domain::people::{Directory, PersonId};
use tminus::domain::registry::{Entry, RegistryEvent};
use tminus::domain::rollout::command::{Actor, Command, CommandBody, CommandId, RolloutId, StepRef};
use tminus::domain::rollout::effect::{Delivery, Effect, effects};
use tminus::domain::rollout::event::{Choice, ClockKind, DeliveryOutcome, Event, NoteKind, Recorded, Started};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::{handle, next_due, settle};
use tminus::domain::runbook::model::{Platform, Runbook, StepKind, Venue};
use tminus::engine::clock::ManualClock;
use tminus::engine::journal::sled::{SledJournal, SledOptions};
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tminus::engine::ports::{Courier as _, LogLine, Projection, Sent};
use tminus::gateway::chat::local::LocalRooms;
use tminus::settings::Settings;
use tokio::sync::Mutex;

use super::Outcome;
use super::house::person;

/// After so many events the card is shown anew, as after a burst of clicks.
const SHOWN_EVENTS: usize = 12;
/// How far apart what people do is, in seconds.
const PAUSE_SECONDS: i64 = 90;
/// How many notes people leave, so that not everything is a step.
const NOTES: u64 = 12;
/// The tag of the installation.
const HOUSE: u16 = 7;

/// A journal that is filled, with the rooms of its installation.
pub struct Theatre {
    pub settings: Settings,
    journal: Arc<SledJournal>,
    rooms: LocalRooms,
    registry: Mutex<u64>,
}

/// One rollout to be played.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its number, and what its id ends with.
    pub number: u32,
    /// The runbook.
    pub runbook: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// When T-0 is.
    pub window: DateTime<Utc>,
    /// People do nothing after so many events.
    pub until: u64,
}

impl Theatre {
    pub async fn open(settings: Settings, data: &std::path::Path) -> Outcome<Self> {
        let journal = Arc::new(SledJournal::open(&data.join(JOURNAL_DIR), &SledOptions::default())?);
        let clock = Arc::new(ManualClock::at(began()));
        let rooms = LocalRooms::open(room_infos(&settings, &settings.people, Manner::Demo), journal.clone(), clock).await?;
        let theatre = Self { settings, journal, rooms, registry: Mutex::new(0) };
        theatre.register("found", RegistryEvent::Founded { house: HOUSE }, began(), None).await?;
        Ok(theatre)
    }

    /// What is written is whole.
    pub fn close(&self) {
        self.journal.close();
    }

    /// The first event of a rollout, together with its entry in the registry. In the order of their numbers.
    pub async fn begin(&self, piece: &Piece) -> Outcome<State> {
        let (state, recorded) = start(&self.settings, piece)?;
        let registered = RegistryEvent::RolloutRegistered {
            id: state.id.clone(),
            number: piece.number,
            runbook: state.runbook.name.clone(),
            title: state.title.clone(),
            rooms: state.rooms.clone(),
            parent: None,
            rehearsal: false,
        };
        let append = Append { stream: stream_of(piece.number), expected: 0, records: records(&recorded) };
        self.register(&recorded[0].command.0, registered, piece.at, Some(append)).await?;
        Ok(state)
    }

    /// Everything after the beginning; the rollout is closed when it ended.
    pub async fn play(&self, piece: &Piece, mut state: State) -> Outcome<State> {
        let mut now = piece.at;
        let mut news: Vec<(u64, Recorded)> = Vec::new();
        let mut notes = 0;
        loop {
            self.pay(&mut state, now, &mut news).await?;
            let next = if state.sequence >= piece.until { None } else { Self::next(&state, now, &mut notes) };
            if let Some((by, body)) = next {
                now += TimeDelta::seconds(PAUSE_SECONDS);
                let id = format!("http/{by}/{:016x}{:016x}", piece.number, state.sequence);
                self.commit(&mut state, command(&id, Some(&by), now, body), &mut news).await?;
            } else if let Some(due) = self.next_moment(&state, now).filter(|_| state.sequence < piece.until) {
                now = due.max(now);
                let id = format!("wake-{}-{}", state.sequence, now.timestamp_millis());
                self.commit(&mut state, command(&id, None, now, CommandBody::Wake), &mut news).await?;
            } else {
                break;
            }
            if news.len() >= SHOWN_EVENTS {
                self.show(&mut state, now, &mut news).await?;
            }
        }
        self.pay(&mut state, now, &mut news).await?;
        while !news.is_empty() {
            self.show(&mut state, now, &mut news).await?;
        }
        if let (Some(at), Some(result)) = (state.ended, state.result) {
            let closed = RegistryEvent::RolloutClosed { id: state.id.clone(), result };
            self.register(&format!("close-{}", state.id), closed, at, None).await?;
        }
        Ok(state)
    }

    /// What somebody does next, if anything is open for people.
    fn next(state: &State, now: DateTime<Utc>, notes: &mut u64) -> Option<(String, CommandBody)> {
        if state.ended.is_some() {
            return None;
        }
        if *notes < NOTES && state.sequence > *notes * 15 + 10 {
            *notes += 1;
            let text = format!("Part {notes} took a little longer, because the machine was busy; it is all right now.");
            return Some((person(1), CommandBody::AddNote { text, kind: NoteKind::Remark }));
        }
        let (index, definition, step) = state.open_steps().next()?;
        let reference = StepRef::Button { index, generation: step.generation };
        let awaited = || step.awaited().next().map(ToString::to_string);
        Some(match &definition.kind {
            StepKind::Acknowledge { .. } => (awaited()?, CommandBody::Acknowledge { step: reference }),
            StepKind::Decide { .. } if step.settling.is_none() => {
                let body = CommandBody::CastVote { step: reference, choice: Choice::Go, reason: None, instead_of: None };
                (awaited()?, body)
            }
            StepKind::Task { items, .. } => {
                let open = (0..items.len()).find(|item| !step.ticked.contains_key(item));
                let body = match open {
                    Some(item) => CommandBody::TickItem { step: reference, item },
                    None => CommandBody::CompleteStep { step: reference, typed: BTreeMap::new() },
                };
                (person(0), body)
            }
            StepKind::Ask { fields, .. } => {
                let typed = fields.iter().map(|field| (field.name.clone(), now.timestamp_subsec_millis().to_string())).collect();
                (person(0), CommandBody::AnswerStep { step: reference, typed })
            }
            _ => return None,
        })
    }

    /// When something happens by itself, unless that is after everything that is played.
    fn next_moment(&self, state: &State, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        next_due(state, now, &self.settings.people).filter(|due| *due - now < TimeDelta::days(365))
    }

    /// Brings what is owed where it belongs, and the receipts back.
    async fn pay(&self, state: &mut State, now: DateTime<Utc>, news: &mut Vec<(u64, Recorded)>) -> Outcome<()> {
        loop {
            let owed = effects(state);
            if owed.is_empty() {
                return Ok(());
            }
            for effect in owed {
                let Effect::Deliver(delivery) = effect else { return Err(format!("nobody plays {effect:?}").into()) };
                let Sent::Delivered { reference } = self.rooms.deliver(&delivery).await else {
                    return Err("a room did not take a message".into());
                };
                let command = command(&delivery.id.token(), None, now, receipt(&delivery, reference));
                self.commit(state, command, news).await?;
            }
        }
    }

    async fn show(&self, state: &mut State, now: DateTime<Utc>, news: &mut Vec<(u64, Recorded)>) -> Outcome<()> {
        let people = &self.settings.people;
        let line = |(sequence, recorded): (u64, Recorded)| {
            let text = log_line(state, people, &recorded)?;
            Some(LogLine { sequence, text, aloud: said_aloud(state, &recorded) })
        };
        let log = std::mem::take(news).into_iter().filter_map(line).collect();
        let venue = Venue { platform: Platform::Local, room: state.rooms.first().ok_or("a rollout without a room")?.clone() };
        let projection = Projection {
            rollout: state.id.clone(),
            card: card(state, people, now, &|_| None),
            log,
            posted: state.cards.get(&venue).cloned(),
            venue: venue.clone(),
            sequence: state.sequence,
            more: false,
            at: now,
        };
        let reference = self.rooms.show(&projection).await?;
        if projection.posted.as_ref() != Some(&reference) {
            let id = format!("card-{}-{venue}-{reference}", state.id);
            let command = command(&id, None, now, CommandBody::RecordCard { venue, reference });
            self.commit(state, command, news).await?;
        }
        Ok(())
    }

    async fn commit(&self, state: &mut State, command: Command, news: &mut Vec<(u64, Recorded)>) -> Outcome<()> {
        let before = state.sequence;
        let recorded = handle(state, &command, &self.settings.people).map_err(|refusal| refusal.says)?;
        if recorded.is_empty() {
            return Err(format!("{:?} became nothing", command.body).into());
        }
        let append = Append { stream: stream_of(state.number), expected: before, records: records(&recorded) };
        self.journal.append(vec![append], 0).await?;
        news.extend((before + 1..).zip(recorded));
        Ok(())
    }

    async fn register(&self, id: &str, event: RegistryEvent, at: DateTime<Utc>, also: Option<Append>) -> Outcome<()> {
        let mut sequence = self.registry.lock().await;
        let by = PersonId::new(person(0));
        let entry = Entry::new(&CommandId(id.to_owned()), Some(&by), at, event);
        let record = NewRecord { id: format!("{id}#{}", *sequence), payload: entry.encode() };
        let append = Append { stream: StreamName::new("registry"), expected: *sequence, records: vec![record] };
        self.journal.append([append].into_iter().chain(also).collect(), 0).await?;
        *sequence += 1;
        Ok(())
    }
}

/// The state at the start of a rollout, with its first events.
pub fn start(settings: &Settings, piece: &Piece) -> Outcome<(State, Vec<Recorded>)> {
    let runbook: Arc<Runbook> = settings.runbooks.get(&piece.runbook).ok_or("no such runbook")?.clone();
    let id = RolloutId(format!("{}-{}", piece.runbook, piece.number));
    let mut values = BTreeMap::from([("version".to_owned(), FieldValue::Text(piece.number.to_string()))]);
    if let Some(input) = runbook.window_input() {
        let window = Window { starts: piece.window, seconds: Some(7200) };
        values.insert(input.field.name.clone(), FieldValue::Window(window));
    }
    let started = Started {
        id: id.clone(),
        number: piece.number,
        house: HOUSE,
        title: format!("Update {}", piece.number),
        rooms: runbook.rooms.clone(),
        link: Some(format!("http://127.0.0.1:8080/rollouts/{id}")),
        clock: ClockKind::Shifted,
        values,
        runbook: Runbook::clone(&runbook),
        parent: None,
        shift_seconds: 0,
        rehearsal: false,
    };
    let id = format!("http/{}/{:032x}", person(0), piece.number);
    let command = command(&id, Some(&person(0)), piece.at, CommandBody::Wake);
    let first = Recorded::new(&command.id, command.actor.person(), piece.at, Event::Started(Box::new(started)));
    let mut state = State::begin(&first).ok_or("a rollout did not begin")?;
    let mut recorded = vec![first];
    settle(&mut state, &command, piece.at, &settings.people, &mut recorded);
    Ok((state, recorded))
}

/// Everything that is owed arrives at once, and nobody keeps it.
pub fn deliver_all(state: &mut State, people: &Directory) -> Outcome<()> {
    loop {
        let owed = effects(state);
        if owed.is_empty() {
            return Ok(());
        }
        for effect in owed {
            let Effect::Deliver(delivery) = effect else { return Err(format!("nobody plays {effect:?}").into()) };
            let receipt = command(&delivery.id.token(), None, state.last_at, receipt(&delivery, "1".to_owned()));
            handle(state, &receipt, people).map_err(|refusal| refusal.says)?;
        }
    }
}

fn receipt(delivery: &Delivery, reference: String) -> CommandBody {
    CommandBody::RecordDelivery {
        announcement: delivery.id.sequence,
        slot: delivery.id.slot.into(),
        attempt: delivery.id.attempt.into(),
        outcome: DeliveryOutcome::Delivered { reference, possibly_repeated: false },
    }
}

fn command(id: &str, by: Option<&str>, at: DateTime<Utc>, body: CommandBody) -> Command {
    let actor = by.map_or(Actor::Engine, |by| Actor::Person { id: PersonId::new(by), roles: BTreeSet::new() });
    Command { id: CommandId(id.to_owned()), actor, room: None, at, body }
}

/// When the first of all rollouts began: always the same, so that a journal that was made once can be used again.
pub fn began() -> DateTime<Utc> {
    DateTime::from_timestamp(1_748_854_800, 0).unwrap_or_default()
}

pub fn stream_of(number: u32) -> StreamName {
    StreamName::new(format!("rollout/{number}"))
}

pub fn records(recorded: &[Recorded]) -> Vec<NewRecord> {
    let record = |(index, one): (usize, &Recorded)| NewRecord { id: format!("{}#{index}", one.command), payload: one.encode() };
    recorded.iter().enumerate().map(record).collect()
}
