//! The schemas of the people file and the settings file.

use serde_json::{Value, json};

use crate::domain::catalogue::KINDS;
use crate::domain::people::{PERSON_ID_CHARS_MAX, ROOM_OF_PERSON};

use super::{duration, flag, key, list, map, needed, object, of, one_of, pattern, text, texts};

/// The id of a channel, as Slack has it.
const SLACK_CHANNEL: &str = "^[CG][A-Z0-9]{1,23}$";
/// The id of a member, with the workspace's where it is not the bot's own.
const SLACK_MEMBER: &str = "^([TE][A-Z0-9]{1,23}/)?[UW][A-Z0-9]{1,23}$";

pub(super) fn people() -> Value {
    let person = object(
        "One person.",
        [
            needed("name", text(), "The full name"),
            key("email", text(), "Where mail reaches them"),
            key(
                "slack",
                pattern(SLACK_MEMBER),
                "Their member id in Slack, like U0123ABCD; T0123ABCD/U0123ABCD in another workspace",
            ),
            key("telegram", text(), "Their user id in Telegram"),
            key("timezone", text(), "Where they are, like Europe/Berlin: nobody is reminded at night"),
            key("roles", texts(), "What they are, wherever a runbook names the role"),
        ],
    );
    let mut people = map(&person);
    people["propertyNames"] = json!({ "pattern": format!("^[A-Za-z0-9_.-]{{1,{PERSON_ID_CHARS_MAX}}}$") });
    object(
        "People and teams. The short names are what runbooks use.",
        [
            key("people", people, "The people by their short names"),
            key("teams", map(&texts()), "The teams: short names of their members"),
        ],
    )
}

pub(super) fn settings() -> Value {
    let room = object(
        "One room.",
        [
            key("slack", pattern(SLACK_CHANNEL), "The id of the channel in Slack, like C0123ABCD"),
            key("telegram", text(), "The id of the group in Telegram, like -1001234567890"),
            key("local", flag(), "Whether it is a room of T-minus itself, too"),
        ],
    );
    let address = object(
        "One address for announcements.",
        [
            key("slack", pattern(SLACK_CHANNEL), "The id of a channel in Slack, like C0123ABCD"),
            key("telegram", text(), "A chat in Telegram: its id, or the name of a public channel, like @andromeda_rollouts"),
            key("email", texts(), "Mail addresses: each gets it"),
            key("local", flag(), "Whether it is a room of T-minus itself, written as local:NAME in runbooks"),
        ],
    );
    let tls = object(
        "A certificate and its key, as PEM files.",
        [
            needed("certificate", text(), "The file of the certificate, with those that lead to its authority"),
            needed("key", text(), "The file of its private key"),
        ],
    );
    let web = object(
        "The page.",
        [
            key("listen", text(), "Where it listens, like 127.0.0.1:8080"),
            key("public_url", text(), "Where it is reached, like https://rollouts.example.com"),
            key("tls", tls, "With which certificate it speaks TLS itself; none where a proxy does"),
            key("allow_http", flag(), "Whether log-ins may cross a network unencrypted"),
            key(
                "trusted_proxies",
                texts(),
                "Addresses or networks of proxies, like 127.0.0.1 or 10.1.0.0/16, whose X-Forwarded-For says who asks",
            ),
        ],
    );
    let freeze = object(
        "One freeze: a time that comes again and again, in which no rollout takes an environment.",
        [
            needed("name", text(), "Its name"),
            needed("starts", text(), "When it begins, as a cron expression of six fields: 0 0 17 * * Fri"),
            needed("lasts", duration(), "How long it lasts, in real hours also when clocks change in it"),
            key("timezone", text(), "In which zone its beginning is read, like America/New_York; UTC unless told"),
            needed("environments", texts(), "The environments it is for; * stands for anything"),
            key("override", texts(), "Who may let a rollout go on in it: people, teams, roles of the installation"),
            key("reason", text(), "Why there is one, as people read it"),
        ],
    );
    let digest = object(
        "One digest: what is open, said at set times.",
        [
            needed("name", text(), "Its name, with which it begins"),
            needed("at", text(), "When it is issued, as a cron expression of six fields: 0 0 8 * * Mon-Fri"),
            key("timezone", text(), "In which zone that is read, like Europe/Berlin; UTC unless told"),
            needed("to", texts(), "Where it goes: addresses and rooms, like slack:release-managers"),
            key("also-empty", flag(), "Whether it is issued also when nothing is open and nothing ended since the last one"),
        ],
    );
    let backups = object(
        "Backups: exports of the whole journal, each tried out before it counts.",
        [
            needed("to", text(), "The folder, for this installation alone; best on another disk"),
            needed("at", text(), "When one is made, as a cron expression of six fields: 0 0 3 * * *"),
            key("timezone", text(), "In which zone that is read, like Europe/Berlin; UTC unless told"),
            key("keep", json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }), "How many are kept; 14 unless told"),
        ],
    );
    let named = |values: &Value| {
        let mut named = map(values);
        named["propertyNames"] = json!({ "pattern": "^[a-z0-9-]{1,80}$", "not": { "pattern": format!("^{ROOM_OF_PERSON}") } });
        named
    };
    object(
        "Where the conversation takes place, where announcements go, and what actions run against.",
        [
            key("rooms", named(&room), "The rooms that host rollouts"),
            key("addresses", named(&address), "The addresses of announcements"),
            key("web", web, "The page"),
            key("systems", map(&of("system")), "The systems that actions run against"),
            key("freezes", list(&freeze), "When nothing is to be changed"),
            key("digests", list(&digest), "When it is said what is open"),
            key("backups", backups, "When exports of the journal are kept, and where"),
        ],
    )
}

pub(super) fn definitions() -> Vec<(&'static str, Value)> {
    vec![
        ("system", system()),
        ("pretended", pretended()),
        ("http", http()),
        ("programs", programs()),
        ("configured", configured()),
        ("script", script()),
        ("secret", secret()),
    ]
}

/// A system pretends, or is reached: which one says its kind.
fn system() -> Value {
    let kinds = one_of(KINDS.iter().map(|kind| kind.name).chain(["pretend"]));
    json!({
        "type": "object",
        "description": "One system.",
        "properties": { "kind": kinds },
        "required": ["kind"],
        "allOf": [
            { "if": kind_is("pretend"), "then": of("pretended") },
            { "if": kind_is("http"), "then": of("http") },
            { "if": kind_is("command"), "then": of("programs") },
            { "if": { "properties": { "kind": { "enum": ["pretend", "http", "command"] } } }, "else": of("configured") },
        ],
    })
}

fn kind_is(name: &str) -> Value {
    json!({ "properties": { "kind": { "const": name } } })
}

fn http() -> Value {
    object(
        "A system that is sent requests.",
        [
            needed("kind", one_of(["http"]), "It is sent requests"),
            needed("allow", texts(), "The addresses that requests may go to, and nothing else"),
            key("headers", map(&of("secret")), "Headers that let T-minus in, by name"),
            key("timeout", duration(), "How long one request may take"),
        ],
    )
}

fn programs() -> Value {
    object(
        "A system that runs programs.",
        [
            needed("kind", one_of(["command"]), "It runs programs"),
            needed("allow", texts(), "The programs that may be run, and nothing else"),
            key("cwd", text(), "The folder that they run in, or below"),
            key("env", texts(), "Names of variables of T-minus's own environment that they see"),
            key("timeout", duration(), "How long one may run"),
        ],
    )
}

fn kind_names() -> Value {
    one_of(KINDS.iter().map(|kind| kind.name))
}

fn pretended() -> Value {
    let mut pretended = object(
        "A system that only plays another kind.",
        [
            needed("kind", one_of(["pretend"]), "It pretends"),
            needed("as", kind_names(), "The kind whose operations it plays"),
            key("script", map(&of("script")), "What it plays, by operation"),
        ],
    );
    let operations = |kind: &crate::domain::catalogue::Kind| {
        let names = kind.operations.iter().map(|operation| match operation.name.strip_suffix('*') {
            Some(prefix) => json!({ "pattern": format!("^{}.", prefix.replace('.', "\\.")) }),
            None => json!({ "const": operation.name }),
        });
        json!({
            "if": { "properties": { "as": { "const": kind.name } } },
            "then": { "properties": { "script": { "propertyNames": { "anyOf": names.collect::<Vec<_>>() } } } },
        })
    };
    pretended["allOf"] = KINDS.iter().map(operations).collect();
    pretended
}

fn secret() -> Value {
    object(
        "Where a secret comes from, never the secret itself.",
        [key("env", text(), "The environment variable"), key("file", text(), "The file")],
    )
}

fn configured() -> Value {
    object(
        "A system that is reached.",
        [
            needed("kind", kind_names(), "What kind of system it is"),
            key("region", text(), "Its region"),
            key("endpoint_url", text(), "Another endpoint than the usual one"),
            key("url", text(), "Where it is"),
            key("user", text(), "As whom"),
            key("token", of("secret"), "Where its token comes from"),
            key("allow", texts(), "What it may reach or run, and nothing else"),
        ],
    )
}

fn script() -> Value {
    let outputs = map(&text());
    object(
        "What a pretended operation plays.",
        [
            key("takes", duration(), "How long it takes"),
            key("progress", list(&text()), "What it says on the way"),
            key("outputs", outputs, "What comes out of it; templates over its inputs and the rollout's"),
            key("fails", text(), "Why it fails, if it does"),
            key("silent", flag(), "Whether nothing more is heard of it once it has begun"),
            key("loses-answer", flag(), "Whether the answer to its beginning is lost, and only a second look finds it"),
            key("twice", flag(), "Whether its end is said twice"),
            key("late", duration(), "How long after it its end is said"),
        ],
    )
}
