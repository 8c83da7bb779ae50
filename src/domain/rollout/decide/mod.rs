//! What a command becomes: events, or a refusal that says why and what is possible. Changes nothing itself.

mod action;
mod amend;
mod children;
mod course;
mod environment;
mod schedule;
mod steps;
mod vote;
mod whole;

use chrono::{DateTime, Utc};

use crate::domain::message::template::escape_markdown;
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::problem::did_you_mean;
use crate::domain::runbook::model::StepKind;
use crate::domain::time::say_time;

use super::command::{Command, CommandBody, Refusal, RefusalKind, StepRef};
use super::event::Event;
use super::follow::{meant, offers_done};
use super::state::{EnvironmentStage, PhaseState, State, StepState, StepStatus};

pub(super) use self::action::request_action;
pub(super) use self::amend::call_inputs;
pub use self::vote::tally;

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
            let found = state.announcement(*announcement).and_then(|a| a.destinations.get(*slot));
            let counts = found.is_some_and(|destination| destination.attempt == *attempt && destination.outcome.is_none());
            let (announcement, slot, attempt, outcome) = (*announcement, *slot, *attempt, outcome.clone());
            Ok(if counts { vec![Event::DeliveryEnded { announcement, slot, attempt, outcome }] } else { Vec::new() })
        }
        CommandBody::BeginAttempt { step, attempt } => desk.begin_attempt(*step, *attempt),
        CommandBody::RecordAction { step, attempt, outcome } => Ok(desk.record_action(*step, *attempt, outcome)),
        CommandBody::RecordCheck { step, generation, outcome } => Ok(desk.record_check(*step, *generation, outcome)),
        CommandBody::RecordChild { step, child } => Ok(desk.record_child(*step, child)),
        CommandBody::RecordChildSettled { step, child, result } => Ok(desk.record_child_settled(*step, child, *result)),
        CommandBody::RecordChildTold { step, sequence } => Ok(desk.record_child_told(*step, *sequence)),
        CommandBody::RecordParentTold { ended } => {
            let news = state.parent.is_some() && state.parent_told.is_none_or(|told| !told && *ended);
            Ok(if news { vec![Event::ParentTold { ended: *ended }] } else { Vec::new() })
        }
        CommandBody::FollowParent { held, aborted, window, shift_seconds } => {
            Ok(desk.follow_parent(*held, aborted.as_deref(), *window, *shift_seconds))
        }
        CommandBody::RecordFreeze { freeze } => Ok(desk.record_freeze(freeze.as_ref())),
        CommandBody::RecordEnvironmentGranted => {
            Ok(if state.environment == EnvironmentStage::Claimed { vec![Event::EnvironmentGranted] } else { Vec::new() })
        }
        CommandBody::RecordEnvironmentTaken { by, reason } => {
            if state.environment != EnvironmentStage::Held {
                return Ok(Vec::new());
            }
            let why = format!("{by} took {} over: {reason}", state.runbook.environment.as_deref().unwrap_or_default());
            let held = state.held.is_none().then_some(Event::held(Some(why)));
            let taken = Event::EnvironmentTaken { by: by.clone(), reason: reason.clone() };
            Ok([taken].into_iter().chain(held).collect())
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
                CommandBody::CastVote { step, choice, reason, instead_of } => {
                    desk.vote(step, *choice, reason.as_deref(), instead_of.as_deref())
                }
                CommandBody::RunStep { step } => desk.run(step),
                CommandBody::AddNote { text, kind } => {
                    Ok(vec![Event::NoteAdded { text: Desk::words(text, "A note")?, kind: *kind }])
                }
                CommandBody::SkipStep { step, reason } => desk.skip(step, reason),
                CommandBody::ReopenStep { step, reason } => desk.reopen(step, reason),
                CommandBody::ConfirmStep { step } => desk.confirm(step),
                CommandBody::FailStep { step, reason } => desk.fail(step, reason),
                CommandBody::CancelStep { step } => desk.cancel(step),
                CommandBody::SayFate { step, fate } => desk.say_fate(step, *fate),
                CommandBody::AssignStep { step, to } => desk.assign(step, to),
                CommandBody::HandOver { to } => desk.hand_over(to),
                CommandBody::Waive { whom, reason } => desk.waive(whom, reason),
                CommandBody::SetInput { input, text } => desk.set(input, text),
                CommandBody::Reschedule { text } => desk.reschedule(text),
                CommandBody::OpenPhase { phase } => desk.open_phase(phase.as_deref()),
                CommandBody::BackOff { generation } => desk.fresh(*generation).and_then(|()| desk.back_off()),
                CommandBody::Correct { step, text } => desk.correct(step, text),
                CommandBody::Announce { text, audience } => desk.announce(text, audience),
                CommandBody::Amend { step, change } => desk.amend(step, change),
                CommandBody::AgreeToAmendment { generation } => desk.agree(*generation),
                CommandBody::Hold => desk.hold(),
                CommandBody::TakeOver { reason } => desk.take_over(reason),
                CommandBody::Lock => desk.lock(),
                CommandBody::Unlock => desk.unlock(),
                CommandBody::OverrideFreeze { reason } => desk.override_freeze(reason),
                CommandBody::Resume { generation } => desk.fresh(*generation).and_then(|()| desk.resume()),
                CommandBody::Abort { reason, generation } => desk.fresh(*generation).and_then(|()| desk.abort(reason)),
                _ => Ok(Vec::new()),
            }
        }
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
                if self.is_in_hand(*index) && step.generation == *generation && fits(*index) {
                    return Ok(*index);
                }
                Err(Refusal::new(RefusalKind::Stale, self.why_not(*index, verb)))
            }
            StepRef::Named(id) => {
                let index = self.named(id)?;
                if self.is_in_hand(index) && fits(index) {
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

    /// Whether something can be done with a step: it is open, or may be ticked before its phase opens.
    fn is_in_hand(&self, index: usize) -> bool {
        self.state.steps[index].status.is_open() || offers_done(self.state, index)
    }

    /// A step by its id.
    fn named(&self, id: &str) -> Result<usize, Refusal> {
        self.state.runbook.step_index(id).ok_or_else(|| {
            let known = self.state.runbook.steps.iter().map(|step| step.id.as_str());
            let hint = did_you_mean(id, known).map_or_else(|| self.open_now(), |near| format!("Did you mean `{near}`?"));
            Refusal::new(RefusalKind::Unknown, format!("There is no step `{}` in {}. {hint}", code(id), self.state.id))
        })
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
        let offered = if offers_done(self.state, index) { meant(self.state, index, self.people) } else { Vec::new() };
        let opened = &self.state.steps[index].people;
        let meant: &[PersonId] = if !opened.is_empty() {
            opened
        } else if offered.is_empty() {
            &owners
        } else {
            &offered
        };
        if meant.contains(person) || owners.contains(person) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalKind::NotAllowed,
            format!("{doing} “{}” is for {}. You can add a note: `/rollout note …`.", self.title(index), self.names(meant)),
        ))
    }
}

/// What a person can do to a step, as the words of the commands.
#[must_use]
pub fn verbs(kind: &StepKind, step: &StepState) -> Vec<&'static str> {
    if !step.status.is_open() {
        return Vec::new();
    }
    let failed = matches!(step.status, StepStatus::Failed { .. });
    let unknown = matches!(step.status, StepStatus::Failed { unknown: true, .. });
    match kind {
        StepKind::Acknowledge { .. } => vec!["ack"],
        StepKind::Task { .. } | StepKind::Run { by_hand: Some(_), .. } if failed => vec!["done", "skip"],
        StepKind::Task { .. } | StepKind::Run { by_hand: Some(_), .. } => vec!["done", "fail"],
        StepKind::Ask { .. } => vec!["answer"],
        StepKind::Decide { .. } if step.decision.is_none() => vec!["go", "no-go"],
        StepKind::Run { .. } if unknown => vec!["fate", "skip"],
        StepKind::Run { .. }
        | StepKind::Wait { .. }
        | StepKind::Checklist { .. }
        | StepKind::Announce { .. }
        | StepKind::Decide { .. }
            if failed =>
        {
            vec!["run", "done", "skip"]
        }
        StepKind::Run { .. } if step.is_under_way() => vec!["cancel"],
        StepKind::Run { .. } if !step.is_running() && step.confirm => vec!["confirm", "run"],
        StepKind::Run { press: Some(_), .. } if !step.is_running() => vec!["run"],
        StepKind::Wait { .. } => vec!["done"],
        StepKind::Checklist { .. } if step.child.as_ref().is_some_and(|child| child.settled) => vec!["done"],
        StepKind::Let { confirm: Some(_), .. } => vec!["confirm"],
        StepKind::Let { .. } | StepKind::Result { .. } if failed => vec!["done", "skip"],
        _ => Vec::new(),
    }
}

/// Text within backticks: it can't close them.
fn code(text: &str) -> String {
    text.chars().filter(|c| *c != '`' && !c.is_control()).take(60).collect()
}
