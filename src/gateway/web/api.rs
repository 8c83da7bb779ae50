//! The API: what the page uses, and whoever else wants to. `openapi.json` describes it.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::conversation::answer::{Answer, Asked};
use crate::domain::conversation::button::ButtonToken;
use crate::domain::conversation::grammar::addressed;
use crate::domain::message::card::{ButtonStyle, FormField};
use crate::domain::paper::paper;
use crate::domain::people::PersonId;
use crate::domain::problem::did_you_mean;
use crate::domain::registry::Registry;
use crate::domain::rollout::command::{Actor, CommandId, RolloutId};
use crate::domain::rollout::event::Recorded;
use crate::domain::rollout::view::{RolloutView, view};
use crate::domain::time::parse_duration;
use crate::engine::clock::Stopwatch;
use crate::engine::conductor::{Advance, Press, Rejected, Said};
use crate::engine::ports::{Author, Belongs, RoomError, RoomInfo, RoomMessage};

use super::access::Visitor;
use super::problem::{Json, Path, Problem, Query};
use super::{Web, markdown};

/// The header that makes a second arrival a repetition.
const KEY_HEADER: &str = "idempotency-key";
/// The longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 200;
/// The longest message, in characters.
const TEXT_CHARS_MAX: usize = 8000;
/// How many events one request gets.
const EVENTS_MAX: usize = 500;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/api/openapi.json", get(openapi))
        .route("/api/people", get(people))
        .route("/api/rooms", get(rooms))
        .route("/api/rooms/{room}/messages", get(messages).post(say))
        .route("/api/rooms/{room}/messages/{id}/press", post(press))
        .route("/api/rollouts/{id}", get(rollout))
        .route("/api/rollouts/{id}/events", get(events))
        .route("/api/rollouts/{id}/report", get(report))
        .route("/api/clock/advance", post(advance))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

#[derive(Serialize)]
struct PersonInfo {
    id: String,
    name: String,
}

async fn people(State(web): State<Web>) -> axum::Json<Vec<PersonInfo>> {
    let info = |person: &crate::domain::people::Person| PersonInfo { id: person.id.to_string(), name: person.name.clone() };
    axum::Json(web.conductor.people().people().map(info).collect())
}

async fn rooms(State(web): State<Web>, visitor: Visitor) -> axum::Json<Vec<RoomInfo>> {
    axum::Json(web.rooms.rooms().into_iter().filter(|room| is_read_by(room, &visitor)).collect())
}

/// What is written to one person is read by that person; in a demo by everybody.
pub(super) fn is_read_by(room: &RoomInfo, visitor: &Visitor) -> bool {
    *visitor == Visitor::Anybody || room.person.is_none() || room.person.as_ref() == visitor.person()
}

/// A room that somebody may not read is not there.
fn open_to(web: &Web, visitor: &Visitor, room: &str) -> Result<(), Problem> {
    let is_closed = web.rooms.info(room).is_some_and(|info| !is_read_by(&info, visitor));
    if is_closed { Err(RoomError::Unknown(room.to_owned()).into()) } else { Ok(()) }
}

/// A message as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MessageView {
    pub id: String,
    pub author: String,
    pub author_name: String,
    pub text: String,
    pub subject: Option<String>,
    pub buttons: Vec<ButtonView>,
    pub fields: Vec<FieldView>,
    pub thread_of: Option<String>,
    pub rollout: Option<RolloutId>,
    pub card: bool,
    pub at: DateTime<Utc>,
    pub edited_at: Option<DateTime<Utc>>,
}

/// A button as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ButtonView {
    pub id: String,
    pub label: String,
    pub style: ButtonStyle,
    pub enabled: bool,
    pub confirm: Option<String>,
    pub reason: bool,
}

/// A field of an open form, with the button that sends it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FieldView {
    pub button: String,
    #[serde(flatten)]
    pub field: FormField,
}

pub(super) fn message_view(web: &Web, message: &RoomMessage) -> MessageView {
    let (author, author_name) = match &message.author {
        Author::Bot => ("tminus".to_owned(), "T-minus".to_owned()),
        Author::Person(id) => {
            (id.to_string(), web.conductor.people().person(id).map_or_else(|| id.to_string(), |person| person.name.clone()))
        }
    };
    let fields = message
        .buttons
        .iter()
        .flat_map(|button| button.fields.iter().map(|field| FieldView { button: button.id.clone(), field: field.clone() }));
    let buttons = message.buttons.iter().map(|button| ButtonView {
        id: button.id.clone(),
        label: button.label.clone(),
        style: button.style,
        // Buttons that can't be pressed are not shown at all.
        enabled: true,
        confirm: button.confirm.clone(),
        reason: button.reason,
    });
    MessageView {
        id: message.id.to_string(),
        author,
        author_name,
        text: message.text.clone(),
        subject: message.subject.clone(),
        buttons: buttons.collect(),
        fields: fields.collect(),
        thread_of: message.thread_of.map(|id| id.to_string()),
        rollout: message.rollout.clone(),
        card: message.is_card,
        at: message.at,
        edited_at: message.edited_at,
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn messages(
    State(web): State<Web>,
    visitor: Visitor,
    Path(room): Path<String>,
    Query(after): Query<After>,
) -> Result<axum::Json<Vec<MessageView>>, Problem> {
    open_to(&web, &visitor, &room)?;
    let messages = web.rooms.messages(&room, after.after).await?;
    Ok(axum::Json(messages.iter().map(|message| message_view(&web, message)).collect()))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SayBody {
    person: Option<String>,
    text: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// What the one who asked is told.
#[derive(Debug, Serialize)]
struct Told {
    /// The message, where one was posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Markdown; nothing where the bot was not asked.
    answer: Option<String>,
    /// The same as safe HTML, for pages.
    answer_html: Option<String>,
    /// The rollout it is about.
    rollout: Option<RolloutId>,
    /// What kind of no, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
    /// Problems by field name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    problems: BTreeMap<String, String>,
    /// A form that has to be filled in before anything is done; or, beside something that was done, one that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<FormView>,
}

#[derive(Debug, Serialize)]
struct FormView {
    /// The text to send with the fields.
    command: String,
    fields: Vec<FormField>,
}

impl Told {
    /// Nobody asked for an answer.
    fn nothing(id: Option<String>) -> Self {
        Self { id, answer: None, answer_html: None, rollout: None, refused: None, problems: BTreeMap::new(), form: None }
    }

    /// A refusal is an answer too: it is polite, specific, and nothing changed. What is nobody's answer is a problem.
    fn from_result(id: Option<String>, result: Result<Answer, Rejected>) -> Result<Self, Problem> {
        let told =
            |answer: String| Self { answer_html: Some(markdown::to_html(&answer)), answer: Some(answer), ..Self::nothing(id) };
        match result {
            Ok(answer) => {
                let form = answer.asks.map(|Asked { command, fields }| FormView { command, fields });
                Ok(Self { rollout: answer.rollout, form, ..told(answer.text) })
            }
            Err(Rejected::Refused(refusal)) => {
                Ok(Self { refused: Some(refusal.kind.name()), problems: refusal.fields, ..told(refusal.says) })
            }
            Err(Rejected::NeedsForm { says, command, fields, problems }) => {
                Ok(Self { refused: Some("needs-form"), problems, form: Some(FormView { command, fields }), ..told(says) })
            }
            Err(rejected) => Err(rejected.into()),
        }
    }
}

async fn say(
    State(web): State<Web>,
    visitor: Visitor,
    Path(room): Path<String>,
    headers: HeaderMap,
    Json(body): Json<SayBody>,
) -> Result<axum::Json<Told>, Problem> {
    let person = person(&web, &visitor, body.person.as_deref())?;
    let text = body.text.trim();
    let chars = text.chars().count();
    if chars == 0 || chars > TEXT_CHARS_MAX {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("`text` has 1 to {TEXT_CHARS_MAX} characters; this has {chars}."),
        ));
    }
    let id = command_id(&web, &headers, &person, &(&room, &body))?;
    // An identity that was drawn for this request comes with no other.
    let key = headers.contains_key(KEY_HEADER).then_some(id.0.as_str());
    let message = web.rooms.say(&room, &person, text, key).await?;
    let Some(asked) = addressed(text) else {
        return Ok(axum::Json(Told::nothing(Some(message.to_string()))));
    };
    let said = Said { id, person, room, text: asked.to_owned(), fields: body.fields };
    let watch = Stopwatch::start();
    let heard = web.conductor.hear(said).await;
    metrics::histogram!("tminus_answer_seconds", "to" => "command").record(watch.seconds());
    Told::from_result(Some(message.to_string()), heard).map(axum::Json)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PressBody {
    person: Option<String>,
    button: String,
    reason: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

async fn press(
    State(web): State<Web>,
    visitor: Visitor,
    Path((room, message)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<PressBody>,
) -> Result<axum::Json<Told>, Problem> {
    let person = person(&web, &visitor, body.person.as_deref())?;
    open_to(&web, &visitor, &room)?;
    let found = match message.parse::<u64>() {
        Ok(id) => web.rooms.rollout_of(&room, id).await?,
        Err(_) => Belongs::NoMessage,
    };
    let rollout = match found {
        Belongs::NoMessage => {
            return Err(Problem::new(StatusCode::NOT_FOUND, format!("There is no message {message} in {room}.")));
        }
        Belongs::ToNone => None,
        Belongs::To(rollout) => Some(rollout),
    };
    belongs(&web, &message, rollout.as_ref(), &body.button)?;
    let id = command_id(&web, &headers, &person, &(&room, &message, &body))?;
    let press = Press { id, person, room, button: body.button, reason: body.reason, fields: body.fields };
    let watch = Stopwatch::start();
    let pressed = web.conductor.press(press).await;
    metrics::histogram!("tminus_answer_seconds", "to" => "press").record(watch.seconds());
    Told::from_result(None, pressed).map(axum::Json)
}

/// A button is pressed where it stands: under a message of its own rollout. Whether it is still one, the rollout says.
fn belongs(web: &Web, message: &str, rollout: Option<&RolloutId>, button: &str) -> Result<(), Problem> {
    let Some(token) = ButtonToken::parse(button) else { return Ok(()) };
    let number = |registry: &Registry| Some(registry.rollouts.get(rollout?)?.number);
    if web.conductor.with_registry(number) == Some(token.rollout) {
        return Ok(());
    }
    let says = format!("The button `{button}` does not belong to message {message}.");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, says))
}

/// Who acts: the log-in says so, or else, in the demo, the body.
fn person(web: &Web, visitor: &Visitor, named: Option<&str>) -> Result<PersonId, Problem> {
    let people = web.conductor.people();
    if let Some(known) = visitor.person() {
        // Also somebody whom nobody knows is somebody else.
        let says_another = named.is_some_and(|named| people.find(named).is_none_or(|other| other.id != *known));
        if says_another {
            let says = format!("This is {known}'s log-in. Leave `person` out: nobody acts as somebody else.");
            return Err(Problem::new(StatusCode::FORBIDDEN, says));
        }
        return Ok(known.clone());
    }
    named_in_the_body(web, named)
}

fn named_in_the_body(web: &Web, named: Option<&str>) -> Result<PersonId, Problem> {
    if !web.demo {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "Log in first."));
    }
    let Some(named) = named else {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "`person` is missing: in the demo the body says who acts. GET /api/people lists everybody.",
        ));
    };
    find_person(web, named).cloned()
}

/// Somebody by name.
pub(super) fn find_person<'w>(web: &'w Web, named: &str) -> Result<&'w PersonId, Problem> {
    let people = web.conductor.people();
    people.find(named).map(|person| &person.id).ok_or_else(|| {
        let near = did_you_mean(named, people.people().map(|person| person.id.as_str()));
        let hint = near.map_or_else(|| "GET /api/people lists everybody.".to_owned(), |near| format!("Did you mean `{near}`?"));
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("There is no person `{named}`. {hint}"))
    })
}

/// The id of a command: made of the caller's key, so that a repeated request is recognised, or else of chance. The same key
/// with another request is a mistake of the caller's, and is said instead of answered like the first.
fn command_id(web: &Web, headers: &HeaderMap, person: &PersonId, request: &impl Serialize) -> Result<CommandId, Problem> {
    let Some(key) = headers.get(KEY_HEADER) else {
        return Ok(CommandId(format!("http/{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))));
    };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("`Idempotency-Key` has 1 to {KEY_CHARS_MAX} printable characters without spaces."),
        ));
    }
    let id = CommandId(format!("http/{person}/{key}"));
    let unchanged = web.keys.is_for(&id.0, request, web.conductor.now());
    if !unchanged {
        let says = format!("The `Idempotency-Key` {key} was used for another request. Take a new key for a new request.");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, says));
    }
    Ok(id)
}

/// One rollout, or the problem that there is none.
pub(super) async fn rollout_view(web: &Web, id: &str) -> Result<RolloutView, Problem> {
    web.conductor.look(&RolloutId(id.to_owned()), view).await?.ok_or_else(|| no_such(web, id))
}

pub(super) fn no_such(web: &Web, id: &str) -> Problem {
    let near = |registry: &Registry| did_you_mean(id, registry.rollouts.keys().map(RolloutId::as_str)).map(str::to_owned);
    let near = web.conductor.with_registry(near);
    let hint = near.map_or_else(|| "GET /api/rollouts lists them.".to_owned(), |near| format!("Did you mean `{near}`?"));
    Problem::new(StatusCode::NOT_FOUND, format!("There is no rollout `{id}`. {hint}"))
}

#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format: ReportFormat,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReportFormat {
    #[default]
    Json,
    Markdown,
    /// The checklist with what is to come, in plain text.
    Paper,
}

/// The report as data, or as the Markdown that people read.
async fn report(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(Format { format }): Query<Format>,
) -> Result<Response, Problem> {
    let plain = |kind: &'static str, text: String| ([(header::CONTENT_TYPE, kind)], text).into_response();
    let rollout = RolloutId(id.clone());
    if matches!(format, ReportFormat::Paper) {
        let text = web.conductor.look(&rollout, paper).await?.ok_or_else(|| no_such(&web, &id))?;
        return Ok(plain("text/plain; charset=utf-8", text));
    }
    let (report, zone) = web.conductor.report(&rollout).await?.ok_or_else(|| no_such(&web, &id))?;
    Ok(match format {
        ReportFormat::Markdown => plain("text/markdown; charset=utf-8", report.markdown(zone)),
        _ => axum::Json(report).into_response(),
    })
}

async fn rollout(State(web): State<Web>, Path(id): Path<String>) -> Result<axum::Json<RolloutView>, Problem> {
    rollout_view(&web, &id).await.map(axum::Json)
}

#[derive(Deserialize)]
struct From {
    #[serde(default = "first")]
    from: u64,
    limit: Option<usize>,
}

const fn first() -> u64 {
    1
}

#[derive(Serialize)]
struct EventView {
    sequence: u64,
    #[serde(flatten)]
    recorded: Recorded,
}

async fn events(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(from): Query<From>,
) -> Result<axum::Json<Vec<EventView>>, Problem> {
    let limit = from.limit.unwrap_or(EVENTS_MAX).clamp(1, EVENTS_MAX);
    let found = web.conductor.events(&RolloutId(id.clone()), from.from.max(1), limit).await?;
    let events = found.ok_or_else(|| no_such(&web, &id))?;
    Ok(axum::Json(events.into_iter().map(|(sequence, recorded)| EventView { sequence, recorded }).collect()))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AdvanceBody {
    by: Option<String>,
    to: Option<String>,
    rollout: Option<String>,
    person: Option<String>,
}

async fn advance(
    State(web): State<Web>,
    visitor: Visitor,
    headers: HeaderMap,
    Json(body): Json<AdvanceBody>,
) -> Result<Response, Problem> {
    // Whether a rollout's own clock can be moved, the rollout says: that of a rehearsal can.
    if !web.demo && body.rollout.is_none() {
        return Err(Problem::new(StatusCode::FORBIDDEN, "All clocks are moved in the demo only. Name a rehearsal in `rollout`."));
    }
    let advance = match (body.by.as_deref(), body.to.as_deref()) {
        (Some(by), None) => {
            Advance::By(parse_duration(by).map_err(|problem| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, problem))?)
        }
        (None, Some("next")) => Advance::ToNext,
        _ => return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Say either `\"by\": \"4h\"` or `\"to\": \"next\"`.")),
    };
    let (actor, id) = if body.person.is_some() || visitor != Visitor::Anybody {
        let id = person(&web, &visitor, body.person.as_deref())?;
        let command = command_id(&web, &headers, &id, &body)?;
        (Actor::Person { id, roles: std::collections::BTreeSet::new() }, command)
    } else {
        (Actor::Engine, command_id(&web, &headers, &PersonId::new("nobody"), &body)?)
    };
    let result = match &body.rollout {
        Some(rollout) => {
            let known = RolloutId(rollout.clone());
            if !web.conductor.with_registry(|registry| registry.rollouts.contains_key(&known)) {
                return Err(no_such(&web, rollout));
            }
            web.conductor.advance(&known, id, actor, advance).await
        }
        None => web.conductor.advance_all(id, actor, advance).await,
    };
    Ok(Told::from_result(None, result).map(axum::Json)?.into_response())
}
