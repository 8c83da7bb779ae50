//! What one click costs in the rollout itself: deciding and evolving, without journal, network or disk.
//!
//! - By the length of the roster: 10, 100 and 1,000 people who acknowledge, in no order.
//! - By the length of the stream: a roster of 100 in a rollout that 1,000 to 1,000,000 events happened to before.
//! - By the size of the store: one more record appended to a journal that holds so many, in a folder that is memory where the
//!   system has one, so that the disk is not what is measured.
//!
//! *Decide* is the whole of one command in the domain: decided, evolved, and what follows by itself. *Click* is that with all that
//! the rollout's task works out besides, before it waits again: the answer, what is owed, when it wakes next.
//!
//! The floor is what any program would do with an acknowledgement: look the person up, note the time, and write the event as JSON.
//! Times are those that this thread was on a core, so that others on the machine count less. Goals: flat within a factor.
//!
//! `cargo bench --bench decide`

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use tminus::domain::conversation::answer::answer;
use tminus::domain::people::{Directory, PersonId};
use tminus::domain::rollout::command::{Actor, Command, CommandBody, CommandId, StepRef};
use tminus::domain::rollout::effect::{Effect, EffectId, effects, effects_not_in_hand};
use tminus::domain::rollout::event::{Choice, Event, NoteKind, Recorded};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::{handle, next_wake};
use tminus::domain::runbook::model::StepKind;
use tminus::engine::journal::sled::{SledJournal, SledOptions};
use tminus::engine::journal::{Append, Journal as _, NewRecord, StreamName};
use tokio::runtime::Builder;

use support::Outcome;
use support::figures::{Figures, Goals, print_table};
use support::fixture::remove;
use support::house::{House, person, roll_call, room};
use support::machine;
use support::play::{Piece, began, deliver_all, start};

const ROSTERS: [usize; 3] = [10, 100, 1_000];
const LENGTHS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The roster of the long streams.
const PEOPLE: usize = 100;
/// An odd number, so that the median is one of them.
const ROUNDS: usize = 7;
/// So many commands are one round, over as many copies of the rollout as it takes.
const COMMANDS: usize = 2_000;
/// So many appends are one round.
const APPENDS: u64 = 5_000;
/// From the smallest to the largest.
const GOAL_FACTOR: f64 = 2.0;

fn main() -> Outcome<ExitCode> {
    let folder = machine::folder()?;
    machine::print_facts(&folder);
    println!("{ROUNDS} rounds of {COMMANDS} commands or {APPENDS} appends each, in turn; µs on a core, median (least to most)\n");
    let mut goals = Goals::default();
    rosters(&mut goals)?;
    if std::env::var_os("ONLY").is_none() {
        lengths(&mut goals)?;
        stores(&folder, &mut goals)?;
    }
    Ok(goals.end())
}

/// One kind of rollout, and what a click in it costs.
struct Subject {
    name: String,
    state: State,
    people: Directory,
    decide: Figures,
    click: Figures,
    floor: Figures,
}

impl Subject {
    fn new(name: String, (state, people): (State, Directory)) -> Self {
        Self { name, state, people, decide: Figures::default(), click: Figures::default(), floor: Figures::default() }
    }

    fn measure(&mut self, round: usize) -> Outcome<()> {
        let (state, people) = (&self.state, &self.people);
        let commands = acknowledgements(state, round);
        let decide = |state: &mut State, command: &Command| {
            let recorded = handle(state, command, people).map_err(|refusal| refusal.says)?;
            black_box(recorded);
            Outcome::Ok(())
        };
        // The rollout's task hands on what is owed and not in somebody's hands yet.
        let in_hand: HashSet<EffectId> = effects(state).iter().filter_map(Effect::id).collect();
        let click = |state: &mut State, command: &Command| {
            let recorded = handle(state, command, people).map_err(|refusal| refusal.says)?;
            let answer = answer(state, people, state.last_at, command.actor.person(), &recorded);
            let records: Vec<Vec<u8>> = recorded.iter().map(Recorded::encode).collect();
            black_box((
                answer,
                records,
                effects_not_in_hand(state, &|id| in_hand.contains(id)),
                next_wake(state, state.last_at, people),
            ));
            Outcome::Ok(())
        };
        let decide = timed(state, &commands, decide)?;
        let click = timed(state, &commands, click)?;
        let floor = floor(state, &commands)?;
        self.decide.add(decide);
        self.click.add(click);
        self.floor.add(floor);
        Ok(())
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.decide.say(1),
            format!("{:.0}", 1e6 / self.decide.median()),
            self.click.say(1),
            self.floor.say(1),
            self.floor.over(&self.click).say(2),
        ]
    }
}

/// By the length of the roster.
fn rosters(goals: &mut Goals) -> Outcome<()> {
    let mut subjects = Vec::new();
    for people in ROSTERS {
        subjects.push(Subject::new(format!("{people} people"), roll(people)?));
    }
    compare("roster", &mut subjects, goals)
}

/// By the length of the stream.
fn lengths(goals: &mut Goals) -> Outcome<()> {
    let mut subjects = Vec::new();
    for length in LENGTHS {
        let (mut state, people) = roll(PEOPLE)?;
        let mut at = state.last_at;
        let mut number: u64 = 0;
        while state.sequence < length {
            at += TimeDelta::seconds(20);
            number += 1;
            let body = match number % 9 {
                0 => CommandBody::AddNote { text: format!("Note {number} of many"), kind: NoteKind::Remark },
                _ => CommandBody::CastVote {
                    step: StepRef::Named("go".to_owned()),
                    // Each vote is another than the one before, also with a note between them.
                    choice: if (number - number / 9).is_multiple_of(2) { Choice::Go } else { Choice::NoGo },
                    reason: Some("it looks so right now".to_owned()),
                    instead_of: None,
                },
            };
            let id = format!("http/{}/{:032x}", person(1), state.sequence);
            handle(&mut state, &command(&id, &person(1), at, body), &people).map_err(|refusal| refusal.says)?;
        }
        subjects.push(Subject::new(format!("{length} events"), (state, people)));
    }
    compare("stream", &mut subjects, goals)
}

fn compare(what: &str, subjects: &mut [Subject], goals: &mut Goals) -> Outcome<()> {
    for round in 0..ROUNDS {
        for subject in &mut *subjects {
            subject.measure(round)?;
        }
    }
    let rows: Vec<Vec<String>> = subjects.iter().map(Subject::row).collect();
    print_table(&[what, "decide µs", "decides/s", "click µs", "floor µs", "floor/click"], &rows);
    let factor = |of: fn(&Subject) -> f64| match &*subjects {
        [first, .., last] => of(last) / of(first),
        _ => f64::NAN,
    };
    goals.at_most(
        &format!("factor of decide from the shortest {what} to the longest"),
        GOAL_FACTOR,
        factor(|s| s.decide.median()),
    );
    goals.at_most(
        &format!("factor of a click from the shortest {what} to the longest"),
        GOAL_FACTOR,
        factor(|s| s.click.median()),
    );
    println!();
    Ok(())
}

/// By the size of the store.
fn stores(folder: &Path, goals: &mut Goals) -> Outcome<()> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory.join(format!("tminus-decide-{}", std::process::id())) } else { folder.join("decide") };
    remove(&dir)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut journals = Vec::new();
    for length in LENGTHS {
        let journal = SledJournal::open(&dir.join(length.to_string()), &SledOptions::default())?;
        runtime.block_on(append(&journal, 0, length, 200))?;
        journals.push((journal, length, Figures::default()));
    }
    for _ in 0..ROUNDS {
        for (journal, length, figures) in &mut journals {
            let before = process_micros()?;
            runtime.block_on(append(journal, *length, APPENDS, 1))?;
            *length += APPENDS;
            #[allow(clippy::cast_precision_loss, reason = "some thousands")]
            figures.add((process_micros()? - before) / APPENDS as f64);
        }
    }
    let rows: Vec<Vec<String>> =
        LENGTHS.iter().zip(&journals).map(|(length, (_, _, figures))| vec![format!("{length} events"), figures.say(1)]).collect();
    print_table(&["store", "append, CPU µs"], &rows);
    if let [(.., first), .., (.., last)] = &journals[..] {
        goals.at_most("factor of an append from the smallest store to the largest", GOAL_FACTOR, last.median() / first.median());
    }
    drop(journals);
    remove(&dir)
}

/// Appends so many acknowledgements to one stream, so many at a time.
async fn append(journal: &SledJournal, from: u64, count: u64, at_once: u64) -> Outcome<()> {
    let stream = StreamName::new("rollout/1");
    let mut expected = from;
    while expected < from + count {
        let last = (expected + at_once).min(from + count);
        let record = |number: u64| {
            let command = CommandId(format!("http/{}/{number:032x}", person(1)));
            let event = Event::Acknowledged { step: 0, count: 50, of: 100 };
            let recorded = Recorded::new(&command, Some(&PersonId::new(person(1))), began(), event);
            NewRecord { id: format!("{command}#0"), payload: recorded.encode() }
        };
        let records = (expected..last).map(record).collect();
        journal.append(vec![Append { stream: stream.clone(), expected, records }], 0).await?;
        expected = last;
    }
    Ok(())
}

/// A roll call of so many, in which everybody has been written to; and a vote beside it.
fn roll(people: usize) -> Outcome<(State, Directory)> {
    let (name, text) = roll_call("roll", &room(0), 4);
    let text = format!("{text}      - {{ decide: Are we GO?, id: go, voters: [voters], rule: unanimous }}\n");
    let settings = House::new(people, 1, vec![(name, text)]).settings()?;
    let piece = Piece { number: 1, runbook: "roll".to_owned(), at: began(), window: began(), until: 0 };
    let (mut state, _) = start(&settings, &piece)?;
    deliver_all(&mut state, &settings.people)?;
    Ok((state, settings.people))
}

/// Everybody acknowledges everything, in no order.
fn acknowledgements(state: &State, seed: usize) -> Vec<Command> {
    let mut commands = Vec::new();
    for (index, definition, step) in state.open_steps() {
        if let StepKind::Acknowledge { .. } = definition.kind {
            for person in &step.people {
                let body = CommandBody::Acknowledge { step: StepRef::Button { index, generation: step.generation } };
                let id = format!("http/{person}/{:032x}", commands.len());
                commands.push(command(&id, person.as_str(), state.last_at + TimeDelta::seconds(1), body));
            }
        }
    }
    // The last ones are left out: what follows from a whole roster is another matter.
    fastrand::Rng::with_seed(seed as u64).shuffle(&mut commands);
    commands.truncate(commands.len() * 9 / 10);
    commands
}

fn command(id: &str, by: &str, at: DateTime<Utc>, body: CommandBody) -> Command {
    let actor = Actor::Person { id: PersonId::new(by), roles: BTreeSet::new() };
    Command { id: CommandId(id.to_owned()), actor, room: None, at, body }
}

/// Microseconds a command, over copies of the state until there were enough of them. Copying is not counted.
fn timed(state: &State, commands: &[Command], mut work: impl FnMut(&mut State, &Command) -> Outcome<()>) -> Outcome<f64> {
    let (mut micros, mut count) = (0.0, 0);
    while count < COMMANDS {
        let mut copy = state.clone();
        let before = thread_micros()?;
        for command in commands.iter().take(COMMANDS - count) {
            work(&mut copy, command)?;
        }
        micros += thread_micros()? - before;
        count += commands.len().min(COMMANDS - count);
    }
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    Ok(micros / count as f64)
}

/// What any program would do with an acknowledgement.
fn floor(state: &State, commands: &[Command]) -> Outcome<f64> {
    let roster: BTreeSet<PersonId> = state.steps[0].people.iter().cloned().collect();
    let mut acknowledged: BTreeMap<PersonId, DateTime<Utc>> = BTreeMap::new();
    timed(state, commands, |_, command| {
        let person = command.actor.person().filter(|person| roster.contains(person)).ok_or("nobody known")?;
        acknowledged.insert(person.clone(), command.at);
        let event = Event::Acknowledged { step: 0, count: acknowledged.len(), of: roster.len() };
        black_box(Recorded::new(&command.id, Some(person), command.at, event).encode());
        Ok(())
    })
}

/// How long this thread was on a core.
fn thread_micros() -> Outcome<f64> {
    // The kernel counts up to the last time that it looked at this thread: now.
    thread::yield_now();
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = stat.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanos / 1e3)
}

/// How long all threads were.
fn process_micros() -> Outcome<f64> {
    let mut micros = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        // One that ended meanwhile did nothing here.
        let stat = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        micros += stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e3;
    }
    Ok(micros)
}
