//! Plays a whole rollout as its people would, and kills the process under them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tminus::domain::people::Directory;

use crate::checks::{self, commands, own_events};
use crate::process::{Process, Starting, eventually};

/// The rollout that is played.
pub const ROLLOUT: &str = "andromeda-staging-4.3";
/// The room it is hosted in.
pub const ROOM: &str = "andromeda-rollouts";
/// The step that ends it: before it is pressed, there have been as many kills as were asked for.
const LAST_STEP: &str = "review";
/// The kills that were asked for are spread over so many requests; a rollout takes some more, and so there are more kills.
const REQUESTS_MIN: u32 = 20;
/// A kill comes at most so long after the start of a request; most requests are answered within a few milliseconds.
const KILL_AFTER_MAX: Duration = Duration::from_millis(40);
/// A kill during start-up comes at most so long after the process was made: about when it is ready.
const START_KILL_AFTER_MAX: Duration = Duration::from_millis(200);
/// More turns than this, and the rollout goes round in circles: it takes some fifty.
const TURNS_MAX: usize = 150;
/// How many notes and how much chatter people leave on the way.
const WORDS_MAX: usize = 8;

/// Which way a rollout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Everybody says GO and everything goes well.
    Succeeded,
    /// Somebody says NO-GO.
    NoGo,
    /// The tests after the cutover fail, and everything is taken back.
    Failed,
}

/// A request that changes something, with the key that makes its repetition the same request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub body: Value,
    pub key: String,
    /// The id its command has in the journal; none for what is said without asking the bot.
    pub command: Option<String>,
    /// Whether it is meant for every rollout that is open.
    for_all: bool,
}

/// What was counted on the way.
#[derive(Debug, Default)]
pub struct Figures {
    pub requests: usize,
    pub kills_in_requests: usize,
    pub kills_after_answers: usize,
    pub kills_between: usize,
    pub kills_in_start: usize,
    pub cut_off: usize,
    pub retried: usize,
    pub refused: usize,
    /// Cut-off requests that had been applied all the same.
    pub applied_unheard: usize,
    /// Repetitions of what had been applied, heard or not.
    pub duplicates: usize,
    pub restarts: Vec<Duration>,
}

impl Figures {
    pub fn kills(&self) -> usize {
        self.kills_in_requests + self.kills_after_answers + self.kills_between + self.kills_in_start
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut restarts = self.restarts.clone();
        restarts.sort();
        let millis = |at: usize| restarts.get(at).map_or(0, Duration::as_millis);
        write!(
            f,
            "{} kills ({} within a request, {} right after an answer, {} between requests, {} while starting); {} requests, \
             {} cut off ({} of them applied), {} retried, {} refused, {} duplicates recognised; ready after {} / {} / {} ms (min / median / max)",
            self.kills(),
            self.kills_in_requests,
            self.kills_after_answers,
            self.kills_between,
            self.kills_in_start,
            self.requests,
            self.cut_off,
            self.applied_unheard,
            self.retried,
            self.refused,
            self.duplicates,
            millis(0),
            millis(restarts.len() / 2),
            millis(restarts.len().saturating_sub(1)),
        )
    }
}

/// A rollout and its checklists at rest: everything that happens by itself has happened.
#[derive(Clone, Debug)]
pub struct Quiet {
    /// The rollout itself, and then its checklists.
    pub views: Vec<Value>,
    pub room: Vec<Value>,
}

impl Quiet {
    /// The rollout itself.
    pub fn view(&self) -> &Value {
        &self.views[0]
    }

    fn sequences(&self) -> Vec<u64> {
        self.views.iter().map(|view| view["sequence"].as_u64().expect("a view has a sequence")).collect()
    }

    /// The steps, each with the rollout that it belongs to.
    fn steps(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let phases = |view| checks::list(Value::get(view, "phases").expect("a view has phases")).iter();
        self.views.iter().flat_map(move |view| {
            phases(view).flat_map(move |phase| checks::list(&phase["steps"]).iter().map(move |step| (view, step)))
        })
    }

    fn is_acting(&self) -> bool {
        self.steps().any(|(_, step)| step["status"] == "running")
    }

    fn is_over(&self) -> bool {
        self.views.iter().all(|view| view["status"] == "ended")
    }

    /// Whether nothing is on its way: what is still running waits for the clock.
    fn is_at_rest(&self) -> bool {
        let running = |step: &Value| step["status"] == "running" && step["begun"].is_null();
        let missing = |step: &Value| step["kind"] == "checklist" && step["status"] == "open" && step["checklist"].is_null();
        let travelling = self
            .views
            .iter()
            .flat_map(|view| checks::list(&view["announcements"]))
            .flat_map(|announcement| announcement["destinations"].as_object().expect("destinations have names").values())
            .any(|status| status == "on-its-way");
        !travelling
            && self.views.iter().all(|view| view["environment_stage"] != "claimed")
            && !self.steps().any(|(_, step)| running(step) || missing(step))
            && self.views.iter().all(|view| checks::card(&self.room, checks::text(&view["id"])).is_some())
    }

    /// As it stands, but for what the passing of time alone changes.
    fn timeless(&self) -> Vec<Value> {
        self.views.iter().map(checks::timeless).collect()
    }
}

/// Everybody who takes part, and what they remember: more than the process may forget.
pub struct Player {
    rng: Rng,
    road: Road,
    people: Arc<Directory>,
    data: PathBuf,
    process: Option<Process>,
    kills_wanted: usize,
    keys: usize,
    words: usize,
    /// Every event that was ever seen, by rollout: none of them may change or go.
    pub events: BTreeMap<String, Vec<Value>>,
    /// Every request that was answered and not refused, with its answer.
    pub acknowledged: Vec<(Asked, Value)>,
    pub figures: Figures,
}

impl Player {
    pub fn begin(data: &Path, people: Arc<Directory>, road: Road, seed: u64, kills_wanted: usize) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            road,
            people,
            data: data.to_owned(),
            process: Some(Starting::spawn(data).ready()),
            kills_wanted,
            keys: 0,
            words: 0,
            events: BTreeMap::new(),
            acknowledged: Vec::new(),
            figures: Figures::default(),
        }
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("between requests a process is there")
    }

    /// Plays from the start to the end.
    pub fn play(&mut self) {
        let start = self.say("maria", "/rollout start 4.3");
        while !self.perform(&start, None) {}
        let note = self.say("ana", "/rollout note It begins");
        assert!(self.perform(&note, None), "whichever rollout is open is meant");
        let mut over = false;
        for turn in 0.. {
            assert!(
                turn < TURNS_MAX,
                "the rollout goes round in circles: {:#?}",
                self.events.values().filter_map(|events| events.last()).collect::<Vec<_>>()
            );
            let quiet = eventually("the rollout comes to rest", || self.look());
            if quiet.is_over() {
                break;
            }
            // An action under way is the more interesting moment.
            if self.rng.u8(..10) < if quiet.is_acting() { 5 } else { 1 } && self.kills_wanted > 0 {
                self.kill_between(&quiet);
            }
            let Some((asked, is_last)) = self.next(&quiet) else { continue };
            while is_last && self.figures.kills() < self.kills_wanted {
                self.kill_between(&quiet);
            }
            self.perform(&asked, Some(&quiet));
            over |= is_last;
            if self.rng.u8(..10) < 4 {
                let again = self.rng.usize(..self.acknowledged.len());
                // What was meant for all open rollouts means none once they are over.
                if !(over && self.acknowledged[again].0.for_all) {
                    self.repeat(again);
                }
            }
        }
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) -> (std::process::ExitStatus, Figures) {
        let process = self.process.take().expect("between requests a process is there");
        (process.stop(), self.figures)
    }

    /// The rollout, when it is at rest; looked at twice, so that nothing is under way.
    pub fn look(&self) -> Option<Quiet> {
        let snapshot = || {
            let family = checks::family(self.process());
            let views: Option<Vec<Value>> = family.iter().map(|id| self.process().get(&format!("/api/rollouts/{id}"))).collect();
            let views = views.filter(|views| !views.is_empty())?;
            Some(Quiet { views, room: checks::room(self.process(), ROOM) })
        };
        let (first, second) = (snapshot()?, snapshot()?);
        (first.is_at_rest() && first.timeless() == second.timeless() && first.room == second.room).then_some(second)
    }

    /// What is to be done next, and whether it is the last thing; nothing while the card does not offer it yet.
    fn next(&mut self, quiet: &Quiet) -> Option<(Asked, bool)> {
        if self.words < WORDS_MAX && self.rng.u8(..8) == 0 {
            self.words += 1;
            let person = *self.rng.choice(&["ana", "tom", "sam"]).expect("a choice of three");
            let text = match self.rng.u8(..3) {
                0 => format!("/rollout note Seen {}", self.words),
                1 => format!("/rollout {ROLLOUT} note Seen {}", self.words),
                _ => format!("Good so far {}", self.words),
            };
            return Some((self.say(person, &text), false));
        }
        let awaited: Vec<(&Value, &Value, &Value)> = quiet
            .steps()
            .filter(|(_, step)| step["status"] == "open" || step["status"] == "failed")
            .flat_map(|(view, step)| checks::list(&step["awaited"]).iter().map(move |person| (view, step, person)))
            .collect();
        let Some((view, step, person)) = self.rng.choice(&awaited) else { return Some((self.advance(), false)) };
        let verb = match checks::text(&step["kind"]) {
            // Nobody knows what became of it, or it failed and leads back.
            _ if step["status"] == "failed" => ["look", "ran", "back-off"][self.rng.usize(..3)],
            "acknowledge" => "ack",
            "task" | "checklist" => "done",
            "ask" => "answer",
            "run" => "run",
            // One is enough, and what the others say is not.
            "decide" if self.road == Road::NoGo && (person["id"] == "raj" || self.rng.bool()) => "no-go",
            "decide" => "go",
            other => panic!("nobody is awaited by a step of the kind {other}"),
        };
        let card = checks::card(&quiet.room, checks::text(&view["id"]))?;
        let wanted = format!(".{verb}.");
        let button =
            checks::list(&card["buttons"]).iter().map(|button| checks::text(&button["id"])).find(|id| id.contains(&wanted))?;
        let asked = checks::list(&card["fields"]).iter().filter(|field| field["button"] == button && field["required"] == true);
        let fields = asked.map(|field| {
            let otherwise = if field["type"] == "confirm" { "yes" } else { "x" };
            let value = [&field["value"], &field["example"]].into_iter().find_map(Value::as_str).unwrap_or(otherwise);
            (checks::text(&field["name"]).to_owned(), Value::from(value))
        });
        let person = checks::text(&person["id"]);
        let body = json!({ "person": person, "button": button, "fields": fields.collect::<serde_json::Map<_, _>>() });
        let path = format!("/api/rooms/{ROOM}/messages/{}/press", checks::text(&card["id"]));
        let key = self.key();
        let command = Some(format!("http/{person}/{key}"));
        Some((Asked { path, body, key, command, for_all: false }, step["id"] == LAST_STEP))
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}", self.keys)
    }

    fn say(&mut self, person: &str, text: &str) -> Asked {
        let key = self.key();
        let command = text.starts_with("/rollout").then(|| format!("http/{person}/{key}"));
        let body = json!({ "person": person, "text": text });
        Asked { path: format!("/api/rooms/{ROOM}/messages"), body, key, command, for_all: false }
    }

    /// Moves the clock, in one of the ways there are.
    fn advance(&mut self) -> Asked {
        let key = self.key();
        let (body, command) = match self.rng.u8(..3) {
            0 => (json!({ "to": "next" }), format!("http/nobody/{key} for {ROLLOUT}")),
            1 => (json!({ "to": "next", "rollout": ROLLOUT }), format!("http/nobody/{key}")),
            _ => (json!({ "to": "next", "rollout": ROLLOUT, "person": "maria" }), format!("http/maria/{key}")),
        };
        let for_all = body.get("rollout").is_none();
        Asked { path: "/api/clock/advance".to_owned(), body, key, command: Some(command), for_all }
    }

    /// Asks until there is an answer, with kills in between; true unless it was refused.
    fn perform(&mut self, asked: &Asked, before: Option<&Quiet>) -> bool {
        let mut kills = u32::try_from(self.kills_wanted).unwrap_or(u32::MAX).div_ceil(REQUESTS_MIN);
        let mut was_cut_off = false;
        let mut answer: Option<Value> = None;
        loop {
            let applied = self.is_applied(asked);
            self.figures.retried += usize::from(was_cut_off);
            self.figures.duplicates += usize::from(applied);
            let own_before = own_events(&self.events, asked);
            let outcome = match (kills, self.rng.u8(..4)) {
                (0, _) => self.ask(asked),
                (_, 0) => {
                    let outcome = self.ask(asked);
                    self.kill_after_answer();
                    outcome
                }
                _ => self.ask_and_kill(asked),
            };
            kills = kills.saturating_sub(1);
            if self.process.is_none() {
                self.restart(before);
            } else {
                self.read_events();
            }
            if applied && asked.command.is_some() {
                let new = own_events(&self.events, asked);
                assert_eq!(new, own_before, "a repetition of {asked:?} was applied a second time");
            }
            match outcome {
                None => {
                    was_cut_off = true;
                    self.figures.cut_off += 1;
                    self.figures.applied_unheard += usize::from(!applied && self.is_applied(asked));
                    continue;
                }
                Some(told) if !told["refused"].is_null() => {
                    // A card can be behind, a clock can have nothing to wait for: fine, if nothing happened.
                    assert!(!self.is_applied(asked), "{asked:?} was applied, and refused: {told}");
                    self.figures.refused += 1;
                    return false;
                }
                Some(told) => {
                    assert!(asked.command.is_none() || self.is_applied(asked), "{asked:?} was acknowledged and lost: {told}");
                    let first = answer.get_or_insert_with(|| told.clone());
                    assert_eq!(*first, told, "the same answer to {asked:?}");
                    was_cut_off = false;
                }
            }
            if kills == 0 {
                self.acknowledged.extend(answer.map(|told| (asked.clone(), told)));
                return true;
            }
        }
    }

    /// Sends everything that was acknowledged again; what was meant for all open rollouts means others once these are over.
    pub fn repeat_all(&mut self) {
        for index in 0..self.acknowledged.len() {
            if !self.acknowledged[index].0.for_all {
                self.repeat(index);
            }
        }
    }

    /// Sends an acknowledged request again: the same answer, and nothing happens.
    pub fn repeat(&mut self, index: usize) {
        let (asked, told) = self.acknowledged[index].clone();
        eventually("the rollout comes to rest", || self.look());
        self.read_events();
        let before = own_events(&self.events, &asked);
        let again = self.ask(&asked).expect("nobody kills here");
        assert_eq!(again, told, "the same answer to a repetition of {asked:?}");
        self.read_events();
        // What the rollout and its checklists tell each other may still arrive; nothing of it comes of this command.
        assert_eq!(own_events(&self.events, &asked), before, "a repetition of {asked:?} was applied");
        self.figures.duplicates += 1;
    }

    fn ask(&mut self, asked: &Asked) -> Option<Value> {
        self.figures.requests += 1;
        answer_of(self.process(), asked)
    }

    /// Kills the process a random moment after the request was begun.
    fn ask_and_kill(&mut self, asked: &Asked) -> Option<Value> {
        self.figures.requests += 1;
        self.figures.kills_in_requests += 1;
        let process = self.process.take().expect("between requests a process is there");
        let delay = self.soon(KILL_AFTER_MAX);
        let (begins, begun) = mpsc::channel();
        thread::scope(|scope| {
            let process = &process;
            let asking = scope.spawn(move || {
                begins.send(()).expect("the killer waits");
                answer_of(process, asked)
            });
            begun.recv().expect("the request begins");
            thread::sleep(delay);
            process.kill();
            asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn kill_after_answer(&mut self) {
        self.figures.kills_after_answers += 1;
        let process = self.process.take().expect("between requests a process is there");
        thread::sleep(self.soon(KILL_AFTER_MAX));
        process.kill();
    }

    /// Kills the process while nobody asks anything of it.
    pub fn kill_between(&mut self, quiet: &Quiet) {
        self.figures.kills_between += 1;
        let process = self.process.take().expect("between requests a process is there");
        thread::sleep(self.soon(KILL_AFTER_MAX));
        process.kill();
        drop(process);
        self.restart(Some(quiet));
    }

    /// A random span: anything up to the longest, half of the time below a sixteenth of it, where things happen.
    fn soon(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.rng.f64().powi(4))
    }

    /// Starts it again, sometimes in vain, and compares what it remembers with what everybody saw.
    fn restart(&mut self, before: Option<&Quiet>) {
        while self.rng.u8(..4) == 0 {
            self.figures.kills_in_start += 1;
            let starting = Starting::spawn(&self.data);
            thread::sleep(START_KILL_AFTER_MAX.mul_f64(self.rng.f64()));
            starting.kill();
        }
        let process = Starting::spawn(&self.data).ready();
        self.figures.restarts.push(process.ready_after);
        self.process = Some(process);
        let is_there = self.process().get(&format!("/api/rollouts/{ROLLOUT}")).is_some();
        assert!(is_there || before.is_none(), "the rollout is gone");
        if !is_there {
            return;
        }
        let after = eventually("the rollout comes to rest after a restart", || self.look());
        self.read_events();
        checks::ledger(&self.data);
        if let Some(before) = before.filter(|before| before.sequences() == after.sequences()) {
            assert_eq!(after.timeless(), before.timeless(), "nothing happened, and yet it looks different after a restart");
        }
        for (view, sequence) in after.views.iter().zip(after.sequences()) {
            let events = &self.events[checks::text(&view["id"])];
            if usize::try_from(sequence).is_ok_and(|sequence| sequence == events.len()) {
                let replayed = checks::replayed_view(events, &self.people);
                assert_eq!(checks::timeless(view), checks::timeless(&replayed), "a restarted rollout is what its events say");
            }
        }
    }

    /// Reads all events; what was seen before has to be there, unchanged.
    pub fn read_events(&mut self) {
        for id in checks::family(self.process()) {
            let events = checks::events(self.process(), &id);
            let seen = self.events.entry(id).or_default();
            assert!(events.starts_with(seen), "events changed or went");
            *seen = events;
        }
        let known = commands(&self.events);
        for (asked, told) in &self.acknowledged {
            let is_there = asked.command.as_deref().is_none_or(|command| known.contains(command));
            assert!(is_there, "{asked:?} was acknowledged and lost: {told}");
        }
    }

    fn is_applied(&self, asked: &Asked) -> bool {
        own_events(&self.events, asked) > 0
    }
}

/// The answer to a request; none if the process died first.
fn answer_of(process: &Process, asked: &Asked) -> Option<Value> {
    let (status, told) = process.post(&asked.path, &asked.key, &asked.body).ok()?;
    assert_eq!(status, 200, "{asked:?}: {told}");
    Some(told)
}
