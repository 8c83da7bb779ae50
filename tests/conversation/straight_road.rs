//! "Promote Changeset v4.3 To Staging" from `/rollout start 4.3` to SUCCEEDED, as several people.

use serde_json::json;

use crate::andromeda::tests_the_blue_side;
use crate::app::{App, ROOM};

#[tokio::test(flavor = "multi_thread")]
async fn from_start_to_succeeded() {
    let app = App::start().await;
    assert_eq!(
        app.says("maria", "/rollout start 4.3").await,
        "Started **andromeda-staging-4.3**: Promote Changeset v4.3 To Staging. T-0 is Wed 25 Nov 08:01 EST (in 5d 1h). Next by itself: 08:01 EST “Pre-Flight” (in 1h 1m). \
         `/rollout abort REASON` cancels it."
    );
    app.jumps().await;
    assert_eq!(
        app.presses("ana", "Acknowledge").await,
        "Thank you, Ana. You acknowledged “You know of this promotion and have subscribed to it” (1 of 5). Still awaited: Ines, Tom, Raj and Li."
    );
    insta::assert_snapshot!("card_in_roll_call", app.card_says("☑ Ana").await);
    for person in ["ines", "tom", "raj"] {
        app.presses(person, "Acknowledge").await;
    }
    assert_eq!(
        app.says("li", "/rollout ack").await,
        "Thank you, Li. You acknowledged “You know of this promotion and have subscribed to it” (5 of 5). Nobody else is awaited."
    );
    assert_eq!(app.presses("maria", "Done: Confirm Go Call").await, "Done: “Confirm Go Call”.");
    assert_eq!(app.presses("maria", "Answer: Confirm the maintenance window").await, "Done: “Confirm the maintenance window”.");
    let fields = json!({ "blue": "blue-17", "green": "green-16", "container": "4.3.0" });
    app.fills_in("maria", "Answer: Fill in what Change Preparation needs", &fields).await;
    assert_eq!(app.texts("slack-andromeda-preproduction-watch").await, Vec::<String>::new());
    app.jumps().await;
    app.presses("maria", "Tick: In backup system, select \"Staging Pre-change…").await;
    app.fills_in("maria", "Done: Kick off special pre-change backup", &json!({ "backup_id": "backup-7", "finished": "yes" }))
        .await;
    app.jumps_until_logged("“Update IaC Staging Stack to container version 4.3.0” is with Maria").await;
    let commencement = ["Changeset 4.3 is commencing to the Staging environment for the Andromeda system."];
    assert_eq!(app.texts("slack-andromeda-preproduction-watch").await, commencement);
    assert_eq!(app.texts("email-andromeda-preproduction-watch").await, commencement);
    app.presses("maria", "Run: Update IaC Staging Stack to container version…").await;
    insta::assert_snapshot!("card_while_running", app.card_says("UPDATE\\_IN\\_PROGRESS").await);
    app.jumps_until_logged("succeeded after 12m").await;
    tests_the_blue_side(&app, "passed").await;
    assert_eq!(
        app.presses("ana", "GO").await,
        "Your vote on “Are we GO on updating the Staging stack?” is GO. Still to vote: Raj and Li."
    );
    app.presses("raj", "GO").await;
    insta::assert_snapshot!("card_at_go_no_go", app.card_says("GO by Raj").await);
    assert_eq!(
        app.says("li", "/rollout go").await,
        "Your vote on “Are we GO on updating the Staging stack?” is GO. That makes it GO: it is final at 08:13 EST unless a vote changes."
    );
    // Nothing is announced while a vote can still change.
    assert_eq!(app.texts("slack-andromeda-preproduction-watch").await.len(), 1);
    app.jumps().await;
    app.presses("maria", "Run: Prescale Blue side to the current size of the…").await;
    app.jumps_until_logged("“Switch staging.andromeda.abccompany.com to the Blue stack” is with Maria").await;
    app.presses("maria", "Run: Switch staging.andromeda.abccompany.com to the…").await;
    app.jumps_until_logged("result: **SUCCEEDED**").await;
    // The environment changes hands beside everything else.
    app.logged("gave andromeda/staging back").await;
    app.presses("maria", "Done: Review the record and close").await;
    // When the environment changes hands is beside everything else, and so is what of it is among the newest.
    let card = app.card_says("**SUCCEEDED** at").await;
    let lines = card.lines().filter(|line| !line.contains("andromeda/staging back") && !line.contains("is with Maria"));
    insta::assert_snapshot!("card_at_the_end", lines.collect::<Vec<_>>().join("\n"));
    app.logged("ended **SUCCEEDED**").await;
    // Of the end of its checklists only their logs tell.
    insta::assert_snapshot!("said_at_the_end", app.said_aloud().await.join("\n---\n"));
    let told = [
        "Changeset 4.3 is commencing to the Staging environment for the Andromeda system.",
        "We are a **GO** on updating the Staging stack.",
        "Changeset 4.3 was successfully deployed to the Staging environment for the Andromeda system.",
    ];
    assert_eq!(app.texts("slack-andromeda-preproduction-watch").await, told);
    assert_eq!(app.texts("email-andromeda-preproduction-watch").await, told);
    // When the environment changes hands is between the registry and the rollout, beside everything else.
    let log: Vec<String> = app.log().await.into_iter().filter(|line| !line.contains("andromeda/staging")).collect();
    insta::assert_snapshot!("log", log.join("\n"));
    let rollouts = app.get("/api/rollouts").await;
    assert_eq!((&rollouts[0]["status"], &rollouts[0]["result"]), (&json!("ended"), &json!("succeeded")));
    // It is over: nothing changes it any more, and it can still be looked at.
    assert!(app.says("maria", "/rollout andromeda-staging-4.3 note too late").await.contains("ended SUCCEEDED at"));
    assert!(app.says("maria", "/rollout status").await.contains("**SUCCEEDED**"));
    app.is_recorded("succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_changes_nothing() {
    let mut app = App::start().await;
    app.says("maria", "/rollout start 4.3").await;
    app.jumps().await;
    app.presses("ana", "Acknowledge").await;
    app.logged("Ana acknowledged (1 of 5)").await;
    let before = (app.get("/api/rollouts/andromeda-staging-4.3").await, app.texts(ROOM).await, app.log().await);
    app.restart().await;
    app.button("Acknowledge").await;
    let after = (app.get("/api/rollouts/andromeda-staging-4.3").await, app.texts(ROOM).await, app.log().await);
    assert_eq!(before, after);
    assert!(app.presses("ana", "Acknowledge").await.starts_with("You acknowledged"));
    app.presses("raj", "Acknowledge").await;
    app.logged("Raj acknowledged (2 of 5)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rollouts_share_a_room_and_wait_for_one_environment() {
    let app = App::start().await;
    app.says("maria", "/rollout start 4.3").await;
    let second = app.says("maria", "/rollout start 4.3").await;
    assert!(second.starts_with("Started **andromeda-staging-4.3-2**"), "{second}");
    assert!(second.ends_with("Of the same runbook `andromeda-staging-4.3` is open."), "{second}");
    assert_eq!(
        app.says("maria", "/rollout status").await,
        "Which rollout? Open here: `andromeda-staging-4.3`, `andromeda-staging-4.3-2`. Put its id first: `/rollout andromeda-staging-4.3 status`."
    );
    assert!(app.says("maria", "/rollout andromeda-staging-4.3-2 status").await.contains("(andromeda-staging-4.3-2)"));
    let list = app.says("sam", "/rollout list").await;
    assert_eq!(
        list,
        "Open rollouts:\n- **andromeda-staging-4.3**: Promote Changeset v4.3 To Staging\n- **andromeda-staging-4.3-2**: Promote Changeset v4.3 To Staging"
    );
    // Without a name, all clocks move together.
    app.jumps().await;
    for id in ["andromeda-staging-4.3", "andromeda-staging-4.3-2"] {
        let view = app.get(&format!("/api/rollouts/{id}")).await;
        assert_eq!(view["phases"][0]["status"], "open", "{id}");
    }
    // Commands that are answered with name the rollout, where it had to be named.
    assert_eq!(
        app.says("maria", "/rollout andromeda-staging-4.3 skip aware nobody is there").await,
        "You propose to skip “You know of this promotion and have subscribed to it”, which is required. A second person has to agree: \
         `/rollout andromeda-staging-4.3 skip aware`."
    );
    app.says("maria", "/rollout andromeda-staging-4.3 abort started twice").await;
    // It had not begun: nobody outside is told, and nothing is to be learned from it.
    app.done("/rollout andromeda-staging-4.3 done review").await;
    assert_eq!(app.texts("slack-andromeda-preproduction-watch").await, Vec::<String>::new());
    app.eventually("the first to be over", || async {
        (app.says("sam", "/rollout list").await.lines().count() == 2).then_some(())
    })
    .await;
}
