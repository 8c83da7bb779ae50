//! How much one person may ask in a time, so that nobody's script, or stuck key, takes the page away from the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use ipnet::IpNet;

/// How much one may look, a second: a page looks again at most ten times a second, and people have several open.
pub const LOOKS_PER_SECOND: NonZeroU32 = NonZeroU32::new(40).expect("it is not zero");
/// How much of that may come at once.
pub const LOOKS_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).expect("it is not zero");
/// How much one may change, a second: nobody presses faster.
pub const CHANGES_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");
/// How much of that may come at once: a script that ticks a checklist.
pub const CHANGES_AT_ONCE: NonZeroU32 = NonZeroU32::new(50).expect("it is not zero");
/// How many live streams one may hold: each window has one.
pub const STREAMS_MAX: usize = 24;

/// By whom requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everybody is one, in the demo.
    Anybody,
    /// Those who did not say who they are, by where they ask from.
    Address(Option<IpAddr>),
    /// Somebody who logged in.
    Holder(String),
    /// A screen on a wall, by the hash of what it bears: each is one.
    Screen(String),
}

/// Whom an address stands for. With IPv6 everybody has a whole network (RFC 6177), so that is taken for one.
#[must_use]
pub fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether an address is in one of these networks.
#[must_use]
pub fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// What was asked lately, by whom.
pub struct Limits {
    looks: DefaultKeyedRateLimiter<Who>,
    changes: DefaultKeyedRateLimiter<Who>,
    streams: Mutex<HashMap<Who, usize>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            looks: DefaultKeyedRateLimiter::keyed(Quota::per_second(LOOKS_PER_SECOND).allow_burst(LOOKS_AT_ONCE)),
            changes: DefaultKeyedRateLimiter::keyed(Quota::per_second(CHANGES_PER_SECOND).allow_burst(CHANGES_AT_ONCE)),
            streams: Mutex::default(),
        }
    }
}

impl Limits {
    /// Counts a request.
    ///
    /// # Errors
    /// When it is one too many: in which time it is not any more.
    pub fn check(&self, who: &Who, changes: bool) -> Result<(), Duration> {
        let limiter = if changes { &self.changes } else { &self.looks };
        limiter.check_key(who).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }

    /// Forgets who was quiet for a while.
    pub fn sweep(&self) {
        for limiter in [&self.looks, &self.changes] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    /// A place among the live streams of somebody, if there is one left.
    pub fn stream(limits: &Arc<Self>, who: &Who) -> Option<Streaming> {
        let mut streams = limits.streams();
        let count = streams.entry(who.clone()).or_default();
        if *count >= STREAMS_MAX && *who != Who::Anybody {
            return None;
        }
        *count += 1;
        drop(streams);
        Some(Streaming { limits: limits.clone(), who: who.clone() })
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Who, usize>> {
        // Whoever panicked had counted or had not; a place more or less is no reason to end everybody's.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the live streams; dropping it gives it back.
pub struct Streaming {
    limits: Arc<Limits>,
    who: Who,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let mut streams = self.limits.streams();
        if let Some(count) = streams.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maria() -> Who {
        Who::Holder("maria".to_owned())
    }

    #[test]
    fn a_flood_is_held_up_and_the_others_are_not() {
        let limits = Limits::default();
        let taken = (0..1000).filter(|_| limits.check(&maria(), true).is_ok()).count();
        assert!((50..100).contains(&taken), "{taken}");
        let pause = limits.check(&maria(), true).unwrap_err();
        assert!(pause > Duration::ZERO && pause <= Duration::from_secs(1), "{pause:?}");
        assert!(limits.check(&Who::Holder("ana".to_owned()), true).is_ok());
        assert!(limits.check(&maria(), false).is_ok(), "she still sees how things stand");
    }

    #[test]
    fn streams_are_counted_and_given_back() {
        let limits = Arc::new(Limits::default());
        let held: Vec<_> = (0..STREAMS_MAX).map(|_| Limits::stream(&limits, &maria()).unwrap()).collect();
        assert!(Limits::stream(&limits, &maria()).is_none());
        assert!(Limits::stream(&limits, &Who::Address(None)).is_some());
        drop(held);
        assert!(Limits::stream(&limits, &maria()).is_some());
        assert_eq!(limits.streams().len(), 0);
    }
}
