//! Digests, in rooms and at addresses.

use chrono::TimeDelta;
use tminus::settings::Files;

use crate::andromeda::WATCH;
use crate::app::App;

const DIGESTS: &str = "
digests:
  - { name: What is going on, at: '0 * * * * *', to: [local:andromeda-rollouts, slack:andromeda-preproduction-watch] }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_stands_in_rooms_and_at_addresses() {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + DIGESTS;
    let app = App::start_with(Files::embedded().with("config/tminus.yaml", &settings)).await;
    app.says("maria", "/rollout start 4.3 at 2026-11-26 02:00").await;
    for room in ["andromeda-rollouts", WATCH] {
        app.eventually("the digest", || async {
            app.clock.advance(TimeDelta::minutes(1));
            let texts = app.texts(room).await;
            texts.into_iter().find(|text| {
                text.starts_with("**What is going on**, ")
                    && text.contains(
                        "one rollout is open.\n- **Promote Changeset v4.3 To Staging** (andromeda-staging-4.3): next phase 1",
                    )
                    && text.contains("T-0 is ")
            })
        })
        .await;
    }
}
