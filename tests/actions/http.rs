//! Requests to a real server on a local port.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tminus::domain::catalogue::{Kind, ParameterKind};
use tminus::domain::rollout::event::OUTPUT_BYTES_MAX;
use tminus::engine::ports::{CancelError, Executor, Found, Polled, StartError};
use tminus::gateway::action::http::{Allowed, BODY_BYTES_MAX, Http, Secret, SecretHeader};
use tokio::net::TcpListener;

use super::{action, end, failed, now, start_and_end, succeeded, unknown};

/// Long enough for everything that answers.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a server was asked: method and path, and the headers.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, Headers)>>>);

type Headers = Vec<(String, String)>;

impl Seen {
    fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(request, _)| request.clone()).collect()
    }

    fn header(&self, index: usize, name: &str) -> Option<String> {
        let seen = self.0.lock().unwrap();
        seen[index].1.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

struct Server {
    url: String,
    seen: Seen,
}

/// A server; its redirects point to `elsewhere`.
async fn server(elsewhere: &str) -> Server {
    let seen = Seen::default();
    let elsewhere = elsewhere.to_owned();
    let answer = move |State(seen): State<Seen>, request: Request| {
        let elsewhere = elsewhere.clone();
        async move { answer(&seen, &elsewhere, request).await }
    };
    let router = Router::new().fallback(answer).with_state(seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server { url, seen }
}

async fn answer(seen: &Seen, elsewhere: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    seen.0.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), headers.collect()));
    let body = axum::body::to_bytes(body, 1024).await.unwrap();
    match parts.uri.path() {
        "/echo" => body.into_response(),
        "/headers" => {
            let lines = parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            lines.collect::<Vec<_>>().join("\n").into_response()
        }
        "/headers-at-the-cut" => {
            let secret = parts.headers[header::AUTHORIZATION].to_str().unwrap();
            format!("{}{secret}", "x".repeat(BODY_BYTES_MAX - secret.len() / 2)).into_response()
        }
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        "/slow" => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            "late".into_response()
        }
        "/never-ends" => {
            let piece = || Ok::<_, std::io::Error>("\"\u{1}".repeat(500));
            Body::from_stream(futures_util::stream::repeat_with(piece)).into_response()
        }
        "/breaks-off" => {
            // The half is on its way before the rest fails.
            let pieces = futures_util::stream::iter([Ok("half"), Err(std::io::Error::other("and no more"))]);
            let slowly = pieces.then(|piece| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                piece
            });
            Body::from_stream(slowly).into_response()
        }
        "/found" => (StatusCode::FOUND, [(header::LOCATION, elsewhere.to_owned())]).into_response(),
        "/moved" => Redirect::temporary(elsewhere).into_response(),
        "/near" => Redirect::temporary("/echo").into_response(),
        "/see-near" => Redirect::to("/echo").into_response(),
        "/round" => Redirect::temporary("/round").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn http(allow: &[&str]) -> Http {
    http_within(allow, TIMEOUT)
}

fn http_within(allow: &[&str], timeout: Duration) -> Http {
    Http::new(allow.iter().map(|entry| Allowed::parse(entry).unwrap()).collect(), timeout).unwrap()
}

fn request(number: u32, inputs: Value) -> tminus::domain::rollout::effect::Action {
    action(number, "request", inputs)
}

async fn refused(http: &Http, inputs: Value) -> String {
    match http.start(&request(1, inputs), now()).await {
        Err(StartError::Refused { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_status_is_an_answer() {
    let server = server("").await;
    let http = http(&[&server.url]);
    let outputs = succeeded(start_and_end(&http, &request(1, json!({ "url": format!("{}/broken", server.url) }))).await);
    assert_eq!(outputs["status"], "500");
    assert_eq!(outputs["body"], "out of order");
    let outputs = succeeded(start_and_end(&http, &request(2, json!({ "url": format!("{}/nowhere", server.url) }))).await);
    assert_eq!(outputs["status"], "404");
}

#[tokio::test]
async fn every_request_bears_its_identity_and_what_the_runbook_gives_it() {
    let server = server("").await;
    let http = http(&[&server.url]);
    let inputs =
        json!({ "url": format!("{}/echo?a=b", server.url), "method": "post", "body": "ready", "headers": { "X-Deploy": "42" } });
    let action = request(1, inputs);
    let outputs = succeeded(start_and_end(&http, &action).await);
    assert_eq!((outputs["status"].as_str(), outputs["body"].as_str()), ("200", "ready"));
    assert_eq!(server.seen.requests(), ["POST /echo?a=b"]);
    assert_eq!(server.seen.header(0, "idempotency-key"), Some(action.id.token()));
    assert_eq!(server.seen.header(0, "x-deploy").as_deref(), Some("42"));
    // A second start is the first one.
    succeeded(start_and_end(&http, &action).await);
    assert_eq!(server.seen.requests().len(), 1);
}

#[tokio::test]
async fn what_is_not_allowed_is_not_sent() {
    let server = server("").await;
    let here = &server.url;
    let host = here.strip_prefix("http://").unwrap();
    let http = http(&["https://staging.example.com", &format!("{here}/echo")]);
    for url in [
        format!("{here}/broken"),
        format!("{here}/echoes"),
        format!("{here}/echo/../broken"),
        format!("{here}/echo/%2e%2e/broken"),
        format!("{here}/echo/..%2Fbroken"),
        format!("http://staging.example.com@{host}/echo"),
        format!("https://staging.example.com@{host}/"),
        format!("http://{}/echo", host.replace("127.0.0.1", "localhost")),
        "http://staging.example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let why = refused(&http, json!({ "url": url })).await;
        assert!(why.contains("is not on the allow-list"), "{url}: {why}");
    }
    assert!(refused(&http, json!({ "url": "nothing" })).await.contains("not an address"));
    let echo = format!("{here}/echo");
    assert!(refused(&http, json!({ "url": echo, "method": "CONNECT" })).await.contains("`method` is one of"));
    assert!(refused(&http, json!({ "url": echo, "headers": { "Host": "other.example" } })).await.contains("`Host`"));
    assert!(refused(&http, json!({ "url": echo, "headers": { "idempotency-key": "mine" } })).await.contains("own business"));
    let why = refused(&http, json!({ "url": echo, "headers": { "Authorization": "se\ncret" } })).await;
    assert!(why.contains("`Authorization`") && !why.contains("cret"), "{why}");
    assert_eq!(server.seen.requests(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_redirect_is_followed_only_where_it_may_be() {
    let other = server("").await;
    let first = server(&format!("{}/echo", other.url)).await;
    let only_first = http(&[&first.url]);
    let both = http(&[&first.url, &other.url]);
    let ask = |number, path: &str, method: &str, follow| {
        let headers = json!({ "Authorization": "secret", "Accept": "text/plain" });
        request(
            number,
            json!({ "url": format!("{}{path}", first.url), "method": method, "body": "b", "follow": follow, "headers": headers }),
        )
    };
    // Not asked to follow: the redirect is the answer.
    assert_eq!(succeeded(start_and_end(&only_first, &ask(1, "/moved", "GET", json!(false))).await)["status"], "307");
    // Within the same host.
    assert_eq!(succeeded(start_and_end(&only_first, &ask(2, "/near", "POST", json!("true"))).await)["body"], "b");
    // To a host that is not on the list: nothing arrives there.
    let why = failed(start_and_end(&only_first, &ask(3, "/moved", "POST", json!(true))).await);
    assert!(why.contains("redirected (status 307)") && why.contains("not on the allow-list"), "{why}");
    // “Look there” after a change: the change may be made, and only a person can say.
    let why = unknown(start_and_end(&only_first, &ask(4, "/found", "POST", json!(true))).await);
    assert!(why.contains("not on the allow-list"), "{why}");
    failed(start_and_end(&only_first, &ask(5, "/found", "GET", json!(true))).await);
    assert_eq!(other.seen.requests(), [] as [&str; 0]);
    // To another host that is: without what lets us in at the first.
    assert_eq!(succeeded(start_and_end(&both, &ask(6, "/moved", "POST", json!(true))).await)["body"], "b");
    assert_eq!(other.seen.requests(), ["POST /echo"]);
    assert_eq!(other.seen.header(0, "authorization"), None);
    assert_eq!(other.seen.header(0, "accept").as_deref(), Some("text/plain"));
    // A change is not made a second time by “look there”.
    assert_eq!(succeeded(start_and_end(&both, &ask(7, "/see-near", "POST", json!(true))).await)["body"], "");
    assert_eq!(first.seen.requests().last().unwrap(), "GET /echo");
    let why = failed(start_and_end(&both, &ask(8, "/round", "GET", json!(true))).await);
    assert!(why.contains("more than 5 times"), "{why}");
}

#[tokio::test]
async fn of_an_endless_answer_the_beginning_is_read() {
    let server = server("").await;
    let http = http(&[&server.url]);
    let outcome = start_and_end(&http, &request(1, json!({ "url": format!("{}/never-ends", server.url) }))).await;
    let outputs = succeeded(outcome.bounded());
    assert!(outputs["body"].ends_with(" …") && outputs["body"].chars().count() <= BODY_BYTES_MAX + 2);
    assert!(outputs["body"].len() > BODY_BYTES_MAX && outputs["body"].len() < OUTPUT_BYTES_MAX);
}

#[tokio::test]
async fn a_host_that_can_not_be_reached_was_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let http = http(&[&url]);
    for (number, method) in [(1, "GET"), (2, "POST")] {
        let why =
            failed(start_and_end(&http, &request(number, json!({ "url": format!("{url}/x?secret=1"), "method": method }))).await);
        assert!(why.contains("can't be reached") && why.contains("refused") && !why.contains("secret"), "{why}");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_change_open_and_not_a_look() {
    let server = server("").await;
    let http = http_within(&[&server.url], Duration::from_secs(2));
    let ask =
        |number, path: &str, method: &str| request(number, json!({ "url": format!("{}{path}", server.url), "method": method }));
    assert!(failed(start_and_end(&http, &ask(1, "/slow", "GET")).await).contains("did not answer within 2 s"));
    assert!(unknown(start_and_end(&http, &ask(2, "/slow", "PUT")).await).contains("did not answer within 2 s"));
    let why = unknown(start_and_end(&http, &ask(3, "/breaks-off", "POST")).await);
    assert!(why.contains("status 200") && why.contains("the rest of the answer was lost"), "{why}");
    failed(start_and_end(&http, &ask(4, "/breaks-off", "GET")).await);
}

#[tokio::test]
async fn a_restart_repeats_only_what_reads() {
    let server = server("").await;
    let url = format!("{}/slow", server.url);
    let (get, post) = (request(1, json!({ "url": url })), request(2, json!({ "url": url, "method": "POST" })));
    let before = http(&[&server.url]);
    assert_eq!(before.find(&get).await, Found::Absent);
    before.start(&get, now()).await.unwrap();
    before.start(&post, now()).await.unwrap();
    assert!(matches!(before.find(&get).await, Found::There { .. }));
    assert!(matches!(before.find(&post).await, Found::There { .. }));
    let after = http(&[&server.url]);
    assert_eq!(after.find(&get).await, Found::Absent);
    assert!(matches!(after.find(&post).await, Found::CannotTell { .. }));
    unknown(end(&after, &post).await);
}

#[tokio::test]
async fn a_look_can_be_cancelled_and_a_change_can_not() {
    let server = server("").await;
    let http = http(&[&server.url]);
    let url = format!("{}/slow", server.url);
    let (get, post) = (request(1, json!({ "url": url })), request(2, json!({ "url": url, "method": "POST" })));
    assert!(matches!(http.cancel(&get, now()).await, Err(CancelError::TryAgain { .. })));
    http.start(&get, now()).await.unwrap();
    http.start(&post, now()).await.unwrap();
    let Polled::Running { progress, again } = http.poll(&get, now()).await.unwrap() else { panic!("it is not over") };
    assert_eq!(progress.line.unwrap(), format!("GET {url}: no answer yet"));
    assert!(again > now());
    http.cancel(&get, now()).await.unwrap();
    assert_eq!(failed(end(&http, &get).await), "it was cancelled");
    assert!(matches!(http.cancel(&post, now()).await, Err(CancelError::Impossible { .. })));
}

#[tokio::test]
async fn a_path_is_added_to_the_address_and_stays_within_what_is_allowed() {
    let server = server("").await;
    let here = &server.url;
    let system = http(&[here]);
    for (number, (url, path)) in [
        ("", "health"),
        ("/", "/health"),
        ("/deploy", "x?y=1"),
        ("/deploy/", "//x"),
        ("/deploy", "../up"),
        ("", "@other.example/"),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = json!({ "url": format!("{here}{url}"), "path": path });
        succeeded(start_and_end(&system, &request(u32::try_from(number).unwrap() + 2, asked)).await);
    }
    assert_eq!(
        server.seen.requests(),
        ["GET /health", "GET /health", "GET /deploy/x?y=1", "GET /deploy/x", "GET /up", "GET /@other.example/"]
    );
    let why = refused(&system, json!({ "url": format!("{here}/x?token=hunter2"), "path": "y" })).await;
    assert!(why.contains("`path` can't be added") && !why.contains("hunter2"), "{why}");
    let below = http(&[&format!("{here}/deploy")]);
    let why = refused(&below, json!({ "url": format!("{here}/deploy"), "path": "../up" })).await;
    assert!(why.contains("is not on the allow-list"), "{why}");
}

#[tokio::test]
async fn the_catalogue_says_what_really_comes_out() {
    let server = server("").await;
    let outputs = succeeded(start_and_end(&http(&[&server.url]), &request(1, json!({ "url": server.url }))).await);
    let declared = Kind::named("http").unwrap().operation("request").unwrap().outputs;
    assert_eq!(
        declared.iter().map(|output| output.name).collect::<std::collections::BTreeSet<_>>(),
        outputs.keys().map(String::as_str).collect()
    );
    assert!(declared.iter().all(|output| output.kind == ParameterKind::Text), "`succeeded` saw texts");
}

/// A secret in a file, and the header that bears it.
fn secret(folder: &TempDir, value: &str) -> SecretHeader {
    let path = folder.path().join("secret");
    std::fs::write(&path, value).unwrap();
    SecretHeader::new("Authorization", Secret::File(path)).unwrap()
}

#[tokio::test]
async fn a_secret_goes_along_and_does_not_come_back() {
    let folder = TempDir::new().unwrap();
    let other = server("").await;
    let first = server(&format!("{}/headers", other.url)).await;
    let system = http(&[&first.url, &other.url]).with_secrets(vec![secret(&folder, "Bearer hunter2-hunter2\n")]);
    let ask = |number, path: &str| request(number, json!({ "url": format!("{}{path}", first.url), "follow": true }));
    let outputs = succeeded(start_and_end(&system, &ask(2, "/headers")).await);
    assert_eq!(first.seen.header(0, "authorization").as_deref(), Some("Bearer hunter2-hunter2"));
    assert!(outputs["body"].contains("authorization: [secret]") && !outputs["body"].contains("hunter2"), "{outputs:?}");
    // Also not the beginning of it, where the answer is cut.
    let outputs = succeeded(start_and_end(&system, &ask(3, "/headers-at-the-cut")).await);
    assert!(outputs["body"].ends_with("x …"), "{}", &outputs["body"][BODY_BYTES_MAX - 40..]);
    // A redirect to another host leaves it behind.
    assert!(!succeeded(start_and_end(&system, &ask(4, "/moved")).await)["body"].contains("authorization"));
    assert_eq!(other.seen.header(0, "authorization"), None);
    // Renewed, it counts at once; gone, nothing is sent.
    secret(&folder, "Bearer correct-horse");
    succeeded(start_and_end(&system, &ask(5, "/headers")).await);
    assert_eq!(first.seen.header(3, "authorization").as_deref(), Some("Bearer correct-horse"));
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    let why = refused(&system, json!({ "url": format!("{}/headers", first.url), "method": "POST" })).await;
    assert!(why.contains("the header `authorization`: the file") && why.contains("can't be read"), "{why}");
    assert_eq!(first.seen.requests().len(), 4);
    // What has begun has begun.
    system.start(&ask(5, "/headers"), now()).await.unwrap();
}

#[tokio::test]
async fn a_runbook_has_no_say_in_what_lets_t_minus_in() {
    let folder = TempDir::new().unwrap();
    let server = server("").await;
    let system = http(&[&server.url]).with_secrets(vec![secret(&folder, "hunter2-hunter2")]);
    let why = refused(&system, json!({ "url": server.url, "headers": { "authorization": "mine" } })).await;
    assert!(why.contains("comes from the settings of this system"), "{why}");
    let none = SecretHeader::new("X-Token", Secret::Env("TMINUS_TEST_IS_NOT_SET".into())).unwrap();
    let why = http(&[&server.url]).with_secrets(vec![none]).check_secrets().unwrap_err();
    assert_eq!(why, "the header `x-token`: the environment variable TMINUS_TEST_IS_NOT_SET is not set");
    // Cargo sets this one for every test.
    let known = SecretHeader::new("X-Token", Secret::Env("CARGO_MANIFEST_DIR".into())).unwrap();
    let system = http(&[&server.url]).with_secrets(vec![known]);
    system.check_secrets().unwrap();
    succeeded(start_and_end(&system, &request(1, json!({ "url": server.url }))).await);
    assert_eq!(server.seen.header(0, "x-token").as_deref(), Some(env!("CARGO_MANIFEST_DIR")));
}
