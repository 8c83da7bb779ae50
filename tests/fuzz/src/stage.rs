//! A rollout in memory, for targets that need one under way: what people and the outside do to it, and what holds of it always.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tminus::domain::conversation::answer;
use tminus::domain::conversation::button::{ButtonToken, TOKEN_BYTES_MAX};
use tminus::domain::conversation::form::{Field, FieldKind, FieldValue, Reading};
use tminus::domain::conversation::log;
use tminus::domain::message::card::card;
use tminus::domain::paper::paper;
use tminus::domain::people::{Directory, PersonId};
use tminus::domain::report::report;
use tminus::domain::rollout::command::{Actor, Command, CommandBody, CommandId, Refusal, RolloutId};
use tminus::domain::rollout::effect::{Effect, effects};
use tminus::domain::rollout::event::{ActionOutcome, ClockKind, DeliveryOutcome, Event, Recorded, Started};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::view::view;
use tminus::domain::rollout::{handle, next_due, settle};
use tminus::domain::runbook::model::{Outcome, Runbook, StepKind};
use tminus::engine::journal::StreamName;
use tminus::engine::snapshots::{decode, encode};
use tminus::gateway::web::to_html;
use tminus::settings::Settings;

use super::bounds::timed;
use super::markup::assert_safe;

/// The longest label of a button: what Slack takes.
const LABEL_CHARS_MAX: usize = 75;

/// A rollout and the people around it.
#[derive(Clone)]
pub struct Stage {
    pub state: State,
    pub people: Directory,
    pub now: DateTime<Utc>,
    pub history: Vec<Recorded>,
    commands: u32,
}

/// How the outside does its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    Good,
    Bad,
    /// Nobody knows what became of it.
    None,
}

/// When every stage is set: noon (UTC) of 20 November 2026.
pub fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).expect("a moment")
}

impl Stage {
    /// Starts a runbook as its owner would, with what its inputs give as an example.
    pub fn start(settings: &Settings, runbook: &Runbook, owner: &str) -> Self {
        let mut runbook = runbook.clone();
        let is_checklist = |name: &String| {
            runbook.steps.iter().any(|step| matches!(&step.kind, StepKind::Checklist { runbook, .. } if runbook == name))
        };
        let children = settings.runbooks.iter().filter(|(name, _)| is_checklist(name));
        runbook.children = children.map(|(name, child)| (name.clone(), Runbook::clone(child))).collect();
        let (people, now) = (settings.people.clone(), beginning());
        let reading = Reading { zone: runbook.timezone, now, people: &people };
        let values = runbook.inputs.iter().filter_map(|input| Some((input.field.name.clone(), value(&input.field, reading)?)));
        let values = values.collect();
        let started = Started {
            id: RolloutId("r".to_owned()),
            number: 1,
            house: 7,
            title: runbook.title.clone(),
            rooms: vec!["room".to_owned()],
            link: None,
            clock: ClockKind::Shifted,
            values,
            runbook,
            parent: None,
            shift_seconds: 0,
            rehearsal: false,
        };
        let command = command(0, Some(owner), now, CommandBody::Wake);
        let first = Recorded::new(&command.id, command.actor.person(), now, Event::Started(Box::new(started)));
        let mut state = State::begin(&first).expect("it is a start");
        let mut history = vec![first];
        settle(&mut state, &command, now, &people, &mut history);
        Self { state, people, now, history, commands: 0 }
    }

    /// One command; whether it was done. What holds of every command is held of this one.
    pub fn give(&mut self, person: Option<&str>, body: CommandBody) -> Result<Vec<Recorded>, Refusal> {
        self.commands += 1;
        let command = command(self.commands, person, self.now, body);
        let before = self.state.clone();
        let done = timed("a command", || handle(&mut self.state, &command, &self.people));
        match &done {
            Err(_) => assert!(self.state == before, "a refusal changed something: {command:?}"),
            Ok(recorded) => {
                for one in recorded {
                    let read = Recorded::decode(&one.encode());
                    assert_eq!(read.as_ref(), Ok(one), "an event does not read back");
                }
                self.history.extend(recorded.iter().cloned());
            }
        }
        done
    }

    /// Time passes.
    pub fn passes(&mut self, by: TimeDelta) {
        self.now += by;
        drop(self.give(None, CommandBody::Wake));
    }

    /// The next moment comes at which something happens by itself; whether there is one.
    pub fn next_moment(&mut self) -> bool {
        let Some(due) = next_due(&self.state, self.now, &self.people) else { return false };
        self.now = self.now.max(due);
        drop(self.give(None, CommandBody::Wake));
        true
    }

    /// The outside does its part for what is owed first; whether anything is.
    pub fn outside(&mut self, luck: Luck) -> bool {
        let Some(owed) = effects(&self.state).into_iter().next() else { return false };
        let ended = |outputs| match luck {
            Luck::Good => ActionOutcome::Succeeded { outputs },
            Luck::Bad => ActionOutcome::Failed { reason: "it *failed* <b>".to_owned() },
            Luck::None => ActionOutcome::Unknown { reason: "the line went dead".to_owned() },
        };
        let body = match owed {
            Effect::Deliver(delivery) => CommandBody::RecordDelivery {
                announcement: delivery.id.sequence,
                slot: usize::from(delivery.id.slot),
                attempt: u32::from(delivery.id.attempt),
                outcome: match luck {
                    Luck::Bad => DeliveryOutcome::Failed { reason: "is_archived".to_owned() },
                    luck => DeliveryOutcome::Delivered { reference: "1".to_owned(), possibly_repeated: luck == Luck::None },
                },
            },
            Effect::Act(action) if action.attempted.is_none() => {
                CommandBody::BeginAttempt { step: action.step, attempt: action.attempt }
            }
            Effect::Act(action) | Effect::Cancel(action) => {
                let outputs = [("status".to_owned(), "UP".into()), ("code".to_owned(), 0.into())].into_iter().collect();
                CommandBody::RecordAction { step: action.step, attempt: action.attempt, outcome: ended(outputs) }
            }
            Effect::Check(check) => {
                let outcome = ended(serde_json::Map::new());
                CommandBody::RecordCheck { step: check.step, generation: check.generation, outcome }
            }
            Effect::StartChild(child) => {
                let started = if luck == Luck::Good { Ok(RolloutId("child".to_owned())) } else { Err("no".to_owned()) };
                CommandBody::RecordChild { step: child.step, child: started }
            }
            Effect::TellChild { step, sequence, .. } => CommandBody::RecordChildTold { step, sequence },
            Effect::TellParent { result, .. } => CommandBody::RecordParentTold { ended: result.is_some() },
            Effect::ClaimEnvironment { .. } if luck == Luck::Bad => return false,
            Effect::ClaimEnvironment { .. } => CommandBody::RecordEnvironmentGranted,
            Effect::ReleaseEnvironment { .. } => CommandBody::RecordEnvironmentReleased,
        };
        drop(self.give(None, body));
        true
    }

    /// Checklists that are under way end.
    pub fn children_end(&mut self, result: Outcome) {
        let under_way = self.state.steps.iter().enumerate().filter(|(_, step)| step.child.as_ref().is_some_and(|c| !c.settled));
        let children: Vec<usize> = under_way.map(|(index, _)| index).collect();
        for step in children {
            let child = RolloutId("child".to_owned());
            drop(self.give(None, CommandBody::RecordChildSettled { step, child, result: Some(result) }));
        }
    }

    /// What everybody looks at can be shown, in time; what was journaled reads back to the same.
    pub fn assert_whole(&self) {
        let (state, people, now) = (&self.state, &self.people, self.now);
        let shown = timed("a card", || card(state, people, now, &|_| None));
        hears(&shown.markdown());
        for button in &shown.buttons {
            assert!(button.label.chars().count() <= LABEL_CHARS_MAX, "a long label: {}", button.label);
            assert!(button.id.len() <= TOKEN_BYTES_MAX, "a long token: {}", button.id);
            let token = ButtonToken::parse(&button.id).expect("our own token");
            assert_eq!(token.to_string(), button.id, "a token is printed as it is read");
        }
        timed("a view", || serde_json::to_string(&view(state, people, now)).expect("a view has a JSON form"));
        hears(&timed("a report", || report(state, people).markdown(state.runbook.timezone)));
        timed("paper", || paper(state, people, now));
        hears(&timed("a status", || answer::status(state, people, now, None).text));
        hears(&timed("who", || answer::who(state, people, now).text));
        for recorded in &self.history {
            if let Some(line) = log::log_line(state, people, recorded) {
                hears(&line);
            }
        }
        let mut again = State::begin(&self.history[0]).expect("a start");
        self.history[1..].iter().for_each(|recorded| again.evolve(recorded));
        assert!(again == *state, "a replay is not what happened");
        let stream = StreamName::new("rollout/1");
        let snapshot = encode(&stream, &[0; 32], state).expect("a state has a JSON form");
        let (read, _) = decode::<State>(&stream, &snapshot).expect("a snapshot reads back");
        assert!(read == *state, "a snapshot is not what was written");
    }
}

/// What somebody would fill in.
pub fn value(field: &Field, reading: Reading<'_>) -> Option<FieldValue> {
    let person = reading.people.people().next().map(|person| person.id.to_string());
    let usual = match &field.kind {
        FieldKind::Text | FieldKind::Pattern { .. } => "*zq*".to_owned(),
        FieldKind::Choice { options, .. } => options.first().cloned()?,
        FieldKind::Number => "12".to_owned(),
        FieldKind::Datetime => "2026-11-25 08:00".to_owned(),
        FieldKind::Duration => "2h".to_owned(),
        FieldKind::Window => "2026-11-25 08:00 for 2h".to_owned(),
        FieldKind::People => person?,
        FieldKind::Link => "https://zq.example/".to_owned(),
        FieldKind::Confirm => "yes".to_owned(),
    };
    let read = |text: &str| field.read(text, reading).ok().flatten();
    field.example.as_deref().and_then(read).or_else(|| read(&usual))
}

fn command(number: u32, person: Option<&str>, at: DateTime<Utc>, body: CommandBody) -> Command {
    let actor = match person {
        Some(id) => Actor::Person { id: PersonId::new(id), roles: BTreeSet::new() },
        None => Actor::Engine,
    };
    Command { id: CommandId(format!("c{number}")), actor, room: None, at, body }
}

/// Fields as they are typed: `name=value`.
pub fn fields<'a>(parts: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let pairs = parts.into_iter().filter_map(|part| part.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// What the bot says is shown as safe HTML, and at once.
pub fn hears(says: &str) {
    assert_safe(&timed("Markdown", || to_html(says)));
}
