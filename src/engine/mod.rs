//! DURABLE: owns order and memory. Takes plain values, never settings.
//!
//! In reading order:
//!
//! - [`ports`]: what the engine needs of the outside, as traits.
//! - [`journal`]: append to streams with expected sequences, read, follow; the only user of the store.
//! - [`snapshots`]: what streams had become, so that a start need not read all of them again; a cache.
//! - [`conductor`]: take, decide, append, evolve, dispatch; recovery is the same path.
//! - [`outbox`]: a bounded lane per destination budget: throttle, retry, coalesce.
//! - [`backups`]: exports of the journal, kept in a folder and tried out, while the process goes on.
//! - [`history`]: how long steps took in finished rollouts, read once and remembered.
//! - [`clock`]: the only place that reads a clock.
//! - [`files`]: folders for their owner alone, files that are replaced as a whole.
//! - [`scratch`]: small expiring values that are no facts.

pub mod backups;
pub mod clock;
pub mod conductor;
pub mod files;
pub mod history;
pub mod journal;
pub mod outbox;
pub mod ports;
pub mod scratch;
pub mod snapshots;
