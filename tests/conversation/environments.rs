//! Who has an environment and who waits for it: freezes, the line, taking and giving back by hand.

use serde_json::json;
use tminus::settings::Files;

use crate::andromeda::WATCH;
use crate::app::App;

const SHOP: &str = "
runbook: shop
title: 'Shop {{ version }}'
environment: shop/production
lock-from: changing
people: { owner: maria }
rooms: [andromeda-rollouts]
audiences: { watch: [slack:andromeda-preproduction-watch] }
inputs:
  version: { positional: true }
  window: { type: window, tentative: true }
phases:
  - { phase: preparing, steps: [{ task: Prepare, id: prepare }] }
  - { phase: changing, at: T-0, steps: [{ announce: shop, to: [watch] }, { task: Change, id: change }] }
";

const FREEZE: &str = "
freezes:
  - { name: weekend, starts: '0 0 17 * * Fri', lasts: 62h, timezone: America/New_York, environments: [shop/*], override: [operator, sam], reason: nobody is here }
";

async fn shop(settings: &str) -> App {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + settings;
    let files = Files::embedded().with("config/tminus.yaml", &settings).with("config/runbooks/shop.yaml", SHOP);
    App::start_with(files.with("messages/shop.md", "The shop is being changed.")).await
}

/// Starts a rollout of the shop on Saturday night, and prepares it.
async fn into_the_freeze(app: &App) {
    let said = app.says("maria", "/rollout start shop 4.3 at 2026-11-21 02:00").await;
    assert!(
        said.ends_with("The window falls into the freeze weekend (nobody is here): Fri 20 Nov 17:00 to Mon 23 Nov 07:00 EST."),
        "{said}"
    );
    let said = app.says("maria", "/rollout reschedule 2026-11-23 14:00").await;
    assert!(!said.contains("freeze"), "{said}");
    let said = app.says("maria", "/rollout reschedule 2026-11-22 02:00").await;
    assert!(said.contains("The window falls into the freeze weekend"), "{said}");
    app.done("/rollout done prepare").await;
    // To T-0; another jump would lead to the end of the freeze.
    app.jumps().await;
    app.logged("the freeze weekend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_freeze_a_rollout_waits_and_goes_on_by_itself_when_it_is_over() {
    let mut app = shop(FREEZE).await;
    into_the_freeze(&app).await;
    let card = app.card_says("Frozen").await;
    assert!(
        card.contains(
            "Frozen: the freeze weekend (nobody is here) keeps it from shop/production, \
             Fri 20 Nov 17:00 to Mon 23 Nov 07:00 EST"
        ),
        "{card}"
    );
    assert!(card.contains("Next by itself: Mon 23 Nov 12:00 UTC the freeze weekend is over"), "{card}");
    assert!(
        card.contains("Next by a person: Maria or Sam may override the freeze weekend: `/rollout override REASON`"),
        "{card}"
    );
    // After a restart it is as frozen as before, and said no second time.
    app.restart().await;
    app.card_says("Frozen").await;
    assert_eq!(app.texts(WATCH).await, Vec::<String>::new(), "nothing is announced in a freeze");
    assert!(app.says("maria", "/rollout done change").await.contains("is not open yet"));
    app.jumps().await;
    app.logged("the freeze weekend is over").await;
    app.logged("“Changing” opened, 1d 10h late").await;
    app.done("/rollout done change").await;
    app.logged("ended **SUCCEEDED**").await;
    assert_eq!(app.texts(WATCH).await, ["The shop is being changed."]);
    let log = app.log().await;
    assert_eq!(log.iter().filter(|line| line.contains("the freeze weekend")).count(), 2, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_lets_a_rollout_go_on_in_a_freeze_and_everybody_sees_it() {
    let mut app = shop(FREEZE).await;
    into_the_freeze(&app).await;
    let refused = app.says("ana", "/rollout override it burns").await;
    assert_eq!(
        refused,
        "The freeze weekend (nobody is here) lasts until Mon 23 Nov 12:00 UTC. Maria or Sam can override it: \
         `/rollout override REASON`."
    );
    assert_eq!(app.says("sam", "/rollout override the shop burns").await, "shop-4.3 goes on in spite of the freeze weekend.");
    app.logged("Sam overrode the freeze weekend: the shop burns").await;
    app.logged("“Changing” opened").await;
    app.card_says("Freeze weekend overridden by Sam: the shop burns").await;
    app.restart().await;
    app.done("/rollout done change").await;
    app.logged("ended **SUCCEEDED**").await;
    let report = app.get("/api/rollouts/shop-4.3/report").await;
    assert_eq!(report["deviations"], json!(["Freeze “weekend” overridden by Sam Berg at 2026-11-22 02:00 UTC: the shop burns"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_an_environment_early_is_no_way_round_a_freeze() {
    let app = shop(FREEZE).await;
    app.says("maria", "/rollout start shop 4.3 at 2026-11-22 02:00").await;
    app.says("maria", "/rollout lock").await;
    app.logged("holds shop/production").await;
    app.done("/rollout done prepare").await;
    // A jump over the beginning of the freeze, to T-0.
    app.jumps().await;
    app.logged("the freeze weekend").await;
    let card = app.card_says("Frozen").await;
    assert!(card.contains("Holds shop/production since"), "nobody else gets it meanwhile: {card}");
    assert!(app.says("maria", "/rollout done change").await.contains("is not open yet"));
    app.jumps().await;
    app.logged("“Changing” opened, 1d 10h late").await;
    app.done("/rollout done change").await;
    app.logged("ended **SUCCEEDED**").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_environments_and_what_is_held_already_know_nothing_of_a_freeze() {
    let app = shop(&FREEZE.replace("shop/*", "andromeda/*")).await;
    let said = app.says("maria", "/rollout start shop 4.3 at 2026-11-21 02:00").await;
    assert!(!said.contains("freeze"), "{said}");
    app.done("/rollout done prepare").await;
    app.jumps_until_logged("“Changing” opened").await;
    // A freeze that begins while it holds the environment does not stop it.
    let app = shop(FREEZE).await;
    app.says("maria", "/rollout start shop 4.3 at 2026-11-20 21:59").await;
    app.done("/rollout done prepare").await;
    app.jumps_until_logged("“Changing” opened").await;
    app.post("/api/clock/advance", &json!({ "seconds": 7200 }), None).await;
    app.done("/rollout done change").await;
    app.logged("ended **SUCCEEDED**").await;
    assert!(!app.log().await.iter().any(|line| line.contains("freeze")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_an_environment_and_who_waits_is_seen_by_everybody() {
    // Everything is said in the zone of the rollout.
    let zoned = SHOP.replacen("environment:", "timezone: Europe/Berlin\nenvironment:", 1);
    let files = Files::embedded().with("config/runbooks/shop.yaml", &zoned);
    let app = App::start_with(files.with("messages/shop.md", "The shop is being changed.")).await;
    app.says("maria", "/rollout start shop 1 at 2026-11-25 10:00").await;
    app.says("maria", "/rollout start shop 2 at 2026-11-25 10:00").await;
    assert_eq!(app.says("maria", "/rollout shop-1 lock").await, "Asking for shop/production now, before its time.");
    app.eventually("the first to hold it", || async {
        app.card_of("shop-1").await.contains("Holds shop/production since 13:00 CET").then_some(())
    })
    .await;
    app.says("maria", "/rollout shop-2 lock").await;
    app.eventually("the second to be in line", || async {
        let card = app.card_of("shop-2").await;
        card.contains("Waits for shop/production: held by `shop-1` since 13:00 CET, 1st in line").then_some(())
    })
    .await;
    app.eventually("the first to show who waits", || async {
        app.card_of("shop-1").await.contains("Holds shop/production since 13:00 CET; in line: `shop-2`").then_some(())
    })
    .await;
    let status = app.says("ana", "/rollout shop-2 status").await;
    assert!(status.contains("Waits for shop/production: held by `shop-1` since 13:00 CET, 1st in line."), "{status}");
    let list = app.says("ana", "/rollout list").await;
    assert_eq!(
        list,
        "Open rollouts:\n- **shop-1**: Shop 1. Holds shop/production since 2026-11-20 13:00 CET; in line: `shop-2`\n\
         - **shop-2**: Shop 2. Waits for shop/production: held by `shop-1` since 2026-11-20 13:00 CET, 1st in line"
    );
    assert_eq!(app.says("ana", "/rollout shop-1 unlock").await, "Only Maria can give the environment back before its time.");
    assert_eq!(
        app.says("maria", "/rollout shop-1 unlock").await,
        "Giving shop/production up; it is asked for again when its time comes."
    );
    app.eventually("the second to hold it", || async {
        app.card_of("shop-2").await.contains("Holds shop/production since 13:00 CET").then_some(())
    })
    .await;
    // It may be taken again: it waits now.
    app.eventually("the first to have given it back", || async {
        (app.get("/api/rollouts/shop-1").await["environment_stage"] == "not-needed").then_some(())
    })
    .await;
    app.says("maria", "/rollout shop-1 lock").await;
    app.eventually("the first to be in line", || async {
        app.says("ana", "/rollout shop-1 status").await.contains("Waits for shop/production: held by `shop-2`").then_some(())
    })
    .await;
}
