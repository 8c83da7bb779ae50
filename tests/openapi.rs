//! `openapi.json` says what is so: every path it names is served, every path that is served it names, and what a running demo
//! really answers has the form it promises.

mod demo;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use regex::Regex;
use reqwest::blocking::{Client, Response};
use resvg::tiny_skia::Pixmap;
use serde_json::{Value, json};

use self::demo::Demo;

const DOCUMENT: &str = include_str!("../src/gateway/web/openapi.json");
/// Where the API's routes are written down.
const ROUTES: [&str; 7] = [
    include_str!("../src/gateway/web/export.rs"),
    include_str!("../src/gateway/web/access/api.rs"),
    include_str!("../src/gateway/web/api.rs"),
    include_str!("../src/gateway/web/health.rs"),
    include_str!("../src/gateway/web/history.rs"),
    include_str!("../src/gateway/web/live.rs"),
    include_str!("../src/gateway/web/timeline.rs"),
];
const METHODS: [&str; 3] = ["delete", "get", "post"];
/// How often a demo is asked again until what was set going is done, and how long between: half a minute in all.
const TRIES_MAX: usize = 3000;
const TRY_EVERY: Duration = Duration::from_millis(10);

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

/// A client of a demo that has a rollout under way.
struct Caller {
    client: Client,
    demo: Demo,
    document: Value,
    _data: tempfile::TempDir,
}

impl Caller {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let demo = Demo::start(data.path(), "127.0.0.1:0").expect("the demo starts");
        let caller = Self { client: Client::new(), demo, document: document(), _data: data };
        caller.post(
            "/api/rooms/{room}/messages",
            "/api/rooms/andromeda-rollouts/messages",
            &json!({ "person": "maria", "text": "/rollout start 4.3" }),
        );
        caller
    }

    fn send(&self, method: &str, address: &str, body: Option<&Value>) -> Response {
        let url = format!("{}{address}", self.demo.url);
        let request = match method {
            "post" => self.client.post(url),
            "delete" => self.client.delete(url),
            _ => self.client.get(url),
        };
        match body {
            Some(body) => request.json(body),
            None => request,
        }
        .send()
        .expect("the demo answers")
    }

    fn get(&self, path: &str, address: &str) -> Value {
        self.checked(path, "get", self.send("get", address, None))
    }

    fn post(&self, path: &str, address: &str, body: &Value) -> Value {
        let request = format!("/paths/{}/post/requestBody/content/application~1json/schema", path.replace('/', "~1"));
        conforms(&self.document, self.document.pointer(&request).expect("a described body"), body, path);
        self.checked(path, "post", self.send("post", address, Some(body)))
    }

    /// The answer, which has the form that the document gives for its status and content type.
    fn checked(&self, path: &str, method: &str, response: Response) -> Value {
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
        let described = format!(
            "/paths/{}/{method}/responses/{status}/content/{}/schema",
            path.replace('/', "~1"),
            content_type.split(';').next().unwrap_or_default().replace('/', "~1")
        );
        let schema = self.document.pointer(&described).unwrap_or_else(|| panic!("{described} is not described"));
        let answer: Value = response.json().expect("JSON");
        conforms(&self.document, schema, &answer, &format!("{method} {path} {status}"));
        answer
    }

    fn rollout(&self) -> Value {
        self.get("/api/rollouts/{id}", "/api/rollouts/andromeda-staging-4.3")
    }

    /// A button of a rollout's card that somebody who is awaited can press, with what its form asks.
    fn press_for(&self, view: &Value) -> Option<(String, Value)> {
        let steps = view["phases"].as_array()?.iter().flat_map(|phase| phase["steps"].as_array().into_iter().flatten());
        let step = steps.filter(|step| step["status"] == "open").find(|step| step["awaited"].get(0).is_some())?;
        let verb = match step["kind"].as_str()? {
            "acknowledge" => "ack",
            "ask" => "answer",
            "run" => "run",
            "decide" => "go",
            _ => "done",
        };
        let card = self.messages().into_iter().find(|message| message["card"] == true && message["rollout"] == view["id"])?;
        let mut buttons = card["buttons"].as_array()?.iter();
        let button = buttons.find(|button| button["id"].as_str().is_some_and(|id| id.contains(&format!(".{verb}."))))?;
        let asked = card["fields"].as_array().into_iter().flatten();
        let asked = asked.filter(|field| field["button"] == button["id"] && field["required"] == true);
        let filled = |field: &Value| match field["type"].as_str() {
            Some("confirm") => "yes".to_owned(),
            _ => [&field["value"], &field["example"]].into_iter().find_map(Value::as_str).unwrap_or("x").to_owned(),
        };
        let fields: serde_json::Map<String, Value> =
            asked.map(|field| (field["name"].as_str().expect("a name").to_owned(), filled(field).into())).collect();
        let address = format!("/api/rooms/andromeda-rollouts/messages/{}/press", card["id"].as_str()?);
        Some((address, json!({ "person": step["awaited"][0]["id"], "button": button["id"], "fields": fields })))
    }

    fn messages(&self) -> Vec<Value> {
        let messages = self.get("/api/rooms/{room}/messages", "/api/rooms/andromeda-rollouts/messages");
        messages.as_array().expect("a list").clone()
    }
}

fn resolve<'d>(document: &'d Value, reference: &str) -> &'d Value {
    document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Checks a value against the part of JSON Schema that the document uses, and that everything in it is described.
fn conforms(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(document, resolve(document, reference), value, place);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().find(|one| (one["type"] == "null") == value.is_null());
        return conforms(document, fits.unwrap_or_else(|| panic!("{place}: {value}")), value, place);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&is), "{place}: {value} is not {types:?}");
    let allowed = schema["enum"].as_array();
    assert!(allowed.is_none_or(|allowed| allowed.contains(value)), "{place}: {value} is none of {allowed:?}");
    if schema["format"] == "date-time"
        && let Some(text) = value.as_str()
    {
        assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{place}: {text} is not a time");
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            conforms(document, &schema["items"], item, &format!("{place}/{index}"));
        }
    }
    let Some(object) = value.as_object() else { return };
    let parts: Vec<&Value> = match schema["allOf"].as_array() {
        Some(parts) => {
            parts.iter().map(|part| part["$ref"].as_str().map_or(part, |reference| resolve(document, reference))).collect()
        }
        None => vec![schema],
    };
    for required in parts.iter().flat_map(|part| part["required"].as_array().into_iter().flatten()).filter_map(Value::as_str) {
        assert!(object.contains_key(required), "{place} lacks `{required}`: {value}");
    }
    let described_at_all = parts.iter().any(|part| part["properties"].is_object());
    for (name, inner) in object {
        let place = format!("{place}/{name}");
        match parts.iter().map(|part| &part["properties"][name]).find(|described| described.is_object()) {
            Some(described) => conforms(document, described, inner, &place),
            None if schema["additionalProperties"].is_object() => {
                conforms(document, &schema["additionalProperties"], inner, &place);
            }
            None if schema["additionalProperties"] == true => {}
            None => assert!(!described_at_all, "{place} is not described"),
        }
    }
}

#[test]
fn every_described_path_is_served() {
    let caller = Caller::new();
    let paths = caller.document["paths"].as_object().expect("paths").clone();
    for (path, item) in &paths {
        // What is about one message or rollout is asked about one that is there.
        let address = path
            .replace("{room}", "andromeda-rollouts")
            .replace("messages/{id}", "messages/1")
            .replace("{person}", "sam")
            .replace("{id}", "andromeda-staging-4.3");
        for method in METHODS {
            let body = json!({ "person": "maria", "text": "hello", "button": "none", "by": "1s" });
            let is_described = item[method].is_object();
            let body = item[method]["requestBody"].is_object().then(|| {
                let asked =
                    item[method]["requestBody"]["content"]["application/json"]["example"].as_object().expect("an example");
                Value::Object(asked.keys().filter_map(|key| Some((key.clone(), body.get(key)?.clone()))).collect())
            });
            let status = caller.send(method, &address, body.as_ref()).status().as_u16();
            if is_described {
                assert!(status != 404 && status != 405, "{method} {path} is described and answers {status}");
                assert!(
                    item[method]["responses"].get(status.to_string()).is_some(),
                    "{method} {path} answers {status}, which is not described"
                );
            } else {
                assert_eq!(status, 405, "{method} {path} is not described");
            }
        }
    }
}

#[test]
fn every_served_path_is_described() {
    let document = document();
    let route = Regex::new(r#"\.route\(\s*"([^"]+)""#).expect("a pattern");
    let served: Vec<&str> = ROUTES
        .iter()
        .flat_map(|source| route.captures_iter(source))
        .map(|found| found.get(1).expect("a group").as_str())
        .collect();
    assert!(served.len() > 10, "{served:?}");
    for path in served {
        assert!(document["paths"][path].is_object(), "{path} is not described");
    }
}

#[test]
fn examples_have_the_form_they_are_examples_of() {
    fn visit(document: &Value, value: &Value, place: &str) {
        if let (Some(schema), Some(example)) = (value.get("schema"), value.get("example")) {
            conforms(document, schema, example, place);
        }
        match value {
            Value::Object(object) => object.iter().for_each(|(name, inner)| visit(document, inner, &format!("{place}/{name}"))),
            Value::Array(list) => list.iter().for_each(|inner| visit(document, inner, place)),
            _ => {}
        }
    }
    let document = document();
    visit(&document, &document, "");
}

#[test]
fn answers_of_a_whole_rollout_have_the_described_form() {
    let caller = Caller::new();
    caller.get("/api/people", "/api/people");
    caller.get("/api/rooms", "/api/rooms");
    let mut before = Vec::new();
    for _ in 0..TRIES_MAX {
        if caller.rollout()["status"] == "ended" {
            break;
        }
        // The rollout, and the checklists that belong to it.
        let lines = caller.get("/api/rollouts", "/api/rollouts");
        let open = lines.as_array().expect("a list").iter().filter(|line| line["status"] == "open");
        let views: Vec<Value> = open
            .map(|line| caller.get("/api/rollouts/{id}", &format!("/api/rollouts/{}", line["id"].as_str().expect("an id"))))
            .collect();
        let sequences: Vec<u64> = views.iter().filter_map(|view| view["sequence"].as_u64()).collect();
        let is_settled = sequences == before;
        before = sequences;
        match views.iter().find_map(|view| caller.press_for(view)) {
            Some((address, press)) => drop(caller.post("/api/rooms/{room}/messages/{id}/press", &address, &press)),
            None if is_settled => drop(caller.post("/api/clock/advance", "/api/clock/advance", &json!({ "to": "next" }))),
            None => std::thread::sleep(TRY_EVERY),
        }
    }
    assert_eq!(caller.rollout()["result"], "succeeded");
    let events = caller.get("/api/rollouts/{id}/events", "/api/rollouts/andromeda-staging-4.3/events?limit=500");
    assert_eq!(
        events.as_array().map(Vec::len),
        caller.rollout()["sequence"].as_u64().and_then(|last| usize::try_from(last).ok())
    );
    let lines = caller.get("/api/rollouts", "/api/rollouts");
    let results: Vec<(&Value, &Value)> =
        lines.as_array().expect("a list").iter().map(|line| (&line["parent"], &line["result"])).collect();
    let (alone, succeeded) = (json!(null), json!("succeeded"));
    assert_eq!(results, [(&json!("andromeda-staging-4.3"), &succeeded), (&alone, &succeeded)], "the newest first");
    let ids = |query: &str| -> Vec<String> {
        let lines = caller.get("/api/rollouts", &format!("/api/rollouts?{query}"));
        lines.as_array().expect("a list").iter().map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
    };
    let newest = ids("limit=1");
    assert_eq!(newest.len(), 1);
    assert_eq!(ids(&format!("status=ended&before={}", newest[0])), ["andromeda-staging-4.3"]);
    assert!(ids("before=andromeda-staging-4.3").is_empty() && ids("status=open").is_empty());
    let announced = caller.get("/api/rooms/{room}/messages", "/api/rooms/slack-andromeda-preproduction-watch/messages");
    assert_eq!(announced.as_array().map(Vec::len), Some(3));

    // It is finished once everything it owed is done, a moment after its end.
    let history = (0..TRIES_MAX).find_map(|_| {
        std::thread::sleep(TRY_EVERY);
        Some(caller.get("/api/history", "/api/history")).filter(|history| history["finished"] == 1)
    });
    let history = history.expect("it is finished in time");
    assert_eq!((&history["finished"], &history["months"][0]["succeeded"]), (&json!(1), &json!(1)));
    assert_eq!(history["steps_of"], "andromeda-staging");
    let steps: Vec<&str> = history["steps"].as_array().expect("a list").iter().filter_map(|step| step["step"].as_str()).collect();
    assert!(steps.contains(&"update_containers") && !steps.contains(&"dns_back"), "{steps:?}");
    let of_tests = caller.get("/api/history", "/api/history?runbook=blue-side-tests-staging&rehearsals=true");
    assert_eq!((&of_tests["finished"], &of_tests["latest"][0]["id"]), (&json!(1), &json!("blue-side-tests-staging-4.3")));
    for (query, status) in [("runbook=andromeda-stagin", 404), ("rehearsals=perhaps", 400)] {
        assert_eq!(caller.get("/api/history", &format!("/api/history?{query}"))["status"], status);
    }
    is_a_picture_of(&caller, "/api/rollouts/andromeda-staging-4.3/timeline");
}

/// The timeline, drawn: letters, bars in the colour of what is done, the ground; and the same for a reader of XML.
fn is_a_picture_of(caller: &Caller, address: &str) {
    let svg = caller.send("get", &format!("{address}.svg"), None);
    assert_eq!(svg.headers()["content-type"], "image/svg+xml");
    let svg = svg.text().expect("text");
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("Update IaC Staging Stack"), "{svg}");
    assert!(!svg.contains("class=") && !svg.contains("style=") && !svg.contains("href="), "it needs nothing from elsewhere");
    let png = caller.send("get", &format!("{address}.png"), None);
    assert_eq!(png.headers()["content-type"], "image/png");
    let picture = Pixmap::decode_png(&png.bytes().expect("bytes")).expect("a PNG");
    assert!(picture.width() == 2400 && (800..4000).contains(&picture.height()), "{} x {}", picture.width(), picture.height());
    let mut colours: BTreeMap<(u8, u8, u8), usize> = BTreeMap::new();
    for pixel in picture.pixels() {
        *colours.entry((pixel.red(), pixel.green(), pixel.blue())).or_default() += 1;
    }
    let share = |colour| 100 * colours.get(&colour).copied().unwrap_or_default() / picture.pixels().len();
    assert!((50..99).contains(&share((0xff, 0xff, 0xff))), "{}% is ground", share((0xff, 0xff, 0xff)));
    let done = colours.get(&(0x0b, 0x5d, 0x66)).copied().unwrap_or_default();
    assert!(done > 2000, "{done} pixels of what is done");
    assert!(colours.len() > 100, "letters are smooth: {} colours", colours.len());
}

#[test]
fn refusals_forms_and_problems_have_the_described_form() {
    let caller = Caller::new();
    let say = |text: &str| {
        caller.post(
            "/api/rooms/{room}/messages",
            "/api/rooms/andromeda-rollouts/messages",
            &json!({ "person": "maria", "text": text }),
        )
    };
    assert_eq!(say("/rollout strat")["refused"], "unknown");
    assert_eq!(say("/rollout start nonsense")["form"]["fields"][0]["name"], "version");
    assert_eq!(say("good morning")["answer"], Value::Null);
    let card = caller.messages().into_iter().find(|message| message["card"] == true);
    let address =
        card.map(|card| format!("/api/rooms/andromeda-rollouts/messages/{}/press", card["id"].as_str().expect("an id")));
    if let Some(address) = address {
        let press =
            caller.post("/api/rooms/{room}/messages/{id}/press", &address, &json!({ "person": "tom", "button": "1.9.go.9" }));
        assert_eq!(press["refused"], "stale");
    }
    for (path, address) in [
        ("/api/rooms/{room}/messages", "/api/rooms/nowhere/messages"),
        ("/api/rollouts/{id}", "/api/rollouts/nothing"),
        ("/api/rollouts/{id}/events", "/api/rollouts/nothing/events"),
    ] {
        assert_eq!(caller.get(path, address)["status"], 404);
    }
    for (query, status) in
        [("status=maybe", 400), ("state=open", 400), ("before=nothing", 404), ("limit=0", 422), ("limit=1001", 422)]
    {
        assert_eq!(caller.get("/api/rollouts", &format!("/api/rollouts?{query}"))["status"], status, "{query}");
    }
    let after = "/api/rooms/andromeda-rollouts/messages?after=yesterday";
    assert_eq!(caller.get("/api/rooms/{room}/messages", after)["status"], 400);
    assert_eq!(caller.post("/api/clock/advance", "/api/clock/advance", &json!({ "by": "soon" }))["status"], 422);
    assert_eq!(
        caller.post(
            "/api/rooms/{room}/messages",
            "/api/rooms/andromeda-rollouts/messages",
            &json!({ "person": "mario", "text": "x" })
        )["status"],
        422
    );
}

#[test]
fn a_token_decides_who_acts_and_a_wrong_one_is_nobodys() {
    let caller = Caller::new();
    let (path, address) = ("/api/rooms/{room}/messages", "/api/rooms/andromeda-rollouts/messages");
    let minted = caller.post("/api/tokens", "/api/tokens", &json!({ "person": "ana" }));
    let token = minted["token"].as_str().expect("a token");
    let said = |scheme: &str, token: &str, body: Value| {
        let request = caller.client.post(format!("{}{address}", caller.demo.url)).json(&body);
        request.header("authorization", format!("{scheme} {token}")).send().expect("the demo answers")
    };
    for scheme in ["Bearer", "bearer"] {
        let answer = caller.checked(path, "post", said(scheme, token, json!({ "text": "/rollout note seen" })));
        assert_eq!(answer["answer"], "Noted.", "{scheme}");
    }
    // Somebody else's name, and one that nobody has, are not passed over.
    for person in ["maria", "nobody-such"] {
        let response = said("Bearer", token, json!({ "person": person, "text": "/rollout note not mine" }));
        assert_eq!(response.status(), 403, "{person}");
        let problem = caller.checked(path, "post", response);
        assert_eq!(problem["detail"], "This is ana's log-in. Leave `person` out: nobody acts as somebody else.");
    }
    let response = said("Bearer", "0123", json!({ "person": "maria", "text": "/rollout note not mine" }));
    assert_eq!((response.status().as_u16(), &response.headers()["www-authenticate"]), (401, &"Bearer".parse().expect("text")));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    caller.checked(path, "post", response);
    let figures = caller.send("get", "/metrics", None).text().expect("text");
    assert!(figures.contains("tminus_http_refused_total{why=\"token\"} 1"), "{figures}");
    let events = caller.send("get", "/api/rollouts/andromeda-staging-4.3/events", None).text().expect("text");
    assert!(events.contains("seen") && !events.contains("not mine"), "{events}");
}

#[test]
fn the_stream_says_at_once_how_things_stand() {
    let caller = Caller::new();
    let response = caller.send("get", "/api/stream", None);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first: Vec<String> = BufReader::new(response).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert!(first.contains(&"event: change".to_owned()), "{first:?}");
}
