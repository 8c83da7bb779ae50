//! The roads that are not straight: NO-GO, tests that fail after the cutover, and what is undone then.

use serde_json::json;
use tminus::settings::Files;

use crate::andromeda::{WATCH, collects_the_evidence, tests_the_blue_side, until_the_decision, until_the_update};
use crate::app::{App, ROOM};

#[tokio::test(flavor = "multi_thread")]
async fn a_no_go_is_announced_and_nothing_is_switched() {
    let app = App::start().await;
    until_the_decision(&app).await;
    let told = app.pressed("raj", "NO-GO", &json!({})).await;
    assert_eq!(
        told["answer"],
        "Your vote on “Are we GO on updating the Staging stack?” is NO-GO. Still to vote: Ana and Li. \
         `/rollout no-go REASON` says why. That makes it NO-GO: it is final at 08:13 EST unless a vote changes."
    );
    // Why is asked after, by a form.
    assert_eq!(told["form"]["command"], "/rollout andromeda-staging-4.3 no-go");
    assert_eq!(told["form"]["fields"][0]["label"], "Why is it a NO-GO?");
    let command = told["form"]["command"].as_str().expect("a command");
    let message = json!({ "person": "raj", "text": command, "fields": { "reason": "latency doubled" } });
    let (_, told) = app.post(&format!("/api/rooms/{ROOM}/messages"), &message, None).await;
    assert_eq!(
        told["answer"],
        "Your vote on “Are we GO on updating the Staging stack?” is NO-GO. Still to vote: Ana and Li. NO-GO is final at 08:13 EST unless \
         a vote changes."
    );
    app.card_says("NO-GO by Raj, 08:12 EST (latency doubled)").await;
    app.jumps_until_logged("**NO-GO** on").await;
    app.logged("result: **NO-GO**").await;
    collects_the_evidence(&app).await;
    app.presses("maria", "Done: Review the record and close").await;
    app.logged("ended **NO-GO**").await;
    insta::assert_snapshot!("said_at_the_end_of_a_no_go", app.said_aloud().await.join("\n---\n"));
    assert_eq!(
        app.texts(WATCH).await,
        [
            "Changeset 4.3 is commencing to the Staging environment for the Andromeda system.",
            "We are a **NO-GO** on updating the Staging stack.",
            "Changeset 4.3 was a no-go to deploy to the Staging environment for the Andromeda system.",
        ]
    );
    let log = app.log().await;
    assert!(log.iter().any(|line| line.contains("“GO Decision” does not apply")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("pressed Run on “Switch")), "nothing was switched: {log:?}");
    let report = app.get("/api/rollouts/andromeda-staging-4.3/report").await;
    assert_eq!((&report["result"], &report["seconds_after_t0"]), (&json!("no-go"), &json!(725)));
    let written = app.says("sam", "/rollout report").await;
    // It ends with how far the journal was, whose hash no two installations share.
    let (written, journal) = written.rsplit_once("\nJournal: ").expect("what ties it to the journal");
    insta::assert_snapshot!("report_of_a_no_go", written);
    let events = app.get("/api/rollouts/andromeda-staging-4.3/report").await["journal"].clone();
    let (upto, hash) = (events["sequence"].as_u64().expect("a number"), events["hash"].as_str().expect("a hash"));
    assert_eq!(journal.trim_end(), format!("`rollout/1` up to event {upto}, chain `{hash}`"));
    app.is_recorded("no-go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_that_fail_after_the_cutover_lead_back_by_the_way_back() {
    let settings = include_str!("../../config/tminus.yaml")
        .replace("        takes: 3m\n", "        takes: 3m\n        fails: '7 of 120 checks failed'\n");
    let app = App::start_with(Files::embedded().with("config/tminus.yaml", &settings)).await;
    until_the_decision(&app).await;
    for person in ["ana", "raj"] {
        app.presses(person, "GO").await;
    }
    // Li is away: the owner votes, visibly for Li.
    assert!(app.presses("maria", "GO").await.starts_with("You voted GO on “Are we GO on updating the Staging stack?” for Li."));
    app.jumps().await;
    app.presses("maria", "Run: Prescale Blue side to the current size of the…").await;
    app.jumps_until_logged("“Switch staging.andromeda.abccompany.com to the Blue stack” is with Maria").await;
    app.presses("maria", "Run: Switch staging.andromeda.abccompany.com to the…").await;
    app.jumps_until_logged("7 of 120 checks failed").await;
    insta::assert_snapshot!("card_after_failed_tests", app.card_says("Failed").await);
    assert_eq!(app.presses("maria", "Back off").await, "Backed off from “GO Decision”.");
    app.logged("“Switch staging.andromeda.abccompany.com back to the Green stack” is with Maria").await;
    app.presses("maria", "Run: Switch staging.andromeda.abccompany.com back…").await;
    app.jumps_until_logged("result: **FAILED**").await;
    collects_the_evidence(&app).await;
    app.presses("maria", "Done: Review the record and close").await;
    app.logged("ended **FAILED**").await;
    assert_eq!(
        app.texts(WATCH).await.last().map(String::as_str),
        Some("Changeset 4.3 failed to deploy to the Staging environment for the Andromeda system.")
    );
    // Each voter was asked by name, once, with the buttons in the message. The roll was called at five in the morning of
    // Los Angeles: Li had acknowledged before it was day.
    let asked = app.get("/api/rooms/direct-li/messages").await;
    let texts: Vec<&str> = asked.as_array().expect("messages").iter().filter_map(|message| message["text"].as_str()).collect();
    assert!(texts[0].starts_with("For your information: **Promote Changeset v4.3 To Staging**"), "once, at the start: {texts:?}");
    assert_eq!(texts.len(), 2, "and to vote: {texts:?}");
    assert!(texts[1].contains("Are we GO on updating the Staging stack?"), "{texts:?}");
    app.is_recorded("failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_said_once_and_in_a_teams_own_words() {
    let words = "{{ rollout.title }} is over ({{ result }}) after {{ rollout.duration }}. Thank you, @channel!";
    let runbook = "runbook: tiny\ntitle: 'Tiny [{{ version }}](x)'\npeople: { owner: maria }\nrooms: [andromeda-rollouts]\n\
        inputs: { version: { positional: true } }\nphases: [{ phase: one, steps: [{ task: Do it, id: it }] }]\n";
    let mut app =
        App::start_with(Files::embedded().with("messages/ended.md", words).with("config/runbooks/tiny.yaml", runbook)).await;
    app.says("maria", "/rollout start tiny 1").await;
    app.done("/rollout done it").await;
    app.logged("ended **SUCCEEDED**").await;
    let said = ["Tiny \\[1\\](x) is over (succeeded) after 0s. Thank you, @channel!"];
    assert_eq!(app.said_aloud().await, said);
    app.restart().await;
    assert_eq!(app.said_aloud().await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_tests_that_fail_are_what_the_voters_look_at() {
    let app = App::start().await;
    until_the_update(&app).await;
    let tests = app.card_of("blue-side-tests-staging-4.3").await;
    assert!(tests.contains("Blue side tests of changeset 4.3 on Staging"), "{tests}");
    assert!(tests.contains("Open the start page of blue-17 by the address of its own load balancer"), "{tests}");
    assert!(app.card_says("Next by a person").await.contains("what the card of `blue-side-tests-staging-4.3` says"));
    tests_the_blue_side(&app, "failed").await;
    let card = app.card_says("Are we GO").await;
    assert!(card.contains("FAILED"), "the voters see how the tests ended: {card}");
    // Nothing but their votes decides.
    for person in ["ana", "raj", "li"] {
        app.presses(person, "GO").await;
    }
    app.jumps_until_logged("**GO** on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_switches_nothing_and_still_wraps_up() {
    let app = App::start().await;
    until_the_decision(&app).await;
    app.presses("ana", "GO").await;
    let said = app.says("maria", "/rollout abort the window is over").await;
    assert_eq!(said, "Aborted andromeda-staging-4.3: the window is over.");
    collects_the_evidence(&app).await;
    app.presses("maria", "Done: Review the record and close").await;
    app.logged("ended **ABORTED**").await;
    insta::assert_snapshot!("said_at_the_end_of_an_abort", app.said_aloud().await.join("\n---\n"));
    assert_eq!(
        app.texts(WATCH).await,
        [
            "Changeset 4.3 is commencing to the Staging environment for the Andromeda system.",
            "Changeset 4.3 was aborted while being deployed to the Staging environment for the Andromeda system.",
        ]
    );
    let log = app.log().await;
    assert!(!log.iter().any(|line| line.contains("Prescale") && line.contains("is with")), "nothing goes on: {log:?}");
    // The post mortem is not part of what was aborted: its analysis goes on.
    let lines = app.get("/api/rollouts").await;
    let post_mortem = lines.as_array().expect("a list").iter().find(|line| line["id"] == "failure-post-mortem-4.3");
    assert_eq!(post_mortem.expect("it was started")["status"], "open");
    app.done("/rollout done root_cause cause='nobody looked at the clock'").await;
    app.done("/rollout done measures measures='a reminder'").await;
    app.eventually("the post mortem to be over", || async {
        let view = app.get("/api/rollouts/failure-post-mortem-4.3").await;
        (view["status"] == "ended" && view["result"] == "succeeded").then_some(())
    })
    .await;
}
