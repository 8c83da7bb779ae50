//! JSON Schemas of the files that people write, so that editors complete keys and underline slips while they are made.
//!
//! They say what stands where. What refers to what (a room, a person, a name in a template) only `check` can say.

mod house;
mod runbook;

use serde_json::{Map, Value, json};

/// Which file a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `config/runbooks/*.yaml`.
    Runbook,
    /// `config/people.yaml`.
    People,
    /// `config/tminus.yaml`.
    Settings,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Runbook, Self::People, Self::Settings];

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runbook => "runbook",
            Self::People => "people",
            Self::Settings => "settings",
        }
    }

    /// The schema, as of draft 2020-12.
    #[must_use]
    pub fn schema(self) -> Value {
        let (title, mut schema, definitions) = match self {
            Self::Runbook => ("A runbook of T-minus", runbook::runbook(), runbook::definitions()),
            Self::People => ("The people of T-minus", house::people(), Vec::new()),
            Self::Settings => ("The settings of T-minus", house::settings(), house::definitions()),
        };
        if let Value::Object(schema) = &mut schema {
            schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
            schema.insert("title".into(), title.into());
            let definitions = shared().into_iter().chain(definitions).map(|(name, value)| (name.to_owned(), value));
            schema.insert("$defs".into(), Value::Object(definitions.collect()));
        }
        schema
    }
}

/// What all three use.
fn shared() -> Vec<(&'static str, Value)> {
    // A scalar keeps its spelling, so to a reader of YAML a text may look like a number or a truth value.
    let text = json!({ "type": ["string", "number", "boolean"] });
    let texts = json!({ "anyOf": [text, { "type": "array", "items": { "$ref": "#/$defs/text" } }] });
    let duration = json!({ "type": "string", "pattern": r"^\s*([0-9]+[smhd]\s*)+$" });
    vec![("text", text), ("texts", texts), ("duration", duration)]
}

/// One key of a map.
struct Key {
    name: &'static str,
    value: Value,
    about: &'static str,
    required: bool,
}

/// A key that may be there.
const fn key(name: &'static str, value: Value, about: &'static str) -> Key {
    Key { name, value, about, required: false }
}

/// A key that has to be there.
const fn needed(name: &'static str, value: Value, about: &'static str) -> Key {
    Key { name, value, about, required: true }
}

/// A map with these keys and no others.
fn object(about: &str, keys: impl IntoIterator<Item = Key>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for Key { name, mut value, about, required: is_required } in keys {
        if let Value::Object(value) = &mut value {
            value.insert("description".into(), about.into());
        }
        properties.insert(name.to_owned(), value);
        if is_required {
            required.push(name);
        }
    }
    let mut object = json!({ "type": "object", "description": about, "properties": properties, "additionalProperties": false });
    if let (Value::Object(object), false) = (&mut object, required.is_empty()) {
        object.insert("required".into(), required.into());
    }
    object
}

/// What stands under `$defs`.
fn of(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn text() -> Value {
    of("text")
}

/// One text, or a list of them.
fn texts() -> Value {
    of("texts")
}

fn duration() -> Value {
    of("duration")
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn one_of(names: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "enum": names.into_iter().collect::<Vec<_>>() })
}

fn list(items: &Value) -> Value {
    json!({ "type": ["array", "null"], "items": items })
}

/// A list in which something has to stand.
fn filled_list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1 })
}

/// A map whose keys are names of the writer's own.
fn map(values: &Value) -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": values })
}

/// The same, where the names are those that expressions use.
fn map_of_ids(values: &Value) -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": values, "propertyNames": { "pattern": ID } })
}

/// What phases, steps, inputs and fields are called.
const ID: &str = "^[a-z][a-z0-9_]*$";
