//! A rehearsal through the whole app: nothing leaves its room.

use serde_json::json;
use tminus::settings::Files;

use crate::andromeda::WATCH;
use crate::app::{App, ROOM};

const SHOP: &str = "
runbook: shop
title: Release {{ version }}
environment: shop/staging
timezone: America/New_York
people: { owner: maria }
rooms: [andromeda-rollouts]
audiences: { watch: [slack:andromeda-preproduction-watch, email:andromeda-preproduction-watch] }
inputs: { version: { positional: true }, window: { type: window, tentative: true } }
phases:
  - { phase: prepare, steps: [{ task: Get ready, id: ready, who: ana }] }
  - phase: change
    at: T-0
    steps:
      - { announce: commencement, id: told, to: [watch] }
      - { run: ci.command.post-cutover-tests, id: tests, with: { argv: [./tests.sh] } }
      - { task: Look, id: look }
  - { phase: wrap, steps: [{ result: succeeded, id: good }] }
";

const FREEZE: &str = "freezes:
  - { name: weekend, starts: '0 0 17 * * Fri', lasts: 62h, timezone: America/New_York, environments: [shop/*], override: [sam], reason: nobody is there }
";

/// The shop's runbook alone, in a house with a freeze at weekends. It is Friday, seven in the morning of New York.
async fn shop() -> App {
    let settings = format!("{}{FREEZE}", Files::embedded().text("config/tminus.yaml").expect("settings"));
    let files = Files::embedded().with("config/tminus.yaml", &settings).with("config/runbooks/shop.yaml", SHOP);
    App::start_with(files).await
}

/// Everything that any room but the hosting one holds.
async fn elsewhere(app: &App) -> Vec<String> {
    let mut texts = Vec::new();
    for room in [WATCH, "email-andromeda-preproduction-watch", "direct-ana", "direct-maria", "direct-sam"] {
        texts.extend(app.texts(room).await);
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_goes_through_everything_and_nothing_leaves_its_room() {
    let app = shop().await;
    app.says("maria", "/rollout start shop 1 at 2026-11-25 10:00 for 2h").await;
    app.says("maria", "/rollout shop-1 lock").await;
    let quiet = elsewhere(&app).await;
    // Neither the environment that another one holds nor the freeze of the weekend is in its way.
    let said = app.says("maria", "/rollout start shop 1 at 2026-11-21 10:00 for 2h rehearsal").await;
    assert!(said.starts_with("Started **shop-1-rehearsal**: REHEARSAL: Release 1."), "{said}");
    assert!(!said.contains("freeze"), "{said}");
    app.says("ana", "/rollout shop-1-rehearsal done ready").await;
    let moved = app.says("maria", "/rollout shop-1-rehearsal advance 27h").await;
    assert_eq!(moved, "It is 10:00 EST for shop-1-rehearsal now.");
    assert_eq!(
        app.says("maria", "/rollout shop-1 advance 36h").await,
        "shop-1 is no rehearsal: its clock is not moved from a room. The page of this demo moves it, with **Jump to next**, and so does \
         `POST /api/clock/advance`."
    );
    app.eventually("the announcement's words in the room", || async {
        let messages = app.get(&format!("/api/rooms/{ROOM}/messages")).await;
        let words = "would go to slack:andromeda-preproduction-watch, email:andromeda-preproduction-watch and stays here:\n\n> ";
        let has = |message: &serde_json::Value| {
            message["text"].as_str().is_some_and(|text| text.contains(words) && text.contains("REHEARSAL · "))
        };
        messages.as_array()?.iter().any(has).then_some(())
    })
    .await;
    app.eventually("the pretended tests to be over", || async {
        app.says("maria", "/rollout shop-1-rehearsal advance 1m").await;
        let view = app.get("/api/rollouts/shop-1-rehearsal").await;
        (view["phases"][1]["steps"][1]["status"] == "done").then_some(())
    })
    .await;
    app.eventually("the end", || async {
        app.says("maria", "/rollout shop-1-rehearsal done look").await;
        let view = app.get("/api/rollouts/shop-1-rehearsal").await;
        (view["status"] == "ended" && view["result"] == "succeeded").then_some(())
    })
    .await;
    assert!(app.card_of("shop-1-rehearsal").await.contains("**REHEARSAL**: every action is pretended"));
    assert_eq!(elsewhere(&app).await, quiet, "nobody outside heard of it");
    let view = app.get("/api/rollouts/shop-1-rehearsal").await;
    assert_eq!((&view["rehearsal"], &view["environment_stage"]), (&json!(true), &json!("not-needed")));
    assert_eq!(app.get("/api/rollouts/shop-1").await["environment_stage"], "held");
    let report = app.get("/api/rollouts/shop-1-rehearsal/report").await;
    assert_eq!((&report["rehearsal"], &report["title"]), (&json!(true), &json!("REHEARSAL: Release 1")));
}
