//! A rollout as a checklist on paper: what was done, by whom and when, and of what is to come how it goes. For the wall, and
//! for when nothing else is left.

use chrono::{DateTime, Utc};

use crate::domain::conversation::voice::Voice;
use crate::domain::message::template::is_deceptive;
use crate::domain::people::{Directory, PersonId, list_names};
use crate::domain::report::{Line, Writer};
use crate::domain::rollout::due_of;
use crate::domain::rollout::state::{PhaseState, State, StepStatus, Vote};
use crate::domain::runbook::model::{StepKind, Wait};
use crate::domain::time::{say_seconds, write_time};

/// How wide a line is, in characters: a page in a plain hand.
const COLUMNS: usize = 100;
/// What is left to write on.
const BLANK: &str = "______________________";

/// The checklist as plain text.
#[must_use]
pub fn paper(state: &State, people: &Directory, now: DateTime<Utc>) -> String {
    let voice = Voice { state, people, now };
    let paper = Paper { writer: Writer { voice, state }, state, now };
    let mut text = String::new();
    paper.head(&mut text);
    for phase in 0..state.phases.len() {
        paper.phase(phase, &mut text);
    }
    paper.remarks(&mut text);
    text
}

struct Paper<'a> {
    writer: Writer<'a>,
    state: &'a State,
    now: DateTime<Utc>,
}

impl Paper<'_> {
    fn head(&self, text: &mut String) {
        let state = self.state;
        let time = |at| write_time(at, state.runbook.timezone);
        write(text, 0, "", &state.title);
        let status = match (state.result, state.ended) {
            (Some(result), Some(ended)) => format!("ended {} at {}", result.title(), time(ended)),
            (Some(result), None) => format!("{}, not over yet", result.title()),
            (None, _) if state.held.is_some() => "on hold".to_owned(),
            (None, _) => "open".to_owned(),
        };
        write(text, 0, "", &format!("{}, as of {}: {status}", state.id, time(self.now)));
        if let Some(window) = state.window() {
            let length = window.seconds.map(|seconds| format!(" for {}", say_seconds(seconds))).unwrap_or_default();
            write(text, 0, "", &format!("T-0: {}{length}", time(window.starts)));
        }
        write(text, 0, "", &format!("Owner: {}", self.names(&state.owners(self.writer.voice.people))));
        for (label, value) in self.writer.inputs() {
            write(text, 0, "", &format!("{label}: {value}"));
        }
        if let Some(next) = self.writer.voice.next_by_a_person() {
            write(text, 0, "", &format!("Next by a person: {}", plainly(&next)));
        }
        let amendments = self.writer.amendments();
        for amendment in amendments {
            write(text, 0, "", &format!("Amended: {amendment}"));
        }
    }

    /// What whoever takes over has to know, and no line of the checklist says.
    fn remarks(&self, text: &mut String) {
        for (title, lines) in [
            ("Out of the ordinary", self.writer.deviations()),
            ("On the way", self.writer.course()),
            ("Notes", self.writer.notes()),
        ] {
            if lines.is_empty() {
                continue;
            }
            text.push('\n');
            write(text, 0, "", title);
            for line in lines {
                write(text, 2, "- ", &line);
            }
        }
    }

    fn phase(&self, phase: usize, text: &mut String) {
        let definition = &self.state.runbook.phases[phase];
        let time = |at| write_time(at, self.state.runbook.timezone);
        let mut about = Vec::new();
        about.extend(definition.at.as_ref().map(ToString::to_string));
        match &self.state.phases[phase] {
            PhaseState::Waiting => about.extend(self.state.due_of_phase(phase).map(|due| format!("opens {}", time(due)))),
            PhaseState::Open { since, .. } => about.push(format!("open since {}", time(*since))),
            PhaseState::Settled { at, .. } => about.push(format!("settled {}", time(*at))),
            PhaseState::PassedOver(_) => about.push("does not apply".to_owned()),
        }
        if definition.opens.is_some() && self.state.phases[phase] == PhaseState::Waiting {
            about.push(format!("{} opens it", plainly(&self.writer.voice.openers(phase))));
        }
        if let (PhaseState::Waiting, Some(condition)) = (&self.state.phases[phase], &definition.condition) {
            about.push(format!("if {condition}"));
        }
        let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join("; ")) };
        text.push('\n');
        write(text, 0, "", &format!("{}{about}", self.state.phase_title(phase)));
        let mut lines = Vec::new();
        for index in self.state.runbook.steps_of(phase) {
            lines.clear();
            self.writer.step(index, &mut lines);
            for (place, line) in lines.iter().enumerate() {
                write_line(text, line);
                if place == 0 {
                    for how in self.how_it_goes(index) {
                        write(text, 6, "", &how);
                    }
                }
            }
        }
    }

    /// Of a step that is not over: with whom, by when, how long, with what; and room to write.
    fn how_it_goes(&self, index: usize) -> Vec<String> {
        let Some((definition, step)) = self.state.step(index) else { return Vec::new() };
        if matches!(step.status, StepStatus::Done { .. } | StepStatus::PassedOver(_)) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let mut about = Vec::new();
        let open = step.status.is_open();
        let who = if open { self.writer.voice.awaited(index) } else { self.meant(index) };
        match &definition.kind {
            StepKind::Run { press: None, by_hand: None, .. } if who.is_empty() || !open => about.push("by itself".to_owned()),
            StepKind::Acknowledge { .. }
            | StepKind::Announce { .. }
            | StepKind::Decide { .. }
            | StepKind::Result { .. }
            | StepKind::Wait { .. }
            | StepKind::Let { confirm: None, .. }
                if !open => {}
            StepKind::Acknowledge { .. } | StepKind::Decide { .. } => {}
            _ if who.is_empty() => {}
            _ => about.push(format!("with {}", self.names(&who))),
        }
        about.extend(due_of(self.state, index).map(|due| format!("due {}", write_time(due, self.state.runbook.timezone))));
        about.extend(definition.takes.map(|takes| format!("takes {takes}")));
        if !definition.required {
            about.push("may be skipped".to_owned());
        }
        if let (false, Some(condition)) = (open, &definition.condition) {
            about.push(format!("if {condition}"));
        }
        if !about.is_empty() {
            lines.push(about.join("; "));
        }
        if let Some(call) = definition.kind.call() {
            let inputs = self.state.inputs_of(index);
            let said =
                |(path, value): &(String, String)| format!("{path}={}", if value.is_empty() { BLANK } else { value.as_str() });
            let inputs = inputs.iter().map(said).collect::<Vec<_>>().join(", ");
            lines.push(format!("{} on {}: {inputs}", call.operation, call.system));
        }
        match &definition.kind {
            StepKind::Announce { to, .. } | StepKind::Decide { to, notice: Some(_), .. } => {
                let addresses = to.iter().filter_map(|audience| self.state.runbook.audiences.get(audience)).flatten();
                lines.push(format!("to {}", addresses.map(ToString::to_string).collect::<Vec<_>>().join(", ")));
            }
            StepKind::Wait { wait: Wait::Time { seconds } } => lines.push(format!("waits {}", say_seconds(*seconds))),
            StepKind::Checklist { runbook, .. } if step.child.is_none() => lines.push(format!("checklist {runbook}")),
            _ => {}
        }
        if let StepKind::Decide { rule, .. } = &definition.kind {
            let voters = if open { step.people.to_vec() } else { self.meant(index) };
            lines.push(rule.in_words(voters.len()));
            let cast = voters.iter().map(|voter| {
                let cast = step.votes.get(voter);
                let said = |vote: &Vote| {
                    let stand_in = if vote.by == *voter { String::new() } else { format!(" by {}", self.writer.name(&vote.by)) };
                    format!("{}{stand_in}, {}", vote.choice.title(), write_time(vote.at, self.state.runbook.timezone))
                };
                let vote = cast.map_or_else(|| "GO / NO-GO".to_owned(), said);
                format!("{}: {vote}", self.writer.name(voter))
            });
            lines.extend(cast);
        }
        if let (StepKind::Acknowledge { from }, false) = (&definition.kind, open) {
            let people = self.state.resolve(from, self.writer.voice.people);
            lines.extend(people.iter().map(|person| format!("[ ] {}", self.writer.name(person))));
        }
        lines.extend(definition.kind.fields().iter().map(|field| format!("{}: {BLANK}", field.label)));
        lines
    }

    /// Who would be meant, if it opened now.
    fn meant(&self, index: usize) -> Vec<PersonId> {
        crate::domain::rollout::meant(self.state, index, self.writer.voice.people)
    }

    fn names(&self, people: &[PersonId]) -> String {
        list_names(&people.iter().map(|person| self.writer.name(person)).collect::<Vec<_>>())
    }
}

/// Names of people, without the signs that Markdown needs.
fn plainly(markdown: &str) -> String {
    markdown.replace('\\', "")
}

fn write_line(text: &mut String, line: &Line) {
    let tick = if line.done { "[x] " } else { "[ ] " };
    let note = line.note.as_ref().map(|note| format!(" - {note}")).unwrap_or_default();
    write(text, 2 + 4 * line.depth, tick, &format!("{}{note}", line.text));
}

/// One paragraph, wrapped at the margin, its further lines below its words. What would steer a terminal is left out.
fn write(text: &mut String, indent: usize, sign: &str, words: &str) {
    let hanging = indent + sign.chars().count();
    let mut column = hanging;
    text.push_str(&" ".repeat(indent));
    text.push_str(sign);
    let words: String = words.chars().filter(|c| c.is_whitespace() || !(c.is_control() || is_deceptive(*c))).collect();
    let mut is_first = true;
    for piece in words.split_whitespace().flat_map(|word| pieces(word, COLUMNS - hanging)) {
        let length = piece.chars().count();
        if !is_first && column + 1 + length > COLUMNS {
            text.push('\n');
            text.push_str(&" ".repeat(hanging));
            column = hanging;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        is_first = false;
        text.push_str(piece);
        column += length;
    }
    text.push('\n');
}

/// A word in pieces that fit: what runs over the margin is not printed.
fn pieces(word: &str, width: usize) -> impl Iterator<Item = &str> {
    let mut left = word;
    std::iter::from_fn(move || {
        let end = left.char_indices().nth(width).map_or(left.len(), |(end, _)| end);
        let (piece, rest) = left.split_at(end);
        left = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_its_words() {
        let mut text = String::new();
        write(&mut text, 2, "[ ] ", &"word ".repeat(40));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  [ ] word") && lines[1].starts_with("      word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn what_would_steer_a_terminal_is_not_printed() {
        let mut text = String::new();
        write(&mut text, 2, "", "see\tit \u{1b}[31mred\u{7}");
        assert_eq!(text, "  see it [31mred\n");
    }

    #[test]
    fn a_word_that_no_line_holds_goes_on_below_itself() {
        let mut text = String::new();
        write(&mut text, 6, "", &format!("ü {}", "ä".repeat(250)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "      ü");
        assert_eq!(lines[1..].iter().map(|line| line.trim().chars().count()).collect::<Vec<_>>(), [94, 94, 62]);
    }
}
