//! The answers file: what people and systems do in a simulation where it is not the usual.
//!
//! ```yaml
//! cutover: no-go                                          # a decision; or by voter: { ana: no-go }
//! backup: { backup_id: backup-7 }                         # the fields of a task, a question or a checklist
//! aware: { silent: [li] }                                 # who never acknowledges; the owner waives them when it is overdue
//! post_tests: { fails: 7 of 120 checks failed, then: back-off }
//! blue_now: { outputs: { BlueStackId: blue-17 } }         # what a run gives
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::Problem;
use crate::domain::rollout::event::Choice;
use crate::domain::runbook::model::{Runbook, Step, StepKind};
use crate::domain::section::{Report, Section, entries_of, text_of, texts_of};
use crate::domain::time::parse_duration;
use crate::domain::yaml::{self, Node, Value};

/// What the owner does with a step that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Then {
    /// Goes back, where the phase has a way back; otherwise records it as done by hand.
    #[default]
    Usual,
    Retry,
    ByHand,
    Skip,
    BackOff,
    Abort,
}

/// What is different about one step.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// How everybody votes who is not named.
    pub vote: Option<Choice>,
    /// How single voters vote.
    pub votes: BTreeMap<PersonId, Choice>,
    /// What is filled in.
    pub fields: BTreeMap<String, String>,
    /// Who never acknowledges.
    pub silent: BTreeSet<PersonId>,
    /// How its action fails, the first time.
    pub fails: Option<String>,
    /// How long its action takes.
    pub takes: Option<TimeDelta>,
    /// What its action gives.
    pub outputs: BTreeMap<String, String>,
    /// What the owner does when it failed.
    pub then: Then,
}

/// The answers by step.
pub(super) type Answers = BTreeMap<String, Answer>;

/// Reads an answers file for a runbook and its checklists.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(file: &str, text: &str, runbooks: &[&Runbook], people: &Directory) -> Result<Answers, Vec<Problem>> {
    let node = yaml::parse(file, text).map_err(|problem| vec![problem])?;
    let report = Report::on(file);
    let mut answers = Answers::new();
    for (id, node) in entries_of(&report, &node, "answers") {
        let steps = || runbooks.iter().flat_map(|runbook| &runbook.steps);
        let Some(step) = steps().find(|step| step.id == id.text) else {
            report.unknown(id.place, "step", id.text, steps().map(|step| step.id.as_str()));
            continue;
        };
        let reading = Reading { report: &report, people };
        answers.insert(id.text.to_owned(), reading.answer(step, node));
    }
    let problems = report.finish();
    if problems.is_empty() { Ok(answers) } else { Err(problems) }
}

struct Reading<'a> {
    report: &'a Report,
    people: &'a Directory,
}

impl Reading<'_> {
    fn answer(&self, step: &Step, node: &Node) -> Answer {
        match &step.kind {
            StepKind::Decide { .. } => self.votes(node),
            StepKind::Acknowledge { .. } => self.silent(node),
            StepKind::Run { by_hand: None, .. } => self.run(node),
            StepKind::Task { .. } | StepKind::Ask { .. } | StepKind::Checklist { .. } | StepKind::Run { .. } => {
                self.fields(step, node)
            }
            StepKind::Announce { .. } | StepKind::Wait { .. } | StepKind::Let { .. } | StepKind::Result { .. } => {
                let what = format!("`{}` is a step of the kind `{}`, which nobody answers", step.id, step.kind.name());
                self.report.error(node.place, what);
                Answer::default()
            }
        }
    }

    fn votes(&self, node: &Node) -> Answer {
        let mut answer = Answer::default();
        if let Value::Map(_) = node.value {
            for (name, vote) in entries_of(self.report, node, "votes") {
                let person = self.person(name.text, name.place);
                answer.votes.extend(person.zip(self.choice(vote)));
            }
        } else {
            answer.vote = self.choice(node);
        }
        answer
    }

    fn choice(&self, node: &Node) -> Option<Choice> {
        let said = text_of(self.report, node, "vote")?;
        match said.text {
            "go" => Some(Choice::Go),
            "no-go" => Some(Choice::NoGo),
            other => {
                self.report.unknown(said.place, "vote", other, ["go", "no-go"]);
                None
            }
        }
    }

    fn person(&self, name: &str, place: crate::domain::problem::Place) -> Option<PersonId> {
        let found = self.people.person(&PersonId::new(name)).map(|person| person.id.clone());
        if found.is_none() {
            self.report.unknown(place, "person", name, self.people.people().map(|person| person.id.as_str()));
        }
        found
    }

    fn silent(&self, node: &Node) -> Answer {
        let mut answer = Answer::default();
        let Some(mut section) = Section::open(self.report, node, "the answer to an acknowledgement") else { return answer };
        for name in section.take("silent").map(|node| texts_of(self.report, node, "silent")).unwrap_or_default() {
            answer.silent.extend(self.person(name.text, name.place));
        }
        section.close(&[]);
        answer
    }

    fn run(&self, node: &Node) -> Answer {
        let mut answer = Answer::default();
        let Some(mut section) = Section::open(self.report, node, "the answer of a run") else { return answer };
        answer.fails = section.text("fails").map(|fails| fails.text.to_owned());
        answer.takes = section.text("takes").and_then(|takes| {
            let seconds = parse_duration(takes.text).map_err(|problem| self.report.error(takes.place, problem)).ok()?;
            Some(TimeDelta::seconds(seconds))
        });
        for (name, node) in section.entries("outputs") {
            let text = text_of(self.report, node, "outputs").map(|text| text.text.to_owned());
            answer.outputs.extend(text.map(|text| (name.text.to_owned(), text)));
        }
        if let Some(then) = section.text("then") {
            let ways = [
                ("retry", Then::Retry),
                ("by-hand", Then::ByHand),
                ("skip", Then::Skip),
                ("back-off", Then::BackOff),
                ("abort", Then::Abort),
            ];
            match ways.iter().find(|(name, _)| *name == then.text) {
                Some((_, way)) => answer.then = *way,
                None => self.report.unknown(then.place, "way to go on", then.text, ways.map(|(name, _)| name)),
            }
        }
        section.close(&[]);
        answer
    }

    fn fields(&self, step: &Step, node: &Node) -> Answer {
        let mut answer = Answer::default();
        for (name, node) in entries_of(self.report, node, "fields") {
            let known = step.kind.fields();
            if !known.iter().any(|field| field.name == name.text) {
                self.report.unknown(name.place, "field", name.text, known.iter().map(|field| field.name.as_str()));
            }
            let text = text_of(self.report, node, name.text).map(|text| text.text.to_owned());
            answer.fields.extend(text.map(|text| (name.text.to_owned(), text)));
        }
        answer
    }
}
