//! Persons' tokens: who may act as whom without a browser. Only a hash of a token is kept, and only until it expires.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::people::{Directory, PersonId};
use crate::engine::scratch::Scratch;

use super::keys::hex;
use super::problem::Problem;

/// How long a token lasts: a night and the morning after.
const LASTS: TimeDelta = TimeDelta::hours(16);
/// How a token is borne (RFC 6750).
const SCHEME: &str = "Bearer";
/// How many random bytes a token has.
const TOKEN_BYTES: usize = 32;

/// A token as its owner gets it, once.
#[derive(Debug, Serialize)]
pub(super) struct Minted {
    token: String,
    expires_at: DateTime<Utc>,
}

/// The tokens that are out.
#[derive(Clone)]
pub struct Tokens {
    scratch: Arc<dyn Scratch>,
}

impl Tokens {
    /// Tokens whose hashes are kept in a store.
    #[must_use]
    pub fn new(scratch: Arc<dyn Scratch>) -> Self {
        Self { scratch }
    }

    /// A new token of a person.
    pub(super) fn mint(&self, person: &PersonId, now: DateTime<Utc>) -> Result<Minted, Problem> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| unavailable(&error))?;
        let token = hex(&bytes);
        let expires_at = now + LASTS;
        self.scratch.put(&name_of(&token), person.as_str().as_bytes(), expires_at).map_err(|error| unavailable(&error))?;
        Ok(Minted { token, expires_at })
    }

    /// Whose token a request bears; nothing if it bears none. Who is no longer configured is nobody, whatever they hold.
    pub(super) fn bearer(
        &self,
        headers: &HeaderMap,
        people: &Directory,
        now: DateTime<Utc>,
    ) -> Result<Option<PersonId>, Problem> {
        let Some(said) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let said = said.to_str().ok().and_then(|said| said.trim().split_once(' '));
        // The name of a scheme is written in any case (RFC 9110, 11.1).
        let token = said.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, token)| token.trim());
        // It is looked up by its hash, so how long that takes says nothing about the tokens there are.
        let person = match token {
            Some(token) => self.scratch.get(&name_of(token), now).map_err(|error| unavailable(&error))?,
            None => None,
        };
        let person = person.map(|person| PersonId::new(String::from_utf8_lossy(&person)));
        let Some(person) = person.filter(|person| people.person(person).is_some()) else {
            metrics::counter!("tminus_http_refused_total", "why" => "token").increment(1);
            let says = "This token is not known, or it has expired. `tminus token PERSON` asks the demo for a new one.";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, says));
        };
        Ok(Some(person))
    }
}

/// Where a token is kept: by its hash alone.
fn name_of(token: &str) -> String {
    format!("token/{}", hex(&Sha256::digest(token.as_bytes())))
}

fn unavailable(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("Tokens can't be handled: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scratch::MemoryScratch;

    fn bearing(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, token.parse().unwrap())])
    }

    fn people(ids: &[&str]) -> Directory {
        let person = |id: &&str| crate::domain::people::Person {
            id: PersonId::new(*id),
            name: (*id).to_owned(),
            timezone: None,
            roles: std::collections::BTreeSet::new(),
        };
        Directory::new(ids.iter().map(person), std::collections::BTreeMap::new())
    }

    #[test]
    fn a_token_says_who_it_is_until_it_expires_and_is_kept_as_a_hash() {
        let scratch = Arc::new(MemoryScratch::new());
        let tokens = Tokens::new(scratch.clone());
        let people = people(&["maria", "ana"]);
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let minted = tokens.mint(&PersonId::new("maria"), now).unwrap();
        assert_eq!(minted.token.len(), 2 * TOKEN_BYTES);
        assert_ne!(tokens.mint(&PersonId::new("maria"), now).unwrap().token, minted.token);
        let bearer = format!("Bearer {}", minted.token);
        assert_eq!(tokens.bearer(&bearing(&bearer), &people, now).unwrap(), Some(PersonId::new("maria")));
        assert_eq!(
            tokens.bearer(&bearing(&format!("bearer  {}", minted.token)), &people, now).unwrap(),
            Some(PersonId::new("maria"))
        );
        assert!(tokens.bearer(&bearing(&bearer), &people, now + LASTS).is_err(), "it has expired");
        assert_eq!(tokens.bearer(&HeaderMap::new(), &people, now).unwrap(), None);
        for wrong in ["Bearer x", "Bearer ", "Bearer", "Basic bWFyaWE6eA==", &minted.token, &format!("Basic {}", minted.token)] {
            assert_eq!(tokens.bearer(&bearing(wrong), &people, now).unwrap_err().status(), StatusCode::UNAUTHORIZED, "{wrong}");
        }
        assert_eq!(scratch.get(&minted.token, now).unwrap(), None);
        assert!(scratch.get(&name_of(&minted.token), now).unwrap().is_some());
    }

    #[test]
    fn who_is_no_longer_configured_is_nobody_with_a_token_too() {
        let tokens = Tokens::new(Arc::new(MemoryScratch::new()));
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let minted = tokens.mint(&PersonId::new("maria"), now).unwrap();
        let refused = tokens.bearer(&bearing(&format!("Bearer {}", minted.token)), &people(&["ana"]), now).unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
}
