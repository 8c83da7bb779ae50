//! What people do with their steps: acknowledge, complete, tick, answer.

use std::collections::BTreeMap;

use crate::domain::conversation::form::{Field, FieldKind, FieldValue, read_form};
use crate::domain::message::template::escape_markdown;
use crate::domain::rollout::command::{Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::Event;
use crate::domain::rollout::follow::offers_done;
use crate::domain::runbook::model::StepKind;

use super::{Desk, verbs};

/// The longest value that is repeated in a command that somebody may copy, in characters.
const SHOWN_CHARS_MAX: usize = 60;

impl Desk<'_> {
    pub(super) fn acknowledge(&self, reference: &StepRef) -> Result<Vec<Event>, Refusal> {
        let person = self.person()?;
        let index = self.target(reference, "ack", |index| matches!(self.kind(index), StepKind::Acknowledge { .. }))?;
        let step = &self.state.steps[index];
        if let Some(at) = step.acknowledged.get(person) {
            let says = format!(
                "You acknowledged “{}” at {} already: {} of {}.",
                self.title(index),
                self.say(*at),
                step.acknowledged.len(),
                step.people.len()
            );
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        if step.people.contains(person) {
            return Ok(vec![Event::Acknowledged { step: index, count: step.acknowledged.len() + 1, of: step.people.len() }]);
        }
        if step.listeners.contains(person) {
            return Err(Refusal::new(
                RefusalKind::Stale,
                format!("You are on the list as a listener of “{}” already.", self.title(index)),
            ));
        }
        Ok(vec![Event::Listening { step: index }])
    }

    pub(super) fn complete(&self, reference: &StepRef, typed: &BTreeMap<String, String>) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "done", |index| {
            offers_done(self.state, index) || verbs(self.kind(index), &self.state.steps[index]).contains(&"done")
        })?;
        self.may_act(index, "Completing")?;
        let (items, evidence) = match self.kind(index) {
            StepKind::Task { items, evidence } => (items.as_slice(), evidence),
            StepKind::Run { by_hand: Some(evidence), .. } => return self.complete_by_hand(index, evidence, typed),
            StepKind::Checklist { evidence, .. } => (&[][..], evidence),
            // What failed, or waits for something that people know better, is done by hand.
            _ => return Ok(vec![Event::StepCompleted { step: index, fields: BTreeMap::new() }]),
        };
        let fields = self.read(index, evidence, typed)?;
        let step = &self.state.steps[index];
        let rest =
            (0..items.len()).filter(|item| !step.ticked.contains_key(item)).map(|item| Event::ItemTicked { step: index, item });
        Ok(rest.chain([Event::StepCompleted { step: index, fields }]).collect())
    }

    /// An action of a system that is not configured: what people record stands for its outputs, and has to hold like them.
    fn complete_by_hand(
        &self,
        index: usize,
        evidence: &[Field],
        typed: &BTreeMap<String, String>,
    ) -> Result<Vec<Event>, Refusal> {
        let fields = self.read(index, evidence, typed)?;
        let zone = self.state.runbook.timezone;
        let text = |value: &FieldValue| serde_json::Value::String(value.said(zone, &ToString::to_string));
        let outputs = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        match self.unmet(index, &outputs) {
            Some(reason) => Ok(vec![Event::StepFailed { step: index, reason }]),
            None => Ok(vec![Event::StepCompleted { step: index, fields }]),
        }
    }

    pub(super) fn tick(&self, reference: &StepRef, item: usize) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "done", |index| matches!(self.kind(index), StepKind::Task { .. }))?;
        self.may_act(index, "Ticking items of")?;
        let StepKind::Task { items, .. } = self.kind(index) else { return Ok(Vec::new()) };
        let Some(text) = items.get(item) else {
            return Err(Refusal::new(RefusalKind::Unknown, format!("“{}” has {} items.", self.title(index), items.len())));
        };
        if let Some((by, at)) = self.state.steps[index].ticked.get(&item) {
            let by = by.as_ref().map(|person| format!(" by {}", self.people.call(person))).unwrap_or_default();
            let says = format!("“{}” was ticked{by} at {} already.", escape_markdown(&self.state.fill(text)), self.say(*at));
            return Err(Refusal::new(RefusalKind::Stale, says));
        }
        Ok(vec![Event::ItemTicked { step: index, item }])
    }

    pub(super) fn answer(&self, reference: &StepRef, typed: &BTreeMap<String, String>) -> Result<Vec<Event>, Refusal> {
        let index = self.target(reference, "answer", |index| matches!(self.kind(index), StepKind::Ask { .. }))?;
        let StepKind::Ask { from, fields, sets } = self.kind(index) else { return Ok(Vec::new()) };
        if !from.is_empty() {
            let person = self.person()?;
            let people = &self.state.steps[index].people;
            if !people.contains(person) {
                let says =
                    format!("“{}” is asked of {}. You can add a note: `/rollout note …`.", self.title(index), self.names(people));
                return Err(Refusal::new(RefusalKind::NotAllowed, says));
            }
            self.something_said(index, reference, fields, typed)?;
            let fields = self.read(index, fields, typed)?;
            return Ok(vec![Event::AnswerGiven { step: index, fields }]);
        }
        self.may_act(index, "Answering")?;
        self.something_said(index, reference, fields, typed)?;
        let values = self.read(index, fields, typed)?;
        let written = sets.iter().filter_map(|(field, input)| Some((input, values.get(field)?)));
        let changed = written.filter(|(input, value)| self.state.values.get(*input) != Some(value));
        let mut events: Vec<Event> = changed.flat_map(|(input, value)| self.set_events(input, value)).collect();
        events.push(Event::StepCompleted { step: index, fields: values });
        Ok(events)
    }

    /// A form shows what is proposed, and a press agrees to it; a command without a word agrees to nothing.
    fn something_said(
        &self,
        index: usize,
        reference: &StepRef,
        fields: &[Field],
        typed: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if !typed.is_empty() || matches!(reference, StepRef::Button { .. }) {
            return Ok(());
        }
        let proposed: BTreeMap<String, String> =
            fields.iter().filter_map(|field| Some((field.name.clone(), self.state.prefill(index, field)?))).collect();
        let words: Vec<String> = fields.iter().filter_map(|field| in_words(field, &BTreeMap::new(), &proposed)).collect();
        if words.is_empty() {
            return Ok(());
        }
        let id = &self.state.runbook.steps[index].id;
        let says = format!(
            "Nothing was recorded for “{}”, because nothing was said. What is proposed would be `/rollout answer {id} {}`.",
            self.title(index),
            words.join(" ")
        );
        Err(Refusal::new(RefusalKind::Invalid, says))
    }

    /// Reads a form; what was not typed keeps what stood there.
    pub(super) fn read(
        &self,
        index: usize,
        fields: &[Field],
        typed: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, FieldValue>, Refusal> {
        let mut texts = typed.clone();
        for field in fields.iter().filter(|field| !typed.contains_key(&field.name)) {
            if let Some(text) = self.state.prefill(index, field) {
                texts.insert(field.name.clone(), text);
            }
        }
        let now = self.now();
        let mut read = read_form(fields, &texts, self.state.reading(now, self.people));
        if let Ok(values) = &read {
            let past = values.iter().find_map(|(name, value)| match value {
                FieldValue::Window(window)
                    if window.starts < now && self.state.window().map(|w| w.starts) != Some(window.starts) =>
                {
                    Some(name.clone())
                }
                _ => None,
            });
            if let Some(name) = past {
                let problem = format!("that window began before now ({}); choose one that is still to come", self.say(now));
                read = Err(BTreeMap::from([(name, problem)]));
            }
        }
        read.map_err(|problems| {
            let label = |name: &String| fields.iter().find(|f| &f.name == name).map_or_else(|| name.clone(), |f| f.label.clone());
            let list: Vec<String> = problems
                .iter()
                .map(|(name, problem)| match problem.strip_prefix(&label(name)) {
                    // What begins with the label needs it no second time.
                    Some(rest) => format!("**{}**{}", escape_markdown(&label(name)), escape_markdown(rest)),
                    None => format!("**{}**: {}", escape_markdown(&label(name)), escape_markdown(problem)),
                })
                .collect();
            let id = &self.state.runbook.steps[index].id;
            // What is asked is answered, everything else is done.
            let verb = if matches!(self.kind(index), StepKind::Ask { .. }) { "answer" } else { "done" };
            let words: Vec<String> = fields.iter().filter_map(|field| in_words(field, &problems, typed)).collect();
            let example = (!words.is_empty()).then(|| format!(" In words: `/rollout {verb} {id} {}`.", words.join(" ")));
            Refusal {
                kind: RefusalKind::Invalid,
                says: format!(
                    "Nothing was recorded for “{}”. {}.{}",
                    self.title(index),
                    list.join("; "),
                    example.unwrap_or_default()
                ),
                fields: problems,
            }
        })
    }
}

/// A field in a command that would be right: what was right as it was typed, and a gap for what was not. An example there would
/// be sent as it is, at two in the morning.
fn in_words(field: &Field, problems: &BTreeMap<String, String>, typed: &BTreeMap<String, String>) -> Option<String> {
    let yes = "yes".to_owned();
    let text = match (problems.contains_key(&field.name), &field.kind) {
        (true, FieldKind::Confirm) => Some(&yes),
        (true, _) => None,
        (false, _) => Some(typed.get(&field.name)?),
    };
    let fits = |text: &&String| text.chars().count() <= SHOWN_CHARS_MAX && !text.contains(['"', '“', '”', '`', '\n']);
    Some(match text.filter(fits) {
        Some(text) if text.contains(char::is_whitespace) => format!("{}=\"{text}\"", field.name),
        Some(text) => format!("{}={text}", field.name),
        None => format!("{}=…", field.name),
    })
}
