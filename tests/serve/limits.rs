//! What nobody can take away from the others: floods, slow requests, bodies without end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tminus::gateway::web::BODY_BYTES_MAX;
use tminus::gateway::web::access::limits::STREAMS_MAX;

use crate::{Browser, House, ROOM, told};

#[test]
fn a_flood_of_one_is_turned_away_and_the_others_are_served() {
    let house = House::new();
    let serving = house.serve();
    let enter = |person: &str| {
        let mut browser = Browser::at(&serving.url);
        browser.log_in(&house.given(&["invite", person]));
        browser
    };
    let (maria, ana) = (enter("maria"), enter("ana"));
    let refused = (0..200).map(|_| ana.post(ROOM, &json!({ "text": "hello" }))).find(|answer| answer.status() != 200);
    let refused = refused.expect("it is one too many at some time");
    assert_eq!(refused.status(), 429);
    let pause: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=10).contains(&pause), "{pause}");
    assert!(told(refused)["detail"].as_str().is_some_and(|says| says.contains("Try again in")));
    assert_eq!(ana.get("/api/rollouts").status(), 200, "she still sees how things stand");
    assert_eq!(maria.post(ROOM, &json!({ "text": "hello" })).status(), 200);
}

#[test]
fn only_what_pages_load_is_not_counted() {
    let house = House::new();
    let serving = house.serve();
    let stranger = Browser::at(&serving.url);
    // One more than may come at once is enough where nothing is given back in between, far more where it is.
    let until_refused = |path: &str| (0..2000).any(|_| stranger.get(path).status() == 429);
    assert!(until_refused("/assets/nothing"), "what is not there is counted like everything");
    // Time gives some back at any moment, so what is counted is refused now and then, and what is not counted never is.
    assert!(until_refused("/log-in"));
    assert!((0..200).all(|_| stranger.get("/assets/app.css").status() == 200));
}

#[test]
fn behind_a_proxy_strangers_are_told_apart_and_machines_are_not_counted() {
    let flooded = |settings: &str| {
        let house = House::with(&format!("rooms: {{ rollouts: {{ local: true }} }}\n{settings}"));
        let serving = house.serve();
        let stranger = Browser::at(&serving.url);
        let log_in = |from: &str| {
            let request = stranger.request("/log-in").header("origin", &serving.url).header("x-forwarded-for", from);
            stranger.send(request.form(&[("invite", "tmi_0")])).status().as_u16()
        };
        assert!((0..200).any(|_| log_in("192.0.2.1") == 429));
        let others: Vec<u16> = (0..10).map(|_| log_in("192.0.2.2")).collect();
        assert!((0..500).all(|_| stranger.get("/readyz").status() == 200), "machines are not counted");
        others
    };
    assert!(flooded("").contains(&429), "whoever asks could say so");
    assert_eq!(flooded("web: { trusted_proxies: [127.0.0.1] }\n"), [410; 10], "the link is none, and it was looked at");
}

#[test]
fn nobody_holds_more_live_streams_than_they_have_windows() {
    let house = House::new();
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    let streams: Vec<_> = (0..STREAMS_MAX).map(|_| ana.get("/api/stream")).collect();
    assert!(streams.iter().all(|stream| stream.status() == 200));
    let refused = ana.get("/api/stream");
    assert_eq!(refused.status(), 429);
    assert!(told(refused)["detail"].as_str().is_some_and(|says| says.contains("Close some windows")));
}

#[test]
fn a_live_stream_ends_with_the_log_in() {
    let house = House::new();
    let serving = house.serve();
    let enter = |person: &str| {
        let mut browser = Browser::at(&serving.url);
        browser.log_in(&house.given(&["invite", person]));
        browser
    };
    let (maria, ana) = (enter("maria"), enter("ana"));
    let mut stream = ana.get("/api/stream");
    house.given(&["access", "revoke", "ana"]);
    maria.post(ROOM, &json!({ "text": "something new" }));
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("it ends by itself");
    assert_eq!(heard.matches("event: change").count(), 1, "only how things stood when she was in: {heard}");
}

#[test]
fn a_body_without_end_is_not_read() {
    let house = House::new();
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    let answer = ana.post(ROOM, &json!({ "text": "x".repeat(BODY_BYTES_MAX) }));
    assert_eq!(answer.status(), 413);
    let form = ana.request("/log-in").header("origin", &serving.url).body("invite=".to_owned() + &"x".repeat(BODY_BYTES_MAX));
    assert_eq!(ana.send(form.header("content-type", "application/x-www-form-urlencoded")).status(), 413);
}

#[test]
fn who_connects_and_says_nothing_is_let_go() {
    let house = House::new();
    let serving = house.serve();
    // Nothing at all, and the beginning of what could become either version of HTTP.
    for begun in [&b""[..], b"PRI * HT"] {
        let mut connection = TcpStream::connect(serving.url.trim_start_matches("http://")).expect("a connection");
        connection.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
        connection.write_all(begun).expect("the beginning");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("the server closes it");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    }
}

#[test]
fn a_request_that_drips_in_is_ended() {
    let house = House::new();
    let serving = house.serve();
    let mut connection = TcpStream::connect(serving.url.trim_start_matches("http://")).expect("a connection");
    // Far above the limit on the head, far below the patience of whoever runs this.
    connection.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
    connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").expect("the beginning");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("the server closes it");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}
