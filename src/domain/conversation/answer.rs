//! What the person who asked is told: after something happened, and to questions. Never journaled.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::message::template::escape_markdown;
use crate::domain::people::{Directory, PersonId};
use crate::domain::registry::Registry;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::{Event, Recorded};
use crate::domain::rollout::state::{State, StepStatus};
use crate::domain::runbook::model::StepKind;

use super::grammar::COMMANDS;
use super::log::sentence;
use super::voice::Voice;

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Markdown.
    pub text: String,
    /// The rollout it is about.
    pub rollout: Option<RolloutId>,
}

/// The answer to a command that became these events. `state` is how things stand now.
#[must_use]
pub fn answer(state: &State, people: &Directory, now: DateTime<Utc>, person: Option<&PersonId>, events: &[Recorded]) -> Answer {
    let voice = Voice { state, people, now };
    let mut says: Vec<String> = events.iter().filter_map(|recorded| said_to_actor(&voice, recorded, person)).collect();
    if says.is_empty() {
        says.push("Nothing changed.".to_owned());
    }
    let ended = events.iter().any(|recorded| matches!(recorded.event, Event::Ended { .. }));
    if ended {
        says.push(format!("{} is over: {}.", state.id, voice.headline()));
    } else if events.iter().any(|recorded| matches!(recorded.event, Event::Started(_))) {
        says.extend(next(&voice));
        says.push("`/rollout abort REASON` cancels it.".to_owned());
    }
    Answer { text: says.join(" "), rollout: Some(state.id.clone()) }
}

fn said_to_actor(voice: &Voice<'_>, recorded: &Recorded, person: Option<&PersonId>) -> Option<String> {
    let state = voice.state;
    // What others and T-minus did is in the log; the person hears of their own act, and of what it set going.
    let own = recorded.by.is_some() && recorded.by.as_ref() == person;
    Some(match &recorded.event {
        Event::Started(started) => format!("Started **{}**: {}.", started.id, escape_markdown(&started.title)),
        Event::Acknowledged { step, count, of } => {
            let awaited = voice.awaited(*step);
            let rest = if awaited.is_empty() {
                "Everybody has.".to_owned()
            } else {
                format!("Still awaited: {}.", voice.names(&awaited))
            };
            format!("Thank you, {}. You acknowledged {} ({count} of {of}). {rest}", voice.call(person?), voice.step(*step))
        }
        Event::Listening { step } => {
            format!("You need not acknowledge {}; you are on the list as a listener now.", voice.step(*step))
        }
        Event::ItemTicked { step, item } if own => {
            let done = events_done(state, *step);
            if done {
                return None;
            }
            let StepKind::Task { items, .. } = &state.runbook.steps.get(*step)?.kind else { return None };
            format!(
                "Ticked “{}” ({} of {}).",
                escape_markdown(&state.fill(items.get(*item)?)),
                state.steps.get(*step)?.ticked.len(),
                items.len()
            )
        }
        Event::InputSet { .. } if own => format!("{}.", capital(&sentence(state, voice.people, recorded)?)),
        Event::StepCompleted { step, .. } if own => format!("Done: {}.", voice.step(*step)),
        Event::VoteCast { step, choice, .. } => {
            let awaited = voice.awaited(*step);
            let rest = if awaited.is_empty() { String::new() } else { format!(" Still to vote: {}.", voice.names(&awaited)) };
            format!("Your vote on {} is {}.{rest}", voice.step(*step), choice.title())
        }
        Event::DecisionSettling { choice, until, .. } => {
            format!("That makes it {}: it is final at {} unless a vote changes.", choice.title(), voice.time(*until))
        }
        Event::DecisionUnsettled { .. } => "The rule is no longer met, so nothing is decided.".to_owned(),
        Event::ActionRequested { step, .. } if own => format!("Running {}.", voice.step(*step)),
        Event::NoteAdded { .. } => "Noted.".to_owned(),
        Event::Held { reason: None } => {
            let running = voice.running();
            let running = match &running[..] {
                [] => "Nothing is running.".to_owned(),
                steps => format!("Still running: {}.", steps.iter().map(|step| voice.step(*step)).collect::<Vec<_>>().join(", ")),
            };
            format!("On hold: nothing new starts by itself. {running} `/rollout resume` lets it go on.")
        }
        Event::Resumed => "It goes on.".to_owned(),
        Event::Aborted { reason } => {
            let running = voice.running();
            let running = match &running[..] {
                [] => String::new(),
                steps => {
                    format!(" Still running: {}.", steps.iter().map(|step| voice.step(*step)).collect::<Vec<_>>().join(", "))
                }
            };
            format!("Aborted {}: {}.{running}", state.id, escape_markdown(reason))
        }
        // The event stands at the moment from which the clock was moved.
        Event::ClockAdvanced { seconds } => {
            format!("It is {} for {} now.", voice.time(recorded.at + TimeDelta::seconds(*seconds)), state.id)
        }
        _ => return None,
    })
}

fn events_done(state: &State, step: usize) -> bool {
    state.steps.get(step).is_some_and(|step| matches!(step.status, StepStatus::Done { .. }))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

fn next(voice: &Voice<'_>) -> Vec<String> {
    let itself = voice.next_by_itself().map(|text| format!("Next by itself: {text}."));
    let person = voice.next_by_a_person().map(|text| format!("Next by a person: {text}."));
    itself.into_iter().chain(person).collect()
}

/// The answer to `status`.
#[must_use]
pub fn status(state: &State, people: &Directory, now: DateTime<Utc>) -> Answer {
    let voice = Voice { state, people, now };
    let (settled, all) = voice.progress();
    let mut says = vec![format!(
        "**{}** ({}): {}, {settled} of {all} steps settled.",
        escape_markdown(&state.title),
        state.id,
        voice.headline()
    )];
    if let (Some(window), None) = (state.window(), state.ended) {
        let distance = if window.starts > now {
            format!("in {}", crate::domain::time::say_between(now, window.starts))
        } else {
            format!("{} ago", crate::domain::time::say_between(window.starts, now))
        };
        says.push(format!("T-0 is {} ({distance}).", voice.time(window.starts)));
    }
    says.extend(next(&voice));
    Answer { text: says.join(" "), rollout: Some(state.id.clone()) }
}

/// The answer to `who`, in one line.
#[must_use]
pub fn who(state: &State, people: &Directory, now: DateTime<Utc>) -> Answer {
    let voice = Voice { state, people, now };
    let mut awaited = Vec::new();
    for (index, definition, step) in state.open_steps() {
        let people = voice.awaited(index);
        if people.is_empty() {
            continue;
        }
        let (what, of) = (voice.step(index), step.people.len());
        awaited.push(match &definition.kind {
            StepKind::Acknowledge { .. } => {
                format!("{} to acknowledge {what} ({} of {of} have)", voice.names(&people), step.acknowledged.len())
            }
            StepKind::Decide { .. } => format!("{} to vote on {what} ({} of {of} have)", voice.names(&people), step.votes.len()),
            _ => format!("{} for {what}", voice.names(&people).replace(" and ", " or ")),
        });
    }
    let text = match (&awaited[..], state.ended) {
        ([], Some(_)) => format!("Nobody: {} is over, {}.", state.id, voice.headline()),
        ([], None) => match voice.next_by_itself() {
            Some(next) => format!("Nobody is awaited in {}. Next by itself: {next}.", state.id),
            None => format!("Nobody is awaited in {}.", state.id),
        },
        (several, _) => format!("Awaited in {}: {}.", state.id, several.join("; ")),
    };
    Answer { text, rollout: Some(state.id.clone()) }
}

/// The answer to `list`.
#[must_use]
pub fn list(registry: &Registry) -> Answer {
    let open: Vec<String> =
        registry.open().map(|(id, rollout)| format!("- **{id}**: {}", escape_markdown(&rollout.title))).collect();
    let text = if open.is_empty() {
        "No rollout is open. `/rollout start` begins one.".to_owned()
    } else {
        format!("Open rollouts:\n{}", open.join("\n"))
    };
    Answer { text, rollout: None }
}

/// The answer to `help`.
#[must_use]
pub fn help(about: Option<&str>) -> Answer {
    let line = |command: &super::grammar::Help| {
        let space = if command.arguments.is_empty() { "" } else { " " };
        format!("`/rollout {}{space}{}` {}", command.verb, command.arguments, command.about)
    };
    let about = about.map(str::to_lowercase);
    let text = match about.and_then(|word| COMMANDS.iter().find(|command| command.verb == word)) {
        Some(command) => {
            format!("{}. The id of a rollout may come first; without it, the room's only open one is meant.", line(command))
        }
        None => format!(
            "What I understand (the id of a rollout may come first; without it, the room's only open one is meant):\n{}",
            COMMANDS.iter().map(|command| format!("- {}", line(command))).collect::<Vec<_>>().join("\n")
        ),
    };
    Answer { text, rollout: None }
}
