//! How T-minus speaks about a rollout: names, times, titles, and the one line of what comes next.

use chrono::{DateTime, Utc};

use crate::domain::message::card::ROSTER_AWAITED_MAX;
use crate::domain::message::template::escape_markdown;
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::rollout::effect::Recipient;
use crate::domain::rollout::event::Choice;
use crate::domain::rollout::state::{EnvironmentStage, PhaseState, State, StepState, StepStatus};
use crate::domain::rollout::{may_override, next_move, step_moves, waits_for_opening};
use crate::domain::runbook::model::StepKind;
use crate::domain::time::{say_between, say_time};

/// How many awaited people of a very long roster an answer names: whoever pressed a button reads a line, not a list.
const ANSWERED_NAMES_MAX: usize = 5;

/// A rollout, the people, and the moment at which is spoken.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// The rollout.
    pub state: &'a State,
    /// Who there is.
    pub people: &'a Directory,
    /// Now, on the rollout's clock.
    pub now: DateTime<Utc>,
}

impl Voice<'_> {
    /// A person as they are called, safe in Markdown.
    #[must_use]
    pub fn call(&self, person: &PersonId) -> String {
        escape_markdown(&self.people.call(person))
    }

    /// People in a sentence.
    #[must_use]
    pub fn names<'p>(&self, people: impl IntoIterator<Item = &'p PersonId>) -> String {
        list_names(&people.into_iter().map(|id| self.call(id)).collect::<Vec<_>>())
    }

    /// A moment.
    #[must_use]
    pub fn time(&self, at: DateTime<Utc>) -> String {
        say_time(at, self.now, self.state.runbook.timezone)
    }

    /// Where a message goes, in words.
    #[must_use]
    pub fn recipient(&self, to: &Recipient) -> String {
        match to {
            Recipient::Address(address) => format!("{} {}", address.platform.title(), escape_markdown(&address.name)),
            Recipient::Person(person) => self.call(person),
        }
    }

    /// The sentence of a step, in quotes, safe in Markdown.
    #[must_use]
    pub fn step(&self, index: usize) -> String {
        format!("“{}”", escape_markdown(&self.state.step_title(index)))
    }

    /// The title of a phase, in quotes, safe in Markdown.
    #[must_use]
    pub fn phase(&self, index: usize) -> String {
        format!("“{}”", escape_markdown(&self.state.phase_title(index)))
    }

    /// Who is awaited by an open step: all of them, or any one of them.
    #[must_use]
    pub fn awaited(&self, index: usize) -> Vec<PersonId> {
        let Some((definition, step)) = self.state.step(index).filter(|(_, step)| step.status.is_open()) else {
            return Vec::new();
        };
        let failed = matches!(step.status, StepStatus::Failed { .. });
        match &definition.kind {
            StepKind::Acknowledge { .. } => step.awaited().cloned().collect(),
            StepKind::Decide { .. } if step.decision.is_none() => step.awaited().cloned().collect(),
            StepKind::Ask { from, .. } if !from.is_empty() => step.awaited().cloned().collect(),
            StepKind::Task { .. } | StepKind::Ask { .. } | StepKind::Let { confirm: Some(_), .. } => step.people.to_vec(),
            StepKind::Run { press, by_hand, .. }
                if failed || (!step.is_running() && (press.is_some() || by_hand.is_some() || step.confirm)) =>
            {
                step.people.to_vec()
            }
            StepKind::Wait { .. } if failed => step.people.to_vec(),
            StepKind::Checklist { .. } if failed || step.child.as_ref().is_some_and(|child| child.settled) => {
                step.people.to_vec()
            }
            _ if failed => self.state.owners(self.people),
            _ => Vec::new(),
        }
    }

    /// Who is still awaited by a step that many answer for themselves, as a sentence names them; nothing when nobody is. Of a
    /// very long roster only the first are named: whoever presses is told at once, and **Show all** names everybody.
    #[must_use]
    pub fn still_awaited(&self, index: usize) -> Option<String> {
        let (_, step) = self.state.step(index).filter(|(_, step)| step.status.is_open())?;
        let count = if step.people.len() <= ROSTER_AWAITED_MAX { usize::MAX } else { ANSWERED_NAMES_MAX };
        let mut awaited = step.awaited();
        let mut names: Vec<String> = awaited.by_ref().take(count).map(|id| self.call(id)).collect();
        if awaited.next().is_some() {
            names.push("others".to_owned());
        }
        (!names.is_empty()).then(|| list_names(&names))
    }

    /// What happens next without anybody doing anything.
    #[must_use]
    pub fn next_by_itself(&self) -> Option<String> {
        if self.state.ended.is_some() {
            return None;
        }
        let mut coming: Vec<(DateTime<Utc>, String)> = Vec::new();
        for (index, _, step) in self.state.open_steps() {
            if let Some((choice, until)) = step.settling {
                coming.push((until, format!("{} on {}", choice.title(), self.step(index))));
            }
        }
        if let Some((at, step)) = self.next_of_steps() {
            coming.push((at, self.step(step)));
        }
        if let Some(freeze) = &self.state.freeze {
            coming.push((freeze.until, format!("the freeze {} is over", escape_markdown(&freeze.name))));
        }
        if self.state.held.is_none()
            && let Some(phase) = self.state.phases.iter().position(|p| *p == PhaseState::Waiting)
            && let Some(due) = self.state.due_of_phase(phase)
        {
            let before: Vec<String> = self.state.runbook.phases[phase]
                .after
                .iter()
                .filter(|after| !self.state.phases[**after].is_settled())
                .map(|after| self.phase(*after))
                .collect();
            let intake = self.state.runbook.phases[phase].intake;
            let intake = intake.filter(|intake| self.state.steps.get(*intake).is_some_and(|step| !step.status.is_settled()));
            if let (true, true, Some(intake)) = (before.is_empty(), due > self.now, intake) {
                // Time alone does not open it, so nothing waits for the clock.
                coming.push((due, format!("{}, once {} is answered", self.phase(phase), self.step(intake))));
            } else if before.is_empty() && due > self.now {
                coming.push((due, self.phase(phase)));
            } else if before.is_empty() {
                // Its time has come; what it waits for is said as a person's turn.
            } else if due <= self.now {
                return Some(format!("{} is due since {}, held by {}", self.phase(phase), self.time(due), list_names(&before)));
            } else {
                coming.push((due, format!("{}, when {} is settled", self.phase(phase), list_names(&before))));
            }
        }
        coming.sort_by_key(|(at, _)| *at);
        let running: Vec<String> = self.running().into_iter().map(|index| format!("{} is running", self.step(index))).collect();
        let first =
            coming.into_iter().next().map(|(at, what)| format!("{} {what} (in {})", self.time(at), say_between(self.now, at)));
        running.into_iter().next().into_iter().chain(first).reduce(|a, b| format!("{a}; {b}"))
    }

    /// The steps whose action is being done.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        let running = |step: &StepState| step.is_under_way() || (step.status.is_open() && step.is_running());
        self.state.ordered_steps().filter(|index| self.state.steps.get(*index).is_some_and(running)).collect()
    }

    /// What is next for people.
    #[must_use]
    pub fn next_by_a_person(&self) -> Option<String> {
        if self.state.ended.is_some() {
            return None;
        }
        if self.state.held.is_some() {
            let resume = format!("{} lets it go on with `/rollout resume`", self.names(&self.state.owners(self.people)));
            return Some(self.awaited_next().map_or_else(|| resume.clone(), |open| format!("{open}; {resume}")));
        }
        if let Some(open) = self.awaited_next() {
            return Some(open);
        }
        let child = self.state.open_steps().find_map(|(_, _, step)| step.child.as_ref().filter(|child| !child.settled));
        if let Some(child) = child {
            return Some(format!("what the card of `{}` says", child.rollout));
        }
        if let Some(phase) = (0..self.state.phases.len()).find(|phase| waits_for_opening(self.state, *phase)) {
            return Some(format!("{} opens {}", self.openers(phase), self.phase(phase)));
        }
        if let Some(freeze) = &self.state.freeze {
            let allowed = may_override(self.state, freeze, self.people);
            let names = self.names(&allowed).replace(" and ", " or ");
            let says = format!("{names} may override the freeze {}: `/rollout override REASON`", escape_markdown(&freeze.name));
            return (!allowed.is_empty()).then_some(says);
        }
        if self.state.environment == EnvironmentStage::Claimed {
            let environment = escape_markdown(self.state.runbook.environment.as_deref().unwrap_or_default());
            return Some(format!("whoever holds {environment} finishes, this rollout is in line; or `/rollout takeover REASON`"));
        }
        None
    }

    /// Who opens a phase that a person opens.
    #[must_use]
    pub fn openers(&self, phase: usize) -> String {
        let names = self.state.runbook.phases.get(phase).and_then(|phase| phase.opens.as_deref()).unwrap_or_default();
        let people = if names.is_empty() { self.state.owners(self.people) } else { self.state.resolve(names, self.people) };
        self.names(&people).replace(" and ", " or ")
    }

    /// The next wait that ends or announcement that is repeated.
    fn next_of_steps(&self) -> Option<(DateTime<Utc>, usize)> {
        let open = self.state.open_steps().filter_map(|(index, ..)| Some((step_moves(self.state, index)?, index)));
        open.min_by_key(|(at, _)| *at)
    }

    /// Who does what with the first open step that waits for people.
    fn awaited_next(&self) -> Option<String> {
        for (index, definition, step) in self.state.open_steps() {
            let awaited = self.awaited(index);
            if awaited.is_empty() {
                continue;
            }
            let (who, what) = (self.names(&awaited), self.step(index));
            let or = if awaited.len() > 1 { who.replace(" and ", " or ") } else { who.clone() };
            return Some(match (&step.status, &definition.kind) {
                (StepStatus::Failed { .. }, _) => format!("{or} decides how {what} goes on"),
                (_, StepKind::Acknowledge { .. }) if awaited.len() > 4 => format!("{} people acknowledge {what}", awaited.len()),
                (_, StepKind::Acknowledge { .. }) => format!("{who} to acknowledge {what}"),
                (_, StepKind::Decide { .. }) => format!("{who} to vote on {what}"),
                (_, StepKind::Ask { from, .. }) if !from.is_empty() => format!("{who} to answer {what}"),
                (_, StepKind::Ask { .. }) => format!("{or} answers {what}"),
                (_, StepKind::Run { by_hand: None, .. }) => format!("{or} presses Run on {what}"),
                (_, StepKind::Let { .. }) => format!("{or} confirms {what}"),
                _ => format!("{or} completes {what}"),
            });
        }
        None
    }

    /// Where it stands, in a few words.
    #[must_use]
    pub fn headline(&self) -> String {
        if let (Some(at), Some(result)) = (self.state.ended, self.state.result) {
            return format!("**{}** at {}, after {}", result.title(), self.time(at), say_between(self.state.started, at));
        }
        let current = self.state.current_phase();
        let held = if self.state.held.is_some() { "**ON HOLD** · " } else { "" };
        let result = self.state.result.map(|result| format!("**{}** · ", result.title())).unwrap_or_default();
        let waiting = match self.state.phases.get(current) {
            Some(PhaseState::Waiting) => "next ",
            _ => "",
        };
        format!(
            "{held}{result}{waiting}phase {} of {}: {}",
            current + 1,
            self.state.phases.len(),
            escape_markdown(&self.state.phase_title(current))
        )
    }

    /// How many steps are settled, of how many.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.state.steps.iter().filter(|step| step.status.is_settled()).count(), self.state.steps.len())
    }

    /// When something may happen by itself next.
    #[must_use]
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        next_move(self.state)
    }

    /// A decision in words, so far.
    #[must_use]
    pub fn decision(&self, index: usize) -> Option<String> {
        let (definition, step) = self.state.step(index)?;
        let StepKind::Decide { rule, veto, .. } = &definition.kind else { return None };
        let votes: Vec<String> = step
            .votes
            .iter()
            .map(|(person, vote)| {
                let reason = vote.reason.as_ref().map(|reason| format!(" ({})", escape_markdown(reason))).unwrap_or_default();
                let instead = if vote.by == *person { String::new() } else { format!(" for {}", self.call(person)) };
                format!("{} by {}{instead}, {}{reason}", vote.choice.title(), self.call(&vote.by), self.time(vote.at))
            })
            .collect();
        let so_far = if votes.is_empty() { "no votes yet".to_owned() } else { votes.join("; ") };
        let mut rule = rule.in_words(step.people.len());
        if *veto && !rule.contains("one NO-GO") {
            rule.push_str("; one NO-GO stops it");
        }
        Some(match (step.decision, step.settling) {
            (Some(choice), _) => format!("decided: {}. {so_far}", choice.title()),
            (None, Some((choice, until))) => {
                let how = if choice == Choice::Go { "taken" } else { "announced" };
                format!("{} {how} in {} unless a vote changes. {so_far}", choice.title(), say_between(self.now, until))
            }
            (None, None) => format!("{so_far}. Rule: {rule}"),
        })
    }
}

/// A text cut at a word, with an ellipsis.
#[must_use]
pub fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(start, _)| start);
    format!("{cut}…")
}

/// A text as a sentence of its own.
#[must_use]
pub fn whole_sentence(text: &str) -> String {
    let text = capital(text);
    if text.ends_with(['.', '?', '!']) { text } else { text + "." }
}

/// A text that begins a sentence.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}
