//! A press, from the request to its durable answer, against the floor that the same machine sets in the same run.
//!
//! T-minus is the real program over a folder on the disk: a roll call of 100 people, four rosters a rollout, everybody written
//! to, cards posted. Each request is a press of **Acknowledge** that counts: another person, roster or rollout.
//!
//! The floor is a process too: the same HTTP server with a handler that reads the same JSON, appends the bytes that T-minus
//! journals of such a press in groups (one thread takes what waits, writes it at once, syncs once), and echoes the request. It
//! recognises no repetition, decides nothing, knows no order, shows no card, and could not be read again.
//!
//! Both get the same load from here, and take turns; what counts is the ratio of neighbours. A third of the machine is this
//! program's, on both sides alike.
//!
//! `cargo bench --bench press`

mod support;

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tminus::domain::conversation::button::{ButtonToken, Verb};
use tminus::domain::people::PersonId;
use tminus::domain::rollout::command::CommandId;
use tminus::domain::rollout::event::{Event, Recorded};
use tminus::gateway::web::BODY_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use support::Outcome;
use support::figures::{Figures, Goals, print_table};
use support::fixture::{Fixture, remove};
use support::house::{House, person, roll_call, room};
use support::load::{self, Run, Wire, drive, get};
use support::machine;
use support::play::{Piece, began};
use support::process::Process;

const PEOPLE: usize = 100;
const ROSTERS: usize = 4;
/// Of a step that nothing happened to yet.
const FIRST_GENERATION: u32 = 1;
/// How many are in flight, and how many rollouts' presses one round has: about a second and a half each.
const LEVELS: [(usize, usize); 3] = [(1, 1), (32, 12), (256, 24)];
/// An odd number, so that the median is one of them.
const ROUNDS: usize = 7;
/// What T-minus should reach of the floor.
const GOAL: f64 = 0.4;
/// As the writer of the journal.
const FLOOR_BATCH_MAX: usize = 512;

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--floor") {
        floor(Path::new(arguments.get(at + 1).ok_or("--floor needs a file")?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = machine::folder()?;
    machine::print_facts(&folder);
    println!("{PEOPLE} people, {ROSTERS} rosters a rollout; {ROUNDS} rounds, T-minus and floor in turn\n");
    // The load comes from one thread; the processes have as many as there are cores.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut bench = Bench::open(&runtime, &folder)?;
    let mut sides: Vec<[Side; 2]> = LEVELS.iter().map(|_| [Side::default(), Side::default()]).collect();
    for _ in 0..ROUNDS {
        for ((in_flight, rollouts), [tminus, floor]) in LEVELS.iter().zip(&mut sides) {
            let presses = bench.next_presses(*rollouts)?;
            let wires = |address: SocketAddr| presses.iter().map(|press| press.wire(address)).collect::<Vec<_>>();
            tminus.measure(&runtime, &bench.tminus, wires(bench.tminus.address), *in_flight, counted)?;
            floor.measure(&runtime, &bench.floor, wires(bench.floor.address), *in_flight, echoed)?;
        }
    }
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for ((in_flight, _), [tminus, floor]) in LEVELS.iter().zip(&sides) {
        let ratio = tminus.rates.over(&floor.rates);
        for (name, side) in [("T-minus", tminus), ("floor", floor)] {
            rows.push(vec![
                in_flight.to_string(),
                name.to_owned(),
                side.rates.say(0),
                if name == "floor" { String::new() } else { ratio.say(2) },
                format!("{:.2} / {:.2}", side.millis.at(0.5), side.millis.at(0.99)),
                side.cpu_micros.say(0),
            ]);
        }
        ratios.push((*in_flight, ratio.median()));
    }
    print_table(&["in flight", "", "presses/s", "ratio", "ms, half / 99 %", "CPU µs/press"], &rows);
    let mut goals = Goals::default();
    for (in_flight, ratio) in ratios {
        goals.at_least(&format!("ratio with {in_flight} in flight"), GOAL, ratio);
    }
    bench.end()?;
    Ok(goals.end())
}

/// The two processes, and what can still be pressed.
struct Bench {
    tminus: Process,
    floor: Process,
    /// Rollouts that nobody pressed anything of, by number, with their cards' messages.
    fresh: Vec<(u32, u64)>,
    dir: PathBuf,
    pressed: u64,
}

/// One press that counts.
struct Press {
    person: String,
    message: u64,
    button: String,
    key: String,
}

impl Bench {
    fn open(runtime: &Runtime, folder: &Path) -> Outcome<Self> {
        let house = House::new(PEOPLE, 1, vec![roll_call("roll", &room(0), ROSTERS)]);
        let count = ROUNDS * LEVELS.iter().map(|(_, rollouts)| rollouts).sum::<usize>();
        let piece = |number: u32| Piece {
            number,
            runbook: "roll".to_owned(),
            at: began() + TimeDelta::minutes(number.into()),
            window: began(),
            until: 0,
        };
        let pieces: Vec<Piece> = (1..=u32::try_from(count)?).map(piece).collect();
        let fixture = runtime.block_on(Fixture::of(folder, "press", &house, &pieces))?;
        let dir = folder.join("press-run");
        fixture.copy_to(&dir)?;
        let mut floor = Command::new(std::env::current_exe()?);
        floor.arg("--floor").arg(dir.join("floor"));
        let floor = Process::start(floor)?;
        let tminus = Process::tminus(&dir, Some(&fixture.config()))?;
        tminus.until_quiet()?;
        let fresh = runtime.block_on(cards(tminus.address))?;
        if fresh.len() != count {
            return Err(format!("{} cards are posted, of {count} rollouts", fresh.len()).into());
        }
        Ok(Self { tminus, floor, fresh, dir, pressed: 0 })
    }

    /// All presses of so many rollouts, in no order.
    fn next_presses(&mut self, rollouts: usize) -> Outcome<Vec<Press>> {
        let mut presses = Vec::new();
        for _ in 0..rollouts {
            let (rollout, message) = self.fresh.pop().ok_or("every rollout was pressed")?;
            for step in 0..ROSTERS {
                let button = ButtonToken { rollout, step: Some(step), verb: Verb::Ack, generation: FIRST_GENERATION }.to_string();
                for number in 0..PEOPLE {
                    self.pressed += 1;
                    let key = format!("{:032x}", self.pressed);
                    presses.push(Press { person: person(number), message, button: button.clone(), key });
                }
            }
        }
        fastrand::Rng::with_seed(self.pressed).shuffle(&mut presses);
        Ok(presses)
    }

    fn end(self) -> Outcome<()> {
        self.tminus.stop()?;
        drop(self.floor);
        remove(&self.dir)
    }
}

impl Press {
    fn wire(&self, address: SocketAddr) -> Wire {
        let path = format!("/api/rooms/{}/messages/{}/press", room(0), self.message);
        let body = format!(r#"{{"person":"{}","button":"{}","fields":{{}}}}"#, self.person, self.button);
        load::post(address, &path, &self.key, &body)
    }
}

/// The cards in the room: whose they are, by the number of its rollout, and their messages.
async fn cards(address: SocketAddr) -> Outcome<Vec<(u32, u64)>> {
    let mut cards = Vec::new();
    let mut after = 0;
    loop {
        let messages: serde_json::Value =
            serde_json::from_str(&get(address, &format!("/api/rooms/{}/messages?after={after}", room(0))).await?)?;
        let messages = messages.as_array().ok_or("no messages")?;
        let text = |message: &serde_json::Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        for card in messages.iter().filter(|message| message["card"] == true) {
            cards.push((text(card, "rollout").trim_start_matches("roll-").parse()?, text(card, "id").parse()?));
        }
        let Some(last) = messages.last() else { return Ok(cards) };
        after = text(last, "id").parse()?;
    }
}

/// One side at one level.
#[derive(Default)]
struct Side {
    rates: Figures,
    millis: Figures,
    cpu_micros: Figures,
}

impl Side {
    fn measure(
        &mut self,
        runtime: &Runtime,
        process: &Process,
        wires: Vec<Wire>,
        in_flight: usize,
        is_good: fn(&[u8]) -> bool,
    ) -> Outcome<()> {
        process.until_quiet()?;
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let count = wires.len() as f64;
        let cpu_before = process.cpu_seconds()?;
        let Run { rate, seconds } = runtime.block_on(drive(process.address, wires, in_flight, is_good))?;
        // What goes on after the last answer (cards) is part of the work.
        process.until_quiet()?;
        self.cpu_micros.add((process.cpu_seconds()? - cpu_before) * 1e6 / count);
        self.rates.add(rate);
        for one in seconds {
            self.millis.add(one * 1e3);
        }
        Ok(())
    }
}

/// It was acknowledged, and not refused.
fn counted(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains(r#""answer":""#) && !text.contains(r#""refused""#)
}

fn echoed(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(r#""button":""#)
}

/// The same body as that of a press.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PressBody {
    person: Option<String>,
    button: String,
    reason: Option<String>,
    #[serde(default)]
    fields: std::collections::BTreeMap<String, String>,
}

struct Waiting {
    bytes: Vec<u8>,
    answer: oneshot::Sender<()>,
}

/// Serves until it is killed.
fn floor(path: &Path) -> Outcome<()> {
    let file = File::create(path)?;
    let (queue, waiting) = mpsc::channel(2 * FLOOR_BATCH_MAX);
    thread::spawn(move || write_batches(file, waiting));
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = Router::new()
            .route("/api/rooms/{room}/messages/{id}/press", post(take))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::new(queue));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("ready: http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

async fn take(
    State(queue): State<Arc<mpsc::Sender<Waiting>>>,
    headers: HeaderMap,
    Json(body): Json<PressBody>,
) -> Result<Json<PressBody>, StatusCode> {
    let unwell = StatusCode::INTERNAL_SERVER_ERROR;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let person = PersonId::new(body.person.clone().ok_or(StatusCode::BAD_REQUEST)?);
    let step = ButtonToken::parse(&body.button).and_then(|token| token.step).ok_or(StatusCode::BAD_REQUEST)?;
    let event = Event::Acknowledged { step, count: PEOPLE / 2, of: PEOPLE };
    let at: DateTime<Utc> = std::time::SystemTime::now().into();
    let bytes = Recorded::new(&CommandId(format!("http/{person}/{key}")), Some(&person), at, event).encode();
    let (answer, answered) = oneshot::channel();
    queue.send(Waiting { bytes, answer }).await.map_err(|_| unwell)?;
    answered.await.map_err(|_| unwell)?;
    Ok(Json(body))
}

fn write_batches(mut file: File, mut waiting: mpsc::Receiver<Waiting>) -> Outcome<()> {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < FLOOR_BATCH_MAX
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let bytes: Vec<u8> = batch.iter().flat_map(|one| &one.bytes).copied().collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
        for one in batch {
            // A client that has gone has no use for the answer.
            let _ = one.answer.send(());
        }
    }
    Ok(())
}
