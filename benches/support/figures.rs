//! Figures, and the goals that they are held to.

use std::process::ExitCode;

/// Several measurements of the same thing.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// One by one divided by those that were measured next to them.
    pub fn over(&self, floor: &Self) -> Self {
        Self(self.0.iter().zip(&floor.0).map(|(value, floor)| value / floor).collect())
    }

    /// The value below which this part of all is, from 0 to 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index of a few")]
    pub fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((part * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// `1.00 (0.90 to 1.10)`: median, least and most.
    pub fn say(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$} to {:.digits$})", self.median(), self.at(0.0), self.at(1.0))
    }
}

/// What is to be reached, and what was.
#[derive(Debug, Default)]
pub struct Goals {
    missed: usize,
}

impl Goals {
    pub fn at_least(&mut self, what: &str, goal: f64, reached: f64) {
        self.hold(what, &format!("at least {goal}"), reached, reached >= goal);
    }

    pub fn at_most(&mut self, what: &str, goal: f64, reached: f64) {
        self.hold(what, &format!("at most {goal}"), reached, reached <= goal);
    }

    fn hold(&mut self, what: &str, goal: &str, reached: f64, is_reached: bool) {
        self.missed += usize::from(!is_reached);
        println!("goal: {what} {goal}: {reached:.3}, {}", if is_reached { "reached" } else { "MISSED" });
    }

    /// A missed goal is a failure only where `TMINUS_BENCH_STRICT=1` says so: on a shared machine it may be the machine's.
    pub fn end(&self) -> ExitCode {
        let strict = std::env::var("TMINUS_BENCH_STRICT").is_ok_and(|strict| strict == "1");
        if self.missed > 0 && strict { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Prints rows below their headings, each column as wide as it has to be.
pub fn print_table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    };
    line(headings.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    println!();
}
