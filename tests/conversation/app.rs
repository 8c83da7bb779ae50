//! The whole app in this process, with people who talk to it through its API.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tminus::cli::serve::{self, Manner, Running, Setup};
use tminus::engine::clock::ManualClock;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::scratch::MemoryScratch;
use tminus::engine::snapshots::SnapshotFolder;
use tminus::gateway::action::pretend::Ledger;
use tminus::gateway::web::access::grants::Grants;
use tminus::settings::Files;

/// The room in which rollouts are hosted.
pub const ROOM: &str = "andromeda-rollouts";
/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_mins(3);

/// The app and a way to talk to it.
pub struct App {
    pub journal: Arc<MemoryJournal>,
    pub clock: ManualClock,
    files: Files,
    scratch: Arc<MemoryScratch>,
    ledger: Arc<Ledger>,
    /// Every restart goes through snapshots.
    snapshots: Arc<SnapshotFolder>,
    dir: tempfile::TempDir,
    running: Option<Running>,
    http: reqwest::Client,
}

impl App {
    /// The app with what is built in, at noon (UTC) of 20 November 2026.
    pub async fn start() -> Self {
        Self::start_with(Files::embedded()).await
    }

    /// The app with other files.
    pub async fn start_with(files: Files) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut app = Self {
            snapshots: Arc::new(SnapshotFolder::open(dir.path()).expect("a folder")),
            dir,
            journal: Arc::new(MemoryJournal::new()),
            clock: ManualClock::at("2026-11-20T12:00:00Z".parse().expect("a time")),
            files,
            scratch: Arc::new(MemoryScratch::new()),
            ledger: Ledger::in_memory(),
            running: None,
            http: reqwest::Client::new(),
        };
        app.run().await;
        app
    }

    async fn run(&mut self) {
        let setup = Setup {
            settings: self.files.settings().unwrap_or_else(|unusable| panic!("{unusable}")),
            journal: self.journal.clone(),
            clock: Arc::new(self.clock.clone()),
            scratch: self.scratch.clone(),
            manner: Manner::Demo,
            grants: Grants::open(&self.dir.path().join("access")).expect("a folder"),
            data: self.dir.path().to_owned(),
            ledger: self.ledger.clone(),
            propose_window: Some(TimeDelta::hours(5 * 24 + 1)),
            public_url: None,
            snapshots: self.snapshots.clone(),
            metrics: None,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        self.running = Some(serve::start(setup, listener).await.expect("it starts"));
    }

    /// Stops it and starts it again on the same journal.
    pub async fn restart(&mut self) {
        self.running.take().expect("running").stop().await;
        self.run().await;
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.as_ref().expect("running").address)
    }

    /// GET, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.http.get(self.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    }

    /// Everything that stands in a room.
    pub async fn messages(&self, room: &str) -> Vec<Value> {
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let after = messages.last().map_or("0", |message| message["id"].as_str().expect("an id"));
            let piece = self.get(&format!("/api/rooms/{room}/messages?after={after}")).await;
            let piece = piece.as_array().expect("a list");
            if piece.is_empty() {
                return messages;
            }
            messages.extend(piece.iter().cloned());
        }
    }

    /// POST; status and body.
    pub async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> (u16, Value) {
        let headers: Vec<_> = key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        self.post_with(path, body, &headers).await
    }

    /// POST with headers; status and body.
    pub async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.http.post(self.url(path)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Somebody says something in the room; what they are told.
    pub async fn says(&self, person: &str, text: &str) -> String {
        let (status, told) =
            self.post(&format!("/api/rooms/{ROOM}/messages"), &json!({ "person": person, "text": text }), None).await;
        assert_eq!(status, 200, "{told}");
        told["answer"].as_str().unwrap_or_default().to_owned()
    }

    /// Maria, who owns the rollouts of these tests, does something as soon as it is possible.
    pub async fn done(&self, command: &str) {
        self.eventually(&format!("it to be possible: {command}"), || async {
            let message = json!({ "person": "maria", "text": command });
            let (status, told) = self.post(&format!("/api/rooms/{ROOM}/messages"), &message, None).await;
            let is_done = status == 200 && told["refused"].is_null() && told["form"].is_null();
            is_done.then_some(())
        })
        .await;
    }

    /// Somebody presses the button of the card that bears a label; what they are told.
    pub async fn presses(&self, person: &str, label: &str) -> String {
        self.fills_in(person, label, &json!({})).await
    }

    /// The same, with fields.
    pub async fn fills_in(&self, person: &str, label: &str, fields: &Value) -> String {
        let told = self.pressed(person, label, fields).await;
        told["answer"].as_str().unwrap_or_default().to_owned()
    }

    /// The same, with everything that they are told.
    pub async fn pressed(&self, person: &str, label: &str, fields: &Value) -> Value {
        let (message, button) = self.button(label).await;
        let body = json!({ "person": person, "button": button, "fields": fields });
        let (status, told) = self.post(&format!("/api/rooms/{ROOM}/messages/{message}/press"), &body, None).await;
        assert_eq!(status, 200, "{told}");
        told
    }

    /// The message and the token of a button, once it is there.
    pub async fn button(&self, label: &str) -> (String, String) {
        self.eventually(&format!("the button {label}"), || async {
            let messages = self.messages(ROOM).await;
            // The newest card that has it: checklists have cards of their own.
            messages.iter().rev().filter(|message| message["card"] == true).find_map(|card| {
                let button = card["buttons"].as_array()?.iter().find(|button| button["label"] == label)?;
                Some((card["id"].as_str()?.to_owned(), button["id"].as_str()?.to_owned()))
            })
        })
        .await
    }

    /// The newest card of the room that is not a checklist's.
    pub async fn card(&self) -> Option<Value> {
        let rollouts = self.get("/api/rollouts").await;
        let of_its_own: Vec<&Value> =
            rollouts.as_array()?.iter().filter(|line| line["parent"].is_null()).map(|line| &line["id"]).collect();
        let messages = self.messages(ROOM).await;
        let card = |message: &&Value| message["card"] == true && of_its_own.contains(&&message["rollout"]);
        messages.iter().rfind(card).cloned()
    }

    /// What the card of a rollout says, once it is there.
    pub async fn card_of(&self, rollout: &str) -> String {
        self.eventually(&format!("the card of {rollout}"), || async {
            let messages = self.messages(ROOM).await;
            let card = messages.iter().rfind(|message| message["card"] == true && message["rollout"] == rollout)?;
            card["text"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Waits until the card says something.
    pub async fn card_says(&self, part: &str) -> String {
        self.eventually(&format!("the card to say: {part}"), || async {
            let text = self.card().await?["text"].as_str()?.to_owned();
            text.contains(part).then_some(text)
        })
        .await
    }

    /// The texts in a room that are not in a thread.
    pub async fn texts(&self, room: &str) -> Vec<String> {
        let messages = self.messages(room).await;
        let top = messages.iter().filter(|message| message["thread_of"].is_null());
        top.map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What rollouts said in the room itself, besides their cards and logs.
    pub async fn said_aloud(&self) -> Vec<String> {
        let messages = self.messages(ROOM).await;
        let aloud = |message: &&Value| {
            message["author"] == "tminus"
                && message["card"] == false
                && message["thread_of"].is_null()
                && !message["rollout"].is_null()
        };
        let aloud = messages.iter().filter(aloud);
        aloud.map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The log: what stands in the card's thread.
    pub async fn log(&self) -> Vec<String> {
        let card = self.card().await.map(|card| card["id"].clone());
        let messages = self.messages(ROOM).await;
        let in_thread = |message: &&Value| card.as_ref().is_some_and(|card| message["thread_of"] == *card);
        let thread = messages.iter().filter(in_thread);
        thread.map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until the log has a line that contains something.
    pub async fn logged(&self, part: &str) {
        self.eventually(&format!("the log to say: {part}"), || async {
            self.log().await.iter().any(|line| line.contains(part)).then_some(())
        })
        .await;
    }

    /// Moves the clocks to the next moment at which something happens by itself, once there is one.
    pub async fn jumps(&self) -> String {
        self.eventually("a next moment", || async {
            let (status, told) = self.post("/api/clock/advance", &json!({ "to": "next" }), None).await;
            assert_eq!(status, 200, "{told}");
            told["refused"].is_null().then(|| told["answer"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Jumps until the log says something.
    pub async fn jumps_until_logged(&self, part: &str) {
        self.eventually(&format!("the log to say, after jumps: {part}"), || async {
            if self.log().await.iter().any(|line| line.contains(part)) {
                return Some(());
            }
            self.post("/api/clock/advance", &json!({ "to": "next" }), None).await;
            None
        })
        .await;
    }

    /// Waits for a condition.
    pub async fn eventually<T, F: Future<Output = Option<T>>>(&self, what: &str, condition: impl Fn() -> F) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}\n{:#?}", self.card().await);
            tokio::task::yield_now().await;
        }
    }
}
