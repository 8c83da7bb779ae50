//! How long one thing may take, and which panics are none of ours.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most that any one thing may take, in milliseconds: nobody waits longer for an answer.
static MS_MAX: AtomicU64 = AtomicU64::new(1000);

/// From now on nothing may take longer than this.
pub fn at_most(longest: Duration) {
    MS_MAX.store(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Does something that must not take long.
///
/// # Panics
/// When it does.
pub fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let watch = Watch::start();
    let done = act();
    watch.stop(what);
    done
}

/// How long something takes.
pub struct Watch {
    started: Instant,
    /// The processor time of this thread, where it is known: another process's work is no fault of ours.
    worked: Option<Duration>,
}

impl Watch {
    /// From now on.
    pub fn start() -> Self {
        Self { started: Instant::now(), worked: worked() }
    }

    /// Until now.
    ///
    /// # Panics
    /// When it was too long.
    pub fn stop(self, what: &str) {
        let longest = Duration::from_millis(MS_MAX.load(Ordering::Relaxed));
        if self.started.elapsed() <= longest {
            return;
        }
        let took = match (self.worked, worked()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => self.started.elapsed(),
        };
        assert!(took <= longest, "{what} took {took:?}, longer than {longest:?}");
    }
}

/// How long this thread has worked, where the system says it.
fn worked() -> Option<Duration> {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    said.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Whether a panic is one that the product catches: the store's at damage, the template engine's at some sums.
pub fn is_caught(panic: &PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|place| ["/sled-0.", "/minijinja-"].iter().any(|library| place.file().contains(library)))
}
