//! Who is meant by a step: in the order in which they were named, and quickly found, also in a very long roster.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::domain::people::PersonId;

/// Up to so many, going through them is as quick as looking them up.
const LOOKED_THROUGH_MAX: usize = 32;

/// People in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<PersonId>", into = "Vec<PersonId>")]
pub struct Roster {
    people: Vec<PersonId>,
    /// The places of many people, in the order of their names; nothing of few.
    by_name: Vec<u32>,
}

impl Roster {
    /// Whether a person is one of them.
    #[must_use]
    pub fn contains(&self, person: &PersonId) -> bool {
        if self.by_name.is_empty() {
            return self.people.contains(person);
        }
        self.by_name.binary_search_by(|place| self.people[*place as usize].cmp(person)).is_ok()
    }
}

impl From<Vec<PersonId>> for Roster {
    fn from(people: Vec<PersonId>) -> Self {
        let count = u32::try_from(people.len()).unwrap_or_default();
        let mut by_name: Vec<u32> = if people.len() > LOOKED_THROUGH_MAX { (0..count).collect() } else { Vec::new() };
        by_name.sort_by_key(|place| &people[*place as usize]);
        Self { people, by_name }
    }
}

impl From<Roster> for Vec<PersonId> {
    fn from(roster: Roster) -> Self {
        roster.people
    }
}

impl Deref for Roster {
    type Target = [PersonId];

    fn deref(&self) -> &[PersonId] {
        &self.people
    }
}

impl<'a> IntoIterator for &'a Roster {
    type Item = &'a PersonId;
    type IntoIter = std::slice::Iter<'a, PersonId>;

    fn into_iter(self) -> Self::IntoIter {
        self.people.iter()
    }
}

impl PartialEq for Roster {
    fn eq(&self, other: &Self) -> bool {
        self.people == other.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_found_like_few() {
        for count in [0, 1, LOOKED_THROUGH_MAX, LOOKED_THROUGH_MAX + 1, 1000] {
            let people: Vec<PersonId> = (0..count).rev().map(|number| PersonId::new(format!("p{number}"))).collect();
            let roster = Roster::from(people.clone());
            assert!(people.iter().all(|person| roster.contains(person)), "{count}");
            assert!(!roster.contains(&PersonId::new("p")) && !roster.contains(&PersonId::new("q")), "{count}");
            let read: Roster = serde_json::from_str(&serde_json::to_string(&roster).unwrap()).unwrap();
            assert_eq!((read.to_vec(), &read), (people, &roster));
        }
    }
}
