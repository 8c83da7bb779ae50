//! What goes wrong is put right: amendments by two people, for this rollout only.

use crate::andromeda::until_the_update_is_asked;
use crate::app::App;

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_and_a_second_person_correct_an_input_and_the_report_says_so() {
    let app = App::start().await;
    until_the_update_is_asked(&app).await;
    assert_eq!(
        app.says("maria", "/rollout amend update_containers ContainerVersion=4.3.1").await,
        "You propose an amendment: in “Update IaC Staging Stack to container version 4.3.0” parameters.ContainerVersion is 4.3.1 \
         instead of 4.3.0. A second person has to agree: `/rollout amend`."
    );
    let card = app.card_says("Amendment, for this rollout only").await;
    assert!(card.contains("Maria proposed it; a second person has to agree"), "{card}");
    assert!(app.presses("maria", "Agree to amend").await.starts_with("You proposed this amendment."));
    assert!(app.presses("ana", "Agree to amend").await.starts_with("Amended, for this rollout only"));
    app.logged("Maria and Ana amended it").await;
    app.presses("maria", "Run: Update IaC Staging Stack to container version…").await;
    app.card_says("ContainerVersion\":\"4.3.1\"").await;
    app.says("maria", "/rollout amend blue_tests add Look at the error budget").await;
    app.says("ana", "/rollout amend").await;
    let report = app.says("sam", "/rollout report").await;
    assert!(report.contains("## Amendments"), "{report}");
    assert!(report.contains("parameters.ContainerVersion is 4.3.1 instead of 4.3.0 (Maria Keller and Ana Silva"), "{report}");
    assert!(report.contains("- [ ] Look at the error budget"), "{report}");
    // Another rollout of the same runbook knows nothing of it.
    app.says("maria", "/rollout start 4.4").await;
    let other = app.says("maria", "/rollout andromeda-staging-4.4 report").await;
    assert!(!other.contains("Amendments") && !other.contains("error budget"), "{other}");
}
