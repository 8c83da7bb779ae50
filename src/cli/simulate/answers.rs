//! The answers file: what people and systems do in a simulation where it is not the usual.
//!
//! ```yaml
//! cutover: no-go                                          # a decision; or by voter: { ana: no-go }
//! backup: { backup_id: backup-7 }                         # the fields of a task, a question or a checklist
//! aware: { silent: [li] }                                 # who never acknowledges; the owner waives them when it is overdue
//! post_tests: { fails: 7 of 120 checks failed, then: back-off }   # an action or a task; `fails` alone will do
//! blue_now: { outputs: { BlueStackId: blue-17 } }         # what a run, or the check of a wait, gives
//! ready: { how: well }                                    # what `each` makes many of; one of them: 'ready[a]'
//! nightly/review: { fails: nobody was there }             # of one runbook, where several have a step of that name
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::people::{Directory, PersonId};
use crate::domain::problem::Problem;
use crate::domain::rollout::event::Choice;
use crate::domain::rollout::state::State;
use crate::domain::runbook::model::{Runbook, Step, StepKind};
use crate::domain::section::{Located, Report, Section, entries_of, text_of, texts_of};
use crate::domain::time::parse_duration;
use crate::domain::yaml::{self, Node, Value};
use crate::settings::System;

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

    fn has(&self, within: Option<&str>, step: &str) -> bool {
        match within {
            Some(runbook) => self.within.contains_key(&(runbook.to_owned(), step.to_owned())),
            None => self.anywhere.contains_key(step),
        }
    }

    fn insert(&mut self, within: Option<&str>, step: &str, answer: Answer) {
        match within {
            Some(runbook) => drop(self.within.insert((runbook.to_owned(), step.to_owned()), answer)),
            None => drop(self.anywhere.insert(step.to_owned(), answer)),
        }
    }

    /// What of the answers changed nothing, in sentences: a step that never came up, a person who is not asked there. `seen`
    /// are the rollouts as they ended, each with the places of the steps that failed on the way.
    pub(super) fn unused(&self, seen: &[(State, BTreeSet<usize>)], people: &Directory) -> Vec<String> {
        let within = self.within.iter().map(|((runbook, step), answer)| (Some(runbook), step, answer));
        let all = within.chain(self.anywhere.iter().map(|(step, answer)| (None, step, answer)));
        let mut sentences = Vec::new();
        for (within, id, answer) in all {
            let name = within.map_or_else(|| id.clone(), |runbook| format!("{runbook}/{id}"));
            let (mut asked, mut came_up, mut failed) = (BTreeSet::new(), false, false);
            for (state, failures) in seen.iter().filter(|(state, _)| within.is_none_or(|name| state.runbook.name == *name)) {
                let Some(index) = state.runbook.steps.iter().position(|step| step.id == *id) else { continue };
                let step = &state.steps[index];
                came_up |= step.since().is_some();
                failed |= failures.contains(&index);
                asked.extend(&step.people);
            }
            if !came_up {
                sentences.push(format!("`{name}`: the step never came up"));
                continue;
            }
            let not_asked = answer.votes.keys().chain(&answer.silent).filter(|person| !asked.contains(person));
            sentences.extend(not_asked.map(|person| format!("`{name}`: {} is not asked there", people.call(person))));
            if answer.then != Then::Usual && !failed {
                sentences.push(format!("`{name}`: it did not fail, so `then` never came up"));
            }
        }
        sentences
    }
}

/// Reads an answers file for a runbook and its checklists.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(
    file: &str,
    text: &str,
    runbooks: &[&Runbook],
    people: &Directory,
    systems: &BTreeMap<String, System>,
) -> Result<Answers, Vec<Problem>> {
    let node = yaml::parse(file, text).map_err(|problem| vec![problem])?;
    let report = Report::on(file);
    let (mut answers, mut of_each) = (Answers::default(), Vec::new());
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
        let is_meant = |known: &&Step| known.id == step || known.base_id() == step;
        let Some(first) = steps().find(is_meant) else {
            report.unknown(id.place, "step", step, steps().map(Step::base_id).collect::<BTreeSet<_>>());
            continue;
        };
        // One answer for two steps would be read as the first and played as both.
        let in_which: Vec<_> = meant().filter(|runbook| runbook.steps.iter().any(|known| is_meant(&known))).collect();
        if in_which.len() > 1 {
            let names: Vec<String> = in_which.iter().map(|runbook| format!("`{}/{step}`", runbook.name)).collect();
            report.error_help(
                id.place,
                format!("several runbooks have a step `{step}`"),
                format!("write {}", names.join(" or ")),
            );
            continue;
        }
        let answer = Reading { report: &report, people, systems }.answer(first, node);
        if first.id == step {
            answers.insert(within, step, answer);
        } else {
            // What `each` made many of has one name in the runbook.
            of_each.extend(steps().filter(is_meant).map(|known| (within, known.id.as_str(), answer.clone())));
        }
    }
    // What is said of a single one goes before.
    for (within, step, answer) in of_each {
        if !answers.has(within, step) {
            answers.insert(within, step, answer);
        }
    }
    let problems = report.finish();
    if problems.is_empty() { Ok(answers) } else { Err(problems) }
}

struct Reading<'a> {
    report: &'a Report,
    people: &'a Directory,
    systems: &'a BTreeMap<String, System>,
}

impl Reading<'_> {
    fn answer(&self, step: &Step, node: &Node) -> Answer {
        match &step.kind {
            StepKind::Decide { .. } => self.votes(node),
            StepKind::Acknowledge { .. } => self.silent(node),
            StepKind::Run { by_hand: None, .. } => self.run(step, node),
            StepKind::Wait { wait } if wait.call().is_some() => self.run(step, node),
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

    fn run(&self, step: &Step, node: &Node) -> Answer {
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
        let operation = step.kind.call().and_then(|call| self.systems.get(&call.system)?.kind.operation(&call.operation));
        for (name, node) in section.entries("outputs") {
            if let Some(operation) = operation.filter(|operation| !operation.gives(name.text)) {
                self.report.unknown(name.place, "output", name.text, operation.outputs.iter().map(|output| output.name));
            }
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
