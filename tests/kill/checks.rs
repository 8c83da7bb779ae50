//! What has to hold, however often the process was killed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tminus::domain::conversation::log::log_line;
use tminus::domain::people::Directory;
use tminus::domain::rollout::event::{Event, Recorded};
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::view::view;

use crate::player::{Asked, ROLLOUT, ROOM};
use crate::process::Process;

pub fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The rollout itself, and then its checklists, oldest first.
pub fn family(process: &Process) -> Vec<String> {
    let lines = process.get("/api/rollouts").expect("rollouts can be listed");
    let ids = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        list(&lines).iter().rev().filter(|line| wanted(line)).map(|line| text(&line["id"]).to_owned()).collect()
    };
    [ids(&|line| line["id"] == ROLLOUT), ids(&|line| line["parent"] == ROLLOUT)].concat()
}

/// All events of a rollout, from the first.
pub fn events(process: &Process, rollout: &str) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let path = format!("/api/rollouts/{rollout}/events?from={}", events.len() + 1);
        let Some(piece) = process.get(&path) else { return events };
        if list(&piece).is_empty() {
            return events;
        }
        events.extend(list(&piece).iter().cloned());
    }
}

/// Everything that stands in a room.
pub fn room(process: &Process, room: &str) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let after = messages.last().map_or("0", |message| text(&message["id"]));
        let piece = process.get(&format!("/api/rooms/{room}/messages?after={after}")).expect("the room is there");
        if list(&piece).is_empty() {
            return messages;
        }
        messages.extend(list(&piece).iter().cloned());
    }
}

/// A rollout's card among the messages of a room.
pub fn card<'r>(room: &'r [Value], rollout: &str) -> Option<&'r Value> {
    room.iter().find(|message| message["card"] == true && message["rollout"] == rollout)
}

/// A view without what the passing of time alone changes.
pub fn timeless(view: &Value) -> Value {
    let mut view = view.clone();
    let fields = view.as_object_mut().expect("a view has fields");
    for changing in ["now", "next_by_itself"] {
        fields.remove(changing).expect("a view has these fields");
    }
    view
}

/// Events by rollout.
pub type Events = BTreeMap<String, Vec<Value>>;

/// The ids of all commands that became something.
pub fn commands(events: &Events) -> HashSet<&str> {
    events.values().flatten().map(|event| text(&event["command"])).collect()
}

/// How many of the events came of a request.
pub fn own_events(events: &Events, asked: &Asked) -> usize {
    events.values().flatten().filter(|event| asked.command.as_deref() == event["command"].as_str()).count()
}

fn recorded(events: &[Value]) -> Vec<Recorded> {
    let one = |event: &Value| serde_json::from_value(event.clone()).expect("an event can be read back");
    events.iter().map(one).collect()
}

fn replay(events: &[Recorded]) -> State {
    let (first, rest) = events.split_first().expect("a rollout has events");
    let mut state = State::begin(first).expect("the first event is its start");
    for event in rest {
        state.evolve(event);
    }
    state
}

/// The view that the events alone make.
pub fn replayed_view(events: &[Value], people: &Directory) -> Value {
    let state = replay(&recorded(events));
    serde_json::to_value(view(&state, people, state.last_at)).expect("a view has a JSON form")
}

/// The stream: no gap, no way back in time, no command twice, nothing that happens once twice.
pub fn stream(events: &[Value]) {
    let mut before: Option<DateTime<Utc>> = None;
    let mut last_command = "";
    let (mut done, mut once) = (HashSet::new(), HashSet::new());
    for (event, expected) in events.iter().zip(1_u64..) {
        assert_eq!(event["sequence"], expected, "the sequence has no gap");
        let at: DateTime<Utc> = text(&event["at"]).parse().expect("a time");
        assert!(before.is_none_or(|before| before <= at), "time runs backwards at event {expected}");
        before = Some(at);
        let command = text(&event["command"]);
        assert!(command == last_command || done.insert(command), "{command} was applied again at event {expected}");
        last_command = command;
        let fact = fact(event);
        assert!(once.insert(fact.clone()), "event {expected} is there twice: {fact}");
    }
}

/// What can happen only once, in this rollout.
fn fact(event: &Value) -> String {
    let happened = &event["event"];
    let kind = text(&happened["type"]);
    let parts: &[&Value] = match kind {
        // What is looked up again may be unknown again, and known at last.
        "clock-advanced" | "note-added" | "action-ended" | "fate-said" | "receipt-came-late" | "step-completed" => {
            &[&event["command"], &happened["step"]]
        }
        // A vote may change.
        "vote-cast" | "decision-settling" | "decision-unsettled" => &[&event["command"]],
        "acknowledged" | "listening" => &[&happened["step"], &event["by"]],
        "item-ticked" => &[&happened["step"], &happened["item"]],
        "input-set" => &[&happened["input"]],
        "delivery-ended" => &[&happened["announcement"], &happened["slot"]],
        "card-posted" => &[&happened["room"]],
        // It reached its phase, and ended later.
        "child-settled" => &[&happened["step"], &happened["result"]],
        "parent-told" => &[&happened["ended"]],
        "nudged" => &[&happened["step"], &happened["people"], &happened["text"]],
        kind if kind.starts_with("phase-") => &[&happened["phase"]],
        _ => &[&happened["step"]],
    };
    parts.iter().fold(kind.to_owned(), |fact, part| format!("{fact} {part}"))
}

/// The rooms of the stakeholders and of single people: everything that was sent stands there exactly once, and nothing else does.
pub fn announcements(process: &Process, events: &Events) {
    let mut expected: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut written: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let title = replay(&recorded(&events[ROLLOUT])).title;
    for event in events.values().flat_map(|events| recorded(events)) {
        match event.event {
            Event::AnnouncementIssued { subject, text, to, .. } => {
                for address in to {
                    let room = format!("{}-{}", address.platform.name(), address.name);
                    expected.entry(room).or_default().push((subject.clone().unwrap_or_default(), text.clone()));
                }
            }
            Event::Nudged { people, text, .. } => {
                for person in people {
                    written.entry(format!("direct-{person}")).or_default().push((String::new(), text.clone()));
                }
            }
            Event::Informed { people, text } => {
                for person in people {
                    written.entry(format!("direct-{person}")).or_default().push((title.clone(), text.clone()));
                }
            }
            _ => {}
        }
    }
    let rooms = process.get("/api/rooms").expect("there are rooms");
    let stakeholders: BTreeSet<&str> =
        list(&rooms).iter().filter(|room| room["hosts"] == false).map(|room| text(&room["id"])).collect();
    assert!(!stakeholders.is_empty(), "somebody is announced to");
    assert!(expected.values().all(|messages| messages.len() == 3), "commencement, decision and end are announced: {expected:?}");
    assert!(written.len() >= 5, "who had to acknowledge or to vote was written to: {written:?}");
    expected.append(&mut written);
    for id in stakeholders {
        let mut stands: Vec<(String, String)> = room(process, id)
            .iter()
            .map(|message| (message["subject"].as_str().unwrap_or_default().to_owned(), text(&message["text"]).to_owned()))
            .collect();
        let mut announced = expected.remove(id).unwrap_or_default();
        stands.sort();
        announced.sort();
        assert_eq!(stands, announced, "what stands in {id}");
    }
    assert!(expected.is_empty(), "announcements without a room: {expected:?}");
}

/// The hosting room: one card each, and every line of the log once in its thread, in the order of the events.
pub fn hosting_room(process: &Process, events: &Events, people: &Directory, result: &str) {
    let room = room(process, ROOM);
    let cards: Vec<&Value> = room.iter().filter(|message| message["card"] == true).collect();
    assert_eq!(cards.len(), events.len(), "one card each: {cards:#?}");
    for card in cards {
        let result = if card["rollout"] == ROLLOUT { result } else { "SUCCEEDED" };
        assert!(text(&card["text"]).contains(result), "the card shows how it ended: {}", card["text"]);
        assert!(list(&card["buttons"]).is_empty(), "nothing can be pressed any more");
        let recorded = recorded(&events[text(&card["rollout"])]);
        let state = replay(&recorded);
        let expected: Vec<String> = recorded.iter().filter_map(|event| log_line(&state, people, event)).collect();
        let thread = room.iter().filter(|message| message["thread_of"] == card["id"]);
        let stands: Vec<&str> = thread.map(|message| text(&message["text"])).collect();
        assert_eq!(stands, expected, "the log in the card's thread");
    }
}

/// What people said stands in the room once each.
pub fn sayings(process: &Process, acknowledged: &[(Asked, Value)]) {
    let room = room(process, ROOM);
    for (asked, told) in acknowledged.iter().filter(|(asked, _)| asked.body.get("text").is_some()) {
        let stands: Vec<&Value> = room.iter().filter(|message| message["text"] == asked.body["text"]).collect();
        assert_eq!(stands.len(), 1, "what was said stands there once: {asked:?}");
        assert_eq!(stands[0]["id"], told["id"], "the answer names the message");
        assert_eq!(stands[0]["author"], asked.body["person"]);
    }
}

/// What the outside world was asked, line by line: no effect twice.
pub fn ledger(data: &Path) -> Vec<Value> {
    let ledger = std::fs::read_to_string(data.join("pretended.jsonl")).expect("systems were asked");
    let lines = ledger.lines().filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("a whole line")).collect();
    let mut effects = HashSet::new();
    for line in &lines {
        assert!(effects.insert(text(&line["effect"])), "a system was asked twice: {line}");
    }
    lines
}

/// The outside world: every action was asked for once, by the identity under which its end was recorded.
///
/// Where answers are lost, a person may say that something ran which was killed before it was asked for.
pub fn actions(data: &Path, events: &[Value], expected: &[&str], hearsay: bool) {
    let lines = ledger(data);
    let steps: Vec<&str> = lines.iter().map(|line| text(&line["step"])).collect();
    let mut left = expected.iter().filter(|step| !hearsay || steps.contains(step));
    assert!(
        steps.iter().all(|step| left.next() == Some(step)) && left.next().is_none(),
        "every step asked once, in order: {steps:?}"
    );
    let effects: BTreeSet<&str> = lines.iter().map(|line| text(&line["effect"])).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"]["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("action-requested").len(), expected.len());
    assert_eq!(of("action-attempted").len(), expected.len(), "an attempt that began is looked up, not begun again");
    // That nobody knows whether it was begun is no end of something that was.
    let is_known = |event: &&Value| !hearsay || event["event"]["outcome"] != "unknown";
    let answered = of("action-ended").into_iter().filter(is_known).chain(of("receipt-came-late"));
    // What nobody heard the end of, a person knew: the clock gave it up, and somebody said that it ran.
    let ids = answered.filter_map(|event| text(&event["command"]).split_once('.')).map(|(id, _)| id);
    let ended: BTreeSet<&str> = ids.filter(|id| !id.contains('/')).collect();
    assert!(ended.is_subset(&effects), "what ended was asked for: {ended:?}, {effects:?}");
    let settled = of("step-completed").len() + of("step-failed").len() + of("action-ended").len();
    assert!(settled >= lines.len(), "every action came to an end");
}
