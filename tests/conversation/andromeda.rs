//! What the people of the Andromeda promotion do on most roads.

use serde_json::json;

use crate::app::App;

/// Where stakeholders read announcements.
pub const WATCH: &str = "slack-andromeda-preproduction-watch";

/// Plays from the start until Maria is asked to press Run on the update of the stack.
pub async fn until_the_update_is_asked(app: &App) {
    app.says("maria", "/rollout start 4.3").await;
    app.jumps().await;
    for person in ["ines", "tom", "ana", "raj", "li"] {
        app.presses(person, "Acknowledge").await;
    }
    app.presses("maria", "Done: Confirm Go Call").await;
    app.presses("maria", "Answer: Confirm the maintenance window").await;
    let fields = json!({ "blue": "blue-17", "green": "green-16", "container": "4.3.0" });
    app.fills_in("maria", "Answer: Fill in what Change Preparation needs", &fields).await;
    app.jumps().await;
    app.fills_in("maria", "Done: Kick off special pre-change backup", &json!({ "backup_id": "backup-7", "finished": "yes" }))
        .await;
    app.jumps_until_logged("“Update IaC Staging Stack to container version 4.3.0” is with Maria").await;
}

/// Plays from the start until the stack is updated.
pub async fn until_the_update(app: &App) {
    until_the_update_is_asked(app).await;
    app.presses("maria", "Run: Update IaC Staging Stack to container version…").await;
    app.jumps_until_logged("succeeded after 12m").await;
}

/// Plays until the voters are asked.
pub async fn until_the_decision(app: &App) {
    until_the_update(app).await;
    tests_the_blue_side(app, "passed").await;
}

/// Does the checklist of the Blue side, and records its issue.
pub async fn tests_the_blue_side(app: &App, outcome: &str) {
    app.logged("runs as blue-side-tests-staging-4.3").await;
    // A checklist's steps are meant by their names alone.
    for step in ["start_page", "version_shown", "main_paths", "logs"] {
        app.done(&format!("/rollout done {step}")).await;
    }
    app.done(&format!("/rollout answer verdict outcome={outcome}")).await;
    app.fills_in("maria", "Done: Test the Blue side with the checklist…", &json!({ "issue": "#4711" })).await;
}

/// Does the evidence section of the post mortem, and records its issue.
pub async fn collects_the_evidence(app: &App) {
    let evidence = "happened='tests failed' noticed='by the tests' impact=nobody";
    app.done(&format!("/rollout done collected {evidence}")).await;
    app.fills_in("maria", "Done: Complete the evidence of the \"Changeset…", &json!({ "issue": "#4712" })).await;
}
