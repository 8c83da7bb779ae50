//! Moments that come again and again: a cron expression, read in a time zone. Reads no clock; whoever asks brings the time.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use cron::{Schedule, TimeUnitSpec};

use super::time::local_moment;

/// How a cron expression is written, for whoever mistyped one.
pub const CRON_HELP: &str = "six fields: second, minute, hour, day of the month, month, day of the week, like `0 0 17 * * Fri`";
/// The longest cron expression read, in characters.
const CRON_CHARS_MAX: usize = 200;
/// How far the clocks of a zone are put forward or back at most: so far apart can the order on the wall and the real one be.
const CLOCK_CHANGE_HOURS_MAX: i64 = 3;

/// Moments that come again and again.
///
/// The expression is read against the clock on the wall. A moment that a change of clocks leaves out comes as long after the
/// change as it would have been, one that is there twice comes the first time: what recurs is never lost and never doubled.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    schedule: Schedule,
    zone: Tz,
}

impl Calendar {
    /// Reads a cron expression of six fields (or seven, the year last).
    ///
    /// # Errors
    /// What is wrong with it, as a sentence without an end.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let wrong = || format!("“{text}” is no cron expression");
        if text.chars().count() > CRON_CHARS_MAX {
            return Err(format!("a cron expression has at most {CRON_CHARS_MAX} characters"));
        }
        let fields = text.split_whitespace().count();
        if !text.trim_start().starts_with('@') && !(6..=7).contains(&fields) {
            return Err(format!("{}: it has {fields} {}", wrong(), if fields == 1 { "field" } else { "fields" }));
        }
        let schedule = Schedule::from_str(text).map_err(|_| wrong())?;
        // A star where a zero was meant is the classic slip; and what comes every second is looked for among very many moments.
        if schedule.seconds().count() > 1 {
            return Err(format!(
                "“{text}” comes more than once a minute: its first field is the second, `0` for the full minute"
            ));
        }
        let calendar = Self { schedule, zone };
        // The thirtieth of February is written easily, and never comes.
        if calendar.after(DateTime::UNIX_EPOCH).is_none() {
            return Err(format!("“{text}” never comes"));
        }
        Ok(calendar)
    }

    /// The zone on whose wall the clock hangs.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The next moment after one.
    #[must_use]
    pub fn after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let change = TimeDelta::hours(CLOCK_CHANGE_HOURS_MAX);
        let mut moments = self.schedule.after(&(self.on_the_wall(at) - change)).map(|wall| self.moment(wall));
        let (first, found) = moments.find(|(_, moment)| *moment > at)?;
        // What is left out by a change of clocks comes later than what follows it on the wall.
        let soon = moments.take_while(|(wall, _)| *wall <= first + change).map(|(_, moment)| moment);
        soon.filter(|moment| *moment > at).chain([found]).min()
    }

    /// The last moment that is not after one.
    #[must_use]
    pub fn until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let change = TimeDelta::hours(CLOCK_CHANGE_HOURS_MAX);
        let mut moments = self.schedule.after(&(self.on_the_wall(at) + change)).rev().map(|wall| self.moment(wall));
        let (last, found) = moments.find(|(_, moment)| *moment <= at)?;
        let before = moments.take_while(|(wall, _)| *wall >= last - change).map(|(_, moment)| moment);
        before.filter(|moment| *moment <= at).chain([found]).max()
    }

    /// A time on the wall, and the moment that it is.
    fn moment(&self, wall: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        (wall, local_moment(wall.naive_utc(), self.zone))
    }

    /// What the clock on the wall shows, as if it were a moment: so the schedule knows of no change of clocks.
    fn on_the_wall(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.with_timezone(&self.zone).naive_local().and_utc()
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.schedule, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(text: &str) -> Calendar {
        Calendar::parse(text, chrono_tz::America::New_York).unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_recurs_is_neither_lost_nor_doubled_when_clocks_change() {
        // In New York clocks went forward on 8 March 2026 at 02:00, and go back on 1 November 2026 at 02:00.
        for (expression, from, expected) in [
            ("0 0 17 * * Fri", "2026-11-18T00:00:00Z", "2026-11-20T22:00:00Z"),
            ("0 0 17 * * Fri", "2026-11-20T22:00:00Z", "2026-11-27T22:00:00Z"),
            ("0 30 2 * * *", "2026-03-08T05:00:00Z", "2026-03-08T07:30:00Z"),
            ("0 30 2 * * *", "2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"),
            ("0 30 1 * * *", "2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z"),
            ("0 30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"),
        ] {
            let calendar = calendar(expression);
            assert_eq!(calendar.after(utc(from)), Some(utc(expected)), "{expression} after {from}");
            assert_eq!(calendar.until(utc(expected)), Some(utc(expected)), "{expression} at {expected}");
            assert!(calendar.until(utc(expected) - TimeDelta::seconds(1)) < Some(utc(expected)));
        }
        // Half past one the second time that night: the last one was an hour ago.
        assert_eq!(calendar("0 50 1 * * *").until(utc("2026-11-01T06:10:00Z")), Some(utc("2026-11-01T05:50:00Z")));
        // Three o'clock in March is ten minutes past a change over which half past two has not come yet.
        assert_eq!(calendar("0 30 2 * * *").until(utc("2026-03-08T07:10:00Z")), Some(utc("2026-03-07T07:30:00Z")));
    }

    #[test]
    fn every_minute_comes_once_whatever_clocks_do_and_between_full_seconds() {
        let every_minute = calendar("0 * * * * *");
        for from in ["2026-11-01T04:30:00.5Z", "2026-03-08T05:30:00.5Z", "2026-11-20T22:00:00.5Z"] {
            let start = utc(from);
            let mut at = start;
            while at < start + TimeDelta::hours(5) {
                let next = every_minute.after(at).unwrap();
                assert!(next > at && next <= at + TimeDelta::minutes(61), "{at} {next}");
                let between = next - TimeDelta::milliseconds(500);
                assert_eq!(every_minute.until(between), every_minute.until(at).max(Some(start - TimeDelta::milliseconds(500))));
                assert_eq!(every_minute.until(next), Some(next));
                at = next;
            }
        }
        // What is left out at half past two comes at half past three, after ten past three.
        let two = calendar("0 10,30 2,3 * * *");
        let moments: Vec<_> =
            std::iter::successors(Some(utc("2026-03-08T06:00:00Z")), |at| two.after(*at)).skip(1).take(4).collect();
        assert!(moments.is_sorted(), "{moments:?}");
        assert_eq!(moments[..3], [utc("2026-03-08T07:10:00Z"), utc("2026-03-08T07:30:00Z"), utc("2026-03-09T06:10:00Z")]);
        assert_eq!(two.until(utc("2026-03-08T09:00:00Z")), Some(utc("2026-03-08T07:30:00Z")));
    }

    #[test]
    fn what_is_no_expression_is_said() {
        for (text, expected) in [
            ("0 17 * * Fri", "“0 17 * * Fri” is no cron expression: it has 5 fields"),
            ("0 0 25 * * Fri", "“0 0 25 * * Fri” is no cron expression"),
            (
                "* * 10 * * *",
                "“* * 10 * * *” comes more than once a minute: its first field is the second, `0` for the full minute",
            ),
            ("noon", "“noon” is no cron expression: it has 1 field"),
            ("0 0 0 30 Feb *", "“0 0 0 30 Feb *” never comes"),
        ] {
            assert_eq!(Calendar::parse(text, Tz::UTC), Err(expected.to_owned()));
        }
    }
}
