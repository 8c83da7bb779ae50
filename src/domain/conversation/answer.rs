//! What the person who asked is told: after something happened, and to questions. Never journaled.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::message::card::{FormField, whole_roster};
use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::problem::did_you_mean;
use crate::domain::registry::{Line, Registered, Registry};
use crate::domain::report::Report;
use crate::domain::rollout::command::{Refusal, RefusalKind, RolloutId, StepRef};
use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::{Choice, Event, Fate, Recorded};
use crate::domain::rollout::scope::scope_of_message;
use crate::domain::rollout::state::{State, StepStatus};
use crate::domain::rollout::{due_of, verbs};
use crate::domain::runbook::model::StepKind;
use crate::domain::time::{say_between, say_seconds};

use super::grammar::{COMMANDS, is_command};
use super::line::{in_list, line_of};
use super::log::sentence;
use super::voice::{Voice, capital, whole_sentence};

/// The field in which the reason of a vote is given, and its type.
pub const REASON: &str = "reason";

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Markdown.
    pub text: String,
    /// The rollout it is about.
    pub rollout: Option<RolloutId>,
    /// What is asked after it, and may be left unanswered.
    pub asks: Option<Asked>,
}

/// What is asked of a person after something was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The command that the fields go with.
    pub command: String,
    /// What to fill in.
    pub fields: Vec<FormField>,
}

impl Answer {
    /// An answer that asks nothing.
    #[must_use]
    pub const fn of(text: String, rollout: Option<RolloutId>) -> Self {
        Self { text, rollout, asks: None }
    }
}

/// The answer to a command that became these events. `state` is how things stand now.
#[must_use]
pub fn answer(state: &State, people: &Directory, now: DateTime<Utc>, person: Option<&PersonId>, events: &[Recorded]) -> Answer {
    let voice = Voice { state, people, now };
    let mut says: Vec<String> = events.iter().filter_map(|recorded| said_to_actor(&voice, recorded, person)).collect();
    says.extend(still_settles(&voice, events));
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
    Answer { asks: asked_after(state, person, events), ..Answer::of(says.join(" "), Some(state.id.clone())) }
}

/// When a decision becomes final to which somebody added a vote or a reason: it was settling before, so no event says so.
fn still_settles(voice: &Voice<'_>, events: &[Recorded]) -> Option<String> {
    let step = events.iter().find_map(|recorded| match recorded.event {
        Event::VoteCast { step, .. } => Some(step),
        _ => None,
    })?;
    let is_said =
        |recorded: &Recorded| matches!(recorded.event, Event::DecisionSettling { .. } | Event::DecisionUnsettled { .. });
    let (choice, until) = voice.state.steps.get(step)?.settling.filter(|_| !events.iter().any(is_said))?;
    Some(format!("{} is final at {} unless a vote changes.", choice.title(), voice.time(until)))
}

/// A no-go counts at once; why is asked after.
fn asked_after(state: &State, person: Option<&PersonId>, events: &[Recorded]) -> Option<Asked> {
    let says_no = |recorded: &Recorded| {
        let unexplained = matches!(recorded.event, Event::VoteCast { choice: Choice::NoGo, reason: None, .. });
        unexplained && recorded.by.as_ref() == person
    };
    events.iter().any(says_no).then(|| Asked {
        command: format!("/rollout {} no-go", state.id),
        fields: vec![FormField {
            name: REASON.to_owned(),
            label: "Why is it a NO-GO?".to_owned(),
            kind: REASON.to_owned(),
            required: false,
            example: None,
            value: None,
            options: Vec::new(),
            many: false,
        }],
    })
}

fn said_to_actor(voice: &Voice<'_>, recorded: &Recorded, person: Option<&PersonId>) -> Option<String> {
    let state = voice.state;
    // What others and T-minus did is in the log; the person hears of their own act, and of what it set going.
    let own = recorded.by.is_some() && recorded.by.as_ref() == person;
    Some(match &recorded.event {
        Event::Started(started) => {
            let owners: Vec<PersonId> =
                state.owners(voice.people).into_iter().filter(|owner| Some(owner) != recorded.by.as_ref()).collect();
            let verb = if owners.len() == 1 { "owns" } else { "own" };
            let owned = if owners.is_empty() { String::new() } else { format!(" {} {verb} it.", voice.names(&owners)) };
            let window = state.window().map(|window| {
                let length = window.seconds.map(|seconds| format!(" for {}", say_seconds(seconds))).unwrap_or_default();
                format!(" T-0 is {} (in {}){length}.", voice.time(window.starts), say_between(voice.now, window.starts))
            });
            format!("Started **{}**: {}.{}{owned}", started.id, escape_markdown(&started.title), window.unwrap_or_default())
        }
        Event::Acknowledged { step, count, of } => {
            let rest = match voice.still_awaited(*step) {
                Some(names) => format!("Still awaited: {names}."),
                None => "Nobody else is awaited.".to_owned(),
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
                escape_markdown(&state.fill_for(*step, items.get(*item)?)),
                state.steps.get(*step)?.ticked.len(),
                items.len()
            )
        }
        Event::InputSet { .. } if own => format!("{}.", capital(&sentence(state, voice.people, recorded)?)),
        Event::StepCompleted { step, .. } if own => format!("Done: {}.", voice.step(*step)),
        Event::VoteCast { step, choice, reason, instead_of } => {
            let awaited = voice.awaited(*step);
            let rest = if awaited.is_empty() { String::new() } else { format!(" Still to vote: {}.", voice.names(&awaited)) };
            // It counts at once; why is asked after.
            let why = match (choice, reason) {
                (Choice::NoGo, None) => " `/rollout no-go REASON` says why.",
                _ => "",
            };
            match instead_of {
                None => format!("Your vote on {} is {}.{rest}{why}", voice.step(*step), choice.title()),
                Some(voter) => {
                    format!("You voted {} on {} for {}.{rest}{why}", choice.title(), voice.step(*step), voice.call(voter))
                }
            }
        }
        Event::DecisionSettling { choice, until, .. } => {
            format!("That makes it {}: it is final at {} unless a vote changes.", choice.title(), voice.time(*until))
        }
        Event::DecisionUnsettled { .. } => "The rule is no longer met, so nothing is decided.".to_owned(),
        Event::ActionRequested { step, .. } if own => format!("Running {}.", voice.step(*step)),
        Event::NoteAdded { .. } => "Noted.".to_owned(),
        Event::SkipProposed { step, .. } => format!(
            "You propose to skip {}, which is required. A second person has to agree: `/rollout skip {}`.",
            voice.step(*step),
            state.runbook.steps.get(*step)?.id
        ),
        Event::StepSkipped { step, .. } => format!("Skipped: {}.", voice.step(*step)),
        Event::StepReopened { step, .. } if own => format!("{} is open again.", voice.step(*step)),
        Event::StepAssigned { step, people } => format!("{} is with {} now.", voice.step(*step), voice.names(people)),
        Event::HandedOver { to } => format!("{} owns {} now.", voice.call(to), state.id),
        Event::RunApproved { step } => {
            format!("You are the first of two for {}. A second person has to press Run too.", voice.step(*step))
        }
        Event::AnswerGiven { step, .. } => {
            let rest = voice.still_awaited(*step).map(|names| format!(" Still awaited: {names}.")).unwrap_or_default();
            format!("Thank you; that is your answer to {}.{rest}", voice.step(*step))
        }
        Event::CancelRequested { step, .. } => format!("Asked to stop {}. It says here when it ends.", voice.step(*step)),
        Event::FateSaid { step, fate: Fate::Look, .. } => format!("Looking again at {}.", voice.step(*step)),
        Event::PersonWaived { step, person, .. } => {
            format!("{} goes on without {}.", voice.step(*step), voice.call(person))
        }
        Event::DestinationWaived { announcement, slot, .. } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement)?;
            format!("It goes on without {}.", voice.recipient(&found.destinations.get(*slot)?.to))
        }
        Event::DeliveryRetried { announcement, slot, .. } => {
            let found = state.announcements.iter().find(|a| a.sequence == *announcement)?;
            format!("Sending it to {} again.", voice.recipient(&found.destinations.get(*slot)?.to))
        }
        Event::AskedAgain { step } => format!("{} is asked again, for the new time.", voice.step(*step)),
        Event::PhaseReleased { phase } => format!("Opening {}.", voice.phase(*phase)),
        Event::BackedOff { phase } => format!("Backed off from {}.", voice.phase(*phase)),
        Event::Told { to, .. } => {
            let names: Vec<String> = to.iter().map(|address| voice.recipient(&Recipient::Address(address.clone()))).collect();
            format!("On its way to {}.", list_names(&names))
        }
        Event::StepFailed { step, reason } if own => {
            format!("{} failed: {}.", voice.step(*step), escape_markdown(reason))
        }
        Event::Held { reason: None, .. } => {
            let running = voice.running();
            let running = match &running[..] {
                [] => "Nothing is running.".to_owned(),
                steps => format!("Still running: {}.", steps.iter().map(|step| voice.step(*step)).collect::<Vec<_>>().join(", ")),
            };
            format!("On hold: nothing new starts by itself. {running} `/rollout resume` lets it go on.")
        }
        Event::AmendmentProposed { amendment } => {
            format!("You propose an amendment: {}. A second person has to agree: `/rollout amend`.", amendment.markdown(state))
        }
        Event::Amended { amendment, .. } => format!("Amended, for this rollout only: {}.", amendment.markdown(state)),
        Event::Resumed => "It goes on.".to_owned(),
        Event::EnvironmentClaimed if own => {
            format!("Asking for {} now, before its time.", escape_markdown(state.runbook.environment.as_deref()?))
        }
        Event::EnvironmentGivenUp => {
            let environment = escape_markdown(state.runbook.environment.as_deref()?);
            format!("Giving {environment} up; it is asked for again when its time comes.")
        }
        Event::TakeoverAsked { .. } => {
            let environment = escape_markdown(state.runbook.environment.as_deref()?);
            format!("Taking {environment} over. Whoever holds it is put on hold and told.")
        }
        Event::FreezeOverridden { freeze, .. } => {
            format!("{} goes on in spite of the freeze {}.", state.id, escape_markdown(&freeze.name))
        }
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

fn next(voice: &Voice<'_>) -> Vec<String> {
    let itself = voice.next_by_itself().map(|text| format!("Next by itself: {text}."));
    let person = voice.next_by_a_person().map(|text| format!("Next by a person: {text}."));
    itself.into_iter().chain(person).collect()
}

/// The answer to `status`, with the line for its environment.
#[must_use]
pub fn status(state: &State, people: &Directory, now: DateTime<Utc>, line: Option<&Line>) -> Answer {
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
            format!("in {}", say_between(now, window.starts))
        } else {
            format!("{} ago", say_between(window.starts, now))
        };
        says.push(format!("T-0 is {} ({distance}).", voice.time(window.starts)));
    }
    says.extend(line.and_then(|line| line_of(&voice, line)).map(|line| format!("{line}.")));
    says.extend(next(&voice));
    Answer::of(says.join(" "), Some(state.id.clone()))
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
    Answer::of(text, Some(state.id.clone()))
}

/// What waits for one person in a rollout, a line each.
#[must_use]
pub fn waiting_for(state: &State, people: &Directory, now: DateTime<Utc>, person: &PersonId) -> Vec<String> {
    let voice = Voice { state, people, now };
    let steps = state.open_steps().filter(|(index, ..)| voice.awaited(*index).contains(person));
    steps
        .map(|(index, definition, _)| {
            let due = due_of(state, index).map(|due| format!(", by {}", voice.time(due))).unwrap_or_default();
            format!("**{}**: {} (`{}`){due}", state.id, voice.step(index), definition.id)
        })
        .collect()
}

/// The answer to **Show all**: everybody on the roster of a step.
#[must_use]
pub fn everybody(state: &State, people: &Directory, now: DateTime<Utc>, step: usize) -> Option<Answer> {
    let voice = Voice { state, people, now };
    let roster = whole_roster(&voice, step)?;
    Some(Answer::of(format!("{}\n\n{roster}", voice.step(step)), Some(state.id.clone())))
}

/// The answer to `mine`.
#[must_use]
pub fn mine(lines: &[String]) -> Answer {
    let text = if lines.is_empty() {
        "Nothing waits for you.".to_owned()
    } else {
        format!("Waiting for you:\n{}", lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"))
    };
    Answer::of(text, None)
}

/// The answer to `preview`: an announcement as it would read now.
///
/// # Errors
/// When there is no such announcement, or it can't be written yet.
pub fn preview(state: &State, people: &Directory, now: DateTime<Utc>, step: &StepRef) -> Result<Answer, Refusal> {
    let voice = Voice { state, people, now };
    let announcing = |index: &usize| match &state.runbook.steps[*index].kind {
        StepKind::Announce { message, .. } | StepKind::Decide { notice: Some(message), .. } => Some(message.clone()),
        _ => None,
    };
    let all: Vec<(usize, String)> =
        (0..state.runbook.steps.len()).filter_map(|index| Some((index, announcing(&index)?))).collect();
    let names = || all.iter().map(|(index, _)| format!("`{}`", state.runbook.steps[*index].id)).collect::<Vec<_>>().join(", ");
    let found = match step {
        StepRef::Named(id) => all.iter().find(|(index, _)| state.runbook.steps[*index].id == *id),
        _ => all.iter().find(|(index, _)| !state.steps[*index].status.is_settled()),
    };
    let Some((index, message)) = found else {
        let says = format!("Which announcement? `/rollout preview STEP`. Here there are {}.", names());
        return Err(Refusal::new(RefusalKind::Unknown, says));
    };
    let template = state.runbook.messages.get(message);
    let text = template.map(|found| template::render(&found.body, Landing::Markdown, &scope_of_message(state, *index, now, "")));
    match text {
        Some(Ok(text)) => {
            let subject = template.and_then(|found| found.subject.as_ref());
            let scope = scope_of_message(state, *index, now, "");
            let subject = subject.and_then(|subject| template::render(subject, Landing::Markdown, &scope).ok());
            let subject = subject.map(|subject| format!(", with the subject “{subject}”")).unwrap_or_default();
            let to = match &state.runbook.steps[*index].kind {
                StepKind::Announce { to, .. } | StepKind::Decide { to, .. } => to.as_slice(),
                _ => &[],
            };
            let to = to.iter().filter_map(|audience| state.runbook.audiences.get(audience)).flatten();
            let to: Vec<String> = to.map(|address| voice.recipient(&Recipient::Address(address.clone()))).collect();
            let text = format!("{} to {}{subject} would read now:\n\n{text}", voice.step(*index), list_names(&to));
            Ok(Answer::of(text, Some(state.id.clone())))
        }
        Some(Err(problem)) => {
            let says = format!("{} can't be written yet: {}.", voice.step(*index), escape_markdown(&problem));
            Err(Refusal::new(RefusalKind::NotNow, says))
        }
        None => Err(Refusal::new(RefusalKind::NotNow, format!("The message `{message}` is missing."))),
    }
}

/// The answer to `report`.
#[must_use]
pub fn report(report: &Report, zone: Tz) -> Answer {
    Answer::of(report.markdown(zone), Some(RolloutId(report.id.clone())))
}

/// The answer to `list`, with the zone in which each rollout's times are said.
#[must_use]
pub fn list(registry: &Registry, zone_of: &dyn Fn(&Registered) -> Tz) -> Answer {
    let environment = |id: &RolloutId, rollout: &Registered| {
        in_list(registry, id, zone_of(rollout)).map(|line| format!(". {line}")).unwrap_or_default()
    };
    let open: Vec<String> = registry
        .open()
        .map(|(id, rollout)| format!("- **{id}**: {}{}", escape_markdown(&rollout.title), environment(id, rollout)))
        .collect();
    let text = if open.is_empty() {
        "No rollout is open. `/rollout start` begins one.".to_owned()
    } else {
        format!("Open rollouts:\n{}", open.join("\n"))
    };
    Answer::of(text, None)
}

/// The answer to `help` with the id of a step or phase: what its author wrote about it, and what is possible now. Nothing where
/// there is no such step or phase.
#[must_use]
pub fn explain(state: &State, people: &Directory, now: DateTime<Utc>, id: &str) -> Option<Answer> {
    let voice = Voice { state, people, now };
    let nobody = || "Nobody wrote an explanation of it.".to_owned();
    if let Some(phase) = state.runbook.phases.iter().position(|phase| phase.id == id) {
        let steps: Vec<String> =
            state.runbook.steps_of(phase).map(|step| format!("`{}`", state.runbook.steps[step].id)).collect();
        let help = state.runbook.phases[phase].help.as_ref().map(|help| whole_sentence(&escape_markdown(&state.fill(help))));
        let text = format!("{}: {} Its steps: {}.", voice.phase(phase), help.unwrap_or_else(nobody), steps.join(", "));
        return Some(Answer::of(text, Some(state.id.clone())));
    }
    let index = state.runbook.step_index(id)?;
    let (definition, step) = state.step(index)?;
    let help = definition.help.as_ref().map(|help| whole_sentence(&escape_markdown(&state.fill_for(index, help))));
    let possible: Vec<String> =
        verbs(&definition.kind, step).into_iter().map(|verb| format!("`/rollout {verb} {}`", definition.id)).collect();
    let possible = if possible.is_empty() { String::new() } else { format!(" Possible now: {}.", possible.join(", ")) };
    let phase = voice.phase(definition.phase);
    let text = format!("{} (`{id}`, in {phase}): {}{possible}", voice.step(index), help.unwrap_or_else(nobody));
    Some(Answer::of(text, Some(state.id.clone())))
}

/// The same words, with the rollout named in every command that takes its name.
#[must_use]
pub fn naming(text: &str, id: &str) -> String {
    const COMMAND: &str = "`/rollout ";
    let mut pieces = text.split(COMMAND);
    let mut named = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let verb = piece.split([' ', '`']).next().unwrap_or_default();
        let takes_it = is_command(verb) && !["start", "list", "mine", "help"].contains(&verb);
        named.push_str(COMMAND);
        if takes_it {
            named.push_str(&format!("{id} "));
        }
        named.push_str(piece);
    }
    named
}

/// The answer to `help` with a word that means nothing.
#[must_use]
pub fn no_help(about: &str) -> Answer {
    let near = did_you_mean(about, COMMANDS.iter().map(|command| command.verb));
    let near = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    let about = about.replace('`', "'");
    let text = format!("There is no command, step or phase `{about}`.{near} `/rollout help` lists the commands.");
    Answer::of(text, None)
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
    Answer::of(text, None)
}
