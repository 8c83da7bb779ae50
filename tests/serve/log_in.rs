//! Links, log-ins, tokens: who is let in, as whom, for how long.

use reqwest::header::{AUTHORIZATION, LOCATION, SET_COOKIE};
use serde_json::json;
use tminus::gateway::web::access::grants::GRANTS_MAX;

use crate::{Browser, House, ROOM, told};

#[test]
fn strangers_see_the_way_in_and_nothing_else() {
    let house = House::new();
    let serving = house.serve();
    let stranger = Browser::at(&serving.url);
    for page in ["/", "/rollouts", "/rooms/rollouts", "/nowhere"] {
        let answer = stranger.get(page);
        assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].as_bytes()), (303, &b"/log-in"[..]), "{page}");
    }
    for path in ["/api/people", "/api/rooms", "/api/rollouts", "/api/stream", "/api/me", "/api/access", ROOM] {
        let answer = stranger.get(path);
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{path}");
        assert!(told(answer)["detail"].as_str().is_some_and(|says| says.starts_with("Log in first")), "{path}");
    }
    // Naming oneself is not enough here.
    let answer = stranger.post(ROOM, &json!({ "person": "maria", "text": "/rollout start hello" }));
    assert_eq!(answer.status(), 401);
    assert_eq!(stranger.get("/metrics").status(), 401);
    for open in ["/healthz", "/readyz", "/api/openapi.json", "/assets/app.css"] {
        assert_eq!(stranger.get(open).status(), 200, "{open}");
    }
    // What only begins like an open address is none, and shows nobody's rooms and rollouts.
    for near in ["/assets/x", "/assets/", "/assets/app.css/x", "/log-in/", "/log-in/a/b", "/log-in//", "/healthz/x"] {
        let answer = stranger.get(near);
        assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].as_bytes()), (303, &b"/log-in"[..]), "{near}");
    }
    let refused = stranger.get("/log-in/nothing");
    assert_eq!(refused.status(), 410);
    assert!(!refused.text().expect("a page").contains("/rooms/"));
    let page = stranger.get("/log-in").text().expect("a page");
    assert!(page.contains("Ask somebody who looks after this T-minus") && !page.contains("<form"), "{page}");
}

#[test]
fn a_personal_link_logs_one_browser_in_once() {
    let house = House::new();
    let serving = house.serve();
    let link = house.given(&["invite", "ana"]);
    assert!(link.starts_with(&format!("{}/log-in/tmi_", serving.url)), "{link}");
    let path = link.trim_start_matches(&serving.url);
    let mut ana = Browser::at(&serving.url);
    // Looking, as whatever previews links does, uses nothing up.
    for _ in 0..3 {
        let page = ana.get(path);
        assert_eq!(page.status(), 200);
        assert!(page.headers().get(SET_COOKIE).is_none());
        assert!(page.text().expect("a page").contains("Log in as Ana Silva"));
    }
    // Another page can't press the button for her.
    let elsewhere = ana.request("/log-in").header("origin", "https://evil.example").form(&[("invite", "x")]);
    assert_eq!(ana.send(elsewhere).status(), 403);
    let answer = ana.log_in(&link);
    assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].as_bytes()), (303, &b"/"[..]));
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cookie.starts_with("tminus=tms_") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert!(cookie.contains("Path=/") && cookie.contains("Max-Age=1209600"), "{cookie}");
    assert_eq!(told(ana.get("/api/me"))["person"], "ana");
    // A second time, somebody else's browser, or a link of nobody.
    let mut other = Browser::at(&serving.url);
    for stale in [link.as_str(), "https://x/log-in/tmi_0", "https://x/log-in/tms_0"] {
        let answer = other.log_in(stale);
        assert_eq!(answer.status(), 410, "{stale}");
        let page = answer.text().expect("a page");
        assert!(page.contains("This link does not work any more"), "{stale}");
        assert!(page.contains("<code>tminus invite</code> gives them out"), "{page}");
    }
    assert_eq!(other.get("/api/me").status(), 401);
    // Who acts is who logged in, whatever the body says.
    let as_maria = ana.post(ROOM, &json!({ "person": "maria", "text": "hello" }));
    assert_eq!(as_maria.status(), 403);
    assert_eq!(ana.post(ROOM, &json!({ "text": "hello" })).status(), 200);
    assert_eq!(told(ana.get(ROOM))[0]["author"], "ana");
    // What is written to somebody else is not hers to read.
    let rooms = told(ana.get("/api/rooms"));
    let rooms: Vec<&str> = rooms.as_array().into_iter().flatten().filter_map(|room| room["id"].as_str()).collect();
    assert_eq!(rooms, ["direct-ana", "rollouts"]);
    assert_eq!(ana.get("/api/rooms/direct-maria/messages").status(), 404);
    assert_eq!(ana.get("/rooms/direct-maria").status(), 404);
    // Out again: the cookie is worth nothing, also for whoever kept it.
    let out = ana.send(ana.request("/log-out").header("origin", &serving.url));
    assert_eq!(out.status(), 303);
    assert!(out.headers()[SET_COOKIE].to_str().expect("text").contains("Max-Age=0"));
    assert_eq!(ana.get("/api/me").status(), 401);
}

#[test]
fn what_changes_something_comes_from_the_page_itself() {
    let house = House::new();
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    let say = |headers: &[(&str, &str)]| {
        let request = ana.request(ROOM).json(&json!({ "text": "hello" }));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        ana.send(request).status().as_u16()
    };
    assert_eq!(say(&[]), 403, "a cookie alone is not enough");
    assert_eq!(say(&[("origin", "https://evil.example")]), 403);
    assert_eq!(say(&[("origin", "null")]), 403);
    assert_eq!(say(&[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(say(&[("sec-fetch-site", "same-site"), ("origin", &serving.url)]), 403);
    assert_eq!(say(&[("origin", &serving.url)]), 200);
    assert_eq!(say(&[("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(say(&[("host", "evil.example"), ("origin", &serving.url)]), 421);
    // A form of another page can't send JSON, and nothing else is taken.
    let form = ana.request(ROOM).header("origin", &serving.url).form(&[("text", "hello")]);
    assert_eq!(ana.send(form).status(), 415);
    let page = ana.get("/");
    for (name, value) in [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]
    {
        assert_eq!(page.headers()[name], value);
    }
    let policy = page.headers()["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[test]
fn operators_let_people_in_and_out_and_others_do_not() {
    let house = House::new();
    let serving = house.serve();
    let enter = |person: &str| {
        let mut browser = Browser::at(&serving.url);
        browser.log_in(&house.given(&["invite", person]));
        browser
    };
    let (maria, ana) = (enter("maria"), enter("ana"));
    for (path, body) in [("/api/invites", json!({ "person": "ana" })), ("/api/tokens", json!({}))] {
        assert_eq!(ana.post(path, &body).status(), 403, "{path}");
    }
    assert_eq!(ana.get("/api/access").status(), 403);
    assert_eq!(ana.get("/metrics").status(), 403);
    assert!(maria.get("/metrics").text().expect("figures").contains("# HELP tminus_http_refused_total"));

    let invited = told(maria.post("/api/invites", &json!({ "person": "ana", "lasts": "2h" })));
    let mut phone = Browser::at(&serving.url);
    assert_eq!(phone.log_in(invited["link"].as_str().expect("a link")).status(), 303);
    for (body, expected) in [
        (json!({ "person": "anna" }), "Did you mean `ana`?"),
        (json!({ "person": "ana", "lasts": "90d" }), "at most 30d"),
        (json!({ "person": "ana", "lasts": "soon" }), "is not a duration"),
    ] {
        let answer = maria.post("/api/invites", &body);
        assert_eq!(answer.status(), 422, "{body}");
        let says = told(answer)["detail"].as_str().expect("text").to_owned();
        assert!(says.contains(expected), "{says}");
    }

    // An operator's own token, for programs; it can't be stretched into more of its kind.
    let token = told(maria.post("/api/tokens", &json!({ "lasts": "30d" })))["token"].as_str().expect("a token").to_owned();
    let program = Browser::at(&serving.url);
    let bearing =
        |request: reqwest::blocking::RequestBuilder| program.send(request.header(AUTHORIZATION, format!("Bearer {token}")));
    assert_eq!(bearing(program.request(ROOM).json(&json!({ "text": "/rollout start hello" }))).status(), 200);
    assert_eq!(bearing(program.request("/api/tokens").json(&json!({}))).status(), 403);
    // Nor into a link by which it could log in and go on.
    for body in [json!({ "person": "maria" }), json!({ "person": "ana" }), json!({})] {
        assert_eq!(bearing(program.request("/api/invites").json(&body)).status(), 403, "{body}");
    }
    assert_eq!(maria.post("/api/tokens", &json!({ "person": "ana" })).status(), 403);

    let listed = told(maria.get("/api/access"));
    let count = |person: &str| listed.as_array().into_iter().flatten().filter(|grant| grant["person"] == person).count();
    assert_eq!((count("maria"), count("ana")), (2, 2), "{listed}");
    assert!(!listed.to_string().contains(&token[4..]), "no secret is listed");
    // Who let whom in is remembered, also of the log-in that came of a link, and stands in the log.
    let by: Vec<_> =
        listed.as_array().into_iter().flatten().map(|grant| (&grant["person"], &grant["kind"], &grant["issued_by"])).collect();
    assert!(by.contains(&(&json!("ana"), &json!("session"), &json!("maria"))), "{listed}");
    assert!(by.contains(&(&json!("maria"), &json!("token"), &json!("maria"))), "{listed}");
    assert!(house.tminus(&["access"]).1.contains("at the command line"), "{listed}");
    let log = std::fs::read_to_string(house.data().join("log")).expect("a log");
    assert!(log.contains("A new invite for ana, given out by maria") && log.contains("A new token for maria"), "{log}");

    // From the command line, while it runs: out at once, and everywhere.
    let (code, said, error) = house.tminus(&["access", "revoke", "ana"]);
    assert_eq!((code, said.as_str()), (Some(0), "2 taken back. Whoever is logged in by it is out with the next click."));
    assert!(
        error.contains("All that lets ana in was taken back by user ") && error.contains("at the command line: 2"),
        "{error}"
    );
    assert_eq!((ana.get("/api/me").status().as_u16(), phone.get("/api/me").status().as_u16()), (401, 401));
    let (code, _, error) = house.tminus(&["access", "revoke", "ana"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("ana has no link, log-in or token"), "{error}");
    // Over the API; who did it stands in the log.
    house.given(&["invite", "ana"]);
    let deleted = maria.client.delete(format!("{}/api/access/people/ana", serving.url)).header("origin", &serving.url);
    assert_eq!(told(maria.send(deleted))["revoked"], 1);
    let log = std::fs::read_to_string(house.data().join("log")).expect("a log");
    assert!(log.contains("All that lets ana in was taken back by maria: 1"), "{log}");
    let answer = maria.send(maria.request("/api/access/people/maria").header("origin", &serving.url));
    assert_eq!(answer.status(), 405, "taking back is a DELETE");
    assert_eq!(house.tminus(&["access"]).1.lines().count(), 2);
}

#[test]
fn a_token_for_exports_does_nothing_else() {
    let house = House::new();
    let serving = house.serve();
    let token = house.given(&["token", "maria", "--only", "export"]);
    let program = Browser::at(&serving.url);
    let look = |path: &str| {
        let request = program.client.get(format!("{}{path}", serving.url));
        program.send(request.header(AUTHORIZATION, format!("Bearer {token}"))).status().as_u16()
    };
    assert_eq!(look("/api/journal/export"), 200);
    for path in ["/metrics", "/api/rollouts", "/api/access", "/", "/api/me", "/api/stream", "/api/journal/export/x"] {
        assert_eq!(look(path), 403, "{path}");
    }
    let says = program.request(ROOM).header(AUTHORIZATION, format!("Bearer {token}")).json(&json!({ "text": "hello" }));
    assert_eq!(program.send(says).status(), 403);
    // It makes nobody an operator.
    let anas = house.given(&["token", "ana", "--only", "export"]);
    let request = program.client.get(format!("{}/api/journal/export", serving.url));
    assert_eq!(program.send(request.header(AUTHORIZATION, format!("Bearer {anas}"))).status(), 403);
    let (code, _, error) = house.tminus(&["token", "maria", "--only", "everything"]);
    assert_eq!(code, Some(2), "{error}");
}

#[test]
fn who_is_not_configured_any_more_is_nobody() {
    let house = House::new();
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    let token = house.given(&["token", "ana"]);
    let pending = house.given(&["invite", "ana"]);
    drop(serving);
    house.write("config/people.yaml", "people: { maria: { name: Maria Keller, roles: [operator] } }\n");
    house.write("config/runbooks/hello.yaml", "runbook: hello\nphases: [{ phase: one, steps: [{ task: x }] }]\n");
    let serving = house.serve();
    ana.url.clone_from(&serving.url);
    assert_eq!(ana.get("/api/me").status(), 401);
    let bearing = ana.request(ROOM).header(AUTHORIZATION, format!("Bearer {token}")).json(&json!({ "text": "hello" }));
    assert_eq!(ana.send(bearing).status(), 401);
    let mut browser = Browser::at(&serving.url);
    assert_eq!(browser.log_in(&pending).status(), 410);
    let (code, _, error) = house.tminus(&["invite", "ana"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no person `ana`; config/people.yaml names everybody"), "{error}");
}

#[test]
fn a_screen_on_a_wall_shows_and_does_nothing() {
    let house = House::new();
    let serving = house.serve();
    let mut wall = Browser::at(&serving.url);
    let answer = wall.log_in(&house.given(&["invite", "--wall"]));
    assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].as_bytes()), (303, &b"/wall"[..]));
    for page in ["/", "/rollouts", "/rooms/rollouts"] {
        assert_eq!(wall.get(page).headers()[LOCATION].as_bytes(), b"/wall", "{page}");
    }
    let shown = wall.get("/wall");
    assert_eq!(shown.status(), 200);
    assert!(shown.text().expect("text").contains("Nothing is open"), "it shows how rollouts stand");
    // What is wrong is said on the wall, without the rooms and rollouts that other pages list.
    let nowhere = wall.get("/rollouts/hello/wall");
    assert_eq!(nowhere.status(), 404);
    let text = nowhere.text().expect("text");
    assert!(text.contains("There is no rollout `hello`") && !text.contains("/rooms/"), "{text}");
    for near in ["/rollouts/wall", "/rollouts/a/b/wall", "/rollouts//wall", "/assets/x", "/log-in/a/b"] {
        assert_eq!(wall.get(near).headers()[LOCATION].as_bytes(), b"/wall", "{near}");
    }
    assert_eq!(wall.get("/api/history").status(), 403);
    assert_eq!(wall.get("/api/rollouts").status(), 403);
    for path in [ROOM, "/api/tokens", "/api/invites"] {
        assert_eq!(wall.post(path, &json!({ "person": "maria", "text": "/rollout start hello" })).status(), 403, "{path}");
    }
}

#[test]
fn a_link_is_kept_while_nobody_can_be_let_in() {
    let house = House::new();
    let serving = house.serve();
    let link = house.given(&["invite", "ana"]);
    // A file that nobody can read holds up nobody.
    std::fs::create_dir(house.data().join("access/token-0.json")).expect("a folder");
    let mut first = Browser::at(&serving.url);
    assert_eq!(first.log_in(&link).status(), 303);
    // Where there is no room for a session, the link stays good.
    let link = house.given(&["invite", "ana"]);
    let access = house.data().join("access");
    let one = std::fs::read_dir(&access).expect("a folder").find_map(|entry| {
        let path = entry.expect("an entry").path();
        path.is_file().then_some(path)
    });
    let one = one.expect("a session or a link");
    let others = (0..GRANTS_MAX).map(|number| access.join(format!("token-{number:x}x.json"))).collect::<Vec<_>>();
    for other in &others {
        std::fs::hard_link(&one, other).expect("a link to a file");
    }
    let mut second = Browser::at(&serving.url);
    assert_eq!(second.log_in(&link).status(), 503);
    for other in &others {
        std::fs::remove_file(other).expect("removed");
    }
    assert_eq!(second.log_in(&link).status(), 303);
}

#[cfg(unix)]
#[test]
fn nobody_leaves_files_in_somebody_elses_folder() {
    use std::os::unix::fs::MetadataExt as _;
    let house = House::new();
    let own = std::fs::metadata(house.data()).expect("a folder").uid();
    // Only the one who may do everything can give a folder away.
    if std::os::unix::fs::chown(house.data(), Some(own + 1), None).is_err() {
        return;
    }
    for args in [&["invite", "ana"][..], &["token", "ana"], &["access"], &["access", "revoke", "ana"]] {
        let (code, _, error) = house.tminus(args);
        assert_eq!(code, Some(1), "{args:?}");
        assert!(error.contains(&format!("sudo -u '#{}' tminus", own + 1)), "{error}");
    }
    assert!(!house.data().join("access").exists(), "nothing was left there");
}

#[test]
fn secrets_stand_in_no_log() {
    let house = House::new();
    let serving = house.serve();
    let link = house.given(&["invite", "ana"]);
    let mut ana = Browser::at(&serving.url);
    ana.get(link.trim_start_matches(&serving.url));
    let answer = ana.log_in(&link);
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text").to_owned();
    let token = house.given(&["token", "maria"]);
    let bearing = ana.request(ROOM).header(AUTHORIZATION, format!("Bearer {token}")).json(&json!({ "text": "hello" }));
    assert_eq!(ana.send(bearing).status(), 200);
    drop(serving);
    let log = std::fs::read_to_string(house.data().join("log")).expect("a log");
    assert!(log.contains("ana logged in"), "{log}");
    let session = cookie.split(['=', ';']).nth(1).expect("a session");
    for secret in [link.rsplit('/').next().expect("a link"), session, &token] {
        assert!(!log.contains(secret), "{log}");
    }
}
