//! A timeline laid out: shapes and texts with their places, in no colours yet. No two texts overlap, and nothing of a row leaves
//! the axis.

use chrono::{DateTime, Utc};

use crate::domain::time::{clock_time, say_between, say_seconds, write_time};

use super::axis::{Axis, count};
use super::letters::{fit, width};
use super::{BarStatus, MarkKind, PhaseBar, StepBar, Timeline};

/// How many rows a picture has at most: beyond, the shortest steps are left out, and it is said how many.
pub const ROWS_MAX: usize = 240;
/// From so many rows on, times stand at the bottom too.
const ROWS_TO_REPEAT_TIMES: usize = 26;
/// How many lines the names of marks may take above the axis.
const LANES_MAX: usize = 4;
/// How high such a line is.
const LANE_HEIGHT: f64 = 15.0;
/// How high a line of dates or times is.
const TIMES_HEIGHT: f64 = 15.0;
/// The size of most letters.
const SIZE: f64 = 12.0;
/// The size of what explains.
const SIZE_SMALL: f64 = 11.0;
/// The size of the picture's own title.
const SIZE_TITLE: f64 = 17.0;
/// How far texts stay from what they belong to.
const GAP: f64 = 5.0;
/// How narrow a bar may become and still be seen.
const BAR_WIDTH_MIN: f64 = 3.0;
/// Half the width of a symbol.
const SYMBOL: f64 = 5.0;
/// Marks that are less urgent have no name beside their symbol.
const NAMELESS: u8 = 8;
/// What stays free right of the axis.
const MARGIN: f64 = 8.0;

/// For which place a picture is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    /// How wide it is.
    pub width: f64,
    /// How wide the column of names left of the axis is; without one, every name stands above its bar.
    pub names: Option<f64>,
    /// Whether it says itself what it shows, and stands on a ground of its own.
    pub alone: bool,
}

impl Format {
    /// The rollout's page on a desk.
    pub const PAGE: Self = Self { width: 840.0, names: Some(290.0), alone: false };
    /// The same page on a phone.
    pub const PHONE: Self = Self { width: 340.0, names: None, alone: false };
    /// A picture to send around.
    pub const FILE: Self = Self { width: 1200.0, names: Some(370.0), alone: true };
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
    /// Where rows and axis are: names stand left of it, times above, what symbols mean below.
    pub area: Bounds,
    /// What it is, in a few words.
    pub title: String,
    /// What it shows, for who does not see it.
    pub words: String,
    /// What it is made of, from the ground up.
    pub items: Vec<Item>,
}

/// A part of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it means, and so how it looks.
    pub role: Role,
    /// Its form and place.
    pub shape: Shape,
    /// What is said to who points at it.
    pub tip: Option<String>,
}

/// A form and its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A rectangle.
    Rect {
        /// Its left.
        x: f64,
        /// Its top.
        y: f64,
        /// Its width.
        width: f64,
        /// Its height.
        height: f64,
        /// How round its corners are.
        round: f64,
    },
    /// Straight lines from point to point.
    Path {
        /// The points.
        points: Vec<(f64, f64)>,
        /// Whether the last one is joined to the first.
        closed: bool,
    },
    /// A dot.
    Circle {
        /// Its middle.
        x: f64,
        /// Its middle.
        y: f64,
        /// Half its width.
        radius: f64,
    },
    /// Words on one line.
    Text {
        /// Where they begin.
        x: f64,
        /// On which line they stand; upright words are left of it.
        y: f64,
        /// How large they are.
        size: f64,
        /// The words.
        text: String,
        /// Whether they run upwards.
        upright: bool,
    },
}

/// What a part means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The ground under everything.
    Ground,
    /// The picture's own title.
    Title,
    /// A phase's name.
    Phase,
    /// A step's name.
    Name,
    /// What explains.
    Soft,
    /// What is late or failed, in words.
    Alarm,
    /// A good end, in words.
    Praise,
    /// Words on a bar.
    OnBar,
    /// A line at a round time, or between phases.
    Grid,
    /// The maintenance window.
    Window,
    /// A time on hold.
    Hold,
    /// How long a phase was open.
    PhaseBar,
    /// From a step's turn to its beginning.
    Wait,
    /// A step that is done.
    Done,
    /// A step that a system does.
    Running,
    /// A step that waits.
    Open,
    /// A step that failed.
    Failed,
    /// What it took beyond what was expected.
    Over,
    /// Until when it was expected.
    Expected,
    /// What covers the time that is left out.
    Gap,
    /// Its edge.
    Edge,
    /// T-0.
    Zero,
    /// Now, as a line.
    Now,
    /// Now, as a dot.
    Today,
    /// A symbol.
    Symbol,
    /// A symbol of something good.
    Good,
    /// A symbol of something bad.
    Bad,
    /// When a phase opens.
    Due,
}

impl Role {
    /// Whether its letters are strong.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        matches!(self, Self::Phase | Self::Title | Self::Alarm | Self::Praise)
    }
}

/// What a part takes of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// From where.
    pub left: f64,
    /// From where.
    pub top: f64,
    /// Until where.
    pub right: f64,
    /// Until where.
    pub bottom: f64,
}

impl Bounds {
    /// Whether two parts share some place.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

impl Item {
    /// What it takes; of texts an upper bound.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        match &self.shape {
            Shape::Rect { x, y, width, height, .. } => Bounds { left: *x, top: *y, right: x + width, bottom: y + height },
            Shape::Circle { x, y, radius } => Bounds { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius },
            Shape::Path { points, .. } => {
                let (xs, ys) = (points.iter().map(|point| point.0), points.iter().map(|point| point.1));
                Bounds {
                    left: xs.clone().fold(f64::INFINITY, f64::min),
                    top: ys.clone().fold(f64::INFINITY, f64::min),
                    right: xs.fold(f64::NEG_INFINITY, f64::max),
                    bottom: ys.fold(f64::NEG_INFINITY, f64::max),
                }
            }
            Shape::Text { x, y, size, text, upright } => {
                let long = width(text, *size, self.role.is_strong());
                // Letters reach as far as this above and below the line they stand on.
                let (above, below) = (size * 0.8, size * 0.25);
                if *upright {
                    Bounds { left: x - above, top: y - long, right: x + below, bottom: *y }
                } else {
                    Bounds { left: *x, top: y - above, right: x + long, bottom: y + below }
                }
            }
        }
    }

    /// Whether it is words.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self.shape, Shape::Text { .. })
    }
}

/// Lays a timeline out.
#[must_use]
pub fn scene(timeline: &Timeline, format: &Format) -> Scene {
    let left = format.names.map_or(MARGIN, |names| names + GAP);
    let right = format.width - MARGIN;
    let painter = Painter {
        timeline,
        format,
        axis: Axis::new(&timeline.moments(), left, right),
        left,
        right,
        back: Vec::new(),
        bars: Vec::new(),
        breaks: Vec::new(),
        front: Vec::new(),
    };
    painter.paint()
}

/// Puts the parts together, in layers.
struct Painter<'a> {
    timeline: &'a Timeline,
    format: &'a Format,
    axis: Axis,
    left: f64,
    right: f64,
    back: Vec<Item>,
    bars: Vec<Item>,
    breaks: Vec<Item>,
    front: Vec<Item>,
}

fn item(role: Role, shape: Shape) -> Item {
    Item { role, shape, tip: None }
}

fn text(role: Role, x: f64, y: f64, size: f64, words: impl Into<String>) -> Item {
    item(role, Shape::Text { x, y, size, text: words.into(), upright: false })
}

fn rect(x: f64, y: f64, width: f64, height: f64, round: f64) -> Shape {
    Shape::Rect { x, y, width, height, round }
}

fn line(role: Role, from: (f64, f64), to: (f64, f64)) -> Item {
    item(role, Shape::Path { points: vec![from, to], closed: false })
}

fn closed(role: Role, points: Vec<(f64, f64)>) -> Item {
    item(role, Shape::Path { points, closed: true })
}

impl Painter<'_> {
    fn paint(mut self) -> Scene {
        let mut y = 0.0;
        if self.format.alone {
            y = self.heading();
        }
        y = self.names_of_marks(y);
        let (times_top, rows_top) = (y, y + 2.0 * TIMES_HEIGHT + 4.0);
        let bottom = self.rows(rows_top);
        self.times(times_top, rows_top, bottom);
        let repeated = bottom - rows_top > count(ROWS_TO_REPEAT_TIMES) * self.step_height();
        let mut height = bottom + GAP;
        if repeated {
            height = self.times_again(bottom);
        }
        height = self.legend(height);
        self.bands(rows_top, bottom);
        let mut items = Vec::new();
        if self.format.alone {
            items.push(item(Role::Ground, rect(0.0, 0.0, self.format.width, height, 0.0)));
        }
        items.extend(self.back);
        items.extend(self.bars);
        items.extend(self.breaks);
        // Words last: what they stand on must not cover them.
        let (words, symbols): (Vec<Item>, Vec<Item>) = self.front.into_iter().partition(Item::is_text);
        items.extend(symbols);
        items.extend(words);
        // A file stands on a ground with some air around it; everything else is in its place already.
        Scene {
            width: self.format.width,
            height,
            area: Bounds { left: self.left, top: rows_top, right: self.right, bottom },
            title: format!("Timeline of {}", self.timeline.rollout),
            words: self.timeline.words(),
            items,
        }
    }

    fn heading(&mut self) -> f64 {
        let timeline = self.timeline;
        let room = self.format.width - 2.0 * MARGIN;
        let status = match timeline.status.as_str() {
            "SUCCEEDED" => Role::Praise,
            "open" => Role::Soft,
            _ => Role::Alarm,
        };
        let status_wide = width(&timeline.status, SIZE, status.is_strong());
        self.front.push(text(Role::Title, MARGIN, 26.0, SIZE_TITLE, fit(&timeline.title, room, SIZE_TITLE, true)));
        self.front.push(text(status, MARGIN, 45.0, SIZE, timeline.status.clone()));
        let zone = timeline.timezone;
        let about = match timeline.now {
            Some(now) => format!("{} · as of {}", timeline.rollout, write_time(now, zone)),
            None => format!("{} · ended after {}", timeline.rollout, say_between(timeline.from, self.end())),
        };
        let x = MARGIN + status_wide + 2.0 * GAP;
        self.front.push(text(Role::Soft, x, 45.0, SIZE, fit(&about, self.format.width - MARGIN - x, SIZE, false)));
        56.0
    }

    /// When it was over: what was planned for later does not count.
    fn end(&self) -> DateTime<Utc> {
        let result = self.timeline.marks.iter().rev().find(|mark| mark.kind == MarkKind::Result).map(|mark| mark.at);
        let phases = self.timeline.phases.iter().filter_map(|phase| phase.open?.to);
        phases.chain(result).max().unwrap_or(self.timeline.to)
    }

    /// The marks of the rollout as a whole, with their names in as many lines as they need.
    fn names_of_marks(&mut self, top: f64) -> f64 {
        let mut marks: Vec<(u8, DateTime<Utc>, MarkKind, String, String)> = Vec::new();
        let zone = self.timeline.timezone;
        for mark in self.timeline.marks.iter().filter(|mark| mark.step.is_none()) {
            let (urgency, name) = match mark.kind {
                MarkKind::Window => (0, format!("T-0 {}", clock_time(mark.at, zone))),
                MarkKind::Result => (1, mark.text.clone()),
                MarkKind::Held => (3, "on hold".to_owned()),
                MarkKind::Retimed => (4, "T-0 moved".to_owned()),
                MarkKind::WindowEnd => (5, "window ends".to_owned()),
                MarkKind::Started => (6, "started".to_owned()),
                MarkKind::Announced => (7, mark.text.trim_start_matches("Announced: ").to_owned()),
                _ => (NAMELESS, mark.text.to_lowercase()),
            };
            marks.push((urgency, mark.at, mark.kind, name, format!("{}: {}", write_time(mark.at, zone), mark.text)));
        }
        if let Some(now) = self.timeline.now {
            let tip = format!("Now: {}", write_time(now, zone));
            marks.push((2, now, MarkKind::Resumed, format!("now {}", clock_time(now, zone)), tip));
        }
        marks.sort_by_key(|(urgency, at, ..)| (*urgency, *at));
        let now = self.timeline.now;
        let mut placed: Vec<(usize, f64, f64, f64)> = Vec::new();
        let mut shown: Vec<(usize, f64, f64, usize)> = Vec::new();
        for (place, (urgency, at, _, name, _)) in marks.iter().enumerate().filter(|(_, mark)| mark.0 < NAMELESS) {
            let x = self.axis.x(*at);
            let name = fit(name, 150.0, SIZE_SMALL, mark_role(*urgency, name).is_strong());
            let wide = width(&name, SIZE_SMALL, mark_role(*urgency, &name).is_strong());
            let sides = [x + GAP, x - GAP - wide];
            let choices = || (0..LANES_MAX).flat_map(|lane| sides.map(|from| (lane, from)));
            let is_free = |lane: usize, from: f64, with_lines: bool| {
                let to = from + wide;
                from >= 0.0
                    && to <= self.format.width
                    && placed.iter().all(|(other, x_other, from_other, to_other)| {
                        let words = *other == lane && from < to_other + GAP && *from_other < to + GAP;
                        let its_line = *other > lane && (from - 2.0..=to + 2.0).contains(x_other);
                        let my_line = *other < lane && (from_other - 2.0..=to_other + 2.0).contains(&x);
                        !(words || with_lines && (its_line || my_line))
                    })
            };
            // Words never meet; that no line goes through them is only better.
            let found = choices().find(|(lane, from)| is_free(*lane, *from, true));
            let found = found.or_else(|| choices().find(|(lane, from)| is_free(*lane, *from, false)));
            if let Some((lane, from)) = found {
                placed.push((lane, x, from, from + wide));
                shown.push((lane, x, from, place));
            }
        }
        let lanes = placed.iter().map(|(lane, ..)| lane + 1).max().unwrap_or(0);
        let base = top + count(lanes) * LANE_HEIGHT + 2.0;
        for (lane, x, from, place) in shown {
            let (urgency, at, _, name, _) = &marks[place];
            let role = mark_role(*urgency, name);
            let y = base - count(lane) * LANE_HEIGHT - 4.0;
            self.front.push(text(role, from, y, SIZE_SMALL, fit(name, 150.0, SIZE_SMALL, role.is_strong())));
            let role = match urgency {
                0 => Role::Zero,
                2 if Some(*at) == now => Role::Now,
                _ => Role::Grid,
            };
            self.back.push(line(role, (x, y - SIZE_SMALL * 0.8), (x, base)));
        }
        let y = base + SYMBOL + 1.0;
        for (urgency, at, kind, _, tip) in &marks {
            let x = self.axis.x(*at);
            let mut symbols = if *urgency == 2 { symbol_of_now(x, y) } else { symbol(*kind, x, y, tip) };
            for one in &mut symbols {
                one.tip = Some(tip.clone());
            }
            self.front.extend(symbols);
        }
        base + 2.0 * SYMBOL + 6.0
    }

    /// Dates and times below each other, with a line down at every time, and what is left out between the stretches.
    fn times(&mut self, top: f64, rows_top: f64, bottom: f64) {
        let zone = self.timeline.timezone;
        let mut date_said = None;
        let mut dates_to = f64::NEG_INFINITY;
        let mut zone_from = self.format.width;
        for stretch in self.axis.stretches.clone() {
            let mut times_to = f64::NEG_INFINITY;
            let ticks = self.axis.ticks(&stretch, zone);
            let time_format = times_as(&ticks);
            for at in ticks {
                let x = self.axis.x(at);
                self.back.push(line(Role::Grid, (x, rows_top - 3.0), (x, bottom)));
                let local = at.with_timezone(&zone);
                let time = local.format(time_format).to_string();
                let wide = width(&time, SIZE_SMALL, false);
                let highest = (stretch.right - wide).max(stretch.left);
                let from = (x - wide / 2.0).clamp(stretch.left.min(highest), highest);
                if from >= times_to + GAP && wide <= stretch.right - stretch.left {
                    self.front.push(text(Role::Soft, from, rows_top - 8.0, SIZE_SMALL, time));
                    times_to = from + wide;
                }
                // The day is said where it begins to be another one.
                let date = local.date_naive();
                if date_said == Some(date) {
                    continue;
                }
                for format in ["%a %-d %b", "%-d %b"] {
                    let words = local.format(format).to_string();
                    let wide = width(&words, SIZE_SMALL, false);
                    let from = from.min(stretch.right - wide).max(stretch.left);
                    if from >= dates_to + GAP && from + wide <= stretch.right {
                        self.front.push(text(Role::Soft, from, top + SIZE_SMALL, SIZE_SMALL, words));
                        (dates_to, date_said, zone_from) = (from + wide, Some(date), zone_from.min(from));
                        break;
                    }
                }
            }
        }
        // Which zone all times are in stands left of them, where there is a column of names.
        if let Some(names) = self.format.names {
            let words = fit(zone.name(), names.min(zone_from - GAP), SIZE_SMALL, false);
            self.front.push(text(Role::Soft, 0.0 + self.indent(), rows_top - 8.0, SIZE_SMALL, words));
        }
        for (from, to, gap) in self.axis.breaks().collect::<Vec<_>>() {
            let edge_top = top;
            self.breaks.push(item(Role::Gap, rect(from, edge_top, to - from, bottom - edge_top, 0.0)));
            for x in [from, to] {
                self.breaks.push(item(Role::Edge, Shape::Path { points: zigzag(x, edge_top, bottom), closed: false }));
            }
            let said = say_seconds(gap.num_seconds());
            let words = said.split(' ').next().unwrap_or_default().to_owned();
            let wide = width(&words, SIZE_SMALL, false);
            // Across where it is short, upwards where it is not.
            let middle = f64::midpoint(from, to);
            let shape = if wide <= to - from - 1.0 {
                Shape::Text { x: middle - wide / 2.0, y: top + SIZE_SMALL + 8.0, size: SIZE_SMALL, text: words, upright: false }
            } else {
                let y = f64::midpoint(top, rows_top) + wide / 2.0;
                Shape::Text { x: middle + SIZE_SMALL * 0.3, y, size: SIZE_SMALL, text: words, upright: true }
            };
            let tip = Some(format!("{said} are left out: nothing happened"));
            self.front.push(Item { role: Role::Soft, shape, tip });
        }
    }

    /// The times once more, below a long picture.
    fn times_again(&mut self, bottom: f64) -> f64 {
        let zone = self.timeline.timezone;
        for stretch in self.axis.stretches.clone() {
            let mut to = f64::NEG_INFINITY;
            let ticks = self.axis.ticks(&stretch, zone);
            let time_format = times_as(&ticks);
            for at in ticks {
                let time = at.with_timezone(&zone).format(time_format).to_string();
                let wide = width(&time, SIZE_SMALL, false);
                let highest = (stretch.right - wide).max(stretch.left);
                let from = (self.axis.x(at) - wide / 2.0).clamp(stretch.left.min(highest), highest);
                if from >= to + GAP && wide <= stretch.right - stretch.left {
                    self.front.push(text(Role::Soft, from, bottom + SIZE_SMALL + 2.0, SIZE_SMALL, time));
                    to = from + wide;
                }
            }
        }
        bottom + TIMES_HEIGHT + GAP
    }

    /// What lies behind the rows: the window, holds, T-0, now.
    fn bands(&mut self, top: f64, bottom: f64) {
        let timeline = self.timeline;
        let mut bands = Vec::new();
        if let Some(window) = timeline.window
            && let Some(to) = window.to
        {
            bands.push((Role::Window, window.from, to, "The maintenance window"));
        }
        for hold in &timeline.holds {
            bands.push((Role::Hold, hold.from, hold.to.or(timeline.now).unwrap_or(timeline.to), "On hold"));
        }
        let mut behind = Vec::new();
        for (role, from, to, what) in bands {
            let (x, to_x) = (self.axis.x(from), self.axis.x(to));
            let shape = rect(x, top, (to_x - x).max(1.0), bottom - top, 0.0);
            behind.push(Item { role, shape, tip: Some(format!("{what}: {}", say_between(from, to))) });
        }
        behind.append(&mut self.back);
        self.back = behind;
        if let Some(window) = timeline.window {
            let x = self.axis.x(window.from);
            self.back.push(line(Role::Zero, (x, top - 3.0), (x, bottom)));
        }
        if let Some(now) = timeline.now {
            let x = self.axis.x(now);
            self.back.push(line(Role::Now, (x, top - 3.0), (x, bottom)));
        }
    }

    fn indent(&self) -> f64 {
        if self.format.alone { MARGIN } else { 0.0 }
    }

    fn step_height(&self) -> f64 {
        if self.format.names.is_some() { 21.0 } else { 34.0 }
    }

    fn rows(&mut self, top: f64) -> f64 {
        let timeline = self.timeline;
        let shortest = shortest_shown(timeline);
        let mut y = top;
        let mut rows = 0;
        for (place, phase) in timeline.phases.iter().enumerate() {
            if rows == ROWS_MAX {
                let more = timeline.phases.len() - place;
                let words = format!("and {more} more phases");
                self.front.push(text(Role::Soft, self.indent(), y + 14.0, SIZE, fit(&words, self.left, SIZE, false)));
                y += self.step_height();
                break;
            }
            rows += 1;
            let shown = |step: &&StepBar| shortest.is_none_or(|shortest| step.seconds(timeline.now) > shortest);
            let left_out = phase.steps.len() - phase.steps.iter().filter(shown).count();
            y = self.phase_row(phase, left_out, y);
            for step in phase.steps.iter().filter(shown) {
                if rows < ROWS_MAX {
                    rows += 1;
                    y = self.step_row(step, y);
                }
            }
        }
        y
    }

    /// The line on which a row's bar lies, and where its name goes; answers the row's bottom too.
    fn row(&mut self, name: &str, role: Role, indent: f64, y: f64, size: f64) -> (f64, f64) {
        let x = self.indent() + indent;
        if let Some(names) = self.format.names {
            let height = if role == Role::Phase { 25.0 } else { self.step_height() };
            let middle = y + height / 2.0;
            self.name(role, x, middle + size * 0.35, size, name, names - x);
            (middle, y + height)
        } else {
            let height = if role == Role::Phase { 37.0 } else { self.step_height() };
            let room = self.format.width - x;
            self.name(role, x, y + size + 3.0, size, name, room);
            (y + height - 9.0, y + height)
        }
    }

    /// A name, cut where it has to be; then it is told as a whole to who points at it.
    fn name(&mut self, role: Role, x: f64, y: f64, size: f64, name: &str, room: f64) {
        let cut = fit(name, room, size, role.is_strong());
        let tip = (cut != name).then(|| name.to_owned());
        self.front.push(Item { tip, ..text(role, x, y, size, cut) });
    }

    fn phase_row(&mut self, phase: &PhaseBar, left_out: usize, y: f64) -> f64 {
        self.back.push(line(Role::Grid, (self.indent(), y), (self.right, y)));
        let (middle, bottom) = self.row(&phase.title, Role::Phase, 0.0, y, SIZE);
        let mut notes = Vec::new();
        let (mut from, mut to) = (self.left, self.left);
        if let Some(span) = phase.open {
            let end = span.to.or(self.timeline.now).unwrap_or(self.timeline.to);
            let (x, to_x) = (self.axis.x(span.from), self.axis.x(end));
            let wide = (to_x - x).max(BAR_WIDTH_MIN);
            let x = x.min(self.right - wide);
            let took = say_between(span.from, end);
            let tip = Some(format!("{}: {took}", phase.title));
            self.bars.push(Item { role: Role::PhaseBar, shape: rect(x, middle - 3.0, wide, 6.0, 2.0), tip });
            (from, to) = (x, x + wide);
            notes.extend((from_to(span.from, end) > 0).then_some(took));
            if phase.late_seconds > 0 {
                notes.push(format!("{} late", say_seconds(phase.late_seconds)));
            }
        } else if let Some(due) = phase.due {
            let x = self.axis.x(due);
            let zone = self.timeline.timezone;
            let mut diamond = closed(Role::Due, vec![(x, middle - 5.0), (x + 5.0, middle), (x, middle + 5.0), (x - 5.0, middle)]);
            diamond.tip = Some(format!("{} opens {}", phase.title, write_time(due, zone)));
            self.front.push(diamond);
            (from, to) = (x - SYMBOL, x + SYMBOL);
            notes.push(format!("opens {}", clock_time(due, zone)));
        } else {
            notes.push("to come".to_owned());
        }
        if left_out > 0 {
            notes.push(format!("{left_out} short steps not shown"));
        } else if phase.open.is_none() && phase.to_come > 0 {
            notes.push(format!("{} {}", phase.to_come, if phase.to_come == 1 { "step" } else { "steps" }));
        }
        let role = if phase.late_seconds > 0 { Role::Alarm } else { Role::Soft };
        // What matters most comes first; the rest goes where it fits.
        while !notes.is_empty() {
            if self.label(role, &notes.join(" · "), middle, &[(from, to)], None) {
                break;
            }
            notes.pop();
        }
        bottom
    }

    fn step_row(&mut self, step: &StepBar, y: f64) -> f64 {
        let (middle, bottom) = self.row(&step.title, Role::Name, 12.0, y, SIZE);
        let timeline = self.timeline;
        let end = step.end.or(timeline.now).unwrap_or(step.begin).max(step.begin);
        let (x, to) = (self.axis.x(step.begin), self.axis.x(end));
        let wide = (to - x).max(BAR_WIDTH_MIN);
        let x = x.min(self.right - wide);
        let to = x + wide;
        let mut taken = vec![(x, to)];
        if step.opened < step.begin {
            let opened = self.axis.x(step.opened);
            self.bars.push(line(Role::Wait, (opened, middle), (x, middle)));
            taken.push((opened, x));
        }
        let role = match step.status {
            BarStatus::Open => Role::Open,
            BarStatus::Running => Role::Running,
            BarStatus::Failed => Role::Failed,
            BarStatus::Done => Role::Done,
        };
        let tip = Some(step.words(timeline.timezone, timeline.now));
        self.bars.push(Item { role, shape: rect(x, middle - 5.0, wide, 10.0, 2.5), tip });
        if let Some(expected) = step.expected.filter(|_| step.status != BarStatus::Failed) {
            let at = self.axis.x(expected);
            if expected < end && to - at >= 1.0 && at > x {
                self.bars.push(item(Role::Over, rect(at, middle - 5.0, to - at, 10.0, 2.5)));
            } else if expected > end && step.end.is_none() {
                self.bars.push(line(Role::Wait, (to, middle), (at, middle)));
                taken.push((to, at));
            }
            if step.end.is_none() || expected <= end {
                self.bars.push(line(Role::Expected, (at, middle - 7.0), (at, middle + 7.0)));
                taken.push((at - 1.0, at + 1.0));
            }
        }
        let in_bar: Vec<f64> = self.symbols_of_step(step, middle, &mut taken);
        let mut label = step.label(timeline.now);
        let decided = timeline.marks.iter().rev().find(|mark| {
            matches!(mark.kind, MarkKind::Go | MarkKind::NoGo) && step.status == BarStatus::Done && mark.step == Some(step.index)
        });
        if let Some(mark) = decided {
            label = format!("{} · {label}", mark.text);
        }
        let overdue = step.expected.is_some_and(|expected| expected < end) && step.status == BarStatus::Running;
        let role = match (step.status, decided.map(|mark| mark.kind)) {
            (BarStatus::Failed, _) | (_, Some(MarkKind::NoGo)) => Role::Alarm,
            (_, Some(_)) => Role::Praise,
            _ if overdue => Role::Alarm,
            _ => Role::Soft,
        };
        let on_bar = matches!(step.status, BarStatus::Done).then_some((x, to, in_bar));
        // What was over at once needs no words.
        if label != say_seconds(0) {
            self.label(role, &label, middle, &taken, on_bar);
        }
        bottom
    }

    /// The moments within a step; answers where they are.
    fn symbols_of_step(&mut self, step: &StepBar, middle: f64, taken: &mut Vec<(f64, f64)>) -> Vec<f64> {
        let mut places = Vec::new();
        for dot in &step.dots {
            let x = self.axis.x(dot.at);
            let (role, what) = match dot.vote {
                None => (Role::OnBar, "given"),
                Some(crate::domain::rollout::event::Choice::Go) => (Role::Good, "GO"),
                Some(crate::domain::rollout::event::Choice::NoGo) => (Role::Bad, "NO-GO"),
            };
            let tip = Some(format!("{what} at {}", clock_time(dot.at, self.timeline.timezone)));
            self.front.push(Item { role, shape: Shape::Circle { x, y: middle, radius: 2.0 }, tip });
            places.push(x);
        }
        let zone = self.timeline.timezone;
        let timeline = self.timeline;
        for mark in timeline.marks.iter().filter(|mark| mark.step == Some(step.index)) {
            // Words say what was decided.
            if matches!(mark.kind, MarkKind::Go | MarkKind::NoGo) {
                continue;
            }
            let x = self.axis.x(mark.at);
            let tip = format!("{}: {}", write_time(mark.at, zone), mark.text);
            let mut symbols = symbol(mark.kind, x, middle, &tip);
            if let Some(last) = symbols.last_mut() {
                last.tip = Some(tip);
            }
            self.front.extend(symbols);
            taken.push((x - SYMBOL - 1.0, x + SYMBOL + 1.0));
            places.push(x);
        }
        places
    }

    /// Puts words beside what they belong to: right of it, left of it, or on it. Whether they found room.
    fn label(
        &mut self,
        role: Role,
        words: &str,
        middle: f64,
        taken: &[(f64, f64)],
        on_bar: Option<(f64, f64, Vec<f64>)>,
    ) -> bool {
        let wide = width(words, SIZE_SMALL, role.is_strong());
        let from = taken.iter().map(|span| span.0).fold(f64::INFINITY, f64::min);
        let to = taken.iter().map(|span| span.1).fold(f64::NEG_INFINITY, f64::max);
        let y = middle + SIZE_SMALL * 0.35;
        if to + GAP + wide <= self.format.width {
            self.front.push(text(role, to + GAP, y, SIZE_SMALL, words));
            return true;
        }
        if from - GAP - wide >= self.left {
            self.front.push(text(role, from - GAP - wide, y, SIZE_SMALL, words));
            return true;
        }
        let Some((x, to, symbols)) = on_bar else { return false };
        let wide = width(words, SIZE_SMALL, false);
        // What is left out lies across the bar too.
        let mut edges = vec![(x, x), (to, to)];
        edges.extend(symbols.into_iter().map(|at| (at - SYMBOL, at + SYMBOL)));
        edges.extend(self.axis.breaks().map(|(from, to, _)| (from, to)).filter(|(from, end)| *from >= x && *end <= to));
        edges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let room = edges.windows(2).map(|pair| (pair[0].1, pair[1].0 - pair[0].1)).max_by(|a, b| a.1.total_cmp(&b.1));
        match room {
            Some((from, room)) if room >= wide + 2.0 * GAP => {
                self.front.push(text(Role::OnBar, from + (room - wide) / 2.0, y - 0.5, SIZE_SMALL - 0.5, words));
                true
            }
            _ => false,
        }
    }

    /// What the symbols mean that this picture has.
    fn legend(&mut self, top: f64) -> f64 {
        let steps = || self.timeline.phases.iter().flat_map(|phase| &phase.steps);
        let has = |status: BarStatus| steps().any(|step| step.status == status);
        let marks = |kind: MarkKind| self.timeline.marks.iter().any(|mark| mark.kind == kind);
        let mut parts: Vec<(Vec<Item>, &str)> = Vec::new();
        let y = top + 14.0;
        let bar = |role: Role| vec![item(role, rect(0.0, y - 4.0, 18.0, 8.0, 2.0))];
        for (there, role, what) in [
            (has(BarStatus::Done), Role::Done, "done"),
            (has(BarStatus::Running), Role::Running, "running"),
            (has(BarStatus::Open), Role::Open, "waiting"),
            (has(BarStatus::Failed), Role::Failed, "failed"),
        ] {
            if there {
                parts.push((bar(role), what));
            }
        }
        if self.bars.iter().any(|bar| bar.role == Role::Over) {
            parts.push((bar(Role::Over), "longer than expected"));
        }
        if steps().any(|step| step.opened < step.begin) {
            parts.push((vec![line(Role::Wait, (0.0, y), (18.0, y))], "its turn, not begun"));
        }
        if self.bars.iter().any(|bar| bar.role == Role::Expected) {
            parts.push((vec![line(Role::Expected, (9.0, y - 6.0), (9.0, y + 6.0))], "expected by"));
        }
        for (kind, what) in [
            (MarkKind::Announced, "announced"),
            (MarkKind::Failed, "a try failed"),
            (MarkKind::Reopened, "reopened"),
            (MarkKind::Held, "on hold"),
        ] {
            if marks(kind) {
                parts.push((symbol(kind, 9.0, y, ""), what));
            }
        }
        if !self.axis.stretches.is_empty() && self.axis.stretches.len() > 1 {
            let edges = vec![
                item(Role::Edge, Shape::Path { points: zigzag(4.0, y - 6.0, y + 6.0), closed: false }),
                item(Role::Edge, Shape::Path { points: zigzag(13.0, y - 6.0, y + 6.0), closed: false }),
            ];
            parts.push((edges, "time left out"));
        }
        let mut x = self.indent();
        let mut down = 0.0;
        for (shapes, what) in parts {
            let wide = 24.0 + width(what, SIZE_SMALL, false);
            if x + wide > self.format.width && x > self.indent() {
                x = self.indent();
                down += 18.0;
            }
            self.front.extend(shapes.into_iter().map(|shape| shape.moved(x, down)));
            self.front.push(text(Role::Soft, x + 24.0, y + down + SIZE_SMALL * 0.35, SIZE_SMALL, what));
            x += wide + 14.0;
        }
        y + down + 14.0
    }
}

/// Seconds are said where ticks need them.
fn times_as(ticks: &[DateTime<Utc>]) -> &'static str {
    let needs_seconds = ticks.len() > 1 && ticks.iter().any(|at| at.timestamp() % 60 != 0);
    if needs_seconds { "%H:%M:%S" } else { "%H:%M" }
}

fn from_to(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to - from).num_seconds()
}

impl Item {
    fn moved(mut self, by_x: f64, by_y: f64) -> Self {
        match &mut self.shape {
            Shape::Rect { x, y, .. } | Shape::Circle { x, y, .. } | Shape::Text { x, y, .. } => {
                *x += by_x;
                *y += by_y;
            }
            Shape::Path { points, .. } => {
                for point in points {
                    point.0 += by_x;
                    point.1 += by_y;
                }
            }
        }
        self
    }
}

/// How a mark's name looks.
fn mark_role(urgency: u8, name: &str) -> Role {
    match urgency {
        0 | 2 => Role::Name,
        1 if name.starts_with("SUCC") => Role::Praise,
        1 => Role::Alarm,
        _ => Role::Soft,
    }
}

/// Above how many seconds a step has to last to be shown, where there are more than fit.
fn shortest_shown(timeline: &Timeline) -> Option<i64> {
    let room = ROWS_MAX.saturating_sub(timeline.phases.len());
    let mut seconds: Vec<i64> = timeline.phases.iter().flat_map(|phase| &phase.steps).map(|s| s.seconds(timeline.now)).collect();
    if seconds.len() <= room {
        return None;
    }
    seconds.sort_unstable_by(|a, b| b.cmp(a));
    seconds.get(room).copied()
}

/// A small drawing for what happened.
fn symbol(kind: MarkKind, x: f64, y: f64, tip: &str) -> Vec<Item> {
    let s = SYMBOL;
    let tip = |mut item: Item| {
        item.tip = Some(tip.to_owned()).filter(|tip| !tip.is_empty());
        item
    };
    let cross = |role| {
        let a = s * 0.7;
        vec![line(role, (x - a, y - a), (x + a, y + a)), tip(line(role, (x - a, y + a), (x + a, y - a)))]
    };
    match kind {
        MarkKind::Started => vec![tip(item(Role::Symbol, Shape::Circle { x, y, radius: 3.0 }))],
        MarkKind::Window => vec![tip(closed(Role::Zero, vec![(x - s, y - s), (x + s, y - s), (x, y + s)]))],
        MarkKind::WindowEnd => vec![tip(closed(Role::Due, vec![(x - s, y - s), (x + s, y - s), (x, y + s)]))],
        MarkKind::Retimed => vec![tip(closed(Role::Symbol, vec![(x - s, y), (x, y - 4.0), (x + s, y), (x, y + 4.0)]))],
        MarkKind::Held => vec![
            item(Role::Symbol, rect(x - 4.0, y - s, 3.0, 2.0 * s, 0.5)),
            tip(item(Role::Symbol, rect(x + 1.0, y - s, 3.0, 2.0 * s, 0.5))),
        ],
        MarkKind::Resumed => vec![tip(closed(Role::Symbol, vec![(x - 3.0, y - s), (x + s, y), (x - 3.0, y + s)]))],
        // An envelope.
        MarkKind::Announced => vec![
            tip(item(Role::Due, rect(x - s, y - 3.5, 2.0 * s, 7.0, 1.0))),
            item(Role::Edge, Shape::Path { points: vec![(x - s, y - 3.0), (x, y + 1.0), (x + s, y - 3.0)], closed: false }),
        ],
        MarkKind::Go => vec![tip(item(Role::Good, Shape::Circle { x, y, radius: s }))],
        MarkKind::NoGo => vec![tip(item(Role::Bad, Shape::Circle { x, y, radius: s }))],
        MarkKind::Failed => cross(Role::Bad),
        // An arrow back.
        MarkKind::Reopened => vec![
            tip(closed(Role::Symbol, vec![(x - s, y), (x, y - s), (x, y + s)])),
            item(Role::Symbol, rect(x, y - 1.5, s, 3.0, 0.0)),
        ],
        MarkKind::Result => vec![tip(item(Role::Symbol, rect(x - 4.0, y - 4.0, 8.0, 8.0, 1.0)))],
    }
}

fn symbol_of_now(x: f64, y: f64) -> Vec<Item> {
    vec![item(Role::Today, Shape::Circle { x, y, radius: 3.5 })]
}

/// The torn edge of what is left out.
fn zigzag(x: f64, top: f64, bottom: f64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut y = top;
    let mut side = -1.0;
    while y < bottom {
        points.push((x + side * 1.5, y));
        side = -side;
        y += 4.0;
    }
    points.push((x + side * 1.5, bottom));
    points
}
