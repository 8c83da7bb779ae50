//! The log of a rollout: one line per event, as people read it in the card's thread.

use chrono::{DateTime, Utc};

use crate::domain::conversation::form::FieldValue;
use crate::domain::conversation::voice::Voice;
use crate::domain::message::template::escape_markdown;
use crate::domain::people::Directory;
use crate::domain::rollout::event::{ActionOutcome, DeliveryOutcome, Event, PassedOver, Recorded};
use crate::domain::rollout::state::{PhaseState, State};
use crate::domain::runbook::model::StepKind;
use crate::domain::time::{clock_time, say_seconds, write_time};

/// The line of one event, with its time; nothing for events that say nothing to people.
#[must_use]
pub fn log_line(state: &State, people: &Directory, recorded: &Recorded) -> Option<String> {
    let line = sentence(state, people, recorded)?;
    Some(format!("{} {line}", stamp(state, recorded.at)))
}

/// The clock alone; with the date on other days than the first.
fn stamp(state: &State, at: DateTime<Utc>) -> String {
    let zone = state.runbook.timezone;
    let same_day = at.with_timezone(&zone).date_naive() == state.started.with_timezone(&zone).date_naive();
    if same_day { clock_time(at, zone) } else { at.with_timezone(&zone).format("%-d %b %H:%M").to_string() }
}

/// What happened, in one sentence without a time.
#[must_use]
pub fn sentence(state: &State, people: &Directory, recorded: &Recorded) -> Option<String> {
    let voice = Voice { state, people, now: recorded.at };
    let zone = state.runbook.timezone;
    let who = recorded.by.as_ref().map_or_else(|| "T-minus".to_owned(), |person| voice.call(person));
    let by = recorded.by.as_ref().map(|person| format!(" by {}", voice.call(person))).unwrap_or_default();
    Some(match &recorded.event {
        Event::Started(started) => {
            let told = state.resolve(&started.runbook.cc, people);
            let told = if told.is_empty() { String::new() } else { format!(" (for information: {})", voice.names(&told)) };
            format!("{who} started {}: {}{told}", started.id, escape_markdown(&started.title))
        }
        Event::ClockAdvanced { seconds } if recorded.by.is_none() => {
            format!("the clock moved forward by {}", say_seconds(*seconds))
        }
        Event::ClockAdvanced { seconds } => format!("{who} moved the clock forward by {}", say_seconds(*seconds)),
        // The answer that sets it says so; only what moves everybody's times is said again.
        Event::InputSet { value: FieldValue::Window(window), .. } => format!("T-0 is {}", write_time(window.starts, zone)),
        Event::PhaseOpened { phase, late_seconds: 0 } => format!("{} opened", voice.phase(*phase)),
        Event::PhaseOpened { phase, late_seconds } => {
            format!("{} opened, {} late", voice.phase(*phase), say_seconds(*late_seconds))
        }
        Event::PhasePassedOver { phase, why: PassedOver::NotApplicable } => format!("{} does not apply", voice.phase(*phase)),
        Event::PhasePassedOver { phase, why: PassedOver::Aborted } => format!("{} will not open", voice.phase(*phase)),
        Event::StepOpened { step, people, .. } => match state.runbook.steps.get(*step)?.kind {
            StepKind::Announce { .. } | StepKind::Result { .. } | StepKind::Run { press: None, .. } => return None,
            _ => format!("{} is with {}", voice.step(*step), voice.names(people)),
        },
        // The line of its phase says it for all steps in it.
        Event::StepPassedOver { step, .. } if matches!(phase_of(state, *step), Some(PhaseState::PassedOver(_))) => return None,
        Event::StepPassedOver { step, why: PassedOver::NotApplicable } => format!("{} does not apply", voice.step(*step)),
        Event::StepPassedOver { step, why: PassedOver::Aborted } => format!("{} was not done", voice.step(*step)),
        Event::StepFailed { step, reason } => format!("{} failed: {}", voice.step(*step), escape_markdown(reason)),
        Event::Acknowledged { count, of, .. } => format!("{who} acknowledged ({count} of {of})"),
        Event::Listening { step } => format!("{who} listens to {}", voice.step(*step)),
        Event::ItemTicked { step, item } => match &state.runbook.steps.get(*step)?.kind {
            StepKind::Task { items, .. } => format!("{who} ticked “{}”", escape_markdown(&state.fill(items.get(*item)?))),
            _ => return None,
        },
        Event::StepCompleted { step, fields } => {
            let kind = &state.runbook.steps.get(*step)?.kind;
            match kind {
                StepKind::Announce { .. } | StepKind::Result { .. } | StepKind::Decide { .. } => return None,
                StepKind::Run { .. } if recorded.by.is_none() => return None,
                StepKind::Acknowledge { .. } => format!("everybody acknowledged {}", voice.step(*step)),
                _ => {
                    let values: Vec<String> = kind
                        .fields()
                        .iter()
                        .filter_map(|field| {
                            let value = fields.get(&field.name)?.said(zone, &|id| people.call(id));
                            Some(format!("{}: {}", escape_markdown(&field.label), escape_markdown(&value)))
                        })
                        .collect();
                    let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join("; ")) };
                    format!("{who} completed {}{values}", voice.step(*step))
                }
            }
        }
        Event::VoteCast { step, choice, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", escape_markdown(reason))).unwrap_or_default();
            format!("{}{by} on {}{reason}", choice.title(), voice.step(*step))
        }
        Event::DecisionSettling { choice, until, .. } => {
            format!("{} it will be at {} unless a vote changes", choice.title(), clock_time(*until, zone))
        }
        Event::DecisionUnsettled { step } => format!("{} is open again: the rule is no longer met", voice.step(*step)),
        Event::DecisionTaken { step, choice } => format!("**{}** on {}", choice.title(), voice.step(*step)),
        Event::AnnouncementIssued { message, to, .. } => {
            let destinations = if to.len() == 1 { "destination" } else { "destinations" };
            format!("announcement “{}” goes to {} {destinations}", escape_markdown(message), to.len())
        }
        Event::DeliveryEnded { announcement, slot, outcome, .. } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement)?;
            let address = &found.destinations.get(*slot)?.address;
            let (platform, name, message) =
                (address.platform.title(), escape_markdown(&address.name), escape_markdown(&found.message));
            match outcome {
                DeliveryOutcome::Delivered { possibly_repeated: false, .. } => format!("{platform} {name} has “{message}”"),
                DeliveryOutcome::Delivered { .. } => format!("{platform} {name} has “{message}”, perhaps twice"),
                DeliveryOutcome::Failed { reason } => {
                    format!("{platform} {name} did not get “{message}”: {}", escape_markdown(reason))
                }
            }
        }
        Event::ActionRequested { step, attempt: 1, .. } if recorded.by.is_none() => {
            format!("{} starts by itself", voice.step(*step))
        }
        Event::ActionRequested { step, attempt: 1, .. } => format!("{who} pressed Run on {}", voice.step(*step)),
        Event::ActionRequested { step, attempt, .. } => format!("{who} ran {} again (attempt {attempt})", voice.step(*step)),
        Event::ActionEnded { step, outcome, .. } => {
            let began = state.steps.get(*step).and_then(|s| s.action.as_ref()).and_then(|action| action.begun);
            let after =
                began.map(|began| format!(" after {}", crate::domain::time::say_between(began, recorded.at))).unwrap_or_default();
            match outcome {
                ActionOutcome::Succeeded { .. } => format!("{} succeeded{after}", voice.step(*step)),
                ActionOutcome::Failed { reason } => format!("{} failed{after}: {}", voice.step(*step), escape_markdown(reason)),
                ActionOutcome::Unknown { reason } => {
                    format!("nobody knows what became of {}: {}", voice.step(*step), escape_markdown(reason))
                }
            }
        }
        Event::ReceiptCameLate { step, attempt, .. } => {
            format!("a late word on {} (attempt {attempt}) changes nothing", voice.step(*step))
        }
        Event::ResultRecorded { result } => format!("result: **{}**", result.title()),
        Event::NoteAdded { text } => format!("{who} noted: {}", escape_markdown(text)),
        Event::Held { reason: None } => format!("{who} put it on hold"),
        Event::Held { reason: Some(reason) } => format!("T-minus put it on hold: {}", escape_markdown(reason)),
        Event::Resumed => format!("{who} let it go on"),
        Event::Aborted { reason } => format!("{who} aborted it: {}", escape_markdown(reason)),
        Event::EnvironmentGranted => format!("holds {}", escape_markdown(state.runbook.environment.as_deref()?)),
        Event::EnvironmentReleased => format!("gave {} back", escape_markdown(state.runbook.environment.as_deref()?)),
        Event::Ended { result } => format!("ended **{}** ({})", result.title(), write_time(recorded.at, zone)),
        // A claim is usually granted at once; while it is not, the card says who is waited for.
        Event::EnvironmentClaimed
        | Event::InputSet { .. }
        | Event::PhaseSettled { .. }
        | Event::ActionAttempted { .. }
        | Event::CardPosted { .. } => {
            return None;
        }
    })
}

fn phase_of(state: &State, step: usize) -> Option<&PhaseState> {
    state.phases.get(state.runbook.steps.get(step)?.phase)
}
