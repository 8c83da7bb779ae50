//! Persons' tokens: who bears one is who they are, and nobody else.

use serde_json::{Value, json};

use crate::app::{App, ROOM};

/// What a token's bearer is told, with the status.
async fn bearing(app: &App, token: &str, path: &str, body: &Value) -> (u16, Value) {
    app.post_with(path, body, &[("Authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_decides_who_acts_and_nothing_else_does() {
    let app = App::start().await;
    let messages = format!("/api/rooms/{ROOM}/messages");
    let (status, minted) = app.post("/api/tokens", &json!({ "person": "maria" }), None).await;
    assert_eq!((status, &minted["expires_at"]), (200, &json!("2026-11-21T04:00:00Z")));
    let token = minted["token"].as_str().expect("a token");
    let (status, told) = bearing(&app, token, &messages, &json!({ "text": "/rollout start 4.3" })).await;
    assert_eq!(status, 200, "{told}");
    let started = app.get("/api/rollouts").await;
    assert_eq!(started[0]["started_by"], "maria");
    // Her own name is no contradiction; anybody else's is, and so is a name that nobody has.
    let say = |person: &str| json!({ "person": person, "text": "/rollout note seen" });
    assert_eq!(bearing(&app, token, &messages, &say("maria")).await.0, 200);
    app.logged("Maria noted: seen").await;
    let before = app.get(&messages).await;
    for other in ["ana", "nobody"] {
        let (status, problem) = bearing(&app, token, &messages, &say(other)).await;
        assert_eq!(
            (status, &problem["detail"]),
            (403, &json!("This is maria's log-in. Leave `person` out: nobody acts as somebody else."))
        );
    }
    // A token that is none is not passed over, whoever the body says it is and whatever is asked.
    let jump = json!({ "to": "next" });
    for (path, body) in [(messages.as_str(), &say("maria")), ("/api/clock/advance", &jump)] {
        let (status, problem) = bearing(&app, "0123", path, body).await;
        assert_eq!((status, &problem["title"]), (401, &json!("Unauthorized")), "{path}");
    }
    assert_eq!(app.get(&messages).await, before, "nothing of it changed anything");
    // A token lasts sixteen hours.
    app.clock.advance(chrono::TimeDelta::hours(16));
    assert_eq!(bearing(&app, token, &messages, &say("maria")).await.0, 401);
    assert_eq!(app.post("/api/tokens", &json!({ "person": "mari" }), None).await.0, 422);
}
