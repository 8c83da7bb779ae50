//! Systems that are really asked, through the conductor and the outbox: a server on a local port, and programs.
//!
//! Time is the machine's here, because what is outside does not wait for a test's clock; the rollout's clock is moved.

use std::future::pending;
use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use tempfile::TempDir;
use tminus::domain::report::report;
use tminus::domain::rollout::command::{CommandBody, RolloutId, StepRef};
use tminus::domain::rollout::view::view;
use tminus::engine::journal::Journal;
use tokio::net::TcpListener;

use crate::stage::Stage;

/// Longer than the steps of these runbooks may take.
const TOO_LONG: TimeDelta = TimeDelta::minutes(11);

fn runbook(call: &str) -> String {
    format!(
        "
runbook: test
people: {{ owner: maria }}
rooms: [andromeda-rollouts]
phases: [{{ phase: one, steps: [{{ id: x, timeout: 10m, {call} }}, {{ task: Do it, id: it }}] }}]
"
    )
}

/// What a server was asked, with the `Idempotency-Key` of it.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

async fn server() -> (String, Seen) {
    async fn answer(State(seen): State<Seen>, request: Request) -> Response {
        let (request, _) = request.into_parts();
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let asked = format!("{} {}", request.method, request.uri.path());
        seen.lock().unwrap().push((asked, header("idempotency-key").unwrap()));
        match request.uri.path() {
            "/hangs" => pending().await,
            "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
            // It repeats what lets somebody in.
            _ => header(header::AUTHORIZATION.as_str()).unwrap_or_default().into_response(),
        }
    }
    let seen = Seen::default();
    let router = Router::new().fallback(answer).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

/// A rollout that asks a server, and what the server saw.
async fn asks(method: &str, path: &str, timeout: &str, more: &str) -> (Stage, RolloutId, Seen) {
    let (url, seen) = server().await;
    let require = "require: [{ that: \"outputs.status == '200'\", else: 'it says {{ outputs.status }}: {{ outputs.body }}' }]";
    let call = format!("run: web.request, with: {{ url: '{url}', path: {path}, method: {method} }}, {require}");
    let system = format!("  web: {{ kind: http, allow: ['{url}'], timeout: {timeout}{more} }}\n");
    let mut stage = Stage::with_systems(&runbook(&call), &system).await;
    let id = stage.start().await;
    (stage, id, seen)
}

/// A rollout that runs a program.
async fn runs(script: &str, timeout: &str) -> (Stage, RolloutId) {
    let require = "require: [{ that: \"outputs.output == 'ready'\", else: 'it says {{ outputs.output }}' }]";
    let call = format!("run: host.command.x, with: {{ argv: [/bin/sh, -c, '{script}'] }}, {require}");
    let system = format!("  host: {{ kind: command, allow: [/bin/sh], timeout: {timeout} }}\n");
    let mut stage = Stage::with_systems(&runbook(&call), &system).await;
    let id = stage.start().await;
    (stage, id)
}

async fn status(stage: &Stage, id: &RolloutId) -> String {
    stage.conductor.look(id, |state, _, _| format!("{:?}", state.steps[0].status)).await.unwrap().unwrap()
}

fn cancel() -> CommandBody {
    CommandBody::CancelStep { step: StepRef::TheOpenOne }
}

#[tokio::test]
async fn a_request_is_sent_once_and_what_is_required_of_its_answer_decides() {
    let (stage, id, seen) = asks("POST", "/deploy", "1m", "").await;
    let happened = stage.until(&id, "step-completed").await;
    let place = |what: &str| happened.iter().position(|kind| kind == what).expect("it happened");
    assert!(place("action-attempted") < place("action-ended"), "{happened:?}");
    assert_eq!(stage.ended(&id).await["outputs"]["status"], "200");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].0.as_str(), seen[0].1.len()), ("POST /deploy", 26));

    let (stage, id, seen) = asks("GET", "/broken", "1m", "").await;
    stage.until(&id, "step-failed").await;
    let card = stage.card(&id).await;
    assert!(card.contains("**Failed**: it says 500: out of order"), "{card}");
    assert_eq!(seen.lock().unwrap().len(), 1, "a failure is not asked again by itself");
}

#[tokio::test]
async fn a_request_without_an_answer_has_failed_or_is_for_a_person_to_say() {
    let (stage, id, _) = asks("GET", "/hangs", "1s", "").await;
    let ended = stage.ended_in_time(&id).await;
    assert_eq!(ended["outcome"], "failed");
    assert!(ended["reason"].as_str().unwrap().ends_with("did not answer within 1 s"), "{ended}");
    let (stage, id, seen) = asks("POST", "/hangs", "1s", "").await;
    assert_eq!(stage.ended_in_time(&id).await["outcome"], "unknown");
    assert!(status(&stage, &id).await.contains("unknown: true"));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_that_takes_longer_than_its_step_is_given_up() {
    let (stage, id, seen) = asks("POST", "/hangs", "5m", "").await;
    stage.until(&id, "action-attempted").await;
    stage.passes(TOO_LONG).await;
    let ended = stage.ended(&id).await;
    assert_eq!(ended["outcome"], "unknown");
    assert!(ended["reason"].as_str().unwrap().contains("did not end within 10m"), "{ended}");
    assert!(seen.lock().unwrap().len() <= 1);
}

#[tokio::test]
async fn a_look_is_cancelled_and_what_was_sent_to_change_something_is_not() {
    let (mut stage, id, _) = asks("GET", "/hangs", "5m", "").await;
    stage.until_underway(&id, "no answer yet").await;
    stage.does(&id, "maria", cancel()).await.unwrap();
    let ended = stage.ended_in_time(&id).await;
    assert_eq!((&ended["outcome"], &ended["reason"]), (&"failed".into(), &"it was cancelled".into()));

    let (mut stage, id, seen) = asks("POST", "/hangs", "5m", "").await;
    stage.until_underway(&id, "no answer yet").await;
    stage.does(&id, "maria", cancel()).await.unwrap();
    stage.until_underway(&id, "can't be called back").await;
    assert!(!stage.happened(&id).await.contains(&"action-ended".to_owned()), "its end is still awaited");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_program_ends_as_it_ends() {
    let (stage, id) = runs("echo ready", "1m").await;
    stage.until(&id, "step-completed").await;
    assert_eq!(stage.ended(&id).await["outputs"], serde_json::json!({ "code": "0", "output": "ready" }));

    let (stage, id) = runs("echo not yet", "1m").await;
    stage.until(&id, "step-failed").await;
    assert!(stage.card(&id).await.contains("**Failed**: it says not yet"));

    let (stage, id) = runs("echo no disk; exit 3", "1m").await;
    let ended = stage.ended(&id).await;
    assert_eq!(ended["outcome"], "failed");
    assert_eq!(ended["reason"], "it ended with exit code 3:\nno disk");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended_by_its_time_by_a_person_or_given_up() {
    let (stage, id) = runs("sleep 600", "1s").await;
    let ended = stage.ended_in_time(&id).await;
    assert_eq!(ended["outcome"], "failed");
    assert!(ended["reason"].as_str().unwrap().contains("1 s"), "{ended}");

    let (mut stage, id) = runs("echo $$; exec sleep 600", "1h").await;
    stage.until_underway(&id, "").await;
    stage.does(&id, "maria", cancel()).await.unwrap();
    let ended = stage.ended_in_time(&id).await;
    assert_eq!(ended["outcome"], "failed");
    assert!(ended["reason"].as_str().unwrap().contains("cancelled"), "{ended}");

    let (stage, id) = runs("sleep 600", "1h").await;
    stage.until_underway(&id, "").await;
    stage.passes(TOO_LONG).await;
    assert_eq!(stage.ended(&id).await["outcome"], "unknown");
}

/// What was logged, down to the last detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_nowhere_but_in_the_request() {
    const SECRET: &str = "hunter2-hunter2-hunter2";
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || lines.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("Bearer {SECRET}\n")).unwrap();
    let headers = format!(", headers: {{ Authorization: {{ file: '{}' }} }}", file.display());
    let (stage, id, _) = asks("GET", "/headers", "1m", &headers).await;
    stage.until(&id, "step-completed").await;
    assert_eq!(stage.ended(&id).await["outputs"]["body"], "[secret]", "the server had it, and said so");
    let sequence = stage.conductor.look(&id, |state, _, _| state.sequence).await.unwrap().unwrap();
    stage.until_shown(sequence).await;

    let mut everything = format!("{:?}", stage.outside.cards.lock().unwrap());
    for stream in stage.journal.streams("").await.unwrap() {
        for record in stage.journal.read(&stream, 1, usize::MAX).await.unwrap() {
            everything.push_str(&String::from_utf8(record.payload).unwrap());
        }
    }
    let told = stage.conductor.look(&id, |state, people, now| {
        format!("{}{:?}{state:?}", report(state, people).markdown(state.runbook.timezone), view(state, people, now))
    });
    everything.push_str(&told.await.unwrap().unwrap());
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("Started test-") && everything.contains("[secret]"), "they were looked at: {logged}");
    everything.push_str(&logged);
    assert!(!everything.contains(SECRET), "{everything}");
}
