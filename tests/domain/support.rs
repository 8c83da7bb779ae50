//! A rollout in memory: commands in, events and refusals out, with a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tminus::domain::people::{Directory, PersonId};
use tminus::domain::rollout::command::{Actor, Command, CommandBody, CommandId, Refusal, RolloutId, StepRef};
use tminus::domain::rollout::effect::{Effect, Recipient, effects};
use tminus::domain::rollout::event::{ActionOutcome, ClockKind, DeliveryOutcome, Event, Recorded, Started};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::{handle, settle};
use tminus::domain::runbook::model::{Outcome, Runbook, StepKind};
use tminus::settings::{Files, Settings};

/// The settings that are built in, with one more runbook.
pub fn settings_with(yaml: &str) -> Settings {
    let files = Files::embedded().with("config/runbooks/test.yaml", yaml);
    files.settings().unwrap_or_else(|unusable| panic!("{unusable}"))
}

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// One rollout under test.
#[derive(Clone)]
pub struct Table {
    pub state: State,
    pub people: Directory,
    pub now: DateTime<Utc>,
    pub history: Vec<Recorded>,
    /// What single people were written, as the outside had it.
    pub written_to: Vec<String>,
    commands: u32,
}

impl Table {
    /// Starts the built-in Andromeda runbook with T-0 five days and an hour ahead.
    pub fn andromeda() -> Self {
        let settings = Files::embedded().settings().unwrap_or_else(|unusable| panic!("{unusable}"));
        let runbook = Runbook::clone(&settings.runbooks["andromeda-staging"]);
        Self::start(&settings, runbook, &[("version", "4.3"), ("window", "2026-11-25 08:00"), ("completers", "maria")])
    }

    /// Starts a runbook of the test's own.
    pub fn of(yaml: &str, values: &[(&str, &str)]) -> Self {
        let settings = settings_with(yaml);
        let runbook = settings.runbooks.values().find(|runbook| runbook.name == "test").expect("named `test`");
        Self::start(&settings, Runbook::clone(runbook), values)
    }

    pub fn start(settings: &Settings, runbook: Runbook, values: &[(&str, &str)]) -> Self {
        Self::start_as(settings, runbook, values, false)
    }

    /// A rehearsal of a runbook of the test's own.
    pub fn rehearsal_of(yaml: &str, values: &[(&str, &str)]) -> Self {
        let settings = settings_with(yaml);
        let runbook = settings.runbooks.values().find(|runbook| runbook.name == "test").expect("named `test`");
        Self::start_as(&settings, Runbook::clone(runbook), values, true)
    }

    fn start_as(settings: &Settings, mut runbook: Runbook, values: &[(&str, &str)], rehearsal: bool) -> Self {
        // As at a real start, those of its checklists are frozen with it.
        let named = |name: &String| {
            runbook.steps.iter().any(|s| matches!(&s.kind, StepKind::Checklist { runbook, .. } if runbook == name))
        };
        let children = settings.runbooks.iter().filter(|(name, _)| named(name));
        runbook.children = children.map(|(name, child)| (name.clone(), Runbook::clone(child))).collect();
        let people = settings.people.clone();
        let now = utc("2026-11-20T12:00:00Z");
        let reading = tminus::domain::conversation::form::Reading { zone: runbook.timezone, now, people: &people };
        let values = values.iter().map(|(name, text)| {
            let input = runbook.inputs.iter().find(|input| input.field.name == *name).expect("an input");
            ((*name).to_owned(), input.field.read(text, reading).expect("a value").expect("not empty"))
        });
        let values = values.collect();
        let started = Started {
            id: RolloutId("r".into()),
            number: 1,
            house: 7,
            title: "Test".into(),
            rooms: vec!["andromeda-rollouts".into()],
            link: None,
            clock: ClockKind::Shifted,
            values,
            runbook,
            parent: None,
            shift_seconds: 0,
            rehearsal,
        };
        let command = command(0, Some("maria"), now, CommandBody::Wake);
        let first = Recorded::new(&command.id, command.actor.person(), now, Event::Started(Box::new(started)));
        let mut state = State::begin(&first).expect("a start");
        let mut history = vec![first];
        settle(&mut state, &command, now, &people, &mut history);
        Self { state, people, now, history, written_to: Vec::new(), commands: 0 }
    }

    /// One command; its events, without circumstances.
    pub fn give(&mut self, person: Option<&str>, body: CommandBody) -> Result<Vec<Event>, Refusal> {
        self.commands += 1;
        let command = command(self.commands, person, self.now, body);
        let recorded = handle(&mut self.state, &command, &self.people)?;
        self.history.extend(recorded.iter().cloned());
        Ok(recorded.into_iter().map(|recorded| recorded.event).collect())
    }

    /// One command of a person that must be done.
    pub fn does(&mut self, person: &str, body: CommandBody) -> Vec<Event> {
        self.give(Some(person), body).unwrap_or_else(|refusal| panic!("{person} was refused: {refusal}"))
    }

    /// One command of a person that must be refused; what is said.
    pub fn refused(&mut self, person: &str, body: CommandBody) -> String {
        let before = self.state.clone();
        let refusal = self.give(Some(person), body).expect_err("a refusal");
        assert_eq!(self.state, before, "a refusal changes nothing");
        refusal.says
    }

    /// Time passes.
    pub fn passes(&mut self, by: TimeDelta) -> Vec<Event> {
        self.now += by;
        self.give(None, CommandBody::Wake).expect("waking is not refused")
    }

    /// To a moment on the clock.
    pub fn until(&mut self, at: &str) -> Vec<Event> {
        self.now = utc(at);
        self.give(None, CommandBody::Wake).expect("waking is not refused")
    }

    /// The first thing owed that ends with a receipt.
    fn owed(&self) -> Option<Effect> {
        effects(&self.state).into_iter().find(|effect| !matches!(effect, Effect::Cancel(_) | Effect::Check(_)))
    }

    /// Everything owed is delivered and done; answers what it was.
    pub fn outside_does_its_part(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(effect) = self.owed() {
            match effect {
                Effect::Deliver(delivery) => {
                    let said = format!("{}: {}", delivery.to, delivery.text);
                    match delivery.to {
                        Recipient::Address(_) => done.push(said),
                        Recipient::Person(_) => self.written_to.push(said),
                    }
                    let outcome = DeliveryOutcome::Delivered { reference: "1".into(), possibly_repeated: false };
                    let body = CommandBody::RecordDelivery {
                        announcement: delivery.id.sequence,
                        slot: usize::from(delivery.id.slot),
                        attempt: u32::from(delivery.id.attempt),
                        outcome,
                    };
                    self.give(None, body).expect("a receipt is not refused");
                }
                Effect::Act(action) => {
                    done.push(format!("{} {}", action.operation, action.inputs));
                    let (step, attempt) = (action.step, action.attempt);
                    self.give(None, CommandBody::BeginAttempt { step, attempt }).expect("it is wanted");
                    let blue = self.state.values_as_text().get("blue").cloned().unwrap_or_default();
                    let outputs = [("BlueStackId".to_owned(), blue.into())].into_iter().collect();
                    self.give(None, CommandBody::RecordAction { step, attempt, outcome: ActionOutcome::Succeeded { outputs } })
                        .expect("a receipt is not refused");
                }
                Effect::ClaimEnvironment { .. } => drop(self.give(None, CommandBody::RecordEnvironmentGranted)),
                Effect::StartChild(child) => {
                    let started = Ok(RolloutId(format!("{}-1", child.runbook.name)));
                    drop(self.give(None, CommandBody::RecordChild { step: child.step, child: started }));
                }
                Effect::TellChild { step, sequence, .. } => {
                    drop(self.give(None, CommandBody::RecordChildTold { step, sequence }));
                }
                Effect::TellParent { result, .. } => {
                    drop(self.give(None, CommandBody::RecordParentTold { ended: result.is_some() }));
                }
                Effect::Cancel(_) | Effect::Check(_) => unreachable!("they end with no receipt"),
                Effect::ReleaseEnvironment { .. } => drop(self.give(None, CommandBody::RecordEnvironmentReleased)),
            }
        }
        done
    }

    /// The checklist of a step ends, or gets as far as it has to.
    pub fn checklist_settles(&mut self, step: &str, result: Option<Outcome>) {
        self.outside_does_its_part();
        let step = self.state.runbook.step_index(step).expect("a step");
        let child = self.state.steps[step].child.as_ref().expect("it was started").rollout.clone();
        self.give(None, CommandBody::RecordChildSettled { step, child, result }).expect("what a checklist says is not refused");
    }

    /// The ids of the open steps.
    pub fn open(&self) -> Vec<&str> {
        self.state.open_steps().map(|(_, step, _)| step.id.as_str()).collect()
    }

    /// Replays everything that happened.
    pub fn replayed(&self) -> State {
        let mut state = State::begin(&self.history[0]).expect("a start");
        for recorded in &self.history[1..] {
            let bytes = recorded.encode();
            state.evolve(&Recorded::decode(&bytes).expect("what was written reads back"));
        }
        state
    }
}

pub fn command(number: u32, person: Option<&str>, at: DateTime<Utc>, body: CommandBody) -> Command {
    let actor = match person {
        Some(id) => Actor::Person { id: PersonId::new(id), roles: BTreeSet::new() },
        None => Actor::Engine,
    };
    Command { id: CommandId(format!("c{number}")), actor, room: None, at, body }
}

pub fn named(id: &str) -> StepRef {
    StepRef::Named(id.to_owned())
}

pub fn ack() -> CommandBody {
    CommandBody::Acknowledge { step: StepRef::TheOpenOne }
}

pub fn done(id: &str, typed: &[(&str, &str)]) -> CommandBody {
    CommandBody::CompleteStep { step: named(id), typed: form(typed) }
}

pub fn answer(id: &str, typed: &[(&str, &str)]) -> CommandBody {
    CommandBody::AnswerStep { step: named(id), typed: form(typed) }
}

pub fn vote(choice: tminus::domain::rollout::event::Choice) -> CommandBody {
    CommandBody::CastVote { step: StepRef::TheOpenOne, choice, reason: None, instead_of: None }
}

/// A stand-in votes for somebody.
pub fn vote_for(voter: &str, choice: tminus::domain::rollout::event::Choice) -> CommandBody {
    CommandBody::CastVote { step: StepRef::TheOpenOne, choice, reason: None, instead_of: Some(voter.to_owned()) }
}

pub fn run(id: &str) -> CommandBody {
    CommandBody::RunStep { step: named(id) }
}

pub fn form(typed: &[(&str, &str)]) -> BTreeMap<String, String> {
    typed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}
