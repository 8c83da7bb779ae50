//! The systems misbehave: they fail, say nothing, say things late or twice. A person always knows, and decides.

use tminus::settings::Files;

use crate::andromeda::until_the_update_is_asked;
use crate::app::App;

const UPDATE: &str = "Update IaC Staging Stack to container version…";

/// The app with an update of the stack that behaves so.
async fn app_whose_update(how: &str) -> App {
    let settings =
        include_str!("../../config/tminus.yaml").replace("        takes: 12m\n", &format!("        takes: 12m\n        {how}\n"));
    assert!(settings.contains(how), "the script of the update was found");
    App::start_with(Files::embedded().with("config/tminus.yaml", &settings)).await
}

/// Plays until the update is running.
async fn until_it_runs(app: &App) {
    until_the_update_is_asked(app).await;
    app.presses("maria", &format!("Run: {UPDATE}")).await;
}

/// How often the update was really asked for.
async fn attempts(app: &App) -> usize {
    let events = app.get("/api/rollouts/andromeda-staging-4.3/events?limit=500").await;
    events.as_array().expect("a list").iter().filter(|event| event["event"]["type"] == "action-attempted").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_said_in_the_systems_words_and_run_again_or_done_by_hand() {
    let app = app_whose_update("fails: 'The following resource(s) failed to update: [Service]'").await;
    until_it_runs(&app).await;
    app.jumps_until_logged("failed after 12m: The following resource(s) failed to update: \\[Service\\]").await;
    let card = app.card_says("**Failed**").await;
    assert!(card.contains("Maria decides how"), "{card}");
    app.presses("maria", &format!("Run again: {UPDATE}")).await;
    app.logged("(attempt 2)").await;
    app.eventually("the second attempt to fail", || async {
        let failed = app.log().await.iter().filter(|line| line.contains("failed after 12m")).count();
        if failed < 2 {
            app.post("/api/clock/advance", &serde_json::json!({ "to": "next" }), None).await;
        }
        (failed == 2).then_some(())
    })
    .await;
    app.presses("maria", &format!("Done by hand: {UPDATE}")).await;
    app.logged("Maria completed “Update IaC").await;
    // blue_now, and two of the update.
    assert_eq!(attempts(&app).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_is_given_up_at_its_time_and_a_person_says_what_became_of_it() {
    let app = app_whose_update("silent: true").await;
    until_it_runs(&app).await;
    app.jumps_until_logged("nobody knows what became of").await;
    let said = app.log().await.into_iter().find(|line| line.contains("nobody knows")).expect("it is said");
    assert!(said.contains("it did not end within 45m, and may still be running"), "{said}");
    // Nothing went on by itself meanwhile, and nothing is run again.
    assert_eq!(attempts(&app).await, 2, "blue_now and the update");
    assert!(app.says("ana", "/rollout go").await.contains("Nothing is open that `go` fits"));
    app.presses("maria", "I don't know: hold").await;
    app.card_says("ON HOLD").await;
    app.says("maria", "/rollout resume").await;
    app.presses("maria", "It ran").await;
    app.logged("Maria says of “Update IaC Staging Stack to container version 4.3.0”: it ran").await;
    app.logged("“Test Blue Stack and Make GO/NO GO Decision” opened").await;
    assert_eq!(attempts(&app).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_looked_up_again_on_demand_and_never_asked_for_twice() {
    let app = app_whose_update("loses-answer: true").await;
    until_it_runs(&app).await;
    app.logged("nobody knows what became of “Update IaC Staging Stack to container version 4.3.0”: aws-staging was asked, and its answer was lost")
        .await;
    app.presses("maria", "Look again").await;
    app.card_says("Running for").await;
    app.jumps_until_logged("succeeded after 12m").await;
    assert_eq!(attempts(&app).await, 2, "blue_now and the update, which was asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_may_be_run_again_by_a_person_alone() {
    let app = app_whose_update("loses-answer: true").await;
    until_it_runs(&app).await;
    app.logged("nobody knows what became of").await;
    // Not by whoever passes by.
    let answer = app.presses("tom", "It did not, run it").await;
    assert!(answer.contains("Maria"), "{answer}");
    app.presses("maria", "It did not, run it").await;
    app.logged("Maria says of “Update IaC Staging Stack to container version 4.3.0”: it did not run, and is run again").await;
    app.eventually("the second attempt", || async { (attempts(&app).await == 3).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_changes_nothing() {
    let app = app_whose_update("twice: true").await;
    until_it_runs(&app).await;
    app.jumps_until_logged("succeeded after 12m").await;
    app.logged("a late word on “Update IaC Staging Stack to container version 4.3.0” (attempt 1) changes nothing").await;
    let ended = app.log().await.iter().filter(|line| line.contains("succeeded after 12m")).count();
    assert_eq!(ended, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_its_time_is_given_up_and_goes_on_when_it_is_looked_up() {
    let settings = include_str!("../../config/tminus.yaml").replace("takes: 12m", "takes: 50m");
    let app = App::start_with(Files::embedded().with("config/tminus.yaml", &settings)).await;
    until_it_runs(&app).await;
    app.jumps_until_logged("nobody knows what became of").await;
    app.presses("maria", "Look again").await;
    app.jumps_until_logged("succeeded after 50m").await;
    assert_eq!(attempts(&app).await, 2, "blue_now and the update, which was asked for once");
}
