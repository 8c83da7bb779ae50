//! The checklist on paper: what was done, what is under way, and of what is to come how it goes.

use tminus::domain::paper::paper;
use tminus::domain::rollout::command::CommandBody;
use tminus::domain::rollout::event::{Choice, NoteKind};

use crate::support::{Table, done, vote, vote_for};

const RUNBOOK: &str = "runbook: test
title: Move the shop
timezone: Europe/Berlin
people: { owner: maria }
phases:
  - phase: before
    title: Before
    steps:
      - { task: Make a copy, id: copy, items: [Stop the jobs, Copy], evidence: { size: { label: Size } } }
      - { decide: Go?, id: go, voters: [changeset-team], rule: unanimous, stand-ins: [sam], due: 30m }
  - phase: after
    title: After
    if: decision.go == 'go'
    steps:
      - { run: aws-staging.cloudformation.update-stack, id: update, press: owner, takes: 12m, with: { stack: Shop Stack, parameters: { Size: '2' } } }
      - { task: Tidy up, id: tidy, required: false, who: ines, evidence: { left: { label: What is left } } }
      - { result: succeeded, id: fine }
";

#[test]
fn paper_has_a_box_for_everything_and_says_how_the_rest_goes() {
    let mut table = Table::of(RUNBOOK, &[]);
    table.does("maria", done("copy", &[("size", &"x".repeat(120))]));
    table.does("ana", vote(Choice::Go));
    table.does("sam", vote_for("raj", Choice::Go));
    table.does("ines", CommandBody::AddNote { text: "the jobs came back once".into(), kind: NoteKind::Problem });
    table.give(Some("maria"), CommandBody::Hold).expect("stopping is easy");
    let text = paper(&table.state, &table.people, table.now);
    insta::assert_snapshot!(text, @r#"
    Test
    r, as of 2026-11-20 13:00 CET: on hold
    Owner: Maria Keller
    Next by a person: Li to vote on “Go?”; Maria lets it go on with `/rollout resume`

    Before (open since 2026-11-20 13:00 CET)
      [x] Make a copy - Maria Keller, 2026-11-20 13:00 CET
          [x] Stop the jobs - Maria Keller, 2026-11-20 13:00 CET
          [x] Copy - Maria Keller, 2026-11-20 13:00 CET
          [x] Size:
              xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
              xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
      [ ] Go? - open
          due 2026-11-20 13:30 CET
          all 3 must say GO; one NO-GO stops it
          Ana Silva: GO, 2026-11-20 13:00 CET
          Raj Patel: GO by Sam Berg, 2026-11-20 13:00 CET
          Li Wei: GO / NO-GO

    After (if decision.go == 'go')
      [ ] cloudformation.update-stack on aws-staging
          with Maria Keller; takes about 12m
          cloudformation.update-stack on aws-staging: parameters.Size=2, stack=Shop Stack
      [ ] Tidy up
          with Ines Moreau; may be skipped
          What is left: ______________________
      [ ] Record the result: SUCCEEDED

    On the way
      - 2026-11-20 13:00 CET: Maria Keller put it on hold

    Notes
      - Problem: the jobs came back once (Ines Moreau, 2026-11-20 13:00 CET)
    "#);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    // Nothing of it changes anything, and the same state is the same paper.
    assert_eq!(paper(&table.replayed(), &table.people, table.now), text);
}
