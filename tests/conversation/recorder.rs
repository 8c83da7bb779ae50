//! Keeps the journal of a road that was played, for `tests/engine/replay.rs` to replay in every later version.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tminus::engine::journal::Journal;

use crate::app::App;

/// Names the set of journals that is recorded; without it nothing is.
const RECORD: &str = "REPLAY_RECORD";

impl App {
    /// Writes the whole journal down as `tests/replay/SET-ROAD.jsonl` where that was asked for, once the rollout is over.
    pub async fn is_recorded(&self, road: &str) {
        let Ok(set) = std::env::var(RECORD) else { return };
        self.eventually("the rollout to be over", || async {
            let lines = self.get("/api/rollouts").await;
            let is_over = |line: &serde_json::Value| line["parent"].is_null() && line["status"] == "ended";
            lines.as_array().is_some_and(|lines| lines.iter().any(is_over)).then_some(())
        })
        .await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(format!("{set}-{road}.jsonl"));
        let mut file = File::create_new(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; a recorded journal is kept for ever, choose another name", path.display())
        });
        for stream in self.journal.streams("").await.expect("it is in memory") {
            for record in self.journal.read(&stream, 1, usize::MAX).await.expect("it is in memory") {
                let (id, event) = (serde_json::json!(record.id), String::from_utf8(record.payload).expect("events are JSON"));
                // The event last and byte for byte, as it stood in the journal.
                let line = format!(r#"{{"stream":"{stream}","sequence":{},"id":{id},"event":{event}}}"#, record.sequence);
                writeln!(file, "{line}").expect("it can be written");
            }
        }
    }
}
