//! The messages of cards as a list: a JSON object has only texts for keys, and theirs are venues.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serializer};

use crate::domain::runbook::model::Venue;

pub(super) fn serialize<S: Serializer>(cards: &BTreeMap<Venue, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(cards)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Venue, String>, D::Error> {
    Ok(Vec::<(Venue, String)>::deserialize(deserializer)?.into_iter().collect())
}
