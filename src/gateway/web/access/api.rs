//! The API of access: who one is, tokens, personal links, and taking them back.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::people::PersonId;
use crate::domain::time::{parse_duration, say_seconds};
use crate::gateway::web::Web;
use crate::gateway::web::api::find_person;
use crate::gateway::web::problem::{Json, Problem};

use super::Visitor;
use super::grants::{Grant, GrantKind, Holder, Only, Wanted};

pub(in crate::gateway::web) fn routes() -> Router<Web> {
    Router::new()
        .route("/api/me", get(me))
        .route("/api/tokens", post(mint))
        .route("/api/invites", post(invite))
        .route("/api/access", get(list))
        .route("/api/access/people/{person}", delete(revoke))
        .route("/api/access/wall", delete(revoke_walls))
}

/// Who asks; nobody in a demo, where each request says itself who acts.
#[derive(Default, Serialize)]
struct Me {
    person: Option<PersonId>,
    name: Option<String>,
    roles: Vec<String>,
}

async fn me(State(web): State<Web>, visitor: Visitor) -> axum::Json<Me> {
    let person = visitor.person().and_then(|id| web.conductor.people().person(id));
    let me = person.map(|person| Me {
        person: Some(person.id.clone()),
        name: Some(person.name.clone()),
        roles: person.roles.iter().cloned().collect(),
    });
    axum::Json(me.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MintBody {
    person: Option<String>,
    lasts: Option<String>,
}

/// A token as its owner gets it, once.
#[derive(Serialize)]
struct Minted {
    token: String,
    expires_at: DateTime<Utc>,
}

/// A token: an operator's own, given to whoever logged in with a browser; in the demo anybody's.
async fn mint(State(web): State<Web>, visitor: Visitor, Json(body): Json<MintBody>) -> Result<axum::Json<Minted>, Problem> {
    let person = match (visitor.operator()?, &body.person) {
        (Some(own), None) => own,
        (Some(own), Some(named)) if find_person(&web, named)? == own => own,
        (Some(_), Some(_)) => {
            let says = "Everybody's token is their own. On the machine itself, `tminus token PERSON` gives out others'.";
            return Err(Problem::new(StatusCode::FORBIDDEN, says));
        }
        (None, Some(named)) => find_person(&web, named)?,
        (None, None) => {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "`person` is missing: whose token is it to be?"));
        }
    };
    no_token(&visitor)?;
    let lasts = lasts(body.lasts.as_deref(), GrantKind::Token)?;
    let (holder, now) = (Holder::Person(person.clone()), web.conductor.now());
    let wanted = Wanted { kind: GrantKind::Token, holder, lasts, issued_by: by(&visitor), only: None };
    let issued = web.access.with_grants(move |grants| grants.issue_as(wanted, now)).await?;
    Ok(axum::Json(Minted { token: issued.secret, expires_at: issued.grant.expires_at }))
}

/// A token that could renew itself, by a token or by a link to log in with, would never end.
fn no_token(visitor: &Visitor) -> Result<(), Problem> {
    if matches!(visitor, Visitor::Known { by: GrantKind::Token, .. }) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "A token gives out no tokens and no links. Log in with a browser."));
    }
    Ok(())
}

/// Who gives something out, as it is remembered.
fn by(visitor: &Visitor) -> Option<String> {
    visitor.person().map(PersonId::to_string)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    /// Nobody: a screen on a wall.
    person: Option<String>,
    lasts: Option<String>,
}

#[derive(Serialize)]
struct Invited {
    link: String,
    expires_at: DateTime<Utc>,
}

async fn invite(State(web): State<Web>, visitor: Visitor, Json(body): Json<InviteBody>) -> Result<axum::Json<Invited>, Problem> {
    visitor.operator()?;
    if web.demo {
        return Err(Problem::new(StatusCode::CONFLICT, "Nobody logs in to a demo: everybody may be anybody."));
    }
    no_token(&visitor)?;
    let holder = match &body.person {
        Some(named) => Holder::Person(find_person(&web, named)?.clone()),
        None => Holder::Wall,
    };
    let lasts = lasts(body.lasts.as_deref(), GrantKind::Invite)?;
    let now = web.conductor.now();
    let wanted = Wanted { kind: GrantKind::Invite, holder, lasts, issued_by: by(&visitor), only: None };
    let issued = web.access.with_grants(move |grants| grants.issue_as(wanted, now)).await?;
    let link = link(web.access.public_url.as_deref().unwrap_or_default(), &issued.secret);
    Ok(axum::Json(Invited { link, expires_at: issued.grant.expires_at }))
}

/// A personal link.
#[must_use]
pub fn link(public_url: &str, secret: &str) -> String {
    format!("{}/log-in/{secret}", public_url.trim_end_matches('/'))
}

/// How long something is to last.
fn lasts(said: Option<&str>, kind: GrantKind) -> Result<chrono::TimeDelta, Problem> {
    let Some(said) = said else { return Ok(kind.lasts()) };
    let unusable = |says: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`lasts`: {says}"));
    let lasts = parse_duration(said).map_err(unusable)?;
    check_lasts(lasts, kind).map_err(unusable)
}

/// Whether a grant may last so many seconds.
///
/// # Errors
/// When not: what would be right.
pub fn check_lasts(seconds: i64, kind: GrantKind) -> Result<chrono::TimeDelta, String> {
    let max = kind.lasts_max().num_seconds();
    if !(60..=max).contains(&seconds) {
        let article = if kind == GrantKind::Invite { "an" } else { "a" };
        let (name, min, max) = (kind.name(), say_seconds(60), say_seconds(max));
        return Err(format!("{article} {name} lasts at least {min} and at most {max}"));
    }
    Ok(chrono::TimeDelta::seconds(seconds))
}

/// What is out, without its secret.
#[derive(Serialize)]
struct GrantView {
    /// Nobody: a screen on a wall.
    person: Option<PersonId>,
    kind: GrantKind,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Who gave it out, or its link.
    issued_by: Option<String>,
    /// The one thing it is good for.
    only: Option<Only>,
}

async fn list(State(web): State<Web>, visitor: Visitor) -> Result<axum::Json<Vec<GrantView>>, Problem> {
    visitor.operator()?;
    let view = |Grant { kind, holder, issued_at, expires_at, issued_by, only }| {
        let person = match holder {
            Holder::Person(person) => Some(person),
            Holder::Wall => None,
        };
        GrantView { person, kind, issued_at, expires_at, issued_by, only }
    };
    let now = web.conductor.now();
    let listed = web.access.with_grants(move |grants| grants.list(now)).await?;
    Ok(axum::Json(listed.into_iter().map(view).collect()))
}

#[derive(Serialize)]
struct Revoked {
    revoked: usize,
}

/// Also of somebody who is not configured any more.
async fn revoke(State(web): State<Web>, visitor: Visitor, Path(person): Path<String>) -> Result<axum::Json<Revoked>, Problem> {
    visitor.operator()?;
    let (holder, by) = (Holder::Person(PersonId::new(person)), by(&visitor));
    Ok(axum::Json(Revoked { revoked: web.access.with_grants(move |grants| grants.revoke(&holder, by.as_deref())).await? }))
}

async fn revoke_walls(State(web): State<Web>, visitor: Visitor) -> Result<axum::Json<Revoked>, Problem> {
    visitor.operator()?;
    let by = by(&visitor);
    Ok(axum::Json(Revoked { revoked: web.access.with_grants(move |grants| grants.revoke(&Holder::Wall, by.as_deref())).await? }))
}
