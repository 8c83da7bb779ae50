//! The schema of a runbook.

use serde_json::{Value, json};

use crate::domain::catalogue::KINDS;
use crate::domain::conversation::form::FieldKind;
use crate::domain::runbook::model::Platform;

use super::{ID, Key, duration, filled_list, flag, key, list, map, map_of_ids, needed, object, of, one_of, pattern, text, texts};

/// The whole file.
pub(super) fn runbook() -> Value {
    let input = of("input");
    let address = of("destination");
    let audience = json!({ "anyOf": [address, { "type": "array", "items": address, "minItems": 1 }] });
    object(
        "One runbook: what happens in a rollout, in which order, and who is asked.",
        [
            needed(
                "runbook",
                pattern("^[a-z][a-z0-9-]{0,39}$"),
                "Its name; rollouts are called NAME-VALUE after the positional input",
            ),
            key("title", text(), "The title of its rollouts, a template over the inputs"),
            key("environment", text(), "What one rollout at a time may hold, like andromeda/staging"),
            key("lock-from", pattern(ID), "The phase from which on the environment is held; without, the first one with a run"),
            key("timezone", text(), "The zone in which times are read and said, like America/New_York"),
            key("inputs", map_of_ids(&input), "What is known or asked for before and during the rollout"),
            key("people", map(&texts()), "Roles of this runbook: people, teams, other roles, or an input of type people"),
            key("cc", texts(), "Who is told at the start, and not asked"),
            key("rooms", texts(), "The rooms that host it; without, it belongs to every room"),
            key("audiences", map(&audience), "Where announcements go"),
            key("days", map(&text()), "Named days: how far from T-0 each is, or `manual`"),
            key("notes", list(&of("note")), "Questions that have to be answered before a phase"),
            key("may", of("may"), "Who may do what, where it is not as usual"),
            key("re-ask", duration(), "By how much T-0 may move before people are asked again; 1h unless told"),
            needed("phases", filled_list(&of("phase")), "The phases, in order"),
        ],
    )
}

/// What the file is made of.
pub(super) fn definitions() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("input", input()),
        ("field", field()),
        ("destination", destination()),
        ("note", note()),
        ("may", may()),
        ("phase", phase()),
        ("rule", rule()),
        ("requirement", requirement()),
        ("operation", operation()),
        ("check", check()),
        ("step", step()),
    ];
    all.extend(kinds().into_iter().map(|kind| (kind.name, kind.schema())));
    all
}

fn nullable(mut object: Value) -> Value {
    object["type"] = json!(["object", "null"]);
    object
}

fn field_keys() -> Vec<Key> {
    let default = json!({ "anyOf": [text(), { "type": "array", "items": text() }] });
    vec![
        key("label", text(), "What people read; made of the name unless told"),
        key("type", one_of(FieldKind::NAMES), "What it is; text unless told"),
        key("pattern", text(), "The regular expression it matches"),
        key("options", texts(), "What can be chosen"),
        key("many", flag(), "Whether several options can be chosen"),
        key("example", text(), "What it looks like"),
        key("default", default, "What it is unless told"),
        key("required", flag(), "Whether it has to be there; true unless told"),
    ]
}

fn field() -> Value {
    nullable(object("A field of a form.", field_keys()))
}

fn input() -> Value {
    let more = [
        key("positional", flag(), "Whether it is the word after /rollout start"),
        key("tentative", flag(), "Whether it may be missing at the start and change later"),
        key("needed-by", pattern(ID), "The phase that does not open without it"),
    ];
    nullable(object("An input of the rollout.", field_keys().into_iter().chain(more)))
}

fn destination() -> Value {
    let platforms = Platform::ALL.map(Platform::name).join("|");
    let address = pattern(&format!("^({platforms}):.+$"));
    let long = object(
        "A destination, with whether it has to be reached.",
        [
            needed("to", address.clone(), "Platform and name, like slack:general"),
            key("must", flag(), "Whether the announcement is not done without it"),
        ],
    );
    json!({ "anyOf": [address, long] })
}

fn note() -> Value {
    object(
        "A question that has to be answered before a phase.",
        [
            needed("question", text(), "The question"),
            key("who", texts(), "Who answers it"),
            key("before", pattern(ID), "The phase that it is asked before"),
        ],
    )
}

fn may() -> Value {
    object(
        "Who may do what, where it is not as usual.",
        [
            key("start", texts(), "Who may start it"),
            key("run", texts(), "Who may press what nobody else is named for"),
            key("decide", texts(), "Who votes where a decision names nobody"),
            key("second", texts(), "Who may be the second person"),
            key("waive", texts(), "Who may go on without an acknowledgement"),
            key("abort", texts(), "Who may abort it"),
            key("take-over", texts(), "Who may take over an environment that is held"),
            key("override", texts(), "Who may let it go on in a freeze, beside those whom the freeze names"),
        ],
    )
}

fn phase() -> Value {
    let in_during = json!({
        "allOf": [of("step")],
        "anyOf": [{ "required": ["announce"] }, { "required": ["wait"] }],
    });
    object(
        "One phase.",
        [
            needed("phase", pattern(ID), "Its id"),
            key("title", text(), "What people read; made of the id unless told"),
            key("help", text(), "What is shown on demand"),
            key(
                "at",
                time(),
                "When it opens: T-5d, T-4h, T-0, T+30m, or a day and a time. Without, when those before it are settled",
            ),
            key("opens", texts(), "Who opens it by hand"),
            key("after", texts(), "The phases that have to be settled first, instead of the one before"),
            key("back-off", pattern(ID), "The phase that is the way back when something goes wrong"),
            key("if", text(), "An expression: whether it applies"),
            key("offer-done", flag(), "Whether its items may be ticked as done already at the start"),
            key("parallel", flag(), "Whether its steps open all at once"),
            key("always", flag(), "Whether it runs after any result, an abort included"),
            needed("steps", filled_list(&of("step")), "Its steps, in order"),
            key("during", list(&in_during), "What lives while the phase is open: announcements with every, waits that watch"),
        ],
    )
}

fn time() -> Value {
    pattern(r"^([Tt][-+]\s*(0|([0-9]+[smhd]\s*)+)|.+ [0-9]{1,2}:[0-9]{2})$")
}

fn rule() -> Value {
    let count = json!({ "type": "integer", "minimum": 1 });
    let at_least = object("At least so many.", [needed("at-least", count, "How many votes for GO are enough")]);
    json!({ "anyOf": [one_of(["any", "majority", "unanimous"]), at_least] })
}

fn requirement() -> Value {
    object(
        "What has to hold of the outputs.",
        [
            needed("that", text(), "An expression over `outputs` and everything else"),
            key("else", text(), "What is said when it does not hold"),
        ],
    )
}

/// `system.operation`: the operations of systems that are called like their kind are offered, any other is possible.
fn operation() -> Value {
    let known: Vec<String> = KINDS
        .iter()
        .flat_map(|kind| kind.operations.iter().map(|operation| format!("{}.{}", kind.name, operation.name)))
        .filter(|name| !name.ends_with('*'))
        .collect();
    json!({ "anyOf": [{ "enum": known }, pattern(r"^[^.]+\..+$")] })
}

fn call_keys() -> Vec<Key> {
    let with = json!({ "type": "object" });
    vec![
        key("with", with, "What the operation takes"),
        key("require", list(&of("requirement")), "What has to hold of what comes out of it"),
    ]
}

fn check() -> Value {
    let run = needed("run", of("operation"), "What is asked: system.operation");
    object("A check: something that is run, and what has to hold of it.", [run].into_iter().chain(call_keys()))
}

/// One kind of step.
struct StepSchema {
    name: &'static str,
    about: &'static str,
    value: Value,
    keys: Vec<Key>,
    /// Whether `who` says whose step it is; other kinds have a key of their own for that.
    who: bool,
}

impl StepSchema {
    fn schema(self) -> Value {
        let main = needed(self.name, self.value, self.about);
        let who = self.who.then(|| key("who", texts(), "Whose step it is; the owner's unless told"));
        object(self.about, [main].into_iter().chain(self.keys).chain(who).chain(common_keys()))
    }
}

/// What every step may have.
fn common_keys() -> Vec<Key> {
    let item = pattern("^[A-Za-z0-9_.-]+$");
    let items = json!({ "anyOf": [item, { "type": "array", "items": of("text"), "minItems": 1, "maxItems": 100 }] });
    let takes = pattern(r"^\s*([0-9]+[smhd]\s*)+(\.\.\s*([0-9]+[smhd]\s*)+)?$");
    let due = pattern(r"^([Tt][-+]\s*0|\s*([Tt][-+]\s*)?([0-9]+[smhd]\s*)+)$");
    vec![
        key("id", pattern(ID), "Its id; made of its text unless told"),
        key("title", text(), "What people read instead of what the kind says"),
        key("if", text(), "An expression: whether it applies"),
        key("help", text(), "What is shown on demand"),
        key("takes", takes, "How long it usually takes: 12m, or 5s..20m"),
        key("due", due, "Until when: a duration from its opening, or a time like T-30m"),
        key("remind", duration(), "How often people are reminded"),
        key("required", flag(), "Whether skipping it takes a second person; true unless told"),
        key("each", items, "One step of every item; `{{ each }}` is the item"),
    ]
}

fn kinds() -> Vec<StepSchema> {
    let kind = |name, about, value, keys| StepSchema { name, about, value, keys, who: false };
    let of_people = |name, about, value, keys| StepSchema { name, about, value, keys, who: true };
    let fields = || map_of_ids(&of("field"));
    vec![
        kind(
            "announce",
            "Announces a message: the name of a file in messages/",
            text(),
            vec![needed("to", texts(), "The audiences it goes to"), key("every", duration(), "How often, in `during`")],
        ),
        kind(
            "acknowledge",
            "What people acknowledge, each for themselves",
            text(),
            vec![needed("from", texts(), "Who has to acknowledge")],
        ),
        of_people(
            "task",
            "What people do",
            text(),
            vec![
                key("items", texts(), "What belongs to it, ticked one by one"),
                key("evidence", fields(), "What is recorded with it"),
            ],
        ),
        of_people(
            "ask",
            "A question",
            text(),
            vec![
                key("from", texts(), "Many people who answer, each for themselves"),
                key("fields", fields(), "What is answered"),
                key("sets", pattern(ID), "The input that the answer writes"),
            ],
        ),
        kind(
            "run",
            "Has a system do something: system.operation",
            of("operation"),
            call_keys()
                .into_iter()
                .chain([
                    key("press", texts(), "Who presses Run; without, it runs by itself"),
                    key("timeout", duration(), "After how long it counts as without an end"),
                    key("four-eyes", flag(), "Whether a second person has to confirm"),
                ])
                .collect(),
        ),
        kind(
            "decide",
            "A question that is decided by votes",
            text(),
            vec![
                key("voters", texts(), "Who votes; those of `may.decide` unless told"),
                key("rule", of("rule"), "When it is decided; unanimous unless told"),
                key("veto", flag(), "Whether one NO-GO decides"),
                key("stand-ins", texts(), "Who may vote for somebody who is away"),
                key("evidence", texts(), "The steps that are shown with it"),
                key("notice", text(), "The message that tells the decision"),
                key("to", texts(), "The audiences of the notice"),
            ],
        ),
        of_people(
            "wait",
            "What is waited for: a duration, or in words with `until` or `of`",
            text(),
            vec![
                key("until", of("check"), "It is over when this holds"),
                key("of", of("check"), "What is looked at every time"),
                key("every", duration(), "How often it is looked at"),
                key(
                    "cycles",
                    json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
                    "How many good ones in a row are enough",
                ),
                key("bad", one_of(["restart", "fail", "tell"]), "What a bad one means"),
                key("timeout", duration(), "After how long `until` gives up"),
            ],
        ),
        of_people(
            "checklist",
            "A runbook that runs as a rollout of its own",
            text(),
            vec![
                key("with", json!({ "type": "object", "additionalProperties": of("text") }), "The inputs it starts with"),
                key("gate", flag(), "Whether it has to succeed; true unless told"),
                key("until", pattern(ID), "The phase of it that settles the step, where it need not end"),
                key("evidence", fields(), "What is recorded with it"),
            ],
        ),
        kind(
            "let",
            "A name for something that is worked out once",
            pattern(ID),
            vec![needed("value", text(), "A template: what it is"), key("confirm", texts(), "Who confirms it")],
        ),
        kind("result", "Records the result", one_of(["succeeded", "failed", "no-go"]), Vec::new()),
    ]
}

/// A step is one of the kinds: which one says the key that is there, and only its keys may stand beside it.
fn step() -> Value {
    let names: Vec<(&str, &str)> = kinds().iter().map(|kind| (kind.name, kind.about)).collect();
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|(name, about)| ((*name).to_owned(), json!({ "description": about }))).collect();
    let one: Vec<Value> = names.iter().map(|(name, _)| json!({ "required": [name] })).collect();
    let keys: Vec<Value> = names.iter().map(|(name, _)| json!({ "if": { "required": [name] }, "then": of(name) })).collect();
    json!({
        "type": "object",
        "description": "One step. One key names its kind.",
        "properties": properties,
        "oneOf": one,
        "allOf": keys,
    })
}
