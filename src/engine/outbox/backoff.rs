//! Pauses between tries: doubling, bounded, with jitter so that many do not come back at once.

use std::time::Duration;

/// The first pause.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// No pause is longer: a platform that is back should not wait long for us.
const PAUSE_MAX: Duration = Duration::from_mins(2);

/// Counts tries and says how long to pause before the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause: between half of and the whole of a span that doubles.
    pub fn next_pause(&mut self) -> Duration {
        let span = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(self.tries.min(16))).min(PAUSE_MAX);
        self.tries += 1;
        span.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] >= PAUSE_FIRST / 2 && pauses[0] <= PAUSE_FIRST);
        assert!(pauses[3] >= PAUSE_FIRST * 4 && pauses[3] <= PAUSE_FIRST * 8);
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX));
        assert!(pauses[39] >= PAUSE_MAX / 2);
    }
}
