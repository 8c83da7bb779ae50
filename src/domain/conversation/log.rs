//! The log of a rollout: one line per event, as people read it in the card's thread.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::conversation::form::{Field, FieldValue};
use crate::domain::conversation::rehearsal::would_go;
use crate::domain::conversation::voice::Voice;
use crate::domain::message::template::escape_markdown;
use crate::domain::people::Directory;
use crate::domain::rollout::event::{
    ActionOutcome, DeliveryOutcome, Event, Fate, NoteKind, Nudge, PassedOver, REHEARSAL, Recorded,
};
use crate::domain::rollout::state::{PhaseState, State};
use crate::domain::runbook::model::StepKind;
use crate::domain::time::{clock_time, say_seconds, write_time};

/// The line of one event, with its time; nothing for events that say nothing to people.
#[must_use]
pub fn log_line(state: &State, people: &Directory, recorded: &Recorded) -> Option<String> {
    let stamp = stamp(state, recorded.at);
    if state.rehearsal {
        let line = would_go(state, people, recorded).or_else(|| sentence(state, people, recorded))?;
        return Some(format!("{stamp} {REHEARSAL} · {line}"));
    }
    let line = sentence(state, people, recorded)?;
    Some(format!("{stamp} {line}"))
}

/// What an event says in the room itself, besides its line in the log.
#[must_use]
pub fn said_aloud(state: &State, recorded: &Recorded) -> Option<String> {
    let Event::Ended { text: Some(text), .. } = &recorded.event else { return None };
    Some(if state.rehearsal { format!("{REHEARSAL} · {text}") } else { text.clone() })
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
        Event::Started(started) => format!("{who} started {}: {}", started.id, escape_markdown(&started.title)),
        Event::Informed { people: told, .. } => format!("told {}, for information", voice.names(told)),
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
        Event::PhasePassedOver { phase, .. } => format!("{} will not open", voice.phase(*phase)),
        Event::PhaseReleased { phase } => format!("{who} opened {}", voice.phase(*phase)),
        Event::BackedOff { phase } => format!("{who} backed off from {}", voice.phase(*phase)),
        Event::StepOpened { step, people, .. } => match state.runbook.steps.get(*step)?.kind {
            StepKind::Announce { .. } | StepKind::Result { .. } | StepKind::Run { press: None, by_hand: None, .. } => {
                return None;
            }
            StepKind::Let { confirm: None, .. } | StepKind::Checklist { .. } => return None,
            StepKind::Wait { .. } => format!("{} began", voice.step(*step)),
            _ => format!("{} is with {}", voice.step(*step), voice.names(people)),
        },
        // The line of its phase says it for all steps in it.
        Event::StepPassedOver { step, .. } if matches!(phase_of(state, *step), Some(PhaseState::PassedOver(_))) => return None,
        Event::StepPassedOver { step, why: PassedOver::NotApplicable } => format!("{} does not apply", voice.step(*step)),
        Event::StepPassedOver { why: PassedOver::PhaseOver, .. } => return None,
        Event::StepPassedOver { step, .. } => format!("{} was not done", voice.step(*step)),
        Event::SkipProposed { step, reason } => format!("{who} wants to skip {}: {}", voice.step(*step), escape_markdown(reason)),
        Event::StepSkipped { step, reason, proposed_by: None } => {
            format!("{who} skipped {}: {}", voice.step(*step), escape_markdown(reason))
        }
        Event::StepSkipped { step, reason, proposed_by: Some(proposer) } => {
            let both = voice.names([proposer].into_iter().chain(&recorded.by));
            format!("{both} skipped {}: {}", voice.step(*step), escape_markdown(reason))
        }
        Event::StepReopened { step, reason } => format!("{who} reopened {}: {}", voice.step(*step), escape_markdown(reason)),
        Event::StepAssigned { step, people } => format!("{who} gave {} to {}", voice.step(*step), voice.names(people)),
        Event::HandedOver { to } => format!("{who} handed it over to {}", voice.call(to)),
        Event::RunApproved { step } => format!("{who} pressed Run on {}; a second person has to press it too", voice.step(*step)),
        Event::AnswerGiven { step, fields } => {
            let kind = &state.runbook.steps.get(*step)?.kind;
            let values = values(kind, fields, &|value| value.said(zone, &|id| people.call(id)));
            format!("{who} answered {}{values}", voice.step(*step))
        }
        Event::CancelRequested { step, .. } => format!("{who} asked to stop {}", voice.step(*step)),
        Event::FateSaid { step, fate, .. } => {
            let what = match fate {
                Fate::Ran => "it ran",
                Fate::Rerun => "it did not run, and is run again",
                Fate::Look => "look again",
                Fate::Hold => "nobody knows",
            };
            format!("{who} says of {}: {what}", voice.step(*step))
        }
        Event::PersonWaived { step, person, reason } => {
            format!("{who} waived {} for {}: {}", voice.step(*step), voice.call(person), escape_markdown(reason))
        }
        Event::DestinationWaived { announcement, slot, reason } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement)?;
            let to = voice.recipient(&found.destinations.get(*slot)?.to);
            format!("{who} waived {to} for “{}”: {}", escape_markdown(&found.message), escape_markdown(reason))
        }
        Event::DeliveryRetried { announcement, slot, .. } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement)?;
            let to = voice.recipient(&found.destinations.get(*slot)?.to);
            format!("{who} sends “{}” to {to} again", escape_markdown(&found.message))
        }
        Event::AskedAgain { step } => format!("{} is asked again, for the new time", voice.step(*step)),
        Event::Nudged { people, nudge, step, .. } => {
            let who = voice.names(people);
            match nudge {
                // Whom the step is with has been said.
                Nudge::Needed => return None,
                Nudge::Reminder => format!("reminded {who} of {}", voice.step(*step)),
                Nudge::Escalation => format!("told {who} that {} is overdue", voice.step(*step)),
            }
        }
        Event::Told { corrects, text, to } => {
            let what = if corrects.is_some() { "a correction" } else { "an announcement" };
            let destinations = if to.len() == 1 { "destination" } else { "destinations" };
            format!("{who} sent {what} to {} {destinations}: {text}", to.len())
        }
        Event::Checked { step, good: true, .. } => format!("{}: good", voice.step(*step)),
        Event::Checked { step, good: false, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", escape_markdown(reason))).unwrap_or_default();
            format!("{}: **not good**{reason}", voice.step(*step))
        }
        Event::ChildStarted { step, child } => format!("{} runs as {child}", voice.step(*step)),
        Event::ChildNotStarted { step, reason } => {
            format!("{} could not be started: {}", voice.step(*step), escape_markdown(reason))
        }
        Event::ChildSettled { child, result: Some(result), .. } => format!("{child} ended **{}**", result.title()),
        Event::ChildSettled { child, result: None, .. } => format!("{child} is as far as it has to be"),
        Event::ValueProposed { step, fields } => {
            let value = fields.values().next().map(|value| value.said(zone, &|id| people.call(id))).unwrap_or_default();
            format!("{}: {}, to be confirmed", voice.step(*step), escape_markdown(&value))
        }
        Event::StepFailed { step, reason } => format!("{} failed: {}", voice.step(*step), escape_markdown(reason)),
        Event::Acknowledged { count, of, .. } => format!("{who} acknowledged ({count} of {of})"),
        Event::Listening { step } => format!("{who} listens to {}", voice.step(*step)),
        Event::ItemTicked { step, item } => match &state.runbook.steps.get(*step)?.kind {
            StepKind::Task { items, .. } => {
                format!("{who} ticked “{}”", escape_markdown(&state.fill_for(*step, items.get(*item)?)))
            }
            _ => return None,
        },
        Event::StepCompleted { step, fields } => {
            let kind = &state.runbook.steps.get(*step)?.kind;
            match kind {
                StepKind::Announce { .. } | StepKind::Result { .. } | StepKind::Decide { .. } => return None,
                StepKind::Run { .. } if recorded.by.is_none() => return None,
                StepKind::Wait { .. } if recorded.by.is_none() => format!("{} is over", voice.step(*step)),
                StepKind::Ask { from, .. } if !from.is_empty() => format!("everybody answered {}", voice.step(*step)),
                StepKind::Let { name, .. } => {
                    let value = fields.values().next().map(|value| value.said(zone, &|id| people.call(id))).unwrap_or_default();
                    let by = if recorded.by.is_some() { format!(", confirmed{by}") } else { String::new() };
                    format!("{} is {}{by}", escape_markdown(&name.replace('_', " ")), escape_markdown(&value))
                }
                StepKind::Acknowledge { .. } => format!("everybody acknowledged {}", voice.step(*step)),
                _ => {
                    let values = values(kind, fields, &|value| value.said(zone, &|id| people.call(id)));
                    format!("{who} completed {}{values}", voice.step(*step))
                }
            }
        }
        Event::VoteCast { step, choice, reason, instead_of } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", escape_markdown(reason))).unwrap_or_default();
            let voter = instead_of.as_ref().map(|voter| format!(" for {}", voice.call(voter))).unwrap_or_default();
            format!("{}{by}{voter} on {}{reason}", choice.title(), voice.step(*step))
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
            let to = voice.recipient(&found.destinations.get(*slot)?.to);
            let message = escape_markdown(&found.message);
            match outcome {
                // That somebody was written to has been said.
                DeliveryOutcome::Delivered { .. } if found.is_personal() => return None,
                DeliveryOutcome::Delivered { possibly_repeated: false, .. } => format!("{to} has “{message}”"),
                DeliveryOutcome::Delivered { .. } => format!("{to} has “{message}”, perhaps twice"),
                DeliveryOutcome::Failed { reason } => format!("{to} did not get “{message}”: {}", escape_markdown(reason)),
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
        Event::NoteAdded { text, kind } => {
            let what = match kind {
                NoteKind::Remark => "noted",
                NoteKind::Problem => "noted a **problem**",
                NoteKind::Resolution => "noted a **resolution**",
            };
            format!("{who} {what}: {}", escape_markdown(text))
        }
        Event::Held { reason: None, .. } => format!("{who} put it on hold"),
        Event::Held { reason: Some(reason), .. } => format!("T-minus put it on hold: {}", escape_markdown(reason)),
        Event::Resumed => format!("{who} let it go on"),
        Event::Aborted { reason } => format!("{who} aborted it: {}", escape_markdown(reason)),
        Event::TakeoverAsked { reason } => {
            format!("{who} takes {} over: {}", escape_markdown(state.runbook.environment.as_deref()?), escape_markdown(reason))
        }
        Event::EnvironmentTaken { by, reason } => {
            format!("{by} took {} over: {}", escape_markdown(state.runbook.environment.as_deref()?), escape_markdown(reason))
        }
        Event::AmendmentProposed { amendment } => {
            format!("{who} proposes an amendment: {}", amendment.markdown(state))
        }
        Event::Amended { amendment, proposed_by } => {
            let both = voice.names([proposed_by].into_iter().chain(&recorded.by));
            format!("{both} amended it: {}", amendment.markdown(state))
        }
        Event::FreezeBegan { freeze } => format!(
            "the freeze {} keeps it from {} until {}",
            freeze.called(),
            escape_markdown(state.runbook.environment.as_deref()?),
            write_time(freeze.until, zone)
        ),
        Event::FreezeEnded { name } => format!("the freeze {} is over", escape_markdown(name)),
        Event::FreezeOverridden { freeze, reason } => {
            format!("{who} overrode the freeze {}: {}", escape_markdown(&freeze.name), escape_markdown(reason))
        }
        Event::EnvironmentGranted => format!("holds {}", escape_markdown(state.runbook.environment.as_deref()?)),
        Event::EnvironmentReleased => format!("gave {} back", escape_markdown(state.runbook.environment.as_deref()?)),
        Event::Ended { result, .. } => format!("ended **{}** ({})", result.title(), write_time(recorded.at, zone)),
        Event::EnvironmentClaimed if recorded.by.is_some() => {
            format!("{who} asks for {} before its time", escape_markdown(state.runbook.environment.as_deref()?))
        }
        Event::EnvironmentGivenUp => {
            format!("{who} gives {} up for now", escape_markdown(state.runbook.environment.as_deref()?))
        }
        // A claim is usually granted at once; while it is not, the card says who is waited for.
        Event::EnvironmentClaimed
        | Event::EnvironmentNeeded
        | Event::InputSet { .. }
        | Event::PhaseSettled { .. }
        | Event::ActionAttempted { .. }
        | Event::ChildTold { .. }
        | Event::ParentTold { .. }
        | Event::CardPosted { .. } => {
            return None;
        }
    })
}

fn phase_of(state: &State, step: usize) -> Option<&PhaseState> {
    state.phases.get(state.runbook.steps.get(step)?.phase)
}

/// What was filled in, in parentheses.
fn values(kind: &StepKind, fields: &BTreeMap<String, FieldValue>, said: &dyn Fn(&FieldValue) -> String) -> String {
    let named = |field: &Field| {
        let value = said(fields.get(&field.name)?);
        Some(format!("{}: {}", escape_markdown(&field.label), escape_markdown(&value)))
    };
    let values: Vec<String> = kind.fields().iter().filter_map(named).collect();
    if values.is_empty() { String::new() } else { format!(" ({})", values.join("; ")) }
}
