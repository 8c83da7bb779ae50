//! Clocks: the real one, and one that stands still until it is moved. Only these read the time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::ports::Clock;

/// The longest single sleep: wall clocks are set, machines are suspended, so a long wait looks again in between.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        while let Ok(left) = (at - Utc::now()).to_std() {
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }
}

/// Measures how long something took, for the figures. It goes on evenly, whatever is done to the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since then.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// A clock that stands still until someone moves it: tests and simulations.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<watch::Sender<DateTime<Utc>>>,
}

impl ManualClock {
    /// A clock that stands at a moment.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self { now: Arc::new(watch::Sender::new(now)) }
    }

    /// Moves it forward; by less than nothing, back, as a machine's clock may be put.
    pub fn advance(&self, by: TimeDelta) {
        self.now.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.borrow()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        let mut now = self.now.subscribe();
        // The sender lives in self, so waiting cannot end otherwise than by the time coming.
        let _ = now.wait_for(|now| *now >= at).await;
    }
}

/// A rollout's clock: an engine clock, shifted by what the rollout's journal says.
#[derive(Clone)]
pub struct RolloutClock {
    clock: Arc<dyn Clock>,
    shift_seconds: watch::Receiver<i64>,
}

impl RolloutClock {
    /// A clock shifted by what `shift_seconds` holds.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, shift_seconds: watch::Receiver<i64>) -> Self {
        Self { clock, shift_seconds }
    }

    /// What it says.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::seconds(*self.shift_seconds.borrow())
    }

    /// Waits until it says so, also when it is moved meanwhile.
    pub async fn sleep_until(&self, at: DateTime<Utc>) {
        let mut shift = self.shift_seconds.clone();
        loop {
            let seconds = *shift.borrow_and_update();
            let real = at - TimeDelta::seconds(seconds);
            tokio::select! {
                () = self.clock.sleep_until(real) => return,
                moved = shift.changed() => if moved.is_err() {
                    // The rollout is gone; its clock can't be moved any more.
                    return self.clock.sleep_until(real).await;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rollouts_clock_is_woken_by_being_moved() {
        let start: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        let manual = ManualClock::at(start);
        let shift = watch::Sender::new(0);
        let clock = RolloutClock::new(Arc::new(manual.clone()), shift.subscribe());
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(start + TimeDelta::hours(2)).await }
        });
        shift.send_replace(3600);
        manual.advance(TimeDelta::minutes(59));
        assert_eq!(clock.now(), start + TimeDelta::minutes(119));
        assert!(!waiter.is_finished());
        manual.advance(TimeDelta::minutes(1));
        waiter.await.unwrap();
    }
}
