//! The pages: rooms with their conversation, rollouts in full. Rendered here, kept up to date by one small script that fetches
//! the same address again whenever something changed.

mod history;
mod login;
mod room;
mod wall;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::domain::people::Person;
use crate::domain::problem::did_you_mean;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::ClockKind;
use crate::domain::rollout::view::RolloutView;
use crate::domain::time::{Takes, say_between, say_seconds, say_time, write_time};
use crate::engine::ports::RoomInfo;

use super::access::{OPERATOR, Visitor};
use super::api::{is_read_by, rollout_view};
use super::history::{Compared, compared};
use super::problem::{Problem, Query};
use super::rollouts::{RolloutLine, Status, newest};
use super::timeline::{Pictures, pictures};
use super::{Web, markdown};

const STYLE: &str = include_str!("pages/app.css");
const SCRIPT: &str = include_str!("pages/app.js");
const ICON: &str = include_str!("pages/icon.svg");

/// How many open rollouts every page lists at its side, and how many that are over: the list of all has the others.
const SIDE_OPEN_MAX: usize = 20;
const SIDE_CLOSED_MAX: usize = 5;
/// How many open rollouts the list of all shows, and how many that are over at once.
const LISTED_OPEN_MAX: usize = 1000;
const LISTED_CLOSED_MAX: usize = 100;

/// Changes whenever an asset does, so that a browser never runs yesterday's script on today's page.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = crc32fast::Hasher::new();
    for asset in [STYLE, SCRIPT, ICON, wall::STYLE, wall::SCRIPT] {
        hasher.update(asset.as_bytes());
    }
    format!("{:08x}", hasher.finalize())
});

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_filter("markdown", |text: &str| Value::from_safe_string(markdown::to_html(text)));
    templates.add_filter("inline", |text: &str| Value::from_safe_string(markdown::to_html_inline(text)));
    templates.add_filter("moment", |at: &str, zone: &str, now: &str| {
        Ok::<_, Error>(say_time(moment(at)?, moment(now)?, zone_named(zone)?))
    });
    templates.add_filter("written", |at: &str, zone: &str| Ok::<_, Error>(write_time(moment(at)?, zone_named(zone)?)));
    templates.add_filter("between", |from: &str, to: &str| Ok::<_, Error>(say_between(moment(from)?, moment(to)?)));
    templates.add_filter("seconds", say_seconds);
    templates.add_filter("takes", |takes: Serde<Takes>| takes.0.to_string());
    for (name, source) in [
        ("base.html", include_str!("pages/base.html")),
        ("parts.html", include_str!("pages/parts.html")),
        ("room.html", include_str!("pages/room.html")),
        ("rollouts.html", include_str!("pages/rollouts.html")),
        ("rollout.html", include_str!("pages/rollout.html")),
        ("missing.html", include_str!("pages/missing.html")),
        ("login.html", include_str!("pages/login.html")),
        ("history.html", include_str!("pages/history.html")),
        ("wall.html", include_str!("pages/wall.html")),
    ] {
        templates.add_template(name, source).expect("the templates are built in, and a test compiles them");
    }
    templates
});

fn moment(text: &str) -> Result<DateTime<Utc>, Error> {
    text.parse().map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("`{text}` is no moment")))
}

fn zone_named(name: &str) -> Result<Tz, Error> {
    name.parse().map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("`{name}` is no time zone")))
}

/// What pages load, which anybody may. An address that only looks like one of these is none.
const ASSETS: [&str; 5] = ["/assets/app.css", "/assets/app.js", "/assets/icon.svg", "/assets/wall.css", "/assets/wall.js"];

/// Whether there is an asset at this address.
pub(super) fn is_asset(path: &str) -> bool {
    ASSETS.contains(&path)
}

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(first_room))
        .route("/rooms/{room}", get(one_room))
        .route("/rollouts", get(rollouts))
        .route("/rollouts/{id}", get(rollout))
        .merge(login::routes())
        .merge(history::routes())
        .merge(wall::routes())
        .route("/assets/app.css", get(async |headers: HeaderMap| asset(&headers, "text/css; charset=utf-8", STYLE)))
        .route("/assets/app.js", get(async |headers: HeaderMap| asset(&headers, "text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/icon.svg", get(async |headers: HeaderMap| asset(&headers, "image/svg+xml", ICON)))
}

fn asset(headers: &HeaderMap, content_type: &'static str, content: &'static str) -> Response {
    let tag = format!("\"{}\"", *VERSION);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let tag = HeaderValue::from_str(&tag).expect("eight hexadecimal digits in quotes are a header value");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    if known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, content).into_response() }
}

#[derive(Deserialize)]
struct As {
    #[serde(rename = "as")]
    person: Option<String>,
}

/// Who looks.
pub(super) struct Viewer {
    visitor: Visitor,
    /// Whom the address names, in the demo.
    named: Option<String>,
}

impl FromRequestParts<Web> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let visitor = Visitor::from_request_parts(parts, web).await?;
        let Query(As { person: named }) = Query::from_request_parts(parts, web).await?;
        Ok(Self { visitor, named })
    }
}

/// What every page shows around its own content.
#[derive(Serialize)]
struct Shell {
    version: &'static str,
    demo: bool,
    person: String,
    name: String,
    people: Vec<PersonLine>,
    rooms: Vec<RoomLine>,
    rollouts: Vec<RolloutLine>,
    /// How many rollouts there are.
    rollouts_in_all: usize,
    clock: Option<ClockLine>,
    /// The room or rollout that is looked at.
    at: String,
}

#[derive(Serialize)]
struct PersonLine {
    id: String,
    name: String,
}

#[derive(Serialize)]
struct RoomLine {
    id: String,
    title: String,
    /// The title without its platform.
    name: String,
    platform: Option<String>,
    hosts: bool,
}

impl From<RoomInfo> for RoomLine {
    fn from(info: RoomInfo) -> Self {
        let parts = info.title.split_once(": ").filter(|_| !info.hosts);
        let (platform, name) = parts.map_or((None, info.title.as_str()), |(platform, name)| (Some(platform.to_owned()), name));
        Self { name: name.to_owned(), platform, id: info.id, title: info.title, hosts: info.hosts }
    }
}

/// The clock that the page shows, and may move.
#[derive(Serialize)]
struct ClockLine {
    /// None: the clocks of all open rollouts.
    rollout: Option<String>,
    now: Option<String>,
    next: Option<String>,
    movable: bool,
}

impl ClockLine {
    fn of(rollout: &RolloutView) -> Option<Self> {
        let zone = zone_named(rollout.timezone).unwrap_or(Tz::UTC);
        (rollout.status == "open").then(|| Self {
            rollout: Some(rollout.id.clone()),
            now: Some(say_clock(rollout.now, zone)),
            next: rollout.next_by_itself.clone(),
            movable: rollout.clock == ClockKind::Shifted,
        })
    }
}

fn say_clock(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%a %-d %b %Y %H:%M %Z").to_string()
}

async fn shell(web: &Web, viewer: &Viewer, at: &str, clock: Option<ClockLine>) -> Result<Shell, Problem> {
    let person = person(web, viewer);
    let (mut rollouts, open_in_all) = newest(web, false, None, SIDE_OPEN_MAX).await?;
    let (closed, closed_in_all) = newest(web, true, None, SIDE_CLOSED_MAX).await?;
    rollouts.extend(closed);
    // Open ones first; the sort is stable, so each half stays newest first.
    rollouts.sort_by_key(|rollout| rollout.status != Status::Open);
    let open: Vec<&RolloutLine> = rollouts.iter().filter(|rollout| rollout.status == Status::Open).collect();
    let clock = match (clock, &open[..]) {
        (Some(clock), _) => Some(clock),
        (None, []) => None,
        (None, [only]) => ClockLine::of(&rollout_view(web, only.id.as_str()).await?),
        (None, _) => Some(ClockLine { rollout: None, now: None, next: None, movable: web.demo }),
    };
    let people = web.conductor.people().people();
    // What is written to one person is read by that person; the demo shows it to whom one is just now.
    let is_read = |room: &RoomInfo| room.person.is_none() || room.person.as_ref() == person.map(|person| &person.id);
    Ok(Shell {
        version: &VERSION,
        demo: web.demo,
        name: person.map(|person| person.name.clone()).unwrap_or_default(),
        person: person.map(|person| person.id.to_string()).unwrap_or_default(),
        people: people.map(|person| PersonLine { id: person.id.to_string(), name: person.name.clone() }).collect(),
        rooms: web.rooms.rooms().into_iter().filter(is_read).map(RoomLine::from).collect(),
        rollouts,
        rollouts_in_all: open_in_all + closed_in_all,
        clock,
        at: at.to_owned(),
    })
}

/// Who looks: whoever logged in; in the demo the one the address names, else somebody who operates.
fn person<'w>(web: &'w Web, viewer: &Viewer) -> Option<&'w Person> {
    let people = web.conductor.people();
    if !web.demo {
        return viewer.visitor.person().and_then(|id| people.person(id));
    }
    let named = viewer.named.as_deref().and_then(|named| people.find(named));
    let operator = || people.people().find(|person| person.roles.contains(OPERATOR));
    named.or_else(operator).or_else(|| people.people().next())
}

async fn first_room(State(web): State<Web>, viewer: Viewer) -> Response {
    let rooms = web.rooms.rooms();
    let first = rooms.iter().find(|room| room.hosts).or_else(|| rooms.first());
    let address = first.map_or_else(|| "/rollouts".to_owned(), |room| format!("/rooms/{}", room.id));
    // Whoever is named stays who they are; anything that is nobody is dropped.
    match viewer.named.as_deref().filter(|_| web.demo).and_then(|named| web.conductor.people().find(named)) {
        Some(person) => Redirect::to(&format!("{address}?as={}", person.id)).into_response(),
        None => Redirect::to(&address).into_response(),
    }
}

async fn one_room(State(web): State<Web>, Path(id): Path<String>, viewer: Viewer) -> Response {
    let rooms: Vec<RoomInfo> = web.rooms.rooms().into_iter().filter(|room| is_read_by(room, &viewer.visitor)).collect();
    let Some(info) = rooms.iter().find(|room| room.id == id) else {
        let near = did_you_mean(&id, rooms.iter().map(|room| room.id.as_str()));
        let near = near.map(|near| Near { href: format!("/rooms/{near}"), text: near.to_owned() });
        return missing(&web, &viewer, "No such room", &format!("There is no room called “{id}” here."), near).await;
    };
    page(&web, &viewer, room::page(&web, info, &viewer).await).await
}

async fn rollouts(State(web): State<Web>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Response {
    page(&web, &viewer, rollouts_page(&web, &viewer, wanted.before.as_deref()).await).await
}

/// Of the list of rollouts.
#[derive(Deserialize)]
struct Wanted {
    /// Those that are over and began before this one.
    before: Option<String>,
}

async fn rollouts_page(web: &Web, viewer: &Viewer, before: Option<&str>) -> Result<Html<String>, Problem> {
    let people = web.conductor.people().people().map(|person| (person.id.to_string(), person.name.clone())).collect();
    let shell = shell(web, viewer, "/rollouts", None).await?;
    let (mut rollouts, open_in_all) = match before {
        None => newest(web, false, None, LISTED_OPEN_MAX).await?,
        Some(_) => (Vec::new(), 0),
    };
    let more_open = open_in_all.saturating_sub(LISTED_OPEN_MAX);
    let (closed, _) = newest(web, true, before, LISTED_CLOSED_MAX).await?;
    let earlier = closed.last().filter(|_| closed.len() == LISTED_CLOSED_MAX).map(|last| last.id.to_string());
    rollouts.extend(closed);
    rollouts.sort_by_key(|rollout| rollout.status != Status::Open);
    let later = before.is_some();
    render("rollouts.html", &RolloutsPage { shell, people, rollouts, more_open, earlier, later })
}

#[derive(Serialize)]
struct RolloutsPage {
    shell: Shell,
    /// Names by id.
    people: BTreeMap<String, String>,
    rollouts: Vec<RolloutLine>,
    /// How many open ones are not listed.
    more_open: usize,
    /// Where the earlier ones begin, if there may be any.
    earlier: Option<String>,
    /// Whether there are later ones.
    later: bool,
}

async fn rollout(State(web): State<Web>, Path(id): Path<String>, viewer: Viewer) -> Response {
    let (is_known, near) = web.conductor.with_registry(|registry| {
        let is_known = registry.rollouts.contains_key(&RolloutId(id.clone()));
        let near = || did_you_mean(&id, registry.rollouts.keys().map(RolloutId::as_str)).map(str::to_owned);
        (is_known, if is_known { None } else { near() })
    });
    if !is_known {
        let near = near.map(|near| Near { href: format!("/rollouts/{near}"), text: near });
        return missing(&web, &viewer, "No such rollout", &format!("There is no rollout called “{id}”."), near).await;
    }
    page(&web, &viewer, rollout_page(&web, &id, &viewer).await).await
}

async fn rollout_page(web: &Web, id: &str, viewer: &Viewer) -> Result<Html<String>, Problem> {
    let rollout = rollout_view(web, id).await?;
    let shell = shell(web, viewer, &format!("/rollouts/{id}"), ClockLine::of(&rollout)).await?;
    let (timeline, compared) = (pictures(web, id).await?, compared(web, id).await?);
    render("rollout.html", &RolloutPage { shell, rollout, timeline, compared })
}

#[derive(Serialize)]
struct RolloutPage {
    shell: Shell,
    rollout: RolloutView,
    timeline: Pictures,
    /// How steps compare with earlier runs, by id.
    compared: BTreeMap<String, Compared>,
}

/// Where there is nothing to see, and why.
#[derive(Serialize)]
struct MissingPage<'p> {
    shell: Shell,
    title: &'p str,
    says: &'p str,
    near: Option<Near>,
}

/// Something that was probably meant.
#[derive(Serialize)]
struct Near {
    href: String,
    text: String,
}

/// What a browser sees where there is nothing.
pub(super) async fn nothing_here(web: &Web, visitor: Visitor) -> Response {
    missing(web, &Viewer { visitor, named: None }, "Nothing here", "There is no page at this address.", None).await
}

async fn missing(web: &Web, viewer: &Viewer, title: &str, says: &str, near: Option<Near>) -> Response {
    // Who sees no rooms and rollouts does not see them at the side of a page that is not there.
    if !viewer.visitor.is_inside() {
        return login::plain(StatusCode::NOT_FOUND, title, says);
    }
    let shell = match shell(web, viewer, "", None).await {
        Ok(shell) => shell,
        Err(problem) => return problem.into_response(),
    };
    let html = render("missing.html", &MissingPage { shell, title, says, near });
    (StatusCode::NOT_FOUND, no_store(), html).into_response()
}

async fn page(web: &Web, viewer: &Viewer, html: Result<Html<String>, Problem>) -> Response {
    let problem = match html {
        Ok(html) => return (no_store(), html).into_response(),
        Err(problem) => problem,
    };
    let Ok(shell) = shell(web, viewer, "", None).await else { return problem.into_response() };
    let missing = MissingPage { shell, title: problem.title(), says: problem.detail(), near: None };
    (problem.status(), no_store(), render("missing.html", &missing)).into_response()
}

/// A page is how things stand now; going back to one must not show how they stood.
fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

fn render(name: &str, page: &impl Serialize) -> Result<Html<String>, Problem> {
    let rendered = TEMPLATES.get_template(name).and_then(|template| template.render(Value::from(Serde(page))));
    rendered.map(Html).map_err(|error| {
        tracing::error!("The page {name} can't be rendered: {error:#}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made. The server's log says why.")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_template_is_built_in_and_compiles() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway/web/pages");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "html"));
        let files: BTreeSet<String> = pages.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let built_in: BTreeSet<String> = TEMPLATES.templates().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(built_in, files);
    }

    #[test]
    fn what_people_name_things_is_text_not_markup() {
        let eve = PersonLine { id: "x".to_owned(), name: "<b>\"Eve\"</b>".to_owned() };
        let (rooms, rollouts, at) = (Vec::new(), Vec::new(), String::new());
        let shell = Shell {
            version: "0",
            demo: true,
            person: at.clone(),
            name: at.clone(),
            people: vec![eve],
            rooms,
            rollouts,
            rollouts_in_all: 0,
            clock: None,
            at,
        };
        let html = render("missing.html", &MissingPage { shell, title: "<i>", says: "<script>", near: None }).unwrap().0;
        assert!(html.contains("&lt;b&gt;&quot;Eve&quot;&lt;") && html.contains("<h1>&lt;i&gt;</h1>"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }
}
