//! What operators see: log lines and figures. Messages read alone, fields make them searchable; no secrets, no addresses.

use std::io::IsTerminal;

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
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let set = if std::env::var("TMINUS_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().try_init()
    } else {
        lines.with_target(false).try_init()
    };
    set.map_err(|error| anyhow::anyhow!("logging can't be set up: {error}"))
}

/// Sets up figures for this process, with what each means.
///
/// # Errors
/// When figures are set up already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    metrics::describe_counter!("tminus_commands_total", "Commands of people, by what became of them");
    metrics::describe_counter!("tminus_deliveries_total", "Announcements brought to a destination, by outcome");
    metrics::describe_counter!("tminus_delivery_retries_total", "Deliveries that a destination did not take at once");
    metrics::describe_counter!("tminus_actions_total", "Actions that ended, by outcome");
    metrics::describe_counter!("tminus_projections_total", "Cards and logs brought up to date in rooms");
    metrics::describe_counter!("tminus_lane_full_total", "Times that something had to queue for a full lane");
    metrics::describe_counter!("tminus_http_refused_total", "Requests refused before they were looked at, by reason");
    metrics::describe_counter!("tminus_snapshots_ignored_total", "Snapshots passed over at a start, because they did not fit");
    metrics::describe_counter!("tminus_snapshots_failed_total", "Snapshots that could not be written");
    metrics::describe_counter!(
        "tminus_backups_total",
        "Backups of the journal, by outcome: good once they were tried out, or failed"
    );
    metrics::describe_gauge!(
        "tminus_backup_last_success_timestamp_seconds",
        "When the newest good backup was made, in seconds since 1970"
    );
    metrics::describe_gauge!("tminus_rollouts_open", "Rollouts that are not over, without rehearsals");
    Ok(handle)
}
