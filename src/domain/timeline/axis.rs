//! The axis of time. A rollout lasts five days, and most of it happens in two hours: long times in which nothing happens are
//! left out, visibly, and what lies between them is a stretch of its own, in which all seconds are equally long.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::time::local_moment;

/// A time in which nothing happens is left out only from here on, in seconds: below, a picture is clearer in one piece.
const GAP_SECONDS_MIN: f64 = 20.0 * 60.0;
/// And only when it is so many times as long as all shorter ones together: then the rest would be a speck beside it.
const GAP_SHARE_MIN: f64 = 0.5;
/// How wide what is left out is drawn.
pub(super) const BREAK_WIDTH: f64 = 20.0;
/// How wide a stretch is at least: a date fits.
const STRETCH_WIDTH_MIN: f64 = 46.0;
/// How much room there is for each break: more of them would leave none for what happens.
const WIDTH_PER_BREAK: f64 = 160.0;
/// What stays free at both ends of a stretch: what begins or ends there is seen as a whole.
const PADDING: f64 = 6.0;
/// How much the time of a stretch counts at least, as a share of all: also a single moment gets some room.
const TIME_SHARE_MIN: f64 = 0.05;
/// Where a picture shows more than this, in seconds, ticks are whole minutes.
const SECONDS_SHOWN_MAX: f64 = 30.0 * 60.0;
/// How far apart ticks are at least: a time and a little.
const TICK_WIDTH_MIN: f64 = 52.0;
/// What ticks may be apart, in seconds.
const TICK_SECONDS: [i64; 18] = [
    1,
    5,
    10,
    30,
    60,
    2 * 60,
    5 * 60,
    10 * 60,
    15 * 60,
    30 * 60,
    3600,
    2 * 3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    86_400,
    2 * 86_400,
    7 * 86_400,
];
/// How many ticks one stretch has at most.
const TICKS_MAX: usize = 40;

/// Where moments stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// In order; between two of them time is left out.
    pub stretches: Vec<Stretch>,
}

/// A part of the axis in which all seconds are equally long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// Its first moment.
    pub from: DateTime<Utc>,
    /// Its last moment.
    pub to: DateTime<Utc>,
    /// Where it begins.
    pub left: f64,
    /// Where it ends.
    pub right: f64,
}

impl Stretch {
    fn seconds(&self) -> f64 {
        seconds(self.from, self.to)
    }

    fn x(&self, at: DateTime<Utc>) -> f64 {
        let length = self.seconds();
        if length <= 0.0 {
            return f64::midpoint(self.left, self.right);
        }
        let (left, right) = (self.left + PADDING, self.right - PADDING);
        left + (right - left) * (seconds(self.from, at) / length).clamp(0.0, 1.0)
    }
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64().max(0.0)
}

impl Axis {
    /// An axis for these moments, in order and at least one, from `left` to `right`.
    #[must_use]
    pub fn new(moments: &[DateTime<Utc>], left: f64, right: f64) -> Self {
        let width = (right - left).max(STRETCH_WIDTH_MIN);
        let cuts = cuts(moments, width);
        let mut groups: Vec<&[DateTime<Utc>]> = Vec::new();
        let mut first = 0;
        for cut in cuts {
            groups.push(&moments[first..=cut]);
            first = cut + 1;
        }
        groups.push(&moments[first..]);
        let breaks = count(groups.len().saturating_sub(1));
        let room = width - BREAK_WIDTH * breaks - STRETCH_WIDTH_MIN * (breaks + 1.0);
        let weights = weights(&groups);
        let mut place = left;
        let mut stretches = Vec::with_capacity(groups.len());
        for (group, weight) in groups.iter().zip(weights) {
            let (Some(from), Some(to)) = (group.first(), group.last()) else { continue };
            let wide = STRETCH_WIDTH_MIN + room.max(0.0) * weight;
            stretches.push(Stretch { from: *from, to: *to, left: place, right: place + wide });
            place += wide + BREAK_WIDTH;
        }
        Self { stretches }
    }

    /// Where a moment stands. What lies before the first or after the last stands there.
    #[must_use]
    pub fn x(&self, at: DateTime<Utc>) -> f64 {
        let mut before: Option<&Stretch> = None;
        for stretch in &self.stretches {
            if at < stretch.from {
                // In what is left out, evenly.
                let Some(before) = before else { return stretch.x(stretch.from) };
                let share = seconds(before.to, at) / seconds(before.to, stretch.from);
                return before.x(before.to) + (stretch.x(stretch.from) - before.x(before.to)) * share.clamp(0.0, 1.0);
            }
            if at <= stretch.to {
                return stretch.x(at);
            }
            before = Some(stretch);
        }
        before.map_or(0.0, |last| last.x(last.to))
    }

    /// What is left out: where it is drawn, and how long it is.
    pub fn breaks(&self) -> impl Iterator<Item = (f64, f64, TimeDelta)> {
        self.stretches.windows(2).map(|pair| (pair[0].right, pair[1].left, pair[1].from - pair[0].to))
    }

    /// The ticks of a stretch: round times in a zone, or its first moment where no round one falls into it.
    #[must_use]
    pub fn ticks(&self, stretch: &Stretch, zone: Tz) -> Vec<DateTime<Utc>> {
        let length = stretch.seconds();
        let all = self.stretches.first().zip(self.stretches.last()).map_or(0.0, |(first, last)| seconds(first.from, last.to));
        let shortest = if all > SECONDS_SHOWN_MAX { 60 } else { 1 };
        let fits = ((stretch.right - stretch.left) / TICK_WIDTH_MIN).floor().max(1.0);
        let mut choices = TICK_SECONDS.into_iter().filter(|every| *every >= shortest);
        let Some(every) = choices.find(|every| length / TimeDelta::seconds(*every).as_seconds_f64() <= fits) else {
            return vec![stretch.from];
        };
        let local = stretch.from.with_timezone(&zone).naive_local();
        let midnight = local.date().and_time(chrono::NaiveTime::MIN);
        let since_midnight = (local - midnight).num_seconds();
        let first = since_midnight / every * every;
        let mut ticks = Vec::new();
        for turn in 0.. {
            let at = local_moment(midnight + TimeDelta::seconds(first + every * turn), zone);
            if at > stretch.to || ticks.len() == TICKS_MAX {
                break;
            }
            // Where clocks go back, one local time comes twice and is said once.
            if at >= stretch.from && ticks.last().is_none_or(|last| *last < at) {
                ticks.push(at);
            }
        }
        if ticks.is_empty() {
            ticks.push(stretch.from);
        }
        ticks
    }
}

/// After which moments time is left out, in order.
fn cuts(moments: &[DateTime<Utc>], width: f64) -> Vec<usize> {
    let mut gaps: Vec<(f64, usize)> =
        moments.windows(2).enumerate().map(|(place, pair)| (seconds(pair[0], pair[1]), place)).collect();
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut shorter = 0.0;
    let mut first = gaps.len();
    for (place, (gap, _)) in gaps.iter().enumerate() {
        if *gap >= GAP_SECONDS_MIN && *gap > shorter * GAP_SHARE_MIN {
            first = place;
            break;
        }
        shorter += gap;
    }
    let mut most = 0;
    while count(most + 1) * WIDTH_PER_BREAK <= width {
        most += 1;
    }
    let mut cuts: Vec<usize> = gaps[first..].iter().rev().take(most).map(|(_, place)| *place).collect();
    cuts.sort_unstable();
    cuts
}

/// How the room is shared out: by how much happens in a stretch, and by how long it is. The sum is 1.
fn weights(groups: &[&[DateTime<Utc>]]) -> Vec<f64> {
    let length = |group: &[DateTime<Utc>]| group.first().zip(group.last()).map_or(0.0, |(from, to)| seconds(*from, *to));
    let all_seconds: f64 = groups.iter().map(|group| length(group)).sum();
    let all_moments: f64 = groups.iter().map(|group| count(group.len())).sum();
    let weight = |group: &&[DateTime<Utc>]| {
        let time = if all_seconds > 0.0 { length(group) / all_seconds } else { 1.0 };
        // What happens counts far more than how long it takes.
        time.max(TIME_SHARE_MIN).powf(0.25) * count(group.len()) / all_moments
    };
    let raw: Vec<f64> = groups.iter().map(weight).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// A small number as one that can be multiplied.
pub(super) fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
