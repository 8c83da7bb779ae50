//! What two people change of a runbook for one rollout only.

use std::collections::BTreeMap;

use tminus::domain::report::report;
use tminus::domain::rollout::command::{Change, CommandBody, StepRef};
use tminus::domain::rollout::effect::{Effect, effects};
use tminus::domain::rollout::event::Event;

use crate::support::{Table, done, named, run};

const YAML: &str = "
runbook: test
people: { owner: maria }
inputs: { version: { default: '4.3' } }
phases:
  - phase: one
    steps:
      - { task: Begin, id: begin }
      - { run: ci.command.deploy, id: deploy, title: Deploy it, with: { argv: [./deploy, '{{ version }}'] }, press: owner }
      - { task: Tell the team, id: tell }
  - phase: two
    steps: [{ task: Tidy up, id: tidy, if: done('tell') }]
";

fn amend(step: &str, change: Change) -> CommandBody {
    CommandBody::Amend { step: named(step), change }
}

fn inputs(pairs: &[(&str, &str)]) -> Change {
    Change::Inputs(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<BTreeMap<_, _>>())
}

const AGREE: CommandBody = CommandBody::AgreeToAmendment { generation: None };

#[test]
fn an_input_is_corrected_by_two_and_the_report_shows_the_difference() {
    let mut table = Table::of(YAML, &[("version", "4.3")]);
    assert_eq!(
        table.refused("maria", amend("deploy", Change::Nothing)),
        "What of “Deploy it”? It has argv.0=./deploy, argv.1=4.3, and `/rollout amend deploy argv.0=VALUE` changes one; \
         `/rollout amend deploy add TEXT` adds a task after it. A second person agrees."
    );
    assert_eq!(
        table.refused("maria", amend("deploy", inputs(&[("argv.7", "x")]))),
        "“Deploy it” has no input `argv.7`. Did you mean `argv.1`?"
    );
    assert!(table.refused("maria", amend("deploy", inputs(&[("argv.1", "4.3")]))).starts_with("Nothing would change"));
    assert!(table.refused("maria", amend("tell", inputs(&[("x", "y")]))).contains("has no input `x`"));
    // What is typed is a value, whatever it looks like.
    let events = table.does("maria", amend("deploy", inputs(&[("argv.1", "{{ version }}.1")])));
    assert!(matches!(events[..], [Event::AmendmentProposed { .. }]), "{events:?}");
    assert_eq!(table.refused("maria", AGREE), "You proposed this amendment. A second person has to agree: `/rollout amend`.");
    table.does("ana", AGREE);
    table.does("maria", done("begin", &[]));
    table.does("maria", run("deploy"));
    let asked = effects(&table.state).into_iter().find_map(|effect| match effect {
        Effect::Act(action) => Some(action.inputs),
        _ => None,
    });
    assert_eq!(asked, Some(serde_json::json!({ "argv": ["./deploy", "{{ version }}.1"] })));
    assert!(table.refused("maria", amend("deploy", inputs(&[("argv.1", "4.4")]))).contains("can't be amended: it is running."));
    let said = report(&table.state, &table.people).amendments;
    assert_eq!(
        said,
        ["In “Deploy it” argv.1 is {{ version }}.1 instead of 4.3 (Maria Keller and Ana Silva, 2026-11-20 12:00 UTC)"]
    );
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn an_input_whose_name_has_dots_is_corrected_too() {
    let yaml = YAML.replace("ci.command.deploy", "aws-staging.cloudformation.update-stack");
    let with = "with: { stack: shop, parameters: { a.b: old, a.b.c: other, a: left } }";
    let yaml = yaml.replace("with: { argv: [./deploy, '{{ version }}'] }", with);
    let mut table = Table::of(&yaml, &[("version", "4.3")]);
    table.does("maria", amend("deploy", inputs(&[("parameters.a.b", "new"), ("parameters.a.b.c", "newer")])));
    table.does("sam", AGREE);
    table.does("maria", done("begin", &[]));
    table.does("maria", run("deploy"));
    let asked = effects(&table.state).into_iter().find_map(|effect| match effect {
        Effect::Act(action) => Some(action.inputs["parameters"].clone()),
        _ => None,
    });
    let asked = asked.expect("it is asked");
    assert_eq!((&asked["a.b"], &asked["a.b.c"], &asked["a"]), (&"new".into(), &"newer".into(), &"left".into()));
}

#[test]
fn a_task_is_added_and_another_one_dropped() {
    let mut table = Table::of(YAML, &[("version", "4.3")]);
    assert!(table.refused("maria", amend("begin", Change::Add("See {{ version }}".into()))).contains("plain words"));
    assert!(table.refused("maria", amend("deploy", Change::Drop("no".into()))).contains("only tasks are dropped"));
    assert!(table.refused("maria", amend("tell", Change::Drop(String::new()))).contains("needs a reason"));
    // The second person may be the owner; without the owner it is nobody's to change.
    table.does("ana", amend("begin", Change::Add("Warn the support desk".into())));
    assert_eq!(table.refused("raj", AGREE), "One of the two who amend is the owner: Maria.");
    // To propose the same is to agree.
    table.does("maria", amend("begin", Change::Add("Warn the support desk".into())));
    assert_eq!(table.open(), ["begin"]);
    table.does("maria", done("begin", &[]));
    assert_eq!(table.open(), ["warn_the_support_desk"], "it comes after the step it was added to");
    // A button of an older proposal does not agree to a newer one.
    table.does("maria", amend("tell", Change::Drop("they know".into())));
    let older = table.state.amendment.as_ref().expect("proposed").sequence;
    table.does("maria", amend("tell", Change::Drop("they all know".into())));
    let generation = Some(u32::try_from(older).unwrap());
    assert!(table.refused("ana", CommandBody::AgreeToAmendment { generation }).starts_with("Another amendment was proposed"));
    table.does("ana", AGREE);
    assert_eq!(table.refused("ana", AGREE), "No amendment is proposed. `/rollout amend STEP …` proposes one.");
    table.does("maria", done("warn_the_support_desk", &[]));
    table.does("maria", run("deploy"));
    table.outside_does_its_part();
    // What was dropped was not done.
    assert!(table.state.ended.is_some(), "{:?}", table.open());
    let said = report(&table.state, &table.people);
    assert_eq!(said.amendments.len(), 2, "{:?}", said.amendments);
    assert!(said.markdown(chrono_tz::UTC).contains("- [ ] Tell the team — dropped"), "{}", said.markdown(chrono_tz::UTC));
    assert!(said.markdown(chrono_tz::UTC).contains("- [x] Warn the support desk — Maria Keller"));
    assert_eq!(table.replayed(), table.state);
}

#[test]
fn what_is_over_stays_as_it_was() {
    let mut table = Table::of(YAML, &[("version", "4.3")]);
    table.does("maria", amend("begin", Change::Drop("not needed".into())));
    table.does("maria", done("begin", &[]));
    assert_eq!(table.refused("ana", AGREE), "“Begin” can't be amended: it is over.");
    let add = CommandBody::Amend { step: StepRef::Named("nothing".into()), change: Change::Add("x".into()) };
    assert!(table.refused("maria", add).starts_with("There is no step `nothing`"));
}
