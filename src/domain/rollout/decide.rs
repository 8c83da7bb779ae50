//! What a command becomes: events, or a refusal that says why and what is possible. Changes nothing itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::domain::conversation::form::{Field, FieldValue, read_form};
use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::problem::did_you_mean;
use crate::domain::runbook::model::{Rule, StepKind};
use crate::domain::time::{YEAR_MAX, say_seconds, say_time};

use super::command::{Command, CommandBody, Refusal, RefusalKind, StepRef};
use super::event::{ActionOutcome, Choice, ClockKind, Event};
use super::scope::{scope, scope_with_outputs};
use super::state::{ActionStage, EnvironmentStage, PhaseState, State, StepState, StepStatus};

/// How long a decision can still be changed after its rule is met.
pub const SETTLE_SECONDS: i64 = 60;
/// The longest note or reason, in characters: what fits one Slack block.
pub const NOTE_CHARS_MAX: usize = 2900;
/// How far a clock can be moved at once, in seconds: a year.
pub const ADVANCE_SECONDS_MAX: i64 = 366 * 86_400;

/// Decides one command.
///
/// # Errors
/// The refusal for the person who asked.
pub fn decide(state: &State, command: &Command, people: &Directory) -> Result<Vec<Event>, Refusal> {
    let desk = Desk { state, command, people };
    match &command.body {
        CommandBody::Wake => Ok(Vec::new()),
        CommandBody::RecordDelivery { announcement, slot, attempt, outcome } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement).and_then(|a| a.destinations.get(*slot));
            let counts = found.is_some_and(|destination| destination.attempt == *attempt && destination.outcome.is_none());
            let (announcement, slot, attempt, outcome) = (*announcement, *slot, *attempt, outcome.clone());
            Ok(if counts { vec![Event::DeliveryEnded { announcement, slot, attempt, outcome }] } else { Vec::new() })
        }
        CommandBody::BeginAttempt { step, attempt } => desk.begin_attempt(*step, *attempt),
        CommandBody::RecordAction { step, attempt, outcome } => Ok(desk.record_action(*step, *attempt, outcome)),
        CommandBody::RecordEnvironmentGranted => {
            Ok(if state.environment == EnvironmentStage::Claimed { vec![Event::EnvironmentGranted] } else { Vec::new() })
        }
        CommandBody::RecordEnvironmentReleased => {
            let has_it = matches!(state.environment, EnvironmentStage::Held | EnvironmentStage::Claimed);
            Ok(if has_it { vec![Event::EnvironmentReleased] } else { Vec::new() })
        }
        CommandBody::RecordCard { venue, reference } => {
            let known = state.cards.get(venue) == Some(reference);
            Ok(if known { Vec::new() } else { vec![Event::CardPosted { venue: venue.clone(), reference: reference.clone() }] })
        }
        CommandBody::AdvanceClock { seconds } => desk.advance(*seconds),
        asked => {
            desk.refuse_after_end()?;
            match asked {
                CommandBody::Acknowledge { step } => desk.acknowledge(step),
                CommandBody::CompleteStep { step, typed } => desk.complete(step, typed),
                CommandBody::TickItem { step, item } => desk.tick(step, *item),
                CommandBody::AnswerStep { step, typed } => desk.answer(step, typed),
                CommandBody::CastVote { step, choice, reason } => desk.vote(step, *choice, reason.as_deref()),
                CommandBody::RunStep { step } => desk.run(step),
                CommandBody::AddNote { text } => Ok(vec![Event::NoteAdded { text: Desk::words(text, "A note")? }]),
                CommandBody::Hold => desk.hold(),
                CommandBody::Resume { generation } => desk.fresh(*generation).and_then(|()| desk.resume()),
                CommandBody::Abort { reason, generation } => desk.fresh(*generation).and_then(|()| desk.abort(reason)),
                _ => Ok(Vec::new()),
            }
        }
    }
}

/// What the votes come to, if the rule says so already.
#[must_use]
pub fn tally(rule: Rule, step: &StepState) -> Option<Choice> {
    let voters = step.people.len();
    let count = |choice| step.votes.values().filter(|vote| vote.choice == choice).count();
    if rule == Rule::Any {
        return step.votes.values().min_by_key(|vote| vote.order).map(|vote| vote.choice);
    }
    let needed = rule.needed(voters);
    if count(Choice::Go) >= needed {
        Some(Choice::Go)
    } else if count(Choice::NoGo) + needed > voters {
        Some(Choice::NoGo)
    } else {
        None
    }
}

struct Desk<'a> {
    state: &'a State,
    command: &'a Command,
    people: &'a Directory,
}

impl Desk<'_> {
    fn now(&self) -> DateTime<Utc> {
        self.state.not_before(self.command.at)
    }

    fn person(&self) -> Result<&PersonId, Refusal> {
        self.command.actor.person().ok_or_else(|| Refusal::new(RefusalKind::NotAllowed, "Only a person can do this."))
    }

    fn say(&self, at: DateTime<Utc>) -> String {
        say_time(at, self.now(), self.state.runbook.timezone)
    }

    fn names(&self, people: &[PersonId]) -> String {
        list_names(&people.iter().map(|id| self.people.call(id)).collect::<Vec<_>>())
    }

    fn title(&self, step: usize) -> String {
        escape_markdown(&self.state.step_title(step))
    }

    fn refuse_after_end(&self) -> Result<(), Refusal> {
        match (self.state.ended, self.state.result) {
            (Some(at), Some(result)) => Err(Refusal::new(
                RefusalKind::NotNow,
                format!("{} ended {} at {}. Nothing in it can change any more.", self.state.id, result.title(), self.say(at)),
            )),
            _ => Ok(()),
        }
    }

    /// Finds the step that is meant among those of the kind that fits.
    fn target(&self, reference: &StepRef, verb: &str, fits: impl Fn(usize) -> bool) -> Result<usize, Refusal> {
        match reference {
            StepRef::Button { index, generation } => {
                let Some((_, step)) = self.state.step(*index) else {
                    return Err(Refusal::new(
                        RefusalKind::Stale,
                        "This button belongs to nothing here. The card shows what is possible now.",
                    ));
                };
                if step.status.is_open() && step.generation == *generation && fits(*index) {
                    return Ok(*index);
                }
                Err(Refusal::new(RefusalKind::Stale, self.why_not(*index, verb)))
            }
            StepRef::Named(id) => {
                let Some(index) = self.state.runbook.step_index(id) else {
                    let known = self.state.runbook.steps.iter().map(|step| step.id.as_str());
                    let hint = did_you_mean(id, known).map_or_else(|| self.open_now(), |near| format!("Did you mean `{near}`?"));
                    return Err(Refusal::new(
                        RefusalKind::Unknown,
                        format!("There is no step `{}` in {}. {hint}", code(id), self.state.id),
                    ));
                };
                if self.state.steps[index].status.is_open() && fits(index) {
                    return Ok(index);
                }
                Err(Refusal::new(RefusalKind::NotNow, self.why_not(index, verb)))
            }
            StepRef::TheOpenOne => {
                let open: Vec<usize> = self.state.open_steps().map(|(index, _, _)| index).filter(|index| fits(*index)).collect();
                let mine: Vec<usize> = match self.command.actor.person() {
                    Some(person) => open
                        .iter()
                        .copied()
                        .filter(|index| self.state.steps[*index].awaited().any(|awaited| awaited == person))
                        .collect(),
                    None => Vec::new(),
                };
                match (&open[..], &mine[..]) {
                    ([], _) => {
                        Err(Refusal::new(RefusalKind::NotNow, format!("Nothing is open that `{verb}` fits. {}", self.open_now())))
                    }
                    ([only], _) | (_, [only]) => Ok(*only),
                    (several, _) => {
                        let choices: Vec<String> = several
                            .iter()
                            .map(|s| format!("`/rollout {verb} {}` for “{}”", self.state.runbook.steps[*s].id, self.title(*s)))
                            .collect();
                        Err(Refusal::new(RefusalKind::Ambiguous, format!("Which one? {}.", choices.join("; "))))
                    }
                }
            }
        }
    }

    /// Why a verb does not fit a step now.
    fn why_not(&self, index: usize, verb: &str) -> String {
        let (step, state) = (&self.state.runbook.steps[index], &self.state.steps[index]);
        let title = self.title(index);
        match &state.status {
            StepStatus::Pending => {
                let phase = escape_markdown(&self.state.phase_title(step.phase));
                let when = match (self.state.due_of_phase(step.phase), &self.state.phases[step.phase]) {
                    (Some(due), PhaseState::Waiting) => format!(" “{phase}” opens at {}.", self.say(due)),
                    _ => format!(" It belongs to “{phase}” and comes after what is open now."),
                };
                format!("“{title}” is not open yet.{when} {}", self.open_now())
            }
            StepStatus::Done { at, by, .. } => {
                let by = by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
                format!("“{title}” was completed{by} at {}. {}", self.say(*at), self.open_now())
            }
            StepStatus::PassedOver(_) => format!("“{title}” does not apply in this rollout. {}", self.open_now()),
            StepStatus::Open { .. } if state.is_running() => format!("“{title}” is running. It says here when it ends."),
            StepStatus::Open { .. } | StepStatus::Failed { .. } => {
                let possible = verbs(&step.kind, state);
                if possible.contains(&verb) {
                    format!("“{title}” has changed since that button was made. The card shows what is possible now.")
                } else {
                    let possible: Vec<String> = possible.iter().map(|v| format!("`/rollout {v} {}`", step.id)).collect();
                    format!(
                        "`{verb}` does not fit “{title}”. Possible: {}.",
                        if possible.is_empty() { "nothing by hand".into() } else { possible.join(", ") }
                    )
                }
            }
        }
    }

    /// What is open, in one sentence.
    fn open_now(&self) -> String {
        let open: Vec<String> =
            self.state.open_steps().map(|(index, step, _)| format!("“{}” (`{}`)", self.title(index), step.id)).collect();
        if open.is_empty() { "Nothing is open right now.".to_owned() } else { format!("Open now: {}.", open.join(", ")) }
    }

    fn kind(&self, index: usize) -> &StepKind {
        &self.state.runbook.steps[index].kind
    }

    /// A text that a person typed, within its limit.
    fn words(text: &str, what: &str) -> Result<String, Refusal> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, format!("{what} needs some words.")));
        }
        let chars = text.chars().count();
        if chars > NOTE_CHARS_MAX {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!("{what} may have {NOTE_CHARS_MAX} characters; this has {chars}."),
            ));
        }
        Ok(text.to_owned())
    }

    fn is_owner(&self) -> Result<bool, Refusal> {
        let person = self.person()?;
        Ok(self.state.owners(self.people).contains(person))
    }

    /// Whether a person may act on a step: those it is meant for, and the owners.
    fn may_act(&self, index: usize, doing: &str) -> Result<(), Refusal> {
        let person = self.person()?;
        let owners = self.state.owners(self.people);
        let meant = if self.state.steps[index].people.is_empty() { &owners } else { &self.state.steps[index].people };
        if meant.contains(person) || owners.contains(person) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalKind::NotAllowed,
            format!("{doing} “{}” is for {}. You can add a note: `/rollout note …`.", self.title(index), self.names(meant)),
        ))
    }

    fn acknowledge(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        let index = self.target(reference, "ack", |index| matches!(self.kind(index), StepKind::Acknowledge { .. }))?;
        let step = &self.state.steps[index];
        if let Some(at) = step.acknowledged.get(person) {
            let says = format!(
                "You acknowledged “{}” at {} already: {} of {}.",
                self.title(index),
                self.say(*at),
                step.acknowledged.len(),
                step.people.len()
            );
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        if step.people.contains(person) {
            return Ok(vec![Event::Acknowledged { step: index, count: step.acknowledged.len() + 1, of: step.people.len() }]);
        }
        if step.listeners.contains(person) {
            return Err(Refusal::new(
                RefusalKind::Stale,
                format!("You are on the list as a listener of “{}” already.", self.title(index)),
            ));
        }
        Ok(vec![Event::Listening { step: index }])
    }

    fn complete(&self, reference: &StepRef, typed: &BTreeMap<String, String>) -> Result<Vec<Event>, Refusal> {
        let index =
            self.target(reference, "done", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"done"))?;
        self.may_act(index, "Completing")?;
        let StepKind::Task { items, evidence } = self.kind(index) else {
            // An action that failed, done by hand.
            return Ok(vec![Event::StepCompleted { step: index, fields: BTreeMap::new() }]);
        };
        let fields = self.read(index, evidence, typed)?;
        let step = &self.state.steps[index];
        let rest =
            (0..items.len()).filter(|item| !step.ticked.contains_key(item)).map(|item| Event::ItemTicked { step: index, item });
        Ok(rest.chain([Event::StepCompleted { step: index, fields }]).collect())
    }

    fn tick(&self, reference: &StepRef, item: usize) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "done", |index| matches!(self.kind(index), StepKind::Task { .. }))?;
        self.may_act(index, "Ticking items of")?;
        let StepKind::Task { items, .. } = self.kind(index) else { return Ok(Vec::new()) };
        let Some(text) = items.get(item) else {
            return Err(Refusal::new(RefusalKind::Unknown, format!("“{}” has {} items.", self.title(index), items.len())));
        };
        if let Some((by, at)) = self.state.steps[index].ticked.get(&item) {
            let by = by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
            let says = format!("“{}” was ticked{by} at {} already.", escape_markdown(&self.state.fill(text)), self.say(*at));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        Ok(vec![Event::ItemTicked { step: index, item }])
    }

    fn answer(&self, reference: &StepRef, typed: &BTreeMap<String, String>) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "answer", |index| matches!(self.kind(index), StepKind::Ask { .. }))?;
        self.may_act(index, "Answering")?;
        let StepKind::Ask { fields, sets } = self.kind(index) else { return Ok(Vec::new()) };
        let values = self.read(index, fields, typed)?;
        let written = sets.iter().filter_map(|(field, input)| Some((input, values.get(field)?)));
        let changed = written.filter(|(input, value)| self.state.values.get(*input) != Some(value));
        let mut events: Vec<Event> =
            changed.map(|(input, value)| Event::InputSet { input: input.clone(), value: value.clone() }).collect();
        events.push(Event::StepCompleted { step: index, fields: values });
        Ok(events)
    }

    /// Reads a form; what was not typed keeps what stood there.
    fn read(
        &self,
        index: usize,
        fields: &[Field],
        typed: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, FieldValue>, Refusal> {
        let mut texts = typed.clone();
        for field in fields.iter().filter(|field| !typed.contains_key(&field.name)) {
            if let Some(text) = self.state.prefill(index, field) {
                texts.insert(field.name.clone(), text);
            }
        }
        let now = self.now();
        let mut read = read_form(fields, &texts, self.state.reading(now, self.people));
        if let Ok(values) = &read {
            let past = values.iter().find_map(|(name, value)| match value {
                FieldValue::Window(window)
                    if window.starts < now && self.state.window().map(|w| w.starts) != Some(window.starts) =>
                {
                    Some(name.clone())
                }
                _ => None,
            });
            if let Some(name) = past {
                let problem = format!("that window began before now ({}); choose one that is still to come", self.say(now));
                read = Err(BTreeMap::from([(name, problem)]));
            }
        }
        read.map_err(|problems| {
            let label = |name: &String| fields.iter().find(|f| &f.name == name).map_or_else(|| name.clone(), |f| f.label.clone());
            let list: Vec<String> = problems
                .iter()
                .map(|(name, problem)| format!("**{}**: {}", escape_markdown(&label(name)), escape_markdown(problem)))
                .collect();
            let id = &self.state.runbook.steps[index].id;
            let verb = if matches!(self.kind(index), StepKind::Task { .. }) { "done" } else { "answer" };
            let example = fields.first().map(|field| {
                format!(" In words: `/rollout {verb} {id} {}={}`.", field.name, field.example.as_deref().unwrap_or("…"))
            });
            Refusal {
                kind: RefusalKind::Invalid,
                says: format!(
                    "Nothing was recorded for “{}”. {}.{}",
                    self.title(index),
                    list.join("; "),
                    example.unwrap_or_default()
                ),
                fields: problems,
            }
        })
    }

    fn vote(&self, reference: &StepRef, choice: Choice, reason: Option<&str>) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        let index = self.target(reference, choice.name(), |index| {
            matches!(self.kind(index), StepKind::Decide { .. }) && self.state.steps[index].decision.is_none()
        })?;
        let StepKind::Decide { rule, .. } = self.kind(index) else { return Ok(Vec::new()) };
        let step = &self.state.steps[index];
        if !step.people.contains(person) {
            return Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!(
                    "You are not a voter here; voters are {}. You can add a note: `/rollout note …`.",
                    self.names(&step.people)
                ),
            ));
        }
        if let Some((decided, until)) = step.settling.filter(|(_, until)| *until <= self.now()) {
            let says =
                format!("“{}” is {} since {}; votes can't change any more.", self.title(index), decided.title(), self.say(until));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        let reason = reason.filter(|text| !text.trim().is_empty()).map(|text| Self::words(text, "A reason")).transpose()?;
        if let Some(vote) = step.votes.get(person)
            && vote.choice == choice
            && (reason.is_none() || vote.reason == reason)
        {
            return Err(Refusal::new(
                RefusalKind::Stale,
                format!("You voted {} at {} already.", choice.title(), self.say(vote.at)),
            ));
        }
        let now = self.now();
        let mut after = step.clone();
        let order = step.votes.get(person).map_or(self.state.sequence + 1, |vote| vote.order);
        after.votes.insert(person.clone(), super::state::Vote { choice, reason: reason.clone(), at: now, order });
        let mut events = vec![Event::VoteCast { step: index, choice, reason }];
        match (tally(*rule, &after), step.settling) {
            (Some(choice), Some((settling, _))) if choice == settling => {}
            (Some(choice), _) => {
                events.push(Event::DecisionSettling { step: index, choice, until: now + TimeDelta::seconds(SETTLE_SECONDS) });
            }
            (None, Some(_)) => events.push(Event::DecisionUnsettled { step: index }),
            (None, None) => {}
        }
        Ok(events)
    }

    fn run(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "run", |index| verbs(self.kind(index), &self.state.steps[index]).contains(&"run"))?;
        self.may_act(index, "Running")?;
        if let Some(held) = &self.state.held {
            let by = held.by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
            return Err(Refusal::new(
                RefusalKind::NotNow,
                format!("{} is on hold{by} since {}. `/rollout resume` lets it go on.", self.state.id, self.say(held.since)),
            ));
        }
        request_action(self.state, index, self.now()).map(|event| vec![event]).map_err(|problem| {
            Refusal::new(RefusalKind::NotNow, format!("“{}” can't be run: {}.", self.title(index), escape_markdown(&problem)))
        })
    }

    fn begin_attempt(&self, index: usize, attempt: u32) -> Result<Vec<Event>, Refusal> {
        let step = self.state.steps.get(index).filter(|step| matches!(step.status, StepStatus::Open { .. }));
        let waits =
            step.and_then(|s| s.action.as_ref()).is_some_and(|a| a.attempt == attempt && a.stage == ActionStage::Requested);
        if waits && self.state.held.is_none() {
            Ok(vec![Event::ActionAttempted { step: index, attempt }])
        } else {
            Err(Refusal::new(RefusalKind::NotNow, "This attempt is no longer wanted."))
        }
    }

    fn record_action(&self, index: usize, attempt: u32, outcome: &ActionOutcome) -> Vec<Event> {
        let step = self.state.steps.get(index);
        let current = step
            .and_then(|step| step.action.as_ref())
            .is_some_and(|action| action.attempt == attempt && !matches!(action.stage, ActionStage::Ended { .. }));
        if !current {
            return vec![Event::ReceiptCameLate { step: index, attempt, outcome: outcome.clone() }];
        }
        let ended = Event::ActionEnded { step: index, attempt, outcome: outcome.clone() };
        // After an abort the end of an action is on record, and changes nothing else.
        if !step.is_some_and(|step| matches!(step.status, StepStatus::Open { .. })) {
            return vec![ended];
        }
        let ActionOutcome::Succeeded { outputs } = outcome else { return vec![ended] };
        let scope = scope_with_outputs(self.state, self.now(), outputs);
        let requirements = match self.kind(index) {
            StepKind::Run { require, .. } => require.as_slice(),
            _ => &[],
        };
        for requirement in requirements {
            let reason = match template::holds(&requirement.that, &scope) {
                Ok(true) => continue,
                Ok(false) => template::render(&requirement.otherwise, Landing::Plain, &scope)
                    .unwrap_or_else(|_| requirement.otherwise.clone()),
                Err(problem) => format!("`{}` can't be evaluated: {problem}", requirement.that),
            };
            return vec![ended, Event::StepFailed { step: index, reason }];
        }
        vec![ended, Event::StepCompleted { step: index, fields: BTreeMap::new() }]
    }

    /// Whether a button of the rollout as a whole was made for how things stand now.
    fn fresh(&self, generation: Option<u32>) -> Result<(), Refusal> {
        if generation.is_none_or(|made_for| made_for == self.state.generation) {
            return Ok(());
        }
        let says = format!("{} has changed since that button was made. The card shows what is possible now.", self.state.id);
        Err(Refusal::new(RefusalKind::Stale, says))
    }

    fn hold(&self) -> Result<Vec<Event>, Refusal> {
        self.person()?;
        match &self.state.held {
            Some(held) => Err(Refusal::new(
                RefusalKind::Stale,
                format!("{} is on hold since {} already. `/rollout resume` lets it go on.", self.state.id, self.say(held.since)),
            )),
            None => Ok(vec![Event::Held { reason: None }]),
        }
    }

    fn resume(&self) -> Result<Vec<Event>, Refusal> {
        if self.state.held.is_none() {
            return Err(Refusal::new(RefusalKind::NotNow, format!("{} is not on hold. {}", self.state.id, self.open_now())));
        }
        self.owners_only("let it go on")?;
        Ok(vec![Event::Resumed])
    }

    fn abort(&self, reason: &str) -> Result<Vec<Event>, Refusal> {
        self.owners_only("abort it; anyone can `/rollout hold` it")?;
        if self.state.result.is_some() {
            let result = self.state.result.map_or("", |result| result.title());
            return Err(Refusal::new(
                RefusalKind::NotNow,
                format!("The result of {} is recorded: {result}. What is left is to wrap up.", self.state.id),
            ));
        }
        if reason.trim().is_empty() {
            return Err(Refusal::new(RefusalKind::Invalid, "An abort needs a reason: `/rollout abort REASON`."));
        }
        Ok(vec![Event::Aborted { reason: Self::words(reason, "A reason")? }])
    }

    fn owners_only(&self, what: &str) -> Result<(), Refusal> {
        if self.is_owner()? {
            return Ok(());
        }
        let owners = self.state.owners(self.people);
        Err(Refusal::new(RefusalKind::NotAllowed, format!("Only {} can {what}.", self.names(&owners))))
    }

    fn advance(&self, seconds: i64) -> Result<Vec<Event>, Refusal> {
        if self.state.clock != ClockKind::Shifted {
            return Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!("{} runs on the real clock, which can't be moved.", self.state.id),
            ));
        }
        if !(1..=ADVANCE_SECONDS_MAX).contains(&seconds) {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                format!("A clock moves forward, by at most {} at once.", say_seconds(ADVANCE_SECONDS_MAX)),
            ));
        }
        if (self.now() + TimeDelta::seconds(seconds)).year() > YEAR_MAX {
            return Err(Refusal::new(RefusalKind::Invalid, format!("A clock goes no further than the year {YEAR_MAX}.")));
        }
        Ok(vec![Event::ClockAdvanced { seconds }])
    }
}

/// The event that wants an action, with its inputs filled in.
pub(super) fn request_action(state: &State, index: usize, now: DateTime<Utc>) -> Result<Event, String> {
    let StepKind::Run { with, .. } = &state.runbook.steps[index].kind else { return Err("it is not an action".to_owned()) };
    let inputs = fill_json(with, &scope(state, now))?;
    let attempt = state.steps[index].action.as_ref().map_or(1, |action| action.attempt + 1);
    Ok(Event::ActionRequested { step: index, attempt, inputs })
}

fn fill_json(value: &serde_json::Value, scope: &minijinja::Value) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(template::render(text, Landing::Plain, scope)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill_json(item, scope)).collect::<Result<_, _>>()?),
        Value::Object(pairs) => {
            Value::Object(pairs.iter().map(|(k, v)| Ok((k.clone(), fill_json(v, scope)?))).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// What a person can do to a step, as the words of the commands.
#[must_use]
pub fn verbs(kind: &StepKind, step: &StepState) -> Vec<&'static str> {
    let failed = matches!(step.status, StepStatus::Failed { .. });
    if !step.status.is_open() {
        return Vec::new();
    }
    match kind {
        StepKind::Acknowledge { .. } => vec!["ack"],
        StepKind::Task { .. } => vec!["done"],
        StepKind::Ask { .. } => vec!["answer"],
        StepKind::Decide { .. } if step.decision.is_none() => vec!["go", "no-go"],
        StepKind::Run { .. } if failed => vec!["run", "done"],
        StepKind::Run { press, .. } if !step.is_running() && (press.is_some() || step.confirm) => vec!["run"],
        StepKind::Announce { .. } | StepKind::Result { .. } | StepKind::Decide { .. } if failed => vec!["done"],
        _ => Vec::new(),
    }
}

/// Text within backticks: it can't close them.
fn code(text: &str) -> String {
    text.chars().filter(|c| *c != '`' && !c.is_control()).take(60).collect()
}
