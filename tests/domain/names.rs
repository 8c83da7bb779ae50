//! What templates and expressions may name: `check` refuses everything that a rollout's scope can't give, and says so with the
//! place; what it accepts is written without an error, even while nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tminus::domain::catalogue::Kind;
use tminus::domain::message::template::{self, Landing};
use tminus::domain::rollout::scope::{scope, scope_of_inputs, scope_with_outputs};
use tminus::domain::runbook::Destinations;
use tminus::domain::runbook::check::{Surroundings, check};
use tminus::domain::runbook::model::{Call, MessageTemplate, Platform, Runbook, StepKind};
use tminus::domain::runbook::names::{Function, Member, Name, OUTPUTS};
use tminus::settings::Files;

use crate::support::Table;

/// A runbook of everything; texts of it are replaced by the tests.
const ALL: &str = "runbook: test
title: Title of test
inputs:
  version: { required: false }
  many: { options: [a, b], many: true, required: false }
  count: { type: number, required: false }
  at: { type: datetime, required: false }
  takes: { type: duration, required: false }
  window: { type: window, tentative: true }
  who: { type: people, required: false }
  page: { type: link, required: false }
  sure: { type: confirm, required: false }
audiences: { all: ['local:room'] }
phases:
  - phase: one
    steps:
      - { task: Task of test, id: task, items: [Item of test], help: Help of test, evidence: { issue: { default: Default of test } } }
      - { ask: Ask of test, id: ask, fields: { answer: { type: number } } }
      - { run: aws.route53.switch-record, id: run, with: { record: With of test, target: x }, require: [{ that: 'true', else: Else of test }] }
      - { run: aws.cloudformation.describe-stack, id: stack, with: { stack: x } }
      - { decide: Decide of test, id: cutover, voters: [owner] }
      - { announce: all, id: announced, to: [all] }
  - phase: two
    if: 'true'
    steps: [{ result: succeeded, if: 'true', id: recorded }]
";

/// Every place for a text but the title, which sees less, and a requirement's, which sees more.
const TEXTS: [&str; 7] =
    ["Task of test", "Item of test", "Help of test", "Default of test", "Ask of test", "With of test", "Decide of test"];

fn surroundings(message: &str) -> Surroundings {
    let message = MessageTemplate { subject: Some(message.to_owned()), must_know: false, body: message.to_owned() };
    Surroundings {
        systems: BTreeMap::from([("aws".to_owned(), Kind::named("aws").expect("a kind"))]),
        messages: BTreeMap::from([("all".to_owned(), message.into())]),
        rooms: BTreeSet::from(["room".to_owned()]),
        destinations: Destinations(BTreeMap::from([("room".to_owned(), BTreeSet::from([Platform::Local]))])),
        ..Surroundings::default()
    }
}

fn checked(yaml: &str, message: &str) -> Result<Runbook, String> {
    let (runbook, problems) = check("test.yaml", yaml, &surroundings(message));
    runbook.ok_or_else(|| problems.iter().map(|problem| problem.render(Some(yaml))).collect())
}

/// A rollout of it that has just been started, with no input known.
fn fresh(runbook: Runbook) -> Table {
    let settings = Files::embedded().settings().unwrap_or_else(|unusable| panic!("{unusable}"));
    Table::start(&settings, runbook, &[])
}

/// The text in single quotes, as YAML has it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn inputs() -> Vec<String> {
    let runbook = checked(ALL, "x").expect("no problem");
    runbook.inputs.iter().map(|input| input.field.name.clone()).collect()
}

/// Every name and question that is accepted, as an expression.
fn accepted() -> Vec<String> {
    let mut all = inputs();
    for name in Name::ALL {
        let below: Vec<String> = match name {
            Name::Steps => {
                ["task", "task.issue", "ask.answer", "run", "run.outputs", "run.outputs.ttl", "stack.outputs.Any", "announced"]
                    .map(|below| format!(".{below}"))
                    .to_vec()
            }
            Name::Decision => vec![".cutover".to_owned(), "['cutover']".to_owned()],
            Name::Rollout => Member::ALL.map(|member| format!(".{}", member.name())).to_vec(),
            Name::Result | Name::Now | Name::Window => vec![String::new()],
        };
        all.extend(below.into_iter().map(|below| format!("{}{below}", name.name())));
    }
    for function in Function::ALL {
        let id = if function.asks_about() == "step" { "task" } else { "two" };
        all.push(format!("{}('{id}')", function.name()));
    }
    all
}

/// Writes everything of a runbook as it is written in a rollout, from what is known at its start.
fn write_everything(runbook: &Runbook) -> Result<(), String> {
    let table = fresh(runbook.clone());
    let everything = scope(&table.state, table.now);
    let with_outputs = scope_with_outputs(&table.state, 0, table.now, &serde_json::Map::new());
    template::render(&runbook.title, Landing::Plain, &scope_of_inputs(runbook, &BTreeMap::new()))?;
    for phase in &runbook.phases {
        template::holds(phase.condition.as_deref().unwrap_or("true"), &everything)?;
    }
    let render = |text: &str| template::render(text, Landing::Markdown, &everything).map(drop);
    for step in &runbook.steps {
        template::holds(step.condition.as_deref().unwrap_or("true"), &everything)?;
        render(&step.title)?;
        step.help.as_deref().map(render).transpose()?;
        step.kind.fields().iter().filter_map(|field| field.default.as_deref()).try_for_each(render)?;
        match &step.kind {
            StepKind::Task { items, .. } => items.iter().try_for_each(|item| render(item))?,
            StepKind::Run { call: Call { with, require, .. }, .. } => {
                with.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()).try_for_each(render)?;
                for requirement in require {
                    template::holds(&requirement.that, &with_outputs)?;
                    template::render(&requirement.otherwise, Landing::Plain, &with_outputs)?;
                }
            }
            _ => {}
        }
    }
    for message in runbook.messages.values() {
        message.subject.as_deref().map(render).transpose()?;
        render(&message.body)?;
    }
    Ok(())
}

#[test]
fn the_scope_has_the_names_of_the_table_and_no_others() {
    let table = fresh(checked(ALL, "x").expect("no problem"));
    let names = |value: &minijinja::Value| -> BTreeSet<String> {
        value.try_iter().expect("names").map(|name| name.to_string()).collect()
    };
    let everything = scope(&table.state, table.now);
    let expected: BTreeSet<String> = (Name::ALL.map(Name::name).into_iter())
        .chain(Function::ALL.map(Function::name))
        .map(str::to_owned)
        .chain(inputs())
        .collect();
    assert_eq!(names(&everything), expected);
    let members: BTreeSet<String> = Member::ALL.map(|member| member.name().to_owned()).into_iter().collect();
    assert_eq!(names(&everything.get_attr(Name::Rollout.name()).expect("a member")), members);
    let with_outputs = names(&scope_with_outputs(&table.state, 0, table.now, &serde_json::Map::new()));
    assert_eq!(with_outputs.difference(&expected).collect::<Vec<_>>(), [OUTPUTS]);
    let of_inputs = names(&scope_of_inputs(&table.state.runbook, &BTreeMap::new()));
    assert_eq!(of_inputs, inputs().into_iter().collect());
}

#[test]
fn every_name_of_the_table_is_accepted_everywhere_and_written_while_nothing_is_known() {
    let written = |name: &String| format!("[{{{{ {name} }}}}{{% if {name} %}}!{{% endif %}}]");
    let text = accepted().iter().map(written).collect::<Vec<_>>().concat();
    let condition = accepted().join(" or ");
    let of_inputs = format!("{{{{ {} }}}}", inputs().join(" }}{{ "));
    let mut yaml = TEXTS.into_iter().fold(ALL.to_owned(), |yaml, place| yaml.replacen(place, &quoted(&text), 1));
    yaml = yaml.replacen("Title of test", &quoted(&of_inputs), 1);
    yaml = yaml.replacen("else: Else of test", &format!("else: {}", quoted(&format!("{text}{{{{ outputs.ttl }}}}"))), 1);
    yaml =
        yaml.replacen("that: 'true'", &format!("that: {}", quoted(&format!("outputs.new or outputs['ttl'] or {condition}"))), 1);
    yaml = yaml.replace("if: 'true'", &format!("if: {}", quoted(&condition)));
    let runbook = checked(&yaml, &text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(write_everything(&runbook), Ok(()));
    for name in accepted() {
        let one = ALL.replacen("if: 'true'", &format!("if: {}", quoted(&name)), 1);
        let runbook = checked(&one, "x").unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(write_everything(&runbook), Ok(()), "{name}");
    }
}

#[test]
fn what_is_unknown_at_the_start_reads_as_nothing() {
    let table = fresh(checked(ALL, "x").expect("no problem"));
    let everything = scope(&table.state, table.now);
    let known_at_once = ["now", "rollout", "done", "failed", "started", "backed_off"];
    for name in accepted().into_iter().filter(|name| !known_at_once.contains(&name.split(['.', '(']).next().unwrap_or_default()))
    {
        assert_eq!(template::render(&format!("{{{{ {name} }}}}"), Landing::Plain, &everything).as_deref(), Ok(""), "{name}");
        assert_eq!(template::holds(&name, &everything), Ok(false), "{name}");
    }
}

#[test]
fn what_a_rollout_cannot_give_is_refused_with_what_would_be_right() {
    for (text, expected, help) in [
        ("{{ rollout.titel }}", "unknown member of `rollout` `titel`", "did you mean `title`?"),
        ("{{ rollout['titel'] }}", "unknown member of `rollout` `titel`", "did you mean `title`?"),
        ("{{ rollout }}", "`rollout` alone says nothing: name the member", "`rollout.id`, `rollout.title`"),
        ("{{ rollout.id.short }}", "`rollout.id` is a plain value and has no `short`", "write `rollout.id`"),
        ("{{ version.major }}", "`version` is a plain value and has no `major`", "write `version`"),
        ("{{ window.starts }}", "`window` is a plain value and has no `starts`", "write `window`"),
        ("{{ result.name }}", "`result` is a plain value and has no `name`", "write `result`"),
        ("{{ versoin }}", "unknown name `versoin`", "did you mean `version`?"),
        ("{{ rollot.id }}", "unknown name `rollot`", "did you mean `rollout`?"),
        ("{{ steps.tsk.issue }}", "unknown step `tsk`", "did you mean `task`?"),
        ("{{ steps.task.isue }}", "unknown field of the step `task` `isue`", "did you mean `issue`?"),
        ("{{ steps.task.outputs.ttl }}", "unknown field of the step `task` `outputs`", "known: issue"),
        ("{{ steps.task.issue.url }}", "`steps.task.issue` is a plain value and has no `url`", "write `steps.task.issue`"),
        ("{{ steps.run.output.ttl }}", "unknown field of the step `run` `output`", "did you mean `outputs`?"),
        ("{{ steps.run.outputs.tll }}", "unknown output of `route53.switch-record` `tll`", "did you mean `ttl`?"),
        ("{{ steps['run'].outputs['tll'] }}", "unknown output of `route53.switch-record` `tll`", "did you mean `ttl`?"),
        ("{{ steps.stack.outputs.Any.thing }}", "`steps.stack.outputs.Any` is a plain value", "write `steps.stack.outputs.Any`"),
        ("{{ steps.announced.text }}", "unknown field of the step `announced` `text`", "is defined"),
        ("{{ steps[version] }}", "`steps` alone says nothing: name the step", "`steps.task`"),
        ("{{ decision.cutver }}", "unknown decision `cutver`", "did you mean `cutover`?"),
        ("{{ decision.cutover.by }}", "`decision.cutover` is a plain value and has no `by`", "write `decision.cutover`"),
        ("{{ done('tsk') }}", "unknown step `tsk`", "did you mean `task`?"),
        ("{{ failed( \"two\" ) }}", "unknown step `two`", "known: task"),
        ("{{ started('task') }}", "unknown phase `task`", "known: one, two"),
        ("{% if done %}x{% endif %}", "`done` asks about one step, by its id in quotes", "write it like `done('task')`"),
        ("{{ started(version) }}", "`started` asks about one phase, by its id in quotes", "write it like `started('one')`"),
        ("{{ backed_off('task') }}", "unknown phase `task`", "known: one, two"),
        ("{{ each }}", "unknown name `each`", "known: "),
        ("{{ now() }}", "`now` is no function", "functions are done, failed, started, backed_off"),
        ("{{ outputs.ttl }}", "unknown name `outputs`", "known: "),
        ("{{ version|uper }}", "unknown filter `uper`", ""),
        ("{{ version is nothing }}", "unknown test after `is` `nothing`", ""),
        ("{% include 'deployed' %}", "`include` needs other templates", ""),
        ("{{ self }}", "unknown name `self`", "known: version"),
        ("{{ version", "the text does not compile", ""),
    ] {
        for place in TEXTS {
            let written = quoted(text);
            let yaml = ALL.replacen(place, &written, 1);
            let said = checked(&yaml, "x").expect_err(text);
            assert!(said.contains(expected) && said.contains(help), "{text} as {place}:\n{said}");
            // It points at the text, and underlines all of it.
            let (line, found) = yaml.lines().enumerate().find(|(_, line)| line.contains(&written)).expect("it is there");
            let column = found.find(&written).expect("it is there") + 1;
            assert!(said.contains(&format!(" --> test.yaml:{}:{column}\n", line + 1)), "{said}");
            assert!(said.contains(&format!(" {}\n", "^".repeat(written.len()))), "{said}");
        }
        let said = checked(ALL, text).expect_err(text);
        assert!(said.contains("the message `all`"), "{text}:\n{said}");
    }
}

#[test]
fn a_requirement_knows_what_its_operation_gives() {
    for (that, expected) in [
        ("outputs.tll == '60'", "unknown output of `route53.switch-record` `tll`"),
        ("outputs.ttl.seconds", "`outputs.ttl` is a plain value and has no `seconds`"),
        ("output.ttl", "did you mean `outputs`?"),
    ] {
        let said = checked(&ALL.replacen("that: 'true'", &format!("that: {}", quoted(that)), 1), "x").expect_err(that);
        assert!(said.contains(expected), "{that}:\n{said}");
    }
}

#[test]
fn the_title_is_written_from_inputs_alone() {
    let titled = |title: &str| checked(&ALL.replacen("Title of test", &quoted(title), 1), "x");
    assert!(titled("{{ version }} in {{ window }}").is_ok());
    for title in
        ["{{ now }}", "{{ rollout.id }}", "{{ steps.task }}", "{{ decision.cutover }}", "{{ result }}", "{{ done('task') }}"]
    {
        let said = titled(title).expect_err(title);
        assert!(said.contains("can't be used in the title of a runbook"), "{said}");
        assert!(said.contains("the title is written once, at the start, from the inputs alone"), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    }
    assert!(titled("{{ versoin }}").expect_err("unknown").contains("did you mean `version`?"));
    assert!(titled("{{ version.major }}").expect_err("plain").contains("is a plain value"));
    // Without an input of that name, the window is not known at the start.
    let windowless = ALL.replacen("  window: { type: window, tentative: true }\n", "", 1);
    let said = checked(&windowless.replacen("Title of test", "'{{ window }}'", 1), "x").expect_err("no input");
    assert!(said.contains("`window` can't be used in the title of a runbook"), "{said}");
}

#[test]
fn the_default_of_an_input_is_a_plain_value() {
    for default in ["'{{ version }}'", "'{% if version %}x{% endif %}'", "'{# later #}'"] {
        let yaml =
            ALL.replacen("version: { required: false }", &format!("version: {{ required: false, default: {default} }}"), 1);
        let said = checked(&yaml, "x").expect_err(default);
        assert!(
            said.contains("the default of the input `version` is a template, and defaults of inputs are plain values"),
            "{said}"
        );
        assert!(said.contains(" --> test.yaml:4:40\n"), "{said}");
    }
    assert!(checked(&ALL.replacen("version: { required: false }", "version: { default: '4.3' }", 1), "x").is_ok());
}

proptest! {
    /// Whatever is put together from the words of the format: accepted means written.
    #[test]
    fn what_check_accepts_is_written_from_a_fresh_rollout(
        words in prop::collection::vec(prop::sample::select(WORDS), 1..5),
        in_brackets in any::<bool>(),
        form in 0usize..3,
    ) {
        let path = match (in_brackets, words.split_first()) {
            (true, Some((root, below))) => if below.is_empty() { (*root).to_owned() } else { format!("{root}['{}']", below.join("']['")) },
            _ => words.join("."),
        };
        let text = match form {
            0 => format!("{{{{ {path} }}}}"),
            1 => format!("{{% if {path} == 'x' %}}x{{% endif %}}{{{{ 'x' if {path} }}}}"),
            _ => format!("{{{{ {path}('task') }}}}"),
        };
        if let Ok(runbook) = checked(&ALL.replacen("Help of test", &quoted(&text), 1), &text) {
            prop_assert_eq!(write_everything(&runbook), Ok(()), "{}", text);
        }
    }
}

const WORDS: &[&str] = &[
    "version",
    "window",
    "who",
    "count",
    "steps",
    "task",
    "issue",
    "run",
    "outputs",
    "ttl",
    "stack",
    "decision",
    "cutover",
    "rollout",
    "id",
    "title",
    "result",
    "now",
    "done",
    "started",
    "failed",
    "backed_off",
    "recorded",
    "loop",
    "self",
    "range",
    "nope",
];
