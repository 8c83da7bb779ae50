//! Logging in, by a personal link, and out.
//!
//! Looking at a link changes nothing: programs that preview links, or look them over for viruses, look too. A press of the
//! button on its page uses it up.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::gateway::web::Web;
use crate::gateway::web::access::grants::{Grant, GrantKind, Holder, Wanted};
use crate::gateway::web::access::{OPERATOR, Visitor, find, is_known};
use crate::gateway::web::problem::Problem;

use super::{VERSION, no_store, render};

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/log-in", get(ask).post(log_in)).route("/log-in/{invite}", get(look)).route("/log-out", post(log_out))
}

#[derive(Default, Serialize)]
struct LoginPage {
    version: &'static str,
    title: String,
    says: String,
    /// What the button sends; none where there is nothing to press.
    invite: Option<String>,
    /// Where one goes from here instead.
    onward: Option<&'static str>,
}

impl LoginPage {
    fn respond(self, status: StatusCode) -> Response {
        let page = Self { version: &VERSION, ..self };
        match render("login.html", &page) {
            Ok(html) => (status, no_store(), html).into_response(),
            Err(problem) => problem.into_response(),
        }
    }
}

/// A page of a few words, with nothing around it.
pub(super) fn plain(status: StatusCode, title: &str, says: &str) -> Response {
    LoginPage { title: title.to_owned(), says: says.to_owned(), ..LoginPage::default() }.respond(status)
}

/// For who comes without a link.
async fn ask(State(web): State<Web>, visitor: Visitor) -> Response {
    if web.demo || visitor.person().is_some() || visitor.is_wall() {
        return Redirect::to("/").into_response();
    }
    let says = "Ask somebody who looks after this T-minus for your personal link. It works once, and logs this browser in.";
    LoginPage { title: "Log in".to_owned(), says: says.to_owned(), ..LoginPage::default() }.respond(StatusCode::OK)
}

/// What a link would do.
async fn look(State(web): State<Web>, visitor: Visitor, Path(invite): Path<String>) -> Response {
    if web.demo {
        return Redirect::to("/").into_response();
    }
    let found = match find(&web, GrantKind::Invite, &invite).await {
        Ok(found) => found.filter(|grant| is_known(&grant.holder, web.conductor.people())),
        Err(error) => return Problem::from(error).into_response(),
    };
    let Some(grant) = found else { return used_up(&visitor) };
    let person = match &grant.holder {
        Holder::Person(id) => web.conductor.people().person(id).map(|person| person.name.clone()),
        Holder::Wall => None,
    };
    let (title, says) = match person {
        Some(name) => (
            format!("Log in as {name}"),
            "This link is yours alone and works once. Whatever is pressed in this browser from then on bears your name."
                .to_owned(),
        ),
        None => (
            "Show rollouts on this screen".to_owned(),
            "This browser will show how rollouts stand, and can change nothing.".to_owned(),
        ),
    };
    LoginPage { title, says, invite: Some(invite), ..LoginPage::default() }.respond(StatusCode::OK)
}

fn used_up(visitor: &Visitor) -> Response {
    let says = format!(
        "It was used already, it expired, or it was taken back. Ask for a new one: `tminus invite` gives them out, and so does \
         everybody with the role {OPERATOR}."
    );
    let onward = (visitor.person().is_some() || visitor.is_wall()).then_some("/");
    LoginPage { title: "This link does not work any more".to_owned(), says, onward, ..LoginPage::default() }
        .respond(StatusCode::GONE)
}

#[derive(Deserialize)]
struct LogIn {
    invite: String,
}

async fn log_in(State(web): State<Web>, visitor: Visitor, Form(LogIn { invite }): Form<LogIn>) -> Response {
    if web.demo {
        return Redirect::to("/").into_response();
    }
    match logged_in(&web, &visitor, &invite).await {
        Ok(Some((cookie, onward))) => ([(header::SET_COOKIE, cookie)], no_store(), Redirect::to(onward)).into_response(),
        Ok(None) => used_up(&visitor),
        Err(problem) => problem.into_response(),
    }
}

/// Uses a link up for a session; nothing if it is worth nothing.
async fn logged_in(web: &Web, visitor: &Visitor, invite: &str) -> Result<Option<(HeaderValue, &'static str)>, Problem> {
    let (conductor, now, invite) = (web.conductor.clone(), web.conductor.now(), invite.to_owned());
    let entered = web.access.with_grants(move |grants| {
        let is_known = |grant: &Grant| is_known(&grant.holder, conductor.people());
        let Some(grant) = grants.find(GrantKind::Invite, &invite, now)?.filter(is_known) else { return Ok(None) };
        // A screen on a wall is forgotten there for as long as may be.
        let is_wall = grant.holder == Holder::Wall;
        let lasts = if is_wall { GrantKind::Session.lasts_max() } else { GrantKind::Session.lasts() };
        let Grant { holder, issued_by, only, .. } = grant;
        let wanted = Wanted { kind: GrantKind::Session, holder: holder.clone(), lasts, issued_by, only };
        // The session first: where there is no room for it, or no disk, the link is kept for when there is.
        let issued = grants.issue_as(wanted, now)?;
        match grants.redeem(GrantKind::Invite, &invite, now) {
            Ok(Some(_)) => {}
            // Somebody else was quicker, or the link would work again: nobody hears of this session.
            lost => {
                grants.redeem(GrantKind::Session, &issued.secret, now)?;
                return lost.map(|_| None);
            }
        }
        tracing::info!("{holder} logged in");
        Ok(Some((issued, lasts, is_wall)))
    });
    let Some((issued, lasts, is_wall)) = entered.await? else { return Ok(None) };
    // Whoever this browser was before is not left logged in behind it.
    end(web, visitor).await?;
    Ok(Some((web.access.set_cookie(&issued.secret, lasts), if is_wall { "/wall" } else { "/" })))
}

async fn log_out(State(web): State<Web>, visitor: Visitor) -> Response {
    if let Err(problem) = end(&web, &visitor).await {
        return problem.into_response();
    }
    let cookie = web.access.set_cookie("", TimeDelta::zero());
    ([(header::SET_COOKIE, cookie)], no_store(), Redirect::to("/log-in")).into_response()
}

/// Ends the session that a request bears, if it bears one.
async fn end(web: &Web, visitor: &Visitor) -> Result<(), Problem> {
    if let Visitor::Known { by: GrantKind::Session, secret, .. } = visitor {
        let (secret, now) = (secret.clone(), web.conductor.now());
        web.access.with_grants(move |grants| grants.redeem(GrantKind::Session, &secret, now)).await?;
    }
    Ok(())
}
