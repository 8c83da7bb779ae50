//! What the documents say of the shipped runbooks is so.

use std::collections::BTreeSet;

use tminus::settings::Files;

/// The lines of the template that say nothing: empty ones and a rule.
const SILENT: [u32; 18] = [1, 3, 5, 12, 15, 20, 26, 28, 29, 33, 38, 44, 51, 59, 61, 73, 77, 89];
/// The template's last line.
const LAST: u32 = 90;

/// The lines that a row of the table is about: `2`, `4, 6`, `16 to 19`.
fn lines(cell: &str) -> Vec<u32> {
    let number = |text: &str| text.trim().parse::<u32>().expect("the number of a line");
    let part = |part: &str| match part.split_once(" to ") {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => vec![number(part)],
    };
    cell.split(',').flat_map(part).collect()
}

#[test]
fn every_line_of_the_andromeda_checklist_has_its_place() {
    let table = include_str!("../../docs/andromeda.md");
    let settings = Files::embedded().settings().unwrap_or_else(|unusable| panic!("{unusable}"));
    let runbook = &settings.runbooks["andromeda-staging"];
    let steps: BTreeSet<&str> = runbook.steps.iter().map(|step| step.id.as_str()).collect();
    let phases: BTreeSet<&str> = runbook.phases.iter().map(|phase| phase.id.as_str()).collect();
    let inputs = runbook.inputs.iter().map(|input| input.field.name.as_str());
    let others: BTreeSet<&str> = inputs.chain(["title", "cc"]).collect();
    let (mut placed, mut named) = (Vec::new(), BTreeSet::new());
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| line")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [numbers, _, place] = cells[..] else { panic!("three columns: {row}") };
        placed.extend(lines(numbers));
        let words = place.split('`').skip(1).step_by(2);
        let known: Vec<&str> =
            words.filter(|word| steps.contains(word) || phases.contains(word) || others.contains(word)).collect();
        assert!(!known.is_empty(), "{row} leads nowhere");
        named.extend(known);
    }
    let mut all: Vec<u32> = placed.iter().copied().chain(SILENT).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=LAST).collect::<Vec<_>>(), "each line has its place, once");
    let additions = ["dns_back"];
    let missing: Vec<&&str> = steps.iter().filter(|id| !named.contains(*id) && !additions.contains(id)).collect();
    assert!(missing.is_empty(), "steps that come from no line: {missing:?}");
}
