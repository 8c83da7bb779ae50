//! Templates and expressions: everything they name is there when they are written.

use std::collections::BTreeSet;

use crate::domain::catalogue::{Kind, Operation};
use crate::domain::message::template;
use crate::domain::message::uses::{Argument, Form, Mention, Positions, Uses, uses};
use crate::domain::problem::Place;
use crate::domain::runbook::model::{Call, Step, StepKind};
use crate::domain::runbook::names::{EACH, Function, ITSELF, Member, Name, OUTPUTS};
use crate::domain::section::Located;

use super::{Checker, Stand};

/// A text with a template or an expression in it, to be checked once all names are known.
pub(super) struct Pending {
    pub text: String,
    pub place: Place,
    pub form: Form,
    pub sees: Sees,
    /// The message it is of.
    pub message: Option<String>,
    /// Where it stands, when that is another file; `place` then says who announces it.
    pub stand: Option<Stand>,
    /// Whether it sees `each`.
    pub each: bool,
    /// The step it stands in, if it stands in one.
    pub of_step: usize,
}

/// What a text can name.
#[derive(Clone, Copy)]
pub(super) enum Sees {
    /// The inputs: all there is when the title of a rollout is written.
    Inputs,
    /// Everything.
    Rollout,
    /// Everything, and what came out of the operation, if that is a known one.
    Outputs(Option<&'static Operation>),
}

impl Pending {
    pub fn text(located: Located<'_>, sees: Sees) -> Self {
        Self {
            text: located.text.to_owned(),
            place: located.place,
            form: Form::Template,
            sees,
            message: None,
            stand: None,
            each: false,
            of_step: usize::MAX,
        }
    }

    pub fn expression(located: Located<'_>, sees: Sees) -> Self {
        Self { form: Form::Expression, ..Self::text(located, sees) }
    }

    /// "step", or "step in the message `deployed`", where the place does not show it.
    fn what(&self, what: &str) -> String {
        let message = self.message.as_ref().filter(|_| self.stand.is_none());
        message.map_or_else(|| what.to_owned(), |message| format!("{what} in the message `{message}`"))
    }
}

/// A text that stands in another file than the runbook.
struct Elsewhere<'p> {
    pending: &'p Pending,
    stand: &'p Stand,
    positions: Positions,
}

impl<'p> Elsewhere<'p> {
    fn of(pending: &'p Pending) -> Option<Self> {
        let stand = pending.stand.as_ref()?;
        Some(Self { pending, stand, positions: Positions::read(&pending.text, pending.form) })
    }
}

impl Checker<'_> {
    pub(super) fn check_pending(&self) {
        for pending in &self.pending {
            match uses(&pending.text, pending.form) {
                // A message that stands in a file was compiled when it was read.
                Err(_) if pending.stand.is_some() => {}
                Err(problem) => {
                    self.report.error(pending.place, format!("{} does not compile: {problem}", pending.what("the text")));
                }
                Ok(uses) => {
                    let elsewhere = Elsewhere::of(pending);
                    let elsewhere = elsewhere.as_ref();
                    uses.names.iter().for_each(|name| self.within(elsewhere, name, || self.check_name(name, pending)));
                    self.check_calls(&uses, pending, elsewhere);
                    self.check_words(&uses, pending, elsewhere);
                }
            }
        }
    }

    /// Checks a word of a text; what is found is said where the word stands, when that is in another file.
    fn within(&self, elsewhere: Option<&Elsewhere<'_>>, word: &str, check: impl FnOnce()) {
        let Some(Elsewhere { pending, stand, positions }) = elsewhere else { return check() };
        self.report.elsewhere(check, |problem| {
            stand.file().clone_into(&mut problem.file);
            problem.place = stand.place(&pending.text, positions.of(word));
            let Place { line, column, .. } = pending.place;
            problem.note = Some(format!("announced by {}:{line}:{column}", self.report.file()).into());
        });
    }

    /// What anything refers to that may be an output, with the step it stands in.
    pub(super) fn output_names(&self) -> Vec<(usize, String)> {
        let of = |pending: &Pending| {
            let names = uses(&pending.text, pending.form).map(|uses| uses.names).unwrap_or_default();
            let step = pending.of_step;
            names.into_iter().filter(|name| name.split('.').any(|part| part == OUTPUTS)).map(move |name| (step, name))
        };
        self.pending.iter().flat_map(of).collect()
    }

    /// The outputs of a step that anything refers to.
    pub(super) fn outputs_used(&self, index: usize, names: &[(usize, String)]) -> BTreeSet<String> {
        let Some(step) = self.steps.get(index) else { return BTreeSet::new() };
        let mut used = BTreeSet::new();
        for (of_step, name) in names {
            let parts: Vec<&str> = name.split('.').collect();
            let output = match (parts.as_slice(), &step.each) {
                ([OUTPUTS, output, ..], _) if *of_step == index => Some(*output),
                (["steps", id, OUTPUTS, output, ..], None) if *id == step.base_id() => Some(*output),
                (["steps", id, item, OUTPUTS, output, ..], Some(each)) if *id == step.base_id() && item == each => Some(*output),
                _ => None,
            };
            used.extend(output.map(str::to_owned));
        }
        used
    }

    /// What kind a system is: as configured, or else as its name says.
    fn kind_of_system(&self, system: &str) -> Option<&'static Kind> {
        self.surroundings.systems.get(system).copied().or_else(|| Kind::named(system))
    }

    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.field.name.as_str())
    }

    pub(super) fn check_name(&self, dotted: &str, pending: &Pending) {
        let parts: Vec<&str> = dotted.split('.').collect();
        let (root, below) = parts.split_first().map_or(("", &[][..]), |(root, below)| (*root, below));
        let is_let = self.lets.iter().any(|name| name == root) && !matches!(pending.sees, Sees::Inputs);
        if self.inputs().any(|input| input == root) || is_let || (root == EACH && pending.each) {
            self.plain(&[root], below, pending);
            return;
        }
        let value = Name::ALL.into_iter().find(|name| name.name() == root);
        let is_outputs = root == OUTPUTS && matches!(pending.sees, Sees::Outputs(_));
        let is_function = Function::ALL.into_iter().any(|function| function.name() == root);
        if matches!(pending.sees, Sees::Inputs) && (value.is_some() || is_function) {
            self.report.error_help(
                pending.place,
                format!("`{root}` can't be used in the title of a runbook"),
                "the title is written once, at the start, from the inputs alone",
            );
            return;
        }
        match value {
            Some(Name::Steps) => self.check_step(below, pending),
            Some(Name::Decision) => self.check_decision(below, pending),
            Some(Name::Rollout) => self.check_member(below, pending),
            Some(Name::Result | Name::Now | Name::Window) => self.plain(&[root], below, pending),
            None if is_outputs => {
                if let Sees::Outputs(Some(operation)) = pending.sees {
                    self.check_outputs(operation, &[OUTPUTS], below, pending);
                }
            }
            // How they are asked is the business of `check_calls`.
            None if is_function => {}
            None => {
                let of_rollout = !matches!(pending.sees, Sees::Inputs);
                let values = Name::ALL.map(Name::name).into_iter().filter(|_| of_rollout);
                let functions = Function::ALL.map(Function::name).into_iter();
                let outputs = Some(OUTPUTS).filter(|_| matches!(pending.sees, Sees::Outputs(_)));
                let lets = self.lets.iter().map(String::as_str).filter(|_| of_rollout);
                let known = self.inputs().chain(lets).chain(values).chain(functions.filter(|_| of_rollout)).chain(outputs);
                self.report.unknown(pending.place, &pending.what("name"), root, known);
            }
        }
    }

    /// A plain value, with what is asked of it: that must be nothing.
    pub(super) fn plain(&self, value: &[&str], below: &[&str], pending: &Pending) {
        if let Some(member) = below.first() {
            let value = value.join(".");
            self.report.error_help(
                pending.place,
                pending.what(&format!("`{value}` is a plain value and has no `{member}`")),
                format!("write `{value}`"),
            );
        }
    }

    /// A map of which one thing has to be named.
    pub(super) fn alone<'n>(&self, value: &str, of: &str, known: impl IntoIterator<Item = &'n str>, pending: &Pending) {
        let known: Vec<String> = known.into_iter().map(|name| format!("`{value}.{name}`")).collect();
        let help = if known.is_empty() { format!("no {of} is defined") } else { format!("known: {}", known.join(", ")) };
        self.report.error_help(pending.place, pending.what(&format!("`{value}` alone says nothing: name the {of}")), help);
    }

    pub(super) fn check_step(&self, below: &[&str], pending: &Pending) {
        let ids = || self.steps.iter().map(Step::base_id);
        let Some((id, below)) = below.split_first() else {
            self.alone(Name::Steps.name(), "step", ids(), pending);
            return;
        };
        let Some(step) = self.steps.iter().find(|step| step.base_id() == *id) else {
            self.report.unknown(pending.place, &pending.what("step"), id, ids());
            return;
        };
        let mut below = below;
        if step.each.is_some() {
            // One step of every item: `steps.id['item']`.
            let items = || self.steps.iter().filter(|step| step.base_id() == *id).filter_map(|step| step.each.as_deref());
            let Some((item, rest)) = below.split_first() else { return };
            if !items().any(|known| known == *item) {
                self.report.unknown(pending.place, &pending.what(&format!("item of the step `{id}`")), item, items());
                return;
            }
            below = rest;
        }
        let Some((field, below)) = below.split_first() else { return };
        let path = [Name::Steps.name(), id, field];
        if let StepKind::Run { call: Call { system, operation, .. }, .. } = &step.kind {
            if *field != OUTPUTS {
                self.report.unknown(pending.place, &pending.what(&format!("field of the step `{id}`")), field, [OUTPUTS]);
            } else if let Some(operation) = self.kind_of_system(system).and_then(|kind| kind.operation(operation)) {
                self.check_outputs(operation, &path, below, pending);
            }
            return;
        }
        let fields = || step.kind.fields().iter().map(|field| field.name.as_str());
        if fields().any(|known| known == *field) {
            self.plain(&path, below, pending);
        } else {
            self.report.unknown(pending.place, &pending.what(&format!("field of the step `{id}`")), field, fields());
        }
    }

    pub(super) fn check_outputs(&self, operation: &Operation, path: &[&str], below: &[&str], pending: &Pending) {
        let Some((output, below)) = below.split_first() else { return };
        if operation.gives(output) {
            let path: Vec<&str> = path.iter().copied().chain([*output]).collect();
            self.plain(&path, below, pending);
        } else {
            let known = operation.outputs.iter().map(|output| output.name);
            self.report.unknown(pending.place, &pending.what(&format!("output of `{}`", operation.name)), output, known);
        }
    }

    pub(super) fn check_decision(&self, below: &[&str], pending: &Pending) {
        let decisions = || self.steps.iter().filter(|s| matches!(s.kind, StepKind::Decide { .. })).map(|s| s.id.as_str());
        match below.split_first() {
            None => self.alone(Name::Decision.name(), "decision", decisions(), pending),
            Some((id, below)) if decisions().any(|known| known == *id) => {
                self.plain(&[Name::Decision.name(), id], below, pending);
            }
            Some((id, _)) => self.report.unknown(pending.place, &pending.what("decision"), id, decisions()),
        }
    }

    pub(super) fn check_member(&self, below: &[&str], pending: &Pending) {
        let members = || Member::ALL.into_iter().map(Member::name);
        match below.split_first() {
            None => self.alone(Name::Rollout.name(), "member", members(), pending),
            Some((member, below)) if members().any(|known| known == *member) => {
                self.plain(&[Name::Rollout.name(), member], below, pending);
            }
            Some((member, _)) => self.report.unknown(pending.place, &pending.what("member of `rollout`"), member, members()),
        }
    }

    /// `done('…')` and its like name steps and phases in quotes, where the template engine does not look.
    fn check_calls(&self, uses: &Uses, pending: &Pending, elsewhere: Option<&Elsewhere<'_>>) {
        let is_taken = |root: &str| uses.names.iter().any(|name| name.split('.').next() == Some(root));
        for mention in &uses.mentions {
            self.within(elsewhere, &mention.name, || self.check_call(mention, is_taken, pending));
        }
    }

    fn check_call(&self, mention: &Mention, is_taken: impl Fn(&str) -> bool, pending: &Pending) {
        let root = mention.name.split('.').next().unwrap_or_default();
        if root == ITSELF {
            self.report.unknown(pending.place, &pending.what("name"), root, self.inputs());
            return;
        }
        // What a text defines itself is its own business; and of what the title can't use that has been said.
        if !is_taken(root) || matches!(pending.sees, Sees::Inputs) {
            return;
        }
        let function = Function::ALL.into_iter().find(|function| function.name() == root);
        match (function, &mention.call) {
            (Some(function), Some(Argument::Quoted(id))) if mention.name == root => self.check_asked(function, id, pending),
            (Some(function), _) => self.report.error_help(
                pending.place,
                pending.what(&format!("`{root}` asks about one {}, by its id in quotes", function.asks_about())),
                format!("write it like `{root}('{}')`", self.ids_of(function).next().unwrap_or("id")),
            ),
            (None, Some(_)) if self.is_known(root, pending) => {
                self.report.error_help(
                    pending.place,
                    pending.what(&format!("`{}` is no function", mention.name)),
                    format!("functions are {}", Function::ALL.map(Function::name).join(", ")),
                );
            }
            (None, _) => {}
        }
    }

    /// Whether a name is one whose use has not been refused already.
    pub(super) fn is_known(&self, root: &str, pending: &Pending) -> bool {
        let is_outputs = root == OUTPUTS && matches!(pending.sees, Sees::Outputs(_));
        is_outputs || self.inputs().any(|input| input == root) || Name::ALL.into_iter().any(|name| name.name() == root)
    }

    pub(super) fn ids_of(&self, function: Function) -> impl Iterator<Item = &str> {
        let of_steps = matches!(function, Function::Done | Function::Failed);
        let steps = self.steps.iter().flat_map(|step| [step.base_id(), step.id.as_str()]).filter(move |_| of_steps);
        steps.chain(self.phase_ids.iter().map(String::as_str).filter(move |_| !of_steps))
    }

    pub(super) fn check_asked(&self, function: Function, id: &str, pending: &Pending) {
        if !self.ids_of(function).any(|known| known == id) {
            self.report.unknown(pending.place, &pending.what(function.asks_about()), id, self.ids_of(function));
        }
    }

    /// Words of the template engine that it would only miss when the text is written.
    fn check_words(&self, uses: &Uses, pending: &Pending, elsewhere: Option<&Elsewhere<'_>>) {
        /// They bring in other templates, and there are none.
        const OF_OTHERS: [&str; 5] = ["block", "extends", "from", "import", "include"];
        let error = |word: &str, what: String| self.within(elsewhere, word, || self.report.error(pending.place, what));
        for filter in uses.filters.iter().filter(|filter| !template::knows_filter(filter)) {
            error(filter, format!("unknown {} `{filter}`", pending.what("filter")));
        }
        for test in uses.tests.iter().filter(|test| !template::knows_test(test)) {
            error(test, format!("unknown {} `{test}`", pending.what("test after `is`")));
        }
        for tag in uses.tags.iter().filter(|tag| OF_OTHERS.contains(&tag.as_str())) {
            error(tag, pending.what(&format!("`{tag}` needs other templates, and a text stands for itself")));
        }
    }
}
