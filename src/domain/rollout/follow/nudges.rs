//! Who is written to, and when: once when they are needed, then on the step's rhythm, then the owner. Never at night.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::people::{PersonId, list_names};
use crate::domain::rollout::event::{Event, Nudge};
use crate::domain::rollout::scope::scope_of_message;
use crate::domain::rollout::state::{State, StepState, StepStatus};
use crate::domain::runbook::model::{Due, StepKind};
use crate::domain::time::{local_moment, say_between, say_time};

use super::Watch;

/// Nobody is reminded from this hour of their own evening on …
const QUIET_FROM: u32 = 22;
/// … to this hour of their own morning.
const QUIET_UNTIL: u32 = 7;
/// So long before T-0 the rollout is under way, and the night is no reason any more.
const AWAKE_SECONDS_BEFORE: i64 = 4 * 3600;
/// How long after a passed `due` the owner is told, where the step has no rhythm of its own.
const ESCALATE_AFTER_SECONDS: i64 = 15 * 60;

impl Watch<'_> {
    /// Who has to be written to now about a step.
    pub(super) fn nudge(&self, index: usize) -> Vec<Event> {
        if self.state.held.is_some() || self.state.result.is_some() {
            return Vec::new();
        }
        let Some((_, step)) = self.state.step(index) else { return Vec::new() };
        let awaited = self.awaited(index);
        if awaited.is_empty() {
            return Vec::new();
        }
        let due = self.moments(index, &awaited);
        let now = |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at <= self.now);
        let reminded: Vec<PersonId> = due.iter().filter(|(_, at)| now(at)).map(|(person, _)| person.clone()).collect();
        let mut events = Vec::new();
        if !reminded.is_empty() {
            let (new, again): (Vec<PersonId>, Vec<PersonId>) =
                reminded.into_iter().partition(|person| !step.nudged.contains_key(person));
            for (people, nudge) in [(new, Nudge::Needed), (again, Nudge::Reminder)] {
                if !people.is_empty() {
                    events.push(self.nudged(index, people, nudge));
                }
            }
        }
        let stand_ins = self.stand_ins(index).into_iter().filter(|(_, at)| *at <= self.now);
        let stand_ins: Vec<PersonId> = stand_ins.map(|(person, _)| person).collect();
        if !stand_ins.is_empty() {
            let text = self.own_words(index, Nudge::Needed).unwrap_or_else(|| self.words_to_stand_ins(index));
            events.push(Event::Nudged { step: index, people: stand_ins, nudge: Nudge::Needed, text });
        }
        if now(&self.escalation(index)) {
            let owners = self.state.owners(self.people);
            let others: Vec<PersonId> = owners.into_iter().filter(|owner| !awaited.contains(owner)).collect();
            if !others.is_empty() {
                events.push(self.nudged(index, others, Nudge::Escalation));
            }
        }
        events
    }

    /// Who is told and not asked is told once that it began; a checklist's beginning is no news.
    pub(super) fn inform(&self) -> Option<Vec<Event>> {
        if self.state.informed || self.state.parent.is_some() {
            return None;
        }
        let mut people = self.state.resolve(&self.state.runbook.cc, self.people);
        // Whoever began it knows.
        people.retain(|person| self.state.starter.as_ref() != Some(person));
        if people.is_empty() {
            return None;
        }
        let (title, id) = (escape_markdown(&self.state.title), &self.state.id);
        let window = self.state.window().map(|window| say_time(window.starts, self.now, self.state.runbook.timezone));
        let window = window.map(|starts| format!(" T-0 is {starts}.")).unwrap_or_default();
        let owners: Vec<String> =
            self.state.owners(self.people).iter().map(|person| escape_markdown(&self.people.call(person))).collect();
        let owners = if owners.is_empty() { String::new() } else { format!(" It is with {}.", list_names(&owners)) };
        let link = self.state.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
        let text = format!("For your information: **{title}** (`{id}`) has begun.{window}{owners}{link}");
        Some(vec![Event::Informed { people, text }])
    }

    /// The next moment at which somebody has to be written to about a step.
    pub(super) fn next_nudge(&self, index: usize) -> Option<DateTime<Utc>> {
        if self.state.held.is_some() || self.state.result.is_some() {
            return None;
        }
        let awaited = self.awaited(index);
        let moments = self.moments(index, &awaited).into_iter().filter_map(|(_, at)| at);
        let owners = self.state.owners(self.people);
        let escalation =
            self.escalation(index).filter(|_| !awaited.is_empty() && owners.iter().any(|owner| !awaited.contains(owner)));
        let stand_ins = self.stand_ins(index).into_iter().filter(|_| !awaited.is_empty()).map(|(_, at)| at);
        moments.chain(escalation).chain(stand_ins).min()
    }

    /// Who is awaited by name and is written to. An owner whose own act opened the step looks at the card already.
    fn awaited(&self, index: usize) -> Vec<PersonId> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        let StepStatus::Open { .. } = step.status else { return Vec::new() };
        match &definition.kind {
            StepKind::Acknowledge { .. } => step.awaited().cloned().collect(),
            StepKind::Decide { .. } if step.decision.is_none() => step.awaited().cloned().collect(),
            StepKind::Ask { from, .. } if !from.is_empty() => step.awaited().cloned().collect(),
            StepKind::Task { .. } | StepKind::Ask { .. } | StepKind::Let { confirm: Some(_), .. } => self.who_does_not_know(step),
            StepKind::Run { press, by_hand, .. } if (press.is_some() || by_hand.is_some()) && !step.is_running() => {
                self.who_does_not_know(step)
            }
            _ => Vec::new(),
        }
    }

    fn who_does_not_know(&self, step: &StepState) -> Vec<PersonId> {
        let owners = self.state.owners(self.people);
        let knows = |person: &PersonId| step.opened_by.as_ref() == Some(person) && owners.contains(person);
        step.people.iter().filter(|person| !knows(person)).cloned().collect()
    }

    /// When each of them is written to next; at once, if they never were.
    fn moments(&self, index: usize, people: &[PersonId]) -> Vec<(PersonId, Option<DateTime<Utc>>)> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        let due = due_of(self.state, index);
        let moment = |person: &PersonId| {
            let Some(last) = step.nudged.get(person).copied() else { return step.since().map(|since| self.awake(person, since)) };
            let rhythm = definition.remind_seconds.map(|seconds| last + TimeDelta::seconds(seconds));
            // Passing the due time is a reason of its own, once.
            let overdue = due.filter(|due| last < *due);
            let next = rhythm.into_iter().chain(overdue).min()?;
            Some(self.awake(person, next))
        };
        people.iter().map(|person| (person.clone(), moment(person))).collect()
    }

    /// When others than those who are awaited are to hear of it.
    fn overdue(&self, index: usize) -> Option<DateTime<Utc>> {
        let (definition, _) = self.state.step(index)?;
        let after = definition.remind_seconds.unwrap_or(ESCALATE_AFTER_SECONDS);
        Some(due_of(self.state, index)? + TimeDelta::seconds(after))
    }

    /// Who may vote for those who did not, and when each is asked to, once. Owners are told anyway.
    fn stand_ins(&self, index: usize) -> Vec<(PersonId, DateTime<Utc>)> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        let (StepKind::Decide { stand_ins, .. }, Some(at)) = (&definition.kind, self.overdue(index)) else { return Vec::new() };
        let owners = self.state.owners(self.people);
        let mut stand_ins = self.state.resolve(stand_ins, self.people);
        stand_ins.retain(|person| !step.people.contains(person) && !owners.contains(person) && !step.nudged.contains_key(person));
        stand_ins.into_iter().map(|person| (person.clone(), self.awake(&person, at))).collect()
    }

    fn escalation(&self, index: usize) -> Option<DateTime<Utc>> {
        let (_, step) = self.state.step(index)?;
        if step.escalated {
            return None;
        }
        let at = self.overdue(index)?;
        // The first owner who is awake is the one who can do something.
        self.state.owners(self.people).iter().map(|owner| self.awake(owner, at)).min()
    }

    /// When a person is written to what was meant for a moment. What was missed while nobody was there waits for the morning
    /// like everything else.
    fn awake(&self, person: &PersonId, at: DateTime<Utc>) -> DateTime<Utc> {
        self.morning(person, self.morning(person, at).max(self.now))
    }

    /// The moment itself, or the end of the night that it falls into: the morning in the person's own zone, or the moment from
    /// which on the rollout is under way, if that comes before. An end of a night is in none, so what falls due then is the
    /// same however often and whenever it is asked.
    fn morning(&self, person: &PersonId, at: DateTime<Utc>) -> DateTime<Utc> {
        let zone = self.people.person(person).and_then(|person| person.timezone).unwrap_or(self.state.runbook.timezone);
        let local = at.with_timezone(&zone).naive_local();
        let hour = chrono::Timelike::hour(&local);
        let morning = NaiveTime::from_hms_opt(QUIET_UNTIL, 0, 0).unwrap_or_default();
        let morning = if hour >= QUIET_FROM {
            let next_day = local.date().succ_opt().unwrap_or(local.date());
            local_moment(next_day.and_time(morning), zone)
        } else if hour < QUIET_UNTIL {
            local_moment(local.date().and_time(morning), zone)
        } else {
            return at;
        };
        let under_way = self.state.window().map(|window| window.starts - TimeDelta::seconds(AWAKE_SECONDS_BEFORE));
        under_way.map_or(morning, |under_way| morning.min(under_way.max(at)))
    }

    fn nudged(&self, index: usize, people: Vec<PersonId>, nudge: Nudge) -> Event {
        let text = self.own_words(index, nudge).unwrap_or_else(|| self.default_words(index, nudge));
        Event::Nudged { step: index, people, nudge, text }
    }

    /// What a team wrote in `messages/` for it.
    fn own_words(&self, index: usize, nudge: Nudge) -> Option<String> {
        let name = match nudge {
            Nudge::Needed => "needed",
            Nudge::Reminder => "reminder",
            Nudge::Escalation => "escalation",
        };
        let message = self.state.runbook.messages.get(name)?;
        let awaited: Vec<String> = self.awaited(index).iter().map(|person| self.people.call(person)).collect();
        let scope = scope_of_message(self.state, index, self.now, &list_names(&awaited));
        // Where it can't be written as things stand, T-minus says it in its own words.
        let text = template::render(&message.body, Landing::Markdown, &scope).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn words_to_stand_ins(&self, index: usize) -> String {
        let (title, rollout) = (escape_markdown(&self.state.step_title(index)), escape_markdown(&self.state.title));
        let awaited = self.awaited(index);
        let names: Vec<String> = awaited.iter().map(|person| escape_markdown(&self.people.call(person))).collect();
        let whom = awaited.first().map(ToString::to_string).unwrap_or_default();
        format!(
            "You are needed as a stand-in in **{rollout}** (`{}`): “{title}”. Still awaited: {}. `/rollout go for {whom}` or \
             `/rollout no-go for {whom} REASON` votes for who is away.",
            self.state.id,
            list_names(&names)
        )
    }

    fn default_words(&self, index: usize, nudge: Nudge) -> String {
        let title = escape_markdown(&self.state.step_title(index));
        let rollout = escape_markdown(&self.state.title);
        let id = &self.state.id;
        let zone = self.state.runbook.timezone;
        let by = due_of(self.state, index).map(|due| format!(" by {}", say_time(due, self.now, zone))).unwrap_or_default();
        match nudge {
            Nudge::Needed => format!("You are needed in **{rollout}** (`{id}`): “{title}”{by}."),
            Nudge::Reminder => {
                let since = self.state.steps.get(index).and_then(StepState::since);
                let since = since.map(|since| format!(", for {}", say_between(since, self.now))).unwrap_or_default();
                format!("A reminder: **{rollout}** (`{id}`) still waits for you{since}: “{title}”{by}.")
            }
            Nudge::Escalation => {
                let names: Vec<String> =
                    self.awaited(index).iter().map(|person| escape_markdown(&self.people.call(person))).collect();
                let verb = match self.state.runbook.steps.get(index).map(|step| &step.kind) {
                    Some(StepKind::Acknowledge { .. }) => " `/rollout waive PERSON REASON` goes on without one.",
                    Some(StepKind::Decide { .. }) => " A stand-in may vote: `/rollout go for PERSON`.",
                    _ => " `/rollout assign STEP PERSON` gives it to somebody else.",
                };
                format!("Overdue in **{rollout}** (`{id}`): “{title}”{by}. Still awaited: {}.{verb}", list_names(&names))
            }
        }
    }
}

/// By when a step should be done, if anybody said.
#[must_use]
pub fn due_of(state: &State, index: usize) -> Option<DateTime<Utc>> {
    let (definition, step) = state.step(index)?;
    match definition.due? {
        Due::After(seconds) => Some(step.since()? + TimeDelta::seconds(seconds)),
        // Who is asked only after it can't be late.
        Due::At(offset) => Some(offset.from(state.window()?.starts)).filter(|due| step.since().is_none_or(|since| since < *due)),
    }
}
