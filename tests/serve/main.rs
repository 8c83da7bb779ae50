//! `tminus serve`, as operators and people meet it: the real program, its files, a browser's cookies and a program's tokens.

#[path = "../demo/mod.rs"]
mod demo;
mod figures;
mod journal;
mod limits;
mod log_in;
mod tls;

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use reqwest::header::SET_COOKIE;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::demo::Demo;

/// The room of the house.
const ROOM: &str = "/api/rooms/rollouts/messages";

const PEOPLE: &str = "
people:
  maria: { name: Maria Keller, roles: [operator] }
  ana: { name: Ana Silva }
";
const RUNBOOK: &str = "
runbook: hello
rooms: [rollouts]
phases:
  - phase: one
    steps:
      - { acknowledge: Read this, from: [ana, maria] }
      - { task: Turn the key, who: ana }
";

/// A house of its own, in a folder.
struct House {
    dir: TempDir,
}

impl House {
    fn new() -> Self {
        Self::with("rooms: { rollouts: { local: true } }\n")
    }

    /// With other settings.
    fn with(settings: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir_all(house.config().join("config/runbooks")).expect("a folder");
        std::fs::create_dir(house.data()).expect("a folder");
        #[cfg(unix)]
        std::fs::set_permissions(house.data(), PermissionsExt::from_mode(0o700)).expect("a mode");
        house.write("config/people.yaml", PEOPLE);
        house.write("config/tminus.yaml", settings);
        house.write("config/runbooks/hello.yaml", RUNBOOK);
        house
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.config().join(name), text).expect("written");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("house")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn serve(&self) -> Demo {
        let log = || std::fs::read_to_string(self.data().join("log")).unwrap_or_default();
        Demo::serve(&self.data(), &self.config(), "127.0.0.1:0").unwrap_or_else(|error| panic!("{error}: {}", log()))
    }

    /// Runs the program on this house.
    fn tminus(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tminus"))
            .args(args)
            .current_dir(self.dir.path())
            .env("TMINUS_DATA", self.data())
            .env("TMINUS_CONFIG", self.config())
            .output()
            .expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (status.code(), text(stdout).trim_end().to_owned(), text(stderr))
    }

    /// A personal link, or a token.
    fn given(&self, args: &[&str]) -> String {
        let (code, given, error) = self.tminus(args);
        assert_eq!(code, Some(0), "{args:?}: {error}");
        given
    }
}

/// Somebody at a browser, as far as HTTP goes: cookies, and where a request comes from.
struct Browser {
    client: Client,
    url: String,
    cookie: Option<String>,
}

impl Browser {
    fn at(url: &str) -> Self {
        Self::with(url, Client::builder())
    }

    fn with(url: &str, client: ClientBuilder) -> Self {
        let client = client.redirect(Policy::none()).no_proxy().build().expect("a client");
        Self { client, url: url.to_owned(), cookie: None }
    }

    fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url)).header("accept", "text/html,*/*");
        self.send(request)
    }

    /// As the page's own script does it.
    fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.request(path).header("origin", &self.url).json(body))
    }

    /// Without saying where it comes from.
    fn request(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    fn send(&self, request: RequestBuilder) -> Response {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        request.send().expect("an answer")
    }

    /// Opens a personal link and presses its button.
    fn log_in(&mut self, link: &str) -> Response {
        let invite = link.rsplit('/').next().expect("a link");
        let request = self.request("/log-in").header("origin", &self.url).form(&[("invite", invite)]);
        let answer = self.send(request);
        let cookie = answer.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        if let Some(cookie) = cookie {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    fn says(&self, text: &str) -> Value {
        let answer = self.post(ROOM, &json!({ "text": text }));
        assert_eq!(answer.status(), 200, "{text}");
        answer.json().expect("JSON")
    }
}

fn told(answer: Response) -> Value {
    answer.json().expect("JSON")
}

#[test]
fn it_does_not_start_where_nobody_could_use_it_or_others_could_listen() {
    let refused = |house: &House, expected: &str| {
        let (code, said, error) = house.tminus(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!house.data().join("journal").exists(), "nothing was begun");
    };
    let house = House::new();
    house.write("config/people.yaml", "people: {}\n");
    house.write("config/runbooks/hello.yaml", "runbook: hello\nphases: [{ phase: one, steps: [{ task: x }] }]\n");
    refused(&house, "nobody is configured in config/people.yaml");
    let house = House::with("rooms: { rollouts: { slack: C1 } }\n");
    refused(&house, "no room is local");
    let house = House::with("rooms: { rollouts: { local: true } }\nweb: { public_url: 'http://rollouts.example.com' }\n");
    refused(&house, "log-ins would cross the network unencrypted");
    let house =
        House::with("rooms: { rollouts: { local: true } }\nweb: { listen: '0.0.0.0:0', public_url: 'http://localhost:8080' }\n");
    let (code, _, error) = house.tminus(&["serve"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("log-ins would cross it unencrypted"), "{error}");
    let (code, _, error) = House::new().tminus(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("does not know where it is reached"), "{error}");
    // Encrypted or not: a link to all addresses leads nowhere.
    for (web, listen) in [("allow_http: true", "0.0.0.0:0"), ("tls: { certificate: no.pem, key: no.key }", "[::]:0")] {
        let house = House::with(&format!("rooms: {{ rollouts: {{ local: true }} }}\nweb: {{ {web} }}\n"));
        let (code, _, error) = house.tminus(&["serve", "--listen", listen]);
        assert_eq!(code, Some(1));
        assert!(error.contains(&format!("listen on {listen} and does not know where it is reached")), "{error}");
    }
    let house = House::with("rooms: { rollouts: { local: true } }\nweb: { tls: { certificate: no.pem, key: no.key } }\n");
    let (code, _, error) = house.tminus(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("the certificate no.pem and the key no.key can't be used"), "{error}");
}

#[test]
fn a_rollout_is_run_by_people_who_logged_in_and_goes_on_after_a_crash() {
    let house = House::new();
    let serving = house.serve();
    let enter = |url: &str, person: &str| {
        let mut browser = Browser::at(url);
        assert_eq!(browser.log_in(&house.given(&["invite", person])).status(), 303);
        browser
    };
    let (maria, ana) = (enter(&serving.url, "maria"), enter(&serving.url, "ana"));
    let said = maria.says("/rollout start hello");
    assert!(said["answer"].as_str().is_some_and(|answer| answer.starts_with("Started **hello-")), "{said}");
    ana.says("/rollout ack");
    let address = serving.url.trim_start_matches("http://").to_owned();
    drop(serving);
    let serving = Demo::serve(&house.data(), &house.config(), &address).expect("it starts again");
    // Whoever was logged in still is, and what was done is done.
    maria.says("/rollout ack");
    ana.says("/rollout done turn_the_key");
    let rollouts = told(ana.get("/api/rollouts"));
    assert_eq!((&rollouts[0]["status"], &rollouts[0]["result"]), (&json!("ended"), &json!("succeeded")), "{rollouts}");
    let events = told(ana.get(&format!("/api/rollouts/{}/events", rollouts[0]["id"].as_str().expect("an id"))));
    let by: Vec<&str> = events.as_array().into_iter().flatten().filter_map(|event| event["by"].as_str()).collect();
    assert!(by.contains(&"ana") && by.contains(&"maria"), "{by:?}");
    #[cfg(unix)]
    assert!(serving.stop(), "it ends well when it is told to");
    let (code, said, _) = house.tminus(&["journal", "verify", "--data", house.data().to_str().expect("UTF-8")]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_people_type_begins_no_line_of_the_log() {
    let house = House::new();
    let runbook = "
runbook: named
title: 'Release {{ version }}'
inputs: { version: {} }
rooms: [rollouts]
phases: [{ phase: one, steps: [{ task: x }] }]
";
    house.write("config/runbooks/named.yaml", runbook);
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    let forged = "4.3\n2026-11-21T12:00:00Z  INFO FORGED logged in";
    let body = json!({ "text": "/rollout start named", "fields": { "version": forged } });
    assert_eq!(ana.post(ROOM, &body).status(), 200);
    let rollouts = told(ana.get("/api/rollouts"));
    assert_eq!(rollouts[0]["title"], forged.replace('\n', " ").replacen("4.3", "Release 4.3", 1), "{rollouts}");
    let log = std::fs::read_to_string(house.data().join("log")).expect("a log");
    let line = log.lines().find(|line| line.contains("FORGED")).expect("it is logged that it began");
    assert!(line.contains("Started named-"), "{log}");
}

#[cfg(unix)]
#[test]
fn a_data_folder_is_its_owners_alone() {
    let house = House::new();
    // Files are named with what others may do with them; within a folder of their own that is nothing anyway.
    let serving = house.serve();
    assert!(serving.stop(), "it ends well");
    let mode = |name: &str| std::fs::metadata(house.data().join(name)).expect(name).permissions().mode() & 0o777;
    assert_eq!(["snapshots", "access"].map(mode), [0o700, 0o700]);
    assert_eq!(["url", "pretended.jsonl", "snapshots/registry.snapshot"].map(mode), [0o600; 3]);
    let set = |mode: u32| std::fs::set_permissions(house.data(), PermissionsExt::from_mode(mode)).expect("a mode");
    for mode in [0o770, 0o707, 0o777] {
        set(mode);
        let (code, _, error) = house.tminus(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(code, Some(1), "{mode:o}");
        assert!(error.contains("could let themselves in") && error.contains("chmod 700"), "{error}");
    }
    // What can only be read is said, and served.
    set(0o755);
    let serving = house.serve();
    let log = std::fs::read_to_string(house.data().join("log")).expect("a log");
    assert!(log.contains("can look into the data folder"), "{log}");
    drop(serving);
}

#[test]
fn a_room_that_is_called_like_a_page_is_not_that_page() {
    let house = House::with("rooms: { rollouts: { local: true }, history: { local: true } }\n");
    let serving = house.serve();
    let mut maria = Browser::at(&serving.url);
    assert_eq!(maria.log_in(&house.given(&["invite", "maria"])).status(), 303);
    for path in ["/rooms/rollouts", "/rooms/history", "/rollouts", "/history"] {
        let page = maria.get(path).text().expect("a page");
        let current =
            page.split("<a ").filter(|link| link.split('>').next().is_some_and(|start| start.contains("aria-current=\"page\"")));
        let current: Vec<&str> = current.filter_map(|link| link.split('"').nth(1)).filter(|to| !to.contains('?')).collect();
        assert_eq!(current, [path]);
    }
}
