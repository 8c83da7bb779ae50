//! The registry: which rollouts there are, who holds which environment, which digests were issued. One stream, pure like a
//! rollout.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::people::PersonId;

use super::digest::{Destination, Digested, Issued};
use super::rollout::command::{CommandId, RolloutId};
use super::rollout::event::{DecodeError, DeliveryOutcome, EVENT_VERSION, is_false};
use super::runbook::model::{Address, Outcome};

/// The longest id of a rollout, in characters: people type it.
const ID_CHARS_MAX: usize = 80;

/// An entry of the registry with its circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of the event's form.
    #[serde(rename = "v")]
    pub version: u16,
    /// When.
    pub at: DateTime<Utc>,
    /// The command it came of.
    pub command: CommandId,
    /// The person who asked, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// What happened.
    pub event: RegistryEvent,
}

/// What can happen in the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum RegistryEvent {
    /// The installation got its tag, which is part of every effect's identity.
    Founded {
        /// The tag.
        house: u16,
    },
    /// A rollout began. Its own stream begins in the same commit.
    RolloutRegistered {
        /// Its id.
        id: RolloutId,
        /// Its number.
        number: u32,
        /// Its runbook.
        runbook: String,
        /// Its title.
        title: String,
        /// Where it is hosted.
        rooms: Vec<String>,
        /// The rollout whose checklist it is, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<RolloutId>,
        /// Whether it is a rehearsal.
        #[serde(default, skip_serializing_if = "is_false")]
        rehearsal: bool,
    },
    /// A rollout waits for an environment.
    EnvironmentQueued {
        /// Which.
        environment: String,
        /// Who waits.
        rollout: RolloutId,
    },
    /// A rollout holds an environment.
    EnvironmentLocked {
        /// Which.
        environment: String,
        /// Who holds it.
        rollout: RolloutId,
        /// Since when, on the clock of the rollout whose act it came of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<DateTime<Utc>>,
    },
    /// A rollout took an environment over from the one that held it, which is next in line now.
    EnvironmentTakenOver {
        /// Which.
        environment: String,
        /// Who held it.
        from: RolloutId,
        /// Who holds it now.
        rollout: RolloutId,
        /// Why.
        reason: String,
        /// Since when, on the clock of the rollout that took it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<DateTime<Utc>>,
    },
    /// An environment is free of a rollout.
    EnvironmentUnlocked {
        /// Which.
        environment: String,
        /// Who held it.
        rollout: RolloutId,
    },
    /// A rollout is over, and everything it owed is done.
    RolloutClosed {
        /// Which.
        id: RolloutId,
        /// How it ended.
        result: Outcome,
    },
    /// Up to a time a digest is not issued: it is new, or there was nothing to say.
    DigestPassedOver {
        /// Its name.
        name: String,
        /// Up to when.
        until: DateTime<Utc>,
    },
    /// A digest says what is open. Its words are those that everybody gets.
    DigestIssued {
        /// Its name.
        name: String,
        /// When it was due.
        due: DateTime<Utc>,
        /// The subject where a destination has one.
        subject: String,
        /// The Markdown.
        text: String,
        /// Where to.
        to: Vec<Address>,
    },
    /// What became of a digest at one of its destinations.
    DigestDelivered {
        /// The sequence of the entry that issued it.
        issued: u64,
        /// Which destination.
        slot: usize,
        /// What became of it.
        outcome: DeliveryOutcome,
    },
}

impl Entry {
    /// An entry that comes of a command.
    #[must_use]
    pub fn new(command: &CommandId, by: Option<&PersonId>, at: DateTime<Utc>, event: RegistryEvent) -> Self {
        Self { version: EVENT_VERSION, at, command: command.clone(), by: by.cloned(), event }
    }

    /// As bytes for the journal.
    ///
    /// # Panics
    /// Never: every part of an entry has a JSON form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("every part of an entry has a JSON form")
    }

    /// From the journal's bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if entry.version > EVENT_VERSION { Err(DecodeError::Newer(entry.version)) } else { Ok(entry) }
    }
}

/// Everything known of all rollouts together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// The installation's tag, once founded.
    pub house: Option<u16>,
    /// All rollouts by id.
    pub rollouts: BTreeMap<RolloutId, Registered>,
    /// Who holds which environment, and who waits for it.
    pub environments: BTreeMap<String, Environment>,
    /// What is known of digests, by name.
    pub digests: BTreeMap<String, Digested>,
    /// The sequence of the last entry.
    pub sequence: u64,
    started_by: BTreeMap<CommandId, RolloutId>,
    numbers: BTreeMap<u32, RolloutId>,
}

/// One rollout as the registry knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Its number.
    pub number: u32,
    /// Its runbook.
    pub runbook: String,
    /// Its title.
    pub title: String,
    /// Where it is hosted.
    pub rooms: Vec<String>,
    /// The rollout whose checklist it is, if it is one.
    pub parent: Option<RolloutId>,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who started it.
    pub by: Option<PersonId>,
    /// How it ended, once everything it owed was done.
    pub closed: Option<Outcome>,
    /// When that was.
    pub closed_at: Option<DateTime<Utc>>,
}

/// One environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Who holds it.
    pub holder: Option<RolloutId>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Who waits, in order.
    pub queue: VecDeque<RolloutId>,
    /// Why it was taken over last.
    pub taken_because: Option<String>,
}

/// The line for an environment, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which environment.
    pub environment: String,
    /// Who holds it.
    pub holder: Option<RolloutId>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Who waits, in order.
    pub waiting: Vec<RolloutId>,
}

impl Registry {
    /// The line for an environment that somebody ever wanted.
    #[must_use]
    pub fn line(&self, environment: &str) -> Option<Line> {
        let known = self.environments.get(environment)?;
        Some(Line {
            environment: environment.to_owned(),
            holder: known.holder.clone(),
            since: known.since.filter(|_| known.holder.is_some()),
            waiting: known.queue.iter().cloned().collect(),
        })
    }

    /// What one entry changes.
    pub fn evolve(&mut self, entry: &Entry) {
        self.sequence += 1;
        match &entry.event {
            RegistryEvent::Founded { house } => self.house = Some(*house),
            RegistryEvent::RolloutRegistered { id, number, runbook, title, rooms, parent, rehearsal } => {
                let registered = Registered {
                    number: *number,
                    runbook: runbook.clone(),
                    title: title.clone(),
                    rooms: rooms.clone(),
                    parent: parent.clone(),
                    rehearsal: *rehearsal,
                    at: entry.at,
                    by: entry.by.clone(),
                    closed: None,
                    closed_at: None,
                };
                self.rollouts.insert(id.clone(), registered);
                self.numbers.insert(*number, id.clone());
                self.started_by.insert(entry.command.clone(), id.clone());
            }
            RegistryEvent::EnvironmentQueued { environment, rollout } => {
                self.environments.entry(environment.clone()).or_default().queue.push_back(rollout.clone());
            }
            RegistryEvent::EnvironmentLocked { environment, rollout, since } => {
                let environment = self.environments.entry(environment.clone()).or_default();
                environment.queue.retain(|waiting| waiting != rollout);
                environment.holder = Some(rollout.clone());
                environment.since = Some(since.unwrap_or(entry.at));
            }
            RegistryEvent::EnvironmentTakenOver { environment, from, rollout, reason, since } => {
                let environment = self.environments.entry(environment.clone()).or_default();
                environment.queue.retain(|waiting| waiting != rollout && waiting != from);
                environment.queue.push_front(from.clone());
                environment.holder = Some(rollout.clone());
                environment.since = Some(since.unwrap_or(entry.at));
                environment.taken_because = Some(reason.clone());
            }
            RegistryEvent::EnvironmentUnlocked { environment, rollout } => {
                let environment = self.environments.entry(environment.clone()).or_default();
                environment.queue.retain(|waiting| waiting != rollout);
                if environment.holder.as_ref() == Some(rollout) {
                    environment.holder = None;
                }
            }
            RegistryEvent::RolloutClosed { id, result } => {
                if let Some(rollout) = self.rollouts.get_mut(id) {
                    rollout.closed = Some(*result);
                    rollout.closed_at = Some(entry.at);
                }
            }
            RegistryEvent::DigestPassedOver { name, until } => {
                let last = self.digests.remove(name).and_then(|known| known.last);
                self.digests.insert(name.clone(), Digested { until: *until, last });
            }
            RegistryEvent::DigestIssued { name, due, subject, text, to } => {
                let destinations = to.iter().map(|to| Destination { to: to.clone(), outcome: None }).collect();
                let (subject, text) = (subject.clone(), text.clone());
                let issued = Issued { sequence: self.sequence, at: entry.at, subject, text, destinations };
                self.digests.insert(name.clone(), Digested { until: *due, last: Some(issued) });
            }
            RegistryEvent::DigestDelivered { issued, slot, outcome } => {
                if let Some(destination) = self.digest_mut(*issued).and_then(|digest| digest.destinations.get_mut(*slot)) {
                    destination.outcome = Some(outcome.clone());
                }
            }
        }
    }

    fn digest_mut(&mut self, issued: u64) -> Option<&mut Issued> {
        self.digests.values_mut().filter_map(|known| known.last.as_mut()).find(|digest| digest.sequence == issued)
    }

    /// The rollout that a button or an effect names by its number.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<&RolloutId> {
        self.numbers.get(&number)
    }

    /// The rollouts with smaller numbers than this one, newest first.
    pub fn newest_before(&self, number: u32) -> impl Iterator<Item = (&RolloutId, &Registered)> {
        self.numbers.range(..number).rev().filter_map(|(_, id)| self.rollouts.get_key_value(id))
    }

    /// What a digest that is due becomes. Nothing where somebody saw to it before.
    #[must_use]
    pub fn digest_due(&self, event: &RegistryEvent) -> Vec<RegistryEvent> {
        let (RegistryEvent::DigestIssued { name, due: until, .. } | RegistryEvent::DigestPassedOver { name, until }) = event
        else {
            return Vec::new();
        };
        let is_news = self.digests.get(name).is_none_or(|known| known.until < *until);
        is_news.then(|| event.clone()).into_iter().collect()
    }

    /// What a receipt of a digest becomes. Nothing where it is known, or another digest has been issued since.
    #[must_use]
    pub fn digest_delivered(&self, issued: u64, slot: usize, outcome: &DeliveryOutcome) -> Vec<RegistryEvent> {
        let mut digests = self.digests.values().filter_map(|known| known.last.as_ref());
        let destination = digests.find(|digest| digest.sequence == issued).and_then(|digest| digest.destinations.get(slot));
        let is_news = destination.is_some_and(|destination| destination.outcome.is_none());
        let outcome = outcome.clone();
        is_news.then_some(RegistryEvent::DigestDelivered { issued, slot, outcome }).into_iter().collect()
    }

    /// The rollout that a command started, if it arrived before.
    #[must_use]
    pub fn started_by(&self, command: &CommandId) -> Option<&RolloutId> {
        self.started_by.get(command)
    }

    /// The rollouts that are not over.
    pub fn open(&self) -> impl Iterator<Item = (&RolloutId, &Registered)> {
        self.rollouts.iter().filter(|(_, rollout)| rollout.closed.is_none())
    }

    /// The number of the next rollout.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        u32::try_from(self.rollouts.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// An id that is free: the runbook's name and a slug of what tells it apart; a second try gets `-2`.
    #[must_use]
    pub fn free_id(&self, runbook: &str, tells_apart: &str) -> RolloutId {
        let slug: String =
            tells_apart.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let slug = slug.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let base: String = format!("{runbook}-{slug}").trim_end_matches(['-', '.']).chars().take(ID_CHARS_MAX).collect();
        let free = |id: &RolloutId| !self.rollouts.contains_key(id);
        let first = RolloutId(base.clone());
        if free(&first) {
            return first;
        }
        // Among one id more than there are rollouts, one is free.
        (2..self.rollouts.len() + 3).map(|n| RolloutId(format!("{base}-{n}"))).find(free).unwrap_or(first)
    }

    /// What a claim becomes: the environment, or a place in the queue. Nothing, if the claim stands already. Of a free
    /// environment the first in line has it who may take it now: a freeze keeps others in their place.
    #[must_use]
    pub fn claim(
        &self,
        environment: &str,
        rollout: &RolloutId,
        at: DateTime<Utc>,
        may: &dyn Fn(&RolloutId) -> bool,
    ) -> Vec<RegistryEvent> {
        let nobody = Environment::default();
        let known = self.environments.get(environment).unwrap_or(&nobody);
        let environment = environment.to_owned();
        let stands = known.queue.contains(rollout);
        let queued = || RegistryEvent::EnvironmentQueued { environment: environment.clone(), rollout: rollout.clone() };
        match &known.holder {
            Some(holder) if holder == rollout || stands => Vec::new(),
            Some(_) => vec![queued()],
            None => {
                let line = known.queue.iter().chain((!stands).then_some(rollout));
                let first = line.into_iter().find(|waiting| may(waiting)).cloned();
                let queued = (!stands && first.as_ref() != Some(rollout)).then(queued);
                let locked = first.map(|first| RegistryEvent::EnvironmentLocked {
                    environment: environment.clone(),
                    rollout: first,
                    since: Some(at),
                });
                queued.into_iter().chain(locked).collect()
            }
        }
    }

    /// What taking over becomes: the environment, whoever holds it. Where nobody does, it is a claim like any other.
    #[must_use]
    pub fn take_over(
        &self,
        environment: &str,
        rollout: &RolloutId,
        reason: &str,
        at: DateTime<Utc>,
        may: &dyn Fn(&RolloutId) -> bool,
    ) -> Vec<RegistryEvent> {
        match self.holder(environment) {
            Some(holder) if holder != rollout => vec![RegistryEvent::EnvironmentTakenOver {
                environment: environment.to_owned(),
                from: holder.clone(),
                rollout: rollout.clone(),
                reason: reason.to_owned(),
                since: Some(at),
            }],
            _ => self.claim(environment, rollout, at, may),
        }
    }

    /// What a release becomes: the environment is free, and the next in the queue who may take it now has it.
    #[must_use]
    pub fn release(
        &self,
        environment: &str,
        rollout: &RolloutId,
        at: DateTime<Utc>,
        may: &dyn Fn(&RolloutId) -> bool,
    ) -> Vec<RegistryEvent> {
        let Some(known) = self.environments.get(environment) else { return Vec::new() };
        if known.holder.as_ref() != Some(rollout) && !known.queue.contains(rollout) {
            return Vec::new();
        }
        let unlocked = RegistryEvent::EnvironmentUnlocked { environment: environment.to_owned(), rollout: rollout.clone() };
        let held_it = known.holder.as_ref() == Some(rollout);
        let next = known.queue.iter().find(|waiting| *waiting != rollout && may(waiting)).filter(|_| held_it);
        let locked = next.map(|next| RegistryEvent::EnvironmentLocked {
            environment: environment.to_owned(),
            rollout: next.clone(),
            since: Some(at),
        });
        [Some(unlocked), locked].into_iter().flatten().collect()
    }

    /// Who holds an environment.
    #[must_use]
    pub fn holder(&self, environment: &str) -> Option<&RolloutId> {
        self.environments.get(environment)?.holder.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(registry: &mut Registry, events: Vec<RegistryEvent>) {
        for event in events {
            registry.evolve(&Entry::new(&CommandId("test".into()), None, DateTime::UNIX_EPOCH, event));
        }
    }

    fn register(registry: &mut Registry, id: &RolloutId) {
        let number = registry.next_number();
        let (runbook, title) = ("andromeda-staging".to_owned(), String::new());
        apply(
            registry,
            vec![RegistryEvent::RolloutRegistered {
                id: id.clone(),
                number,
                runbook,
                title,
                rooms: Vec::new(),
                parent: None,
                rehearsal: false,
            }],
        );
    }

    #[test]
    fn ids_are_short_speakable_and_free() {
        let mut registry = Registry::default();
        for (value, expected) in [
            ("4.3", "andromeda-staging-4.3"),
            ("4.3", "andromeda-staging-4.3-2"),
            ("4.3", "andromeda-staging-4.3-3"),
            ("Näxt / week!", "andromeda-staging-n-xt-week"),
            ("../..", "andromeda-staging-..-"),
        ] {
            let id = registry.free_id("andromeda-staging", value);
            assert_eq!(id.as_str(), expected.trim_end_matches(['-', '.']), "{value}");
            register(&mut registry, &id);
        }
    }

    #[test]
    fn one_rollout_at_a_time_holds_an_environment_and_the_next_in_line_gets_it() {
        let mut registry = Registry::default();
        let [a, b, c] = ["a", "b", "c"].map(|id| RolloutId(id.into()));
        for rollout in [&a, &b, &c, &a, &b] {
            let events = registry.claim("andromeda/staging", rollout, DateTime::UNIX_EPOCH, &|_| true);
            apply(&mut registry, events);
        }
        assert_eq!(registry.holder("andromeda/staging"), Some(&a));
        assert_eq!(registry.environments["andromeda/staging"].queue, [b.clone(), c.clone()]);
        for (leaves, then_holds) in [(&a, Some(&b)), (&c, Some(&b)), (&b, None)] {
            let events = registry.release("andromeda/staging", leaves, DateTime::UNIX_EPOCH, &|_| true);
            apply(&mut registry, events);
            assert_eq!(registry.holder("andromeda/staging"), then_holds);
        }
        assert_eq!(registry.release("andromeda/staging", &a, DateTime::UNIX_EPOCH, &|_| true), []);
    }

    #[test]
    fn who_may_not_take_it_now_keeps_the_place_in_line_and_is_not_in_the_way() {
        let mut registry = Registry::default();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| RolloutId(id.into()));
        for rollout in [&a, &b, &c] {
            let events = registry.claim("e", rollout, DateTime::UNIX_EPOCH, &|_| true);
            apply(&mut registry, events);
        }
        // A freeze has begun meanwhile; only the hotfix may go on in it.
        let hotfix = |rollout: &RolloutId| *rollout == d;
        let events = registry.release("e", &a, DateTime::UNIX_EPOCH, &hotfix);
        apply(&mut registry, events);
        assert_eq!(registry.holder("e"), None);
        let events = registry.claim("e", &d, DateTime::UNIX_EPOCH, &hotfix);
        apply(&mut registry, events);
        assert_eq!(registry.holder("e"), Some(&d));
        let events = registry.release("e", &d, DateTime::UNIX_EPOCH, &hotfix);
        apply(&mut registry, events);
        assert_eq!(registry.holder("e"), None);
        assert_eq!(registry.claim("e", &b, DateTime::UNIX_EPOCH, &hotfix), []);
        // It is over: whoever asks first, the first in line has it.
        let events = registry.claim("e", &c, DateTime::UNIX_EPOCH, &|_| true);
        apply(&mut registry, events);
        assert_eq!(registry.holder("e"), Some(&b));
        assert_eq!(registry.environments["e"].queue, [c]);
    }
}
