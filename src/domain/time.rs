//! Time as a value: durations, offsets from T-0, moments in a zone, and how people read them.
//!
//! Nothing here reads a clock; whoever asks brings the time.

use std::fmt;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// The longest duration read, in seconds: ten years. Longer ones are slips of the finger.
const DURATION_SECONDS_MAX: i64 = 10 * 366 * 86_400;

/// The last year that is read or reached: beyond it lie slips of the finger, and the end of the calendar's arithmetic.
pub const YEAR_MAX: i32 = 9000;
/// The first year that is read.
const YEAR_MIN: i32 = 1970;

/// Reads `90s`, `12m`, `4h`, `5d`, `1h30m`; answers seconds.
///
/// # Errors
/// A sentence saying what was expected.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("“{text}” is not a duration; write it like “90s”, “12m”, “4h”, “5d” or “1h30m”");
    let mut seconds: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let amount: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest[digits..].chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return Err(wrong()),
        };
        seconds = amount.checked_mul(unit).and_then(|s| seconds.checked_add(s)).ok_or_else(wrong)?;
        rest = rest[digits + 1..].trim_start();
    }
    if seconds > DURATION_SECONDS_MAX { Err(format!("“{text}” is longer than ten years")) } else { Ok(seconds) }
}

/// How long something usually takes: one figure, or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takes {
    /// At least, in seconds.
    pub seconds_min: i64,
    /// At most, in seconds.
    pub seconds_max: i64,
}

impl Takes {
    /// Reads `12m` or `5s..20m`.
    ///
    /// # Errors
    /// A sentence saying what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (low, high) = match text.split_once("..") {
            Some((low, high)) => (parse_duration(low)?, parse_duration(high)?),
            None => (parse_duration(text)?, parse_duration(text)?),
        };
        if low > high {
            return Err(format!("“{text}” runs backwards; write the shorter duration first"));
        }
        Ok(Self { seconds_min: low, seconds_max: high })
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds_min == self.seconds_max {
            write!(f, "about {}", say_seconds(self.seconds_max))
        } else {
            write!(f, "{} to {}", say_seconds(self.seconds_min), say_seconds(self.seconds_max))
        }
    }
}

/// A distance from T-0, in seconds: `T-5d` is negative, `T+30m` positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// Reads `T-5d`, `T-0`, `T+30m`.
    ///
    /// # Errors
    /// A sentence saying what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("“{text}” is not a time in the window; write it like “T-5d”, “T-4h”, “T-1m”, “T-0” or “T+30m”");
        let rest = text.strip_prefix(['T', 't']).ok_or_else(wrong)?;
        let (sign, amount) = if let Some(amount) = rest.strip_prefix('-') {
            (-1, amount)
        } else if let Some(amount) = rest.strip_prefix('+') {
            (1, amount)
        } else {
            return Err(wrong());
        };
        if amount.trim() == "0" {
            return Ok(Self(0));
        }
        parse_duration(amount).map(|seconds| Self(sign * seconds)).map_err(|_| wrong())
    }

    /// The moment, given T-0.
    #[must_use]
    pub fn from(self, t0: DateTime<Utc>) -> DateTime<Utc> {
        t0 + TimeDelta::seconds(self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("T-0"),
            seconds if seconds < 0 => write!(f, "T-{}", say_seconds(-seconds).replace(' ', "")),
            seconds => write!(f, "T+{}", say_seconds(seconds).replace(' ', "")),
        }
    }
}

/// A duration as people say it: `45s`, `12m`, `4h`, `1h 30m`, `5d`, `2d 4h`. Two units at most.
#[must_use]
pub fn say_seconds(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (large, large_unit, small, small_unit) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => (seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => (seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    };
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit} {small}{small_unit}") }
}

/// The time between two moments as people say it; never negative.
#[must_use]
pub fn say_between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    say_seconds((to - from).num_seconds())
}

/// A moment as people say it: always with the zone, with the date when it is another day, with the year when it is another one.
#[must_use]
pub fn say_time(at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> String {
    let (there, here) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let format = if there.date_naive() == here.date_naive() {
        "%H:%M %Z"
    } else if there.year() == here.year() {
        "%a %-d %b %H:%M %Z"
    } else {
        "%a %-d %b %Y %H:%M %Z"
    };
    there.format(format).to_string()
}

/// A local time as a moment. Where clocks go back, the first of the two; where they go forward over it, as long after the
/// change as it would have been: what is due then is neither an hour late nor lost.
#[must_use]
pub fn local_moment(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(exact) | LocalResult::Ambiguous(exact, _) => exact.with_timezone(&Utc),
        LocalResult::None => {
            // The offset that held before the gap: a day earlier is outside every gap there is.
            let before = local.checked_sub_days(Days::new(1)).and_then(|day| zone.from_local_datetime(&day).earliest());
            let offset = before.map_or(TimeDelta::zero(), |at| at.naive_local() - at.naive_utc());
            (local - offset).and_utc()
        }
    }
}

/// The full form, for records: `2026-11-26 02:00 EST`.
#[must_use]
pub fn write_time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// The clock alone, for log lines: `14:02`.
#[must_use]
pub fn clock_time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%H:%M").to_string()
}

/// Reads a moment: `2026-11-26 02:00` in `zone`, an RFC 3339 time with its own offset, or `02:00` (the next one after `now`).
///
/// # Errors
/// A sentence saying what was expected, also for a local time that a change of clocks leaves out.
pub fn parse_time(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let found = read_time(text.trim(), zone, now)?;
    if (YEAR_MIN..=YEAR_MAX).contains(&found.year()) {
        Ok(found)
    } else {
        Err(format!("the year of “{text}” is not between {YEAR_MIN} and {YEAR_MAX}"))
    }
}

fn read_time(text: &str, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
        return Ok(exact.with_timezone(&Utc));
    }
    let local = if let Ok(time) = NaiveTime::parse_from_str(text, "%H:%M") {
        let today = now.with_timezone(&zone).date_naive();
        let candidate = today.and_time(time);
        let passed = candidate <= now.with_timezone(&zone).naive_local();
        if passed { candidate.checked_add_days(Days::new(1)).unwrap_or(candidate) } else { candidate }
    } else {
        // The zone's own abbreviation at the end is what we print ourselves, so it is read back.
        let bare = text.rsplit_once(' ').map_or(text, |(start, end)| {
            if end.len() <= 5 && end.chars().all(|c| c.is_ascii_uppercase()) { start } else { text }
        });
        ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok())
            .ok_or_else(|| match NaiveDate::parse_from_str(bare, "%Y-%m-%d") {
                Ok(_) => format!("“{text}” has a date but no time; write it like “2026-11-26 02:00”"),
                Err(_) => format!("“{text}” is not a time; write it like “2026-11-26 02:00” ({zone}) or “02:00”"),
            })?
    };
    match zone.from_local_datetime(&local) {
        LocalResult::Single(exact) => Ok(exact.with_timezone(&Utc)),
        // The clocks go back: the first of the two, so that nothing starts an hour late.
        LocalResult::Ambiguous(first, _) => Ok(first.with_timezone(&Utc)),
        LocalResult::None => Err(format!("{local} does not exist in {zone}: the clocks go forward over it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("12m", 720), ("4h", 14_400), ("5d", 432_000), ("1h30m", 5400), ("1h 30m", 5400)] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
        }
        for text in ["", "12", "m", "-5m", "1w", "99999999999999999999d", "9999d9999d", "1.5h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(Takes::parse("5s..20m").unwrap().to_string(), "5s to 20m");
        assert!(Takes::parse("20m..5s").is_err());
    }

    #[test]
    fn offsets() {
        for (text, seconds, said) in
            [("T-5d", -432_000, "T-5d"), ("T-0", 0, "T-0"), ("T+30m", 1800, "T+30m"), ("t-1h30m", -5400, "T-1h30m")]
        {
            let offset = Offset::parse(text).unwrap();
            assert_eq!((offset.0, offset.to_string().as_str()), (seconds, said));
        }
        for text in ["5d", "T5d", "T-", "T-x", "D-1"] {
            assert!(Offset::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_said_with_zone_and_with_the_date_when_it_is_not_today() {
        let zone = chrono_tz::America::New_York;
        let now = utc("2026-11-20T12:00:00Z");
        assert_eq!(say_time(utc("2026-11-20T19:05:00Z"), now, zone), "14:05 EST");
        assert_eq!(say_time(utc("2026-11-26T07:00:00Z"), now, zone), "Thu 26 Nov 02:00 EST");
        assert_eq!(say_time(utc("2027-06-01T07:00:00Z"), now, zone), "Tue 1 Jun 2027 03:00 EDT");
    }

    #[test]
    fn a_local_time_that_is_not_there_or_there_twice_is_one_moment() {
        let zone = chrono_tz::America::New_York;
        let local = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        for (text, moment) in [
            ("2026-03-08 01:30", "2026-03-08T06:30:00Z"),
            ("2026-03-08 02:30", "2026-03-08T07:30:00Z"),
            ("2026-03-08 03:30", "2026-03-08T07:30:00Z"),
            ("2026-11-01 01:30", "2026-11-01T05:30:00Z"),
            ("2026-11-01 02:30", "2026-11-01T07:30:00Z"),
        ] {
            assert_eq!(local_moment(local(text), zone), utc(moment), "{text}");
        }
    }

    #[test]
    fn moments_are_read_in_the_zone_of_the_runbook() {
        let zone = chrono_tz::America::New_York;
        let now = utc("2026-11-20T12:00:00Z");
        for (text, expected) in [
            ("2026-11-26 02:00", "2026-11-26T07:00:00Z"),
            ("2026-11-26 02:00 EST", "2026-11-26T07:00:00Z"),
            ("2026-11-26T02:00", "2026-11-26T07:00:00Z"),
            ("2026-11-26T02:00:00+01:00", "2026-11-26T01:00:00Z"),
            ("07:30", "2026-11-20T12:30:00Z"),
            ("06:30", "2026-11-21T11:30:00Z"),
            ("2026-11-01 01:30", "2026-11-01T05:30:00Z"),
        ] {
            assert_eq!(parse_time(text, zone, now), Ok(utc(expected)), "{text}");
        }
        assert!(parse_time("2026-03-08 02:30", zone, now).unwrap_err().contains("does not exist"));
        assert!(parse_time("2026-11-26", zone, now).unwrap_err().contains("no time"));
        assert!(parse_time("soon", zone, now).is_err());
        assert!(parse_time("9999-12-31 23:59", zone, now).unwrap_err().contains("between 1970 and 9000"));
        assert!(parse_time("+262142-12-31 23:59", zone, now).is_err());
    }
}
