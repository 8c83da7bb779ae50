//! Starting a rollout: which runbook, which values, which id; and what it freezes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::domain::conversation::form::{Field, FieldValue, Reading, Window};
use crate::domain::conversation::voice::{shorten, whole_sentence};
use crate::domain::message::card::FormField;
use crate::domain::message::template::{self, Landing, is_deceptive};
use crate::domain::people::list_names;
use crate::domain::problem::did_you_mean;
use crate::domain::registry::{Registry, RegistryEvent};
use crate::domain::rollout::command::{Refusal, RefusalKind};
use crate::domain::rollout::event::{ClockKind, Event, Parent, REHEARSAL, Recorded, Started};
use crate::domain::rollout::scope::scope_of_inputs;
use crate::domain::rollout::state::State;
use crate::domain::runbook::model::{Input, Runbook, StepKind};

use super::rollout::first_events;
use super::{Rejected, Request, Shared};

/// The longest title, in characters; what is longer is cut.
const TITLE_CHARS_MAX: usize = 200;

/// A rollout about to begin.
pub(super) struct Starting {
    /// The command it comes of; its body is not looked at.
    pub request: Request,
    /// The runbook.
    pub runbook: Arc<Runbook>,
    /// The rooms it is started in; those that its runbook names come first.
    pub rooms: Vec<String>,
    /// The inputs that are known.
    pub values: BTreeMap<String, FieldValue>,
    /// The rollout whose checklist it is, and how far its clock is from the machine's.
    pub parent: Option<(Parent, i64)>,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
}

/// A rollout that has begun, not yet in the journal.
pub(super) struct Begun {
    pub state: State,
    pub recorded: Vec<Recorded>,
    pub registered: RegistryEvent,
}

/// The runbooks of a room: those that are meant when none is named, and those that have to be named. One that names the room
/// goes before one that names none, so that a runbook for every room takes no word away from a room's own. What others have as
/// their checklist is seldom started alone, and is named then.
pub(super) fn runbooks_of(all: &BTreeMap<String, Arc<Runbook>>, room: &str) -> (Vec<Arc<Runbook>>, Vec<Arc<Runbook>>) {
    let of_room = |runbook: &&Arc<Runbook>| runbook.rooms.iter().any(|known| known == room);
    let checklists: BTreeSet<&str> = all.values().flat_map(|runbook| checklists_of(runbook)).collect();
    let own: Vec<_> = all.values().filter(of_room).cloned().collect();
    let anywhere = all.values().filter(|runbook| runbook.rooms.is_empty()).cloned();
    let (named, anywhere): (Vec<_>, Vec<_>) = anywhere.partition(|runbook| checklists.contains(runbook.name.as_str()));
    if own.is_empty() && anywhere.is_empty() {
        (named, own)
    } else if own.is_empty() {
        (anywhere, named)
    } else {
        (own, anywhere.into_iter().chain(named).collect())
    }
}

/// The runbooks that are checklists of another one.
fn checklists_of(runbook: &Runbook) -> impl Iterator<Item = &str> {
    runbook.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Checklist { runbook, .. } => Some(runbook.as_str()),
        _ => None,
    })
}

/// Chooses the runbook that is meant: the one named first, or the room's only one. Answers it with the words that are left.
pub(super) fn choose(
    (meant, others): (Vec<Arc<Runbook>>, Vec<Arc<Runbook>>),
    words: &[String],
) -> Result<(Arc<Runbook>, Vec<String>), Rejected> {
    let all = || meant.iter().chain(&others);
    if let Some(first) = words.first()
        && let Some(found) = all().find(|runbook| &runbook.name == first)
    {
        return Ok((found.clone(), words[1..].to_vec()));
    }
    let near = |among: &[Arc<Runbook>]| {
        let near = words.first().and_then(|word| did_you_mean(word, among.iter().map(|runbook| runbook.name.as_str())));
        near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default()
    };
    match &meant[..] {
        [] => {
            Err(Refusal::new(RefusalKind::Unknown, "No runbook belongs to this room. A runbook names its rooms under `rooms:`.")
                .into())
        }
        [only] => {
            // A word too many is probably the name of a runbook, mistyped.
            if words.len() > 1 {
                let says = format!(
                    "I can start `{}` here, and it takes one word: `/rollout start {}`.{}",
                    only.name,
                    example(only),
                    near(&others)
                );
                return Err(Refusal::new(RefusalKind::Invalid, says).into());
            }
            Ok((only.clone(), words.to_vec()))
        }
        several => {
            let names: Vec<String> = all().map(|runbook| format!("`{}`", runbook.name)).collect();
            let hint = near(&[several, &others[..]].concat());
            Err(Refusal::new(RefusalKind::Ambiguous, format!("Which runbook? Here there are {}.{hint}", names.join(", "))).into())
        }
    }
}

fn example(runbook: &Runbook) -> String {
    let positional = runbook.inputs.iter().find(|input| input.positional);
    let value = positional.map(|input| input.field.example.clone().unwrap_or_else(|| input.field.name.to_uppercase()));
    value.unwrap_or_else(|| runbook.name.clone())
}

/// Reads the inputs that were typed; asks for those that are missing with a form.
pub(super) fn read_values(
    shared: &Shared,
    runbook: &Runbook,
    words: &[String],
    mut typed: BTreeMap<String, String>,
    at: Option<String>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, FieldValue>, Rejected> {
    let mut problems: BTreeMap<String, String> = BTreeMap::new();
    match (runbook.inputs.iter().find(|input| input.positional), words) {
        (_, []) => {}
        (Some(positional), [value, ..]) => drop(typed.insert(positional.field.name.clone(), value.clone())),
        (None, [value, ..]) => {
            let says =
                format!("`{}` takes no value after its name; `{}` is one too many.", runbook.name, value.replace('`', "'"));
            return Err(Refusal::new(RefusalKind::Invalid, says).into());
        }
    }
    if let Some(at) = at {
        match runbook.window_input() {
            Some(input) => drop(typed.insert(input.field.name.clone(), at)),
            None => {
                return Err(Refusal::new(
                    RefusalKind::Invalid,
                    format!("`{}` has no window, so it takes no `at`.", runbook.name),
                )
                .into());
            }
        }
    }
    for name in typed.keys().filter(|name| !runbook.inputs.iter().any(|input| &input.field.name == *name)) {
        let near = did_you_mean(name, runbook.inputs.iter().map(|input| input.field.name.as_str()));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        problems.insert(name.clone(), format!("`{}` has no such input{hint}", runbook.name));
    }
    let reading = Reading { zone: runbook.timezone, now, people: &shared.plan.people };
    let mut values = BTreeMap::new();
    for input in &runbook.inputs {
        // What is not needed yet may be missing.
        let field = Field { required: input.required_at_start(), ..input.field.clone() };
        let text = typed.get(&field.name).or(field.default.as_ref()).cloned().unwrap_or_default();
        match field.read(&text, reading) {
            Ok(Some(FieldValue::Window(window))) if window.starts <= now => {
                problems.insert(field.name.clone(), "that window has begun already; choose one that is still to come".to_owned());
            }
            Ok(Some(value)) => drop(values.insert(field.name.clone(), value)),
            Ok(None) => {}
            Err(problem) => drop(problems.insert(field.name.clone(), problem)),
        }
    }
    if !problems.is_empty() {
        return Err(ask_with_a_form(runbook, &typed, problems));
    }
    if let (Some(ahead), Some(input)) = (shared.plan.propose_window, runbook.window_input())
        && !values.contains_key(&input.field.name)
    {
        values.insert(input.field.name.clone(), FieldValue::Window(proposed(now, ahead)));
    }
    Ok(values)
}

/// A proposal falls on a full minute, as people would write it.
fn proposed(now: DateTime<Utc>, ahead: TimeDelta) -> Window {
    let starts = now + ahead;
    let starts = starts.duration_trunc(TimeDelta::minutes(1)).unwrap_or(starts);
    Window { starts: starts + TimeDelta::minutes(1), seconds: None }
}

fn ask_with_a_form(runbook: &Runbook, typed: &BTreeMap<String, String>, problems: BTreeMap<String, String>) -> Rejected {
    let asked = |input: &&Input| {
        input.required_at_start() || problems.contains_key(&input.field.name) || typed.contains_key(&input.field.name)
    };
    let fields = runbook.inputs.iter().filter(asked).map(|input| form_field(input, typed)).collect();
    let list: Vec<String> = problems.values().map(|problem| whole_sentence(&template::escape_markdown(problem))).collect();
    let says = format!("Nothing was started. {} `/rollout start {}` is an example.", list.join(" "), example(runbook));
    Rejected::NeedsForm { says, command: format!("/rollout start {}", runbook.name), fields, problems }
}

fn form_field(input: &Input, typed: &BTreeMap<String, String>) -> FormField {
    let value = typed.get(&input.field.name).cloned().or_else(|| input.field.default.clone());
    FormField { required: input.required_at_start(), ..FormField::of(&input.field, value) }
}

/// Whether whoever asks may start it. Who is meant by the runbook's roles only its values tell, so this is asked last.
fn may_start(shared: &Shared, state: &State, starting: &Starting) -> Result<(), Rejected> {
    let names = &state.runbook.may.start;
    let allowed = state.resolve(names, &shared.plan.people);
    let asks = starting.request.actor.person();
    if names.is_empty() || asks.is_some_and(|person| allowed.contains(person)) {
        return Ok(());
    }
    let called: Vec<String> = allowed.iter().map(|person| template::escape_markdown(&shared.plan.people.call(person))).collect();
    let says = format!("Nothing was started. `{}` is started by {}.", state.runbook.name, list_names(&called));
    Err(Refusal::new(RefusalKind::NotAllowed, says).into())
}

/// The runbook with those of its checklists, as they are now.
fn frozen(shared: &Shared, starting: &Starting) -> Result<Runbook, Rejected> {
    /// Checklists of checklists of checklists; beyond that one contains itself.
    const DEPTH_MAX: usize = 4;
    let mut runbook = Runbook::clone(&starting.runbook);
    if let Some((parent, _)) = &starting.parent {
        // It acts under the hold of the rollout it belongs to. What needs another environment asks for that one itself.
        if runbook.environment.is_none() || runbook.environment == parent.environment {
            runbook.environment = None;
            runbook.lock_from = None;
        }
        return Ok(runbook);
    }
    with_children(shared, &mut runbook, DEPTH_MAX)?;
    Ok(runbook)
}

fn with_children(shared: &Shared, runbook: &mut Runbook, depth: usize) -> Result<(), Rejected> {
    let names: BTreeSet<String> = checklists_of(runbook).map(str::to_owned).collect();
    for name in names {
        let Some(depth) = depth.checked_sub(1) else {
            let says = format!("`{}` can't be started: its checklists contain each other.", runbook.name);
            return Err(Refusal::new(RefusalKind::Invalid, says).into());
        };
        let Some(child) = shared.plan.runbooks.get(&name) else {
            let says = format!("`{}` can't be started: its checklist `{name}` is missing.", runbook.name);
            return Err(Refusal::new(RefusalKind::Invalid, says).into());
        };
        let mut child = Runbook::clone(child);
        with_children(shared, &mut child, depth)?;
        runbook.children.insert(name, child);
    }
    Ok(())
}

/// Reads what a checklist starts with. What is missing can't be asked here: it is said where the checklist was wanted.
pub(super) fn read_child_values(
    shared: &Shared,
    runbook: &Runbook,
    typed: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, FieldValue>, String> {
    let reading = Reading { zone: runbook.timezone, now, people: &shared.plan.people };
    let mut values = BTreeMap::new();
    for input in &runbook.inputs {
        let field = Field { required: input.required_at_start(), ..input.field.clone() };
        let text = typed.get(&field.name).cloned().or_else(|| field.default.clone()).unwrap_or_default();
        values.extend(field.read(&text, reading)?.map(|value| (field.name, value)));
    }
    Ok(values)
}

/// Makes the first events, with everything frozen that is frozen at the start.
pub(super) fn begin(shared: &Shared, registry: &Registry, starting: &Starting) -> Result<Begun, Rejected> {
    let runbook = &starting.runbook;
    let shift_seconds = starting.parent.as_ref().map_or(0, |(_, shift)| *shift);
    let at = shared.clock.now() + TimeDelta::seconds(shift_seconds);
    let positional =
        runbook.inputs.iter().find(|input| input.positional).and_then(|input| starting.values.get(&input.field.name));
    let tells_apart = match positional {
        Some(value) => value.said(runbook.timezone, &ToString::to_string),
        None => at.with_timezone(&runbook.timezone).format("%Y-%m-%d").to_string(),
    };
    let tells_apart = if starting.rehearsal { format!("{tells_apart}-rehearsal") } else { tells_apart };
    let id = registry.free_id(&runbook.name, &tells_apart);
    let number = registry.next_number();
    let mut rooms = runbook.rooms.clone();
    for room in &starting.rooms {
        if !rooms.contains(room) {
            rooms.push(room.clone());
        }
    }
    let title = template::render(&runbook.title, Landing::Plain, &scope_of_inputs(runbook, &starting.values))
        .map_err(|problem| Refusal::new(RefusalKind::Invalid, format!("The title can't be written: {problem}.")))?;
    // It stands in every card, answer and line about the rollout.
    let one_line = title.chars().filter(|c| !is_deceptive(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let title: String = one_line.collect();
    let title = shorten(&title, TITLE_CHARS_MAX);
    // Whatever names the rollout says what it is.
    let title = if starting.rehearsal { format!("{REHEARSAL}: {title}") } else { title };
    let link = shared.plan.public_url.as_ref().map(|url| format!("{}/rollouts/{id}", url.trim_end_matches('/')));
    let started = Started {
        id: id.clone(),
        number,
        house: registry.house.unwrap_or_default(),
        title: title.clone(),
        rooms: rooms.clone(),
        link,
        // The clock of a rehearsal can be moved: nothing outside goes by it.
        clock: if starting.rehearsal { ClockKind::Shifted } else { shared.plan.clock },
        values: starting.values.clone(),
        runbook: frozen(shared, starting)?,
        parent: starting.parent.as_ref().map(|(parent, _)| parent.clone()),
        shift_seconds,
        rehearsal: starting.rehearsal,
    };
    let parent = starting.parent.as_ref().map(|(parent, _)| parent.rollout.clone());
    let registered = RegistryEvent::RolloutRegistered {
        id,
        number,
        runbook: runbook.name.clone(),
        title,
        rooms,
        parent,
        rehearsal: starting.rehearsal,
    };
    let (state, recorded) = first_events(shared, &starting.request, Event::Started(Box::new(started)), at)
        .ok_or_else(|| Rejected::NotRecorded("a rollout did not begin with its start".to_owned()))?;
    if starting.parent.is_none() {
        may_start(shared, &state, starting)?;
    }
    Ok(Begun { state, recorded, registered })
}
