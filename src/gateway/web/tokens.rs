//! Persons' tokens: who may act as whom without a browser. Only a hash of a token is kept, and only until it expires.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::people::PersonId;
use crate::engine::scratch::Scratch;

use super::keys::hex;
use super::problem::Problem;

/// How long a token lasts: a night and the morning after.
const LASTS: TimeDelta = TimeDelta::hours(16);
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

    /// Whose token a request bears; nothing if it bears none.
    pub(super) fn bearer(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Option<PersonId>, Problem> {
        let Some(said) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = said.to_str().ok().and_then(|said| said.strip_prefix("Bearer ")).unwrap_or_default();
        // It is looked up by its hash, so how long that takes says nothing about the tokens there are.
        match self.scratch.get(&name_of(token.trim()), now) {
            Ok(Some(person)) => Ok(Some(PersonId::new(String::from_utf8_lossy(&person)))),
            Ok(None) => {
                metrics::counter!("tminus_http_refused_total", "why" => "token").increment(1);
                let says = "This token is not known, or it has expired. `tminus token PERSON` asks the demo for a new one.";
                Err(Problem::new(StatusCode::UNAUTHORIZED, says))
            }
            Err(error) => Err(unavailable(&error)),
        }
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

    #[test]
    fn a_token_says_who_it_is_until_it_expires_and_is_kept_as_a_hash() {
        let scratch = Arc::new(MemoryScratch::new());
        let tokens = Tokens::new(scratch.clone());
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let minted = tokens.mint(&PersonId::new("maria"), now).unwrap();
        assert_eq!(minted.token.len(), 2 * TOKEN_BYTES);
        let bearer = format!("Bearer {}", minted.token);
        assert_eq!(tokens.bearer(&bearing(&bearer), now).unwrap(), Some(PersonId::new("maria")));
        assert!(tokens.bearer(&bearing(&bearer), now + LASTS).is_err(), "it has expired");
        assert_eq!(tokens.bearer(&HeaderMap::new(), now).unwrap(), None);
        for wrong in ["Bearer x", "Bearer ", "Basic bWFyaWE6eA==", &minted.token] {
            assert!(tokens.bearer(&bearing(wrong), now).is_err(), "{wrong}");
        }
        assert_eq!(scratch.get(&minted.token, now).unwrap(), None);
        assert!(scratch.get(&name_of(&minted.token), now).unwrap().is_some());
    }
}
