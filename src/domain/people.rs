//! People and teams: who there is, and how a list of names in a runbook becomes persons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The longest short name of a person, in characters: with what stands before it, it is the name of a room.
pub const PERSON_ID_CHARS_MAX: usize = 80;
/// What the room begins with in which T-minus writes to one person. No other room does.
pub const ROOM_OF_PERSON: &str = "direct-";

/// The short name of a person, as `config/people.yaml` has it: `maria`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(pub String);

impl PersonId {
    /// From its text.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One known person. Handles on platforms are the gateways' business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Short name.
    pub id: PersonId,
    /// Full name: `Maria Keller`.
    pub name: String,
    /// Where their clock is, if it is not the runbook's.
    pub timezone: Option<Tz>,
    /// What they may do in the installation: `operator`.
    pub roles: BTreeSet<String>,
}

/// Everybody known, and their teams. Live: it may change while a rollout runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    people: BTreeMap<PersonId, Person>,
    teams: BTreeMap<String, Vec<PersonId>>,
    /// How many there are of every first name. A card names people by the hundred, and counting anew for each took seconds.
    first_names: BTreeMap<String, usize>,
}

impl Directory {
    /// A directory of these people and teams.
    #[must_use]
    pub fn new(people: impl IntoIterator<Item = Person>, teams: BTreeMap<String, Vec<PersonId>>) -> Self {
        let people: BTreeMap<_, _> = people.into_iter().map(|person| (person.id.clone(), person)).collect();
        let mut first_names = BTreeMap::new();
        for person in people.values() {
            *first_names.entry(first_name(&person.name).to_owned()).or_default() += 1;
        }
        Self { people, teams, first_names }
    }

    /// One person.
    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.people.get(id)
    }

    /// The members of a team.
    #[must_use]
    pub fn team(&self, name: &str) -> Option<&[PersonId]> {
        self.teams.get(name).map(Vec::as_slice)
    }

    /// Who is meant by names of the installation: teams, persons, and what persons may do. In order, each once.
    #[must_use]
    pub fn named(&self, names: &[String]) -> Vec<PersonId> {
        let mut found: Vec<PersonId> = Vec::new();
        for name in names {
            let of_role = || self.people.values().filter(|person| person.roles.contains(name)).map(|person| person.id.clone());
            let meant: Vec<PersonId> = match (self.teams.get(name), self.people.get(&PersonId::new(name))) {
                (Some(members), _) => members.clone(),
                (None, Some(person)) => vec![person.id.clone()],
                (None, None) => of_role().collect(),
            };
            for person in meant {
                if !found.contains(&person) {
                    found.push(person);
                }
            }
        }
        found
    }

    /// Everybody, by short name.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// The names of all teams.
    pub fn teams(&self) -> impl Iterator<Item = &str> {
        self.teams.keys().map(String::as_str)
    }

    /// How a person is called in a sentence: the first name, or the full one where two share it; the id if unknown.
    #[must_use]
    pub fn call(&self, id: &PersonId) -> String {
        let Some(person) = self.people.get(id) else { return id.to_string() };
        let first = first_name(&person.name);
        let is_shared = self.first_names.get(first).is_some_and(|count| *count > 1);
        if is_shared { person.name.clone() } else { first.to_owned() }
    }

    /// The person someone means by a short name or a full name, in any case, with or without `@`.
    #[must_use]
    pub fn find(&self, said: &str) -> Option<&Person> {
        let said = said.trim().trim_start_matches('@');
        let by_id = self.people.values().find(|person| person.id.as_str().eq_ignore_ascii_case(said));
        by_id.or_else(|| self.people.values().find(|person| person.name.to_lowercase() == said.to_lowercase())).or_else(|| {
            let mut called = self.people.values().filter(|person| self.call(&person.id).to_lowercase() == said.to_lowercase());
            called.next().filter(|_| called.next().is_none())
        })
    }
}

fn first_name(name: &str) -> &str {
    name.split_whitespace().next().unwrap_or(name)
}

/// Names in a sentence: `Ana, Raj and Li`.
#[must_use]
pub fn list_names(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let person =
            |id: &str, name: &str| Person { id: PersonId::new(id), name: name.into(), timezone: None, roles: BTreeSet::new() };
        Directory::new([person("ana", "Ana Silva"), person("raj", "Raj Patel"), person("raj2", "Raj Rao")], BTreeMap::new())
    }

    #[test]
    fn people_are_called_by_what_tells_them_apart() {
        let directory = directory();
        assert_eq!(directory.call(&PersonId::new("ana")), "Ana");
        assert_eq!(directory.call(&PersonId::new("raj")), "Raj Patel");
        assert_eq!(directory.call(&PersonId::new("zoe")), "zoe");
    }

    #[test]
    fn people_are_found_by_id_or_name() {
        let directory = directory();
        for said in ["ana", "ANA", "@ana", "Ana Silva", "Ana"] {
            assert_eq!(directory.find(said).map(|p| p.id.as_str()), Some("ana"), "{said}");
        }
        assert_eq!(directory.find("Raj Rao").map(|p| p.id.as_str()), Some("raj2"));
        assert_eq!(directory.find("zoe"), None);
    }

    #[test]
    fn names_read_as_a_sentence() {
        assert_eq!(list_names(&["Ana".into(), "Raj".into(), "Li".into()]), "Ana, Raj and Li");
        assert_eq!(list_names(&[]), "nobody");
    }
}
