//! What operators see: log lines and figures. Messages read alone, fields make them searchable; no secrets, no addresses.

use std::io::{self, IsTerminal, Write};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Sets up log lines on standard error. `TMINUS_LOG` chooses how much (`info`, `tminus=debug`); `TMINUS_LOG_FORMAT=json` how.
///
/// # Errors
/// When `TMINUS_LOG` can't be read, or logging is set up already.
pub fn start_logging() -> anyhow::Result<()> {
    let filter = match std::env::var("TMINUS_LOG") {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| anyhow::anyhow!("TMINUS_LOG={text} can't be read: {error}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    // Colours are for people at a terminal, not for files.
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| OneLine(io::stderr())).with_ansi(colours);
    let set = if std::env::var("TMINUS_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().try_init()
    } else {
        lines.with_target(false).try_init()
    };
    set.map_err(|error| anyhow::anyhow!("logging can't be set up: {error}"))
}

/// Writes each event as one line, whatever is said in it: what people and systems wrote stands in messages, and with a line break of
/// theirs it could pass for a line of ours. Escape sequences are made harmless before, where the colours are added.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    /// Takes an event as a whole, as it comes from the formatter.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if !line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return self.0.write_all(event).map(|()| event.len());
        }
        let mut escaped = Vec::with_capacity(event.len() + 16);
        for byte in line {
            match byte {
                b'\n' => escaped.extend(br"\n"),
                b'\r' => escaped.extend(br"\r"),
                byte => escaped.push(*byte),
            }
        }
        escaped.push(b'\n');
        self.0.write_all(&escaped).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How long things take, in seconds: from what the page cache answers to what people notice, up to where requests end.
const SECONDS_BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Sets up figures for this process, with what each means.
///
/// # Errors
/// When figures are set up already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().set_buckets(&SECONDS_BUCKETS)?.install_recorder()?;
    for (name, says) in COUNTERS {
        metrics::describe_counter!(*name, *says);
    }
    for (name, says) in GAUGES {
        metrics::describe_gauge!(*name, *says);
    }
    for (name, says) in SECONDS {
        metrics::describe_histogram!(*name, metrics::Unit::Seconds, *says);
    }
    // What has no labels is there from the beginning: an alarm on something that never happened yet has to find it.
    for name in COUNTED_FROM_ZERO {
        metrics::counter!(*name).absolute(0);
    }
    metrics::gauge!("tminus_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// What is counted.
const COUNTERS: &[(&str, &str)] = &[
    ("tminus_commands_total", "What people pressed and typed, by what became of it"),
    ("tminus_journal_records_total", "Events that became durable"),
    ("tminus_journal_bytes_total", "Bytes of events that became durable"),
    ("tminus_deliveries_total", "Announcements brought to a destination, by outcome"),
    ("tminus_delivery_retries_total", "Deliveries that a destination did not take at once"),
    ("tminus_actions_total", "Actions that ended, by outcome"),
    ("tminus_projections_total", "Cards and logs brought up to date in rooms"),
    ("tminus_lane_full_total", "Times that something had to queue for a full lane"),
    ("tminus_http_requests_total", "Requests, by the status they were answered with"),
    ("tminus_http_refused_total", "Requests refused before they were looked at, by reason"),
    ("tminus_snapshots_ignored_total", "Snapshots passed over at a start, because they did not fit"),
    ("tminus_snapshots_failed_total", "Snapshots that could not be written"),
    ("tminus_backups_total", "Backups of the journal, by outcome: good once they were tried out, or failed"),
    ("tminus_task_panics_total", "Tasks that broke by a mistake of ours and were taken up again, by task"),
];

/// What goes up and down.
const GAUGES: &[(&str, &str)] = &[
    ("tminus_rollouts_open", "Rollouts that are not over, without rehearsals"),
    ("tminus_rollouts_asleep", "Open rollouts at rest, rehearsals too: they are read when somebody comes, or their time"),
    ("tminus_lane_waiting", "What waits in a lane to be brought out, by lane: for its turn, or for the destination to take it"),
    ("tminus_backup_last_success_timestamp_seconds", "When the newest good backup was made, in seconds since 1970"),
    ("tminus_build_info", "1; the version is a label"),
];

/// What takes time.
const SECONDS: &[(&str, &str)] = &[
    ("tminus_answer_seconds", "From taking a press or a command to its answer, which is durable then"),
    ("tminus_journal_commit_seconds", "Writing and syncing one commit; their count is the number of commits"),
    ("tminus_http_request_seconds", "From taking a request to its answer"),
];

const COUNTED_FROM_ZERO: &[&str] = &[
    "tminus_journal_records_total",
    "tminus_journal_bytes_total",
    "tminus_delivery_retries_total",
    "tminus_projections_total",
    "tminus_snapshots_ignored_total",
    "tminus_snapshots_failed_total",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let lines = |says: &str| {
            let written = Arc::new(Mutex::new(Vec::new()));
            let shared = written.clone();
            let subscriber =
                tracing_subscriber::fmt().with_writer(move || OneLine(Shared(shared.clone()))).with_ansi(false).finish();
            tracing::subscriber::with_default(subscriber, || tracing::info!(field = says, "Started: {says}"));
            String::from_utf8(written.lock().unwrap().clone()).unwrap()
        };
        let forged = lines("title\n2026-11-21T00:00:00Z  INFO maria logged in\r\n\u{1b}[2Jgone");
        assert_eq!(forged.matches('\n').count(), 1, "{forged:?}");
        assert!(forged.ends_with('\n') && forged.contains(r"title\n2026"), "{forged:?}");
        assert!(!forged.contains('\r') && !forged.contains('\u{1b}'), "{forged:?}");
        assert_eq!(lines("as it is").matches("as it is").count(), 2);
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
