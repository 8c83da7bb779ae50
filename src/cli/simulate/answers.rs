//! The answers file: what people and systems do in a simulation where it is not the usual.
//!
//! ```yaml
//! cutover: no-go                                          # a decision; or by voter: { ana: no-go }
//! backup: { backup_id: backup-7 }                         # the fields of a task, a question or a checklist
//! aware: { silent: [li] }                                 # who never acknowledges; the owner waives them when it is overdue
//! post_tests: { fails: 7 of 120 checks failed, then: back-off }   # an action or a task; `fails` alone will do
//! blue_now: { outputs: { BlueStackId: blue-17 } }         # what a run, or the check of a wait, gives
//! nightly/review: { fails: nobody was there }             # of one runbook, where several have a step of that name
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::Problem;
use crate::domain::rollout::event::Choice;
use crate::domain::runbook::model::{Runbook, Step, StepKind};
use crate::domain::section::{Located, Report, Section, entries_of, text_of, texts_of};
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
    /// How it fails, the first time.
    pub fails: Option<String>,
    /// How long its action takes.
    pub takes: Option<TimeDelta>,
    /// What its action or its check gives.
    pub outputs: BTreeMap<String, String>,
    /// What the owner does when it failed.
    pub then: Then,
}

/// What an action or a task says that fails without a reason.
const FAILS: &str = "it failed, as the answers file has it";

/// The answers by step.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Of a step in whichever runbook.
    anywhere: BTreeMap<String, Answer>,
    /// Of a step in one runbook.
    within: BTreeMap<(String, String), Answer>,
}

impl Answers {
    /// What is different about a step of a runbook.
    pub(super) fn get(&self, runbook: &str, step: &str) -> Option<&Answer> {
        self.within.get(&(runbook.to_owned(), step.to_owned())).or_else(|| self.anywhere.get(step))
    }
}

/// Reads an answers file for a runbook and its checklists.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(file: &str, text: &str, runbooks: &[&Runbook], people: &Directory) -> Result<Answers, Vec<Problem>> {
    let node = yaml::parse(file, text).map_err(|problem| vec![problem])?;
    let report = Report::on(file);
    let mut answers = Answers::default();
    for (id, node) in entries_of(&report, &node, "answers") {
        let (within, step) = match id.text.split_once('/') {
            Some((runbook, step)) => (Some(runbook), step),
            None => (None, id.text),
        };
        if let Some(name) = within.filter(|name| runbooks.iter().all(|runbook| runbook.name != *name)) {
            report.unknown(id.place, "runbook", name, runbooks.iter().map(|runbook| runbook.name.as_str()));
            continue;
        }
        let meant = || runbooks.iter().filter(|runbook| within.is_none_or(|name| runbook.name == name));
        let steps = || meant().flat_map(|runbook| &runbook.steps);
        let mut found = steps().filter(|known| known.id == step);
        let Some(first) = found.next() else {
            report.unknown(id.place, "step", step, steps().map(|step| step.id.as_str()));
            continue;
        };
        // One answer for two steps would be read as the first and played as both.
        if found.next().is_some() {
            let in_which = meant().filter(|runbook| runbook.steps.iter().any(|known| known.id == step));
            let names: Vec<String> = in_which.map(|runbook| format!("`{}/{step}`", runbook.name)).collect();
            report.error_help(
                id.place,
                format!("several runbooks have a step `{step}`"),
                format!("write {}", names.join(" or ")),
            );
            continue;
        }
        let answer = Reading { report: &report, people }.answer(first, node);
        match within {
            Some(runbook) => drop(answers.within.insert((runbook.to_owned(), step.to_owned()), answer)),
            None => drop(answers.anywhere.insert(step.to_owned(), answer)),
        }
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
            StepKind::Wait { wait } if wait.call().is_some() => self.run(node),
            StepKind::Task { .. } | StepKind::Run { .. } => self.task(step, node),
            StepKind::Ask { .. } | StepKind::Checklist { .. } => {
                let mut answer = Answer::default();
                self.fields(step, entries_of(self.report, node, "fields"), &mut answer);
                answer
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

    /// `fails` alone.
    fn just_fails(&self, node: &Node) -> Option<Answer> {
        let Value::Text(said) = &node.value else { return None };
        if said.trim() != "fails" {
            self.report.unknown(node.place, "answer", said.trim(), ["fails"]);
        }
        Some(Answer { fails: Some(FAILS.to_owned()), ..Answer::default() })
    }

    fn run(&self, node: &Node) -> Answer {
        if let Some(answer) = self.just_fails(node) {
            return answer;
        }
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
        answer.then = section.text("then").map(|then| self.then(then)).unwrap_or_default();
        section.close(&[]);
        answer
    }

    fn then(&self, said: Located<'_>) -> Then {
        let ways = [
            ("retry", Then::Retry),
            ("by-hand", Then::ByHand),
            ("skip", Then::Skip),
            ("back-off", Then::BackOff),
            ("abort", Then::Abort),
        ];
        let found = ways.iter().find(|(name, _)| *name == said.text);
        if found.is_none() {
            self.report.unknown(said.place, "way to go on", said.text, ways.map(|(name, _)| name));
        }
        found.map(|(_, way)| *way).unwrap_or_default()
    }

    /// What a person does: its fields, or that it does not work. A field of the same name is the field.
    fn task(&self, step: &Step, node: &Node) -> Answer {
        if let Some(answer) = self.just_fails(node) {
            return answer;
        }
        let mut answer = Answer::default();
        let is_field = |name: &str| step.kind.fields().iter().any(|field| field.name == name);
        let (about, fields): (Vec<_>, Vec<_>) = entries_of(self.report, node, "fields")
            .into_iter()
            .partition(|(name, _)| matches!(name.text, "fails" | "then") && !is_field(name.text));
        for (name, node) in about {
            let Some(said) = text_of(self.report, node, name.text) else { continue };
            match name.text {
                "fails" => answer.fails = Some(said.text.to_owned()),
                _ => answer.then = self.then(said),
            }
        }
        self.fields(step, fields, &mut answer);
        answer
    }

    fn fields(&self, step: &Step, entries: Vec<(Located<'_>, &Node)>, answer: &mut Answer) {
        for (name, node) in entries {
            let known = step.kind.fields();
            if !known.iter().any(|field| field.name == name.text) {
                self.report.unknown(name.place, "field", name.text, known.iter().map(|field| field.name.as_str()));
            }
            let text = text_of(self.report, node, name.text).map(|text| text.text.to_owned());
            answer.fields.extend(text.map(|text| (name.text.to_owned(), text)));
        }
    }
}
