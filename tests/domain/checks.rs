//! What is said about runbooks that are not right: every problem at once, each with its place and what would be right.

use tminus::domain::people::PersonId;
use tminus::settings::{Files, SlackMember, TelegramChat};

fn problems(yaml: &str) -> String {
    let files = Files::embedded().with("config/runbooks/test.yaml", yaml);
    match files.settings() {
        Ok(_) => "no problem".to_owned(),
        Err(unusable) => unusable.to_string(),
    }
}

#[test]
fn every_problem_of_a_file_is_said_at_once() {
    let said = problems(
        "runbook: test
titel: Test
environment: x/y
inputs:
  version: { pattern: '(' }
  go-call: { type: text }
people: { owner: maira }
rooms: [andromeda-rollout]
audiences: { watch: [slak:andromeda-preproduction-watch, email:nowhere] }
phases:
  - phase: one
    at: T5d
    steps:
      - { announce: comencement, to: [wach] }
      - { acknowledge: Know, from: [auditor], remind: 4 }
      - { run: aws-staging.cloudformation.updte-stack }
      - { run: aws-staging.cloudformation.update-stack, with: { stack: x, parameters: y, paramters: {} } }
      - { task: '{{ versoin }}', if: decision.cutover == 'go' }
      - { wait: quiet }
      - { decide: Go?, voters: [changeset-team], rule: most }
  - phase: two
    point-of-no-return: true
    if: done('tsk')
    steps: []
",
    );
    insta_like(
        &said,
        &[
            "error: unknown key in a runbook `titel`\n --> config/runbooks/test.yaml:2:1",
            "  = help: did you mean `title`?",
            "the pattern “(” does not compile",
            "`go-call` can't be used as an id: in expressions it would not be one name",
            "  = help: write `go_call`",
            "unknown person, team or role `maira`",
            "  = help: did you mean `maria`?",
            "unknown room `andromeda-rollout`",
            "  = help: did you mean `andromeda-rollouts`?",
            "unknown platform `slak`",
            "unknown address `nowhere`",
            "“T5d” is not a time in the window; write it like “T-5d”, “T-4h”, “T-1m”, “T-0” or “T+30m”",
            "unknown message `comencement`",
            "unknown audience `wach`",
            "“4” is not a duration; write it like",
            "unknown person, team or role `auditor`",
            "unknown operation of aws-staging `cloudformation.updte-stack`",
            "  = help: did you mean `cloudformation.update-stack`?",
            "`parameters` is a map, this is a text",
            "unknown input of `aws-staging.cloudformation.update-stack` `paramters`",
            "unknown name `versoin`",
            "unknown decision `cutover`",
            "“quiet” does not say what is waited for",
            "unknown rule `most`",
            "`point-of-no-return` of a phase is not supported by this version",
            "unknown step `tsk`",
            "the phase `two` needs `steps`, at least one",
        ],
    );
}

#[test]
fn the_slips_of_yaml_have_answers_of_their_own() {
    let phases = "phases: [{ phase: one, steps: [{ task: Do it }] }]\n";
    for (yaml, expected) in [
        (format!("runbook: test\ntitle: {{{{ version }}}}\n{phases}"), "quote it: \"{{ … }}\""),
        (format!("runbook: test\nrunbook: again\n{phases}"), "every key stands once"),
        (format!("runbook: test\n\ttitle: x\n{phases}"), "a tab is used for indentation"),
        (format!("runbook: Test\n{phases}"), "up to 40 lower-case letters, digits and hyphens"),
        ("runbook: test\n".to_owned(), "a runbook needs `phases`, at least one"),
        (format!("runbook: andromeda-staging\n{phases}"), "another file defines the runbook `andromeda-staging` already"),
        ("- a\n- b\n".to_owned(), "a runbook is written as a map, this is a list"),
        (
            "runbook: test\nphases: [{ phase: one, at: T-5d, steps: [{ task: Do it }] }]\n".to_owned(),
            "`one` has a time, but nothing says when T-0 is",
        ),
        (
            "runbook: test\nlock-from: one\nphases: [{ phase: one, steps: [{ task: Do it }] }]\n".to_owned(),
            "`lock-from` says when the environment is held, and there is no `environment`",
        ),
        (
            "runbook: test\nphases: [{ phase: one, steps: [{ decide: Go?, voters: [owner], who: owner }] }]\n".to_owned(),
            "`who` does not belong to `decide`",
        ),
        ("runbook: test\nphases: [{ phase: one, steps: [{ taks: Do it }] }]\n".to_owned(), "did you mean `task`?"),
        (
            "runbook: test\nphases: [{ phase: one, steps: [{ task: Do it, id: one }] }]\n".to_owned(),
            "`one` is already defined in line 2",
        ),
        (
            "runbook: test\nphases: [{ phase: one, steps: [{ task: Do it, announce: x }] }]\n".to_owned(),
            "a step is one thing: this is both `announce` and `task`",
        ),
    ] {
        let said = problems(&yaml);
        assert!(said.contains(expected), "{yaml}\n{said}");
    }
}

#[test]
fn the_smallest_runbook_needs_no_people_no_window_and_no_environment() {
    assert_eq!(problems("runbook: test\nphases: [{ phase: one, steps: [{ task: Do it }] }]\n"), "no problem");
}

/// Every expected part is there; the whole text is shown when one is not.
fn insta_like(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "missing: {part}\n\n{said}");
    }
}

/// Everything that is said about some files, warnings too.
fn said(files: &Files) -> String {
    files.check().problems.iter().map(|problem| problem.render(files.text(&problem.file))).collect()
}

#[test]
fn what_is_wrong_in_a_message_is_said_where_it_stands_in_its_file() {
    let announces = "runbook: test
inputs: { version: { required: false } }
audiences: { watch: ['slack:andromeda-preproduction-watch'] }
phases:
  - phase: one
    steps:
      - { announce: note, to: [watch] }
      - { announce: note, to: [watch] }
";
    let message = "---
subject: \"Ünder {{ versoin }}\"
must-know: true
---

Hello {{ version }},

it is {{ steps.two.issue }} and {{ version.major|uper }}.
{% if done('three') %}x{% endif %}
";
    let files = Files::embedded().with("config/runbooks/test.yaml", announces).with("messages/note.md", message);
    let all = said(&files);
    insta_like(
        &all,
        &[
            "error: unknown name `versoin`\n --> messages/note.md:2:20\n",
            "2 | subject: \"Ünder {{ versoin }}\"\n  |                    ^^^^^^^\n",
            "  = note: announced by config/runbooks/test.yaml:7:21\n",
            "error: unknown step `two`\n --> messages/note.md:8:10\n",
            "  |          ^^^^^^^^^^^^^^^\n",
            "error: `version` is a plain value and has no `major`\n --> messages/note.md:8:36\n",
            "error: unknown filter `uper`\n --> messages/note.md:8:50\n",
            "error: unknown step `three`\n --> messages/note.md:9:7\n",
        ],
    );
    assert_eq!(all.matches("error:").count(), 5, "each once, however often it is announced\n{all}");
}

#[test]
fn a_message_that_is_no_template_or_has_no_end_is_said_once_and_not_unknown_to_who_announces_it() {
    let announces = "runbook: test
audiences: { watch: ['slack:andromeda-preproduction-watch'] }
phases: [{ phase: one, steps: [{ announce: note, to: [watch] }] }]
";
    let files = Files::embedded().with("config/runbooks/test.yaml", announces);
    for (message, expected) in [
        ("Hello,\n\n  {% if x %}\n", "error: the text does not compile: "),
        ("---\nsubject: x\n", "error: the front matter does not end\n --> messages/note.md:1:1\n"),
        ("---\nsubjekt: x\n---\nHello\n", "error: unknown key in front matter `subjekt`\n --> messages/note.md:2:1\n"),
    ] {
        let said = said(&files.clone().with("messages/note.md", message));
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
}

#[test]
fn without_a_readable_people_file_runbooks_are_not_said_to_name_nobody() {
    let files = Files::embedded().with("config/people.yaml", "people: [\n");
    let said = said(&files);
    assert!(said.contains("config/people.yaml:"), "{said}");
    assert!(!said.contains("unknown person"), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
}

#[test]
fn a_system_that_is_called_like_a_kind_is_checked_as_one_before_it_is_configured() {
    let calls = "runbook: test
phases:
  - phase: one
    steps:
      - { run: aws.s3.encryption-on, with: { bucket: media } }
      - { run: jenkins.build, with: { job: flip } }
      - { run: rancher.read-lb, id: lb, require: [{ that: outputs.active == 'a' }] }
      - { run: tower.launch, with: { template: patch-node, limit: core } }
      - { run: docker.prune, with: { side: a } }
      - { run: docker.pull, with: { side: '{{ steps.lb.outputs.active }}' } }
      - { run: ansible.playbook, with: { playbook: configs.yml } }
      - { run: http.request, with: { url: 'https://example.com', path: /health/ } }
      - { wait: DNS is everywhere, until: { run: dns.lookup, with: { name: example.com, all-of: [8.8.8.8] }, require: [{ that: outputs.all_agree }] } }
      - { run: heroku.scale, with: { app: cmr, web: 0 } }
      - { run: github.create-issue, with: { template: update } }
      - { run: gitlab.create-issue, with: { title: Update } }
      - { run: prometheus.capture, id: before, with: { set: slos } }
      - { run: prometheus.compare, with: { before: '{{ steps.before.outputs }}', tolerance: 10% } }
      - { run: prometheus.query, with: { q: slo_burn, below: 1 } }
      - { run: k8s.set-image, with: { deployment: app-canary } }
      - { run: k8s.undo, with: { deployment: app } }
      - { run: robot.dance }
";
    let files = Files::default().with("config/runbooks/test.yaml", calls);
    let all = said(&files);
    assert!(!all.contains("error:"), "{all}");
    // What is not configured is done by people, and that is said of each.
    assert_eq!(all.matches("warning: no system").count(), calls.matches("run:").count(), "{all}");
    for (call, expected) in [
        ("jenkins.biuld, with: { job: x }", "did you mean `build`?"),
        ("jenkins.build, with: { jop: x }", "`jenkins.build` needs `job`"),
        ("heroku.scale, with: { app: cmr, web: none }", "`web` is a number, this is a text"),
        ("dns.lookup, with: { name: x, all-of: y }", "`all-of` is a list, this is a text"),
        ("rancher.read-lb, require: [{ that: outputs.activ == 'a' }]", "did you mean `active`?"),
    ] {
        let runbook = format!("runbook: test\nphases: [{{ phase: one, steps: [{{ run: {call} }}] }}]\n");
        let said = said(&Files::default().with("config/runbooks/test.yaml", &runbook));
        assert!(said.contains(expected), "{call}\n{said}");
    }
}

#[test]
fn hostile_files_get_one_clear_answer_each() {
    let phases = "phases: [{ phase: one, steps: [{ task: Do it }] }]\n";
    let bomb: String = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |bomb, i| {
        bomb + &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "))
    });
    for (name, text, expected) in [
        ("aliases that multiply", bomb, "error: the file stands for more than 50000 values\n"),
        ("an anchor in itself", "runbook: test\na: &a [*a]\n".to_owned(), "error: an anchor that contains itself has no end\n"),
        (
            "deep lists",
            format!("a: {}{}", "[".repeat(200), "]".repeat(200)),
            "error: lists and maps are nested more than 40 deep\n",
        ),
        (
            "deep maps",
            (0..100).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<Vec<_>>().concat(),
            "error: lists and maps are nested more than 40 deep\n",
        ),
        ("a huge file", "#".repeat(600_000), "error: the file has 600000 bytes; at most 524288 are read\n"),
        (
            "a tab",
            format!("runbook: test\n\ttitle: x\n{phases}"),
            "error: a tab is used for indentation\n --> config/runbooks/test.yaml:2:1\n",
        ),
        (
            "a key twice",
            format!("runbook: test\ntitle: a\ntitle: b\n{phases}"),
            "error: the key `title` stands twice in one map\n --> config/runbooks/test.yaml:3:1\n",
        ),
        (
            "a template without quotes",
            "runbook: test\nphases: [{ phase: one, steps: [{ task: {{ x }} }] }]\n".to_owned(),
            "error: an unquoted `{{ … }}` is a map to YAML\n --> config/runbooks/test.yaml:2:40\n",
        ),
        (
            "a template without quotes, and more",
            format!("runbook: test\ntitle: {{{{ x }}}} to Staging\n{phases}"),
            "error: an unquoted `{{ … }}` is a map to YAML, and no text can go on after it\n --> config/runbooks/test.yaml:2:",
        ),
        (
            "a key that is a list",
            format!("runbook: test\n[a, b]: c\n{phases}"),
            "error: a key of a runbook is a text, this is a list\n --> config/runbooks/test.yaml:2:1\n",
        ),
        (
            "a name that is a list",
            "runbook: test\nphases: [{ phase: one, steps: [{ ask: x, fields: { [a]: {} } }] }]\n".to_owned(),
            "error: `fields` is a text, this is a list\n",
        ),
        (
            "two documents",
            format!("---\nrunbook: test\n{phases}---\nrunbook: other\n{phases}"),
            "error: a second document begins here\n --> config/runbooks/test.yaml:4:1\n",
        ),
        ("nothing", String::new(), "error: a runbook is written as a map, this is nothing\n"),
        ("a zero byte", format!("runbook: test\0\n{phases}"), "error: unexpected character"),
        (
            "an alias of nothing",
            format!("runbook: test\ntitle: *star\n{phases}"),
            "error: a text that begins with `*` is an alias to YAML, and nothing is called so\n",
        ),
        (
            "too many steps",
            format!("runbook: test\nphases: [{{ phase: one, steps: [{}] }}]\n", "{ task: x }, ".repeat(1001)),
            "error: the runbook has 1001 steps; at most 1000 are possible\n",
        ),
    ] {
        let files = Files::default().with("config/runbooks/test.yaml", &text);
        let said = said(&files);
        assert!(said.contains(expected), "{name}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{name}: {said}");
        // In shared files and announcements the same is said, and nothing panics.
        for path in ["config/people.yaml", "config/tminus.yaml", "messages/note.md"] {
            let _ = self::said(&Files::default().with(path, &text).with(&format!("{path}.md"), &format!("---\n{text}\n---\n")));
        }
    }
}

#[test]
fn scalars_keep_their_spelling_up_to_the_model() {
    let yaml = "runbook: test
environment: no
inputs:
  version: { default: 4.10, example: 007 }
  answer: { options: [yes, no, on], default: no }
phases:
  - phase: one
    steps:
      - { task: 1e3, id: a }
      - { run: http.request, with: { url: x, body: 4.10 } }
";
    let settings = Files::default().with("config/runbooks/test.yaml", yaml).settings().unwrap_or_else(|no| panic!("{no}"));
    let runbook = &settings.runbooks["test"];
    assert_eq!(runbook.environment.as_deref(), Some("no"));
    assert_eq!(runbook.inputs[0].field.default.as_deref(), Some("4.10"));
    assert_eq!(runbook.inputs[0].field.example.as_deref(), Some("007"));
    assert_eq!(runbook.inputs[1].field.default.as_deref(), Some("no"));
    assert_eq!(runbook.steps[0].title, "1e3");
    let written = format!("{:?}", runbook.steps[1].kind);
    assert!(written.contains("\"body\": String(\"4.10\")"), "{written}");
}

#[test]
fn names_that_collide_are_said_where_the_second_one_stands() {
    for (text, expected) in [
        (
            "phases: [{ phase: one, steps: [{ task: x, id: one }] }]",
            "error: `one` is already defined in line 2\n --> config/runbooks/test.yaml:2:47\n",
        ),
        (
            "phases: [{ phase: one, steps: [{ task: x }] }, { phase: one, steps: [{ task: y }] }]",
            "`one` is already defined in line 2",
        ),
        ("phases: [{ phase: one, steps: [{ task: x, id: a }, { task: y, id: a }] }]", "`a` is already defined in line 2"),
        (
            "inputs: { one: {} }\nphases: [{ phase: one, steps: [{ task: x }] }]",
            "`one` is already defined in line 2\n --> config/runbooks/test.yaml:3:12\n",
        ),
        ("phases: [{ phase: one, steps: [{ let: a, value: x }, { task: y, id: a }] }]", "`a` is already defined in line 2"),
        (
            "inputs: { steps: {} }\nphases: [{ phase: one, steps: [{ task: x }] }]",
            "`steps` already means something in expressions; call the input otherwise",
        ),
        (
            "phases: [{ phase: rollout, steps: [{ task: x }] }]",
            "`rollout` already means something in expressions; call the phase otherwise",
        ),
        (
            "phases: [{ phase: one, steps: [{ task: x, id: done }] }]",
            "`done` already means something in expressions; call the step otherwise",
        ),
    ] {
        let said = said(&Files::default().with("config/runbooks/test.yaml", &format!("runbook: test\n{text}\n")));
        assert!(said.contains(expected), "{text}\n{said}");
        assert_eq!(said.matches("error:").count(), 1, "{text}\n{said}");
    }
    // Ids that nobody wrote give way.
    assert_eq!(problems("runbook: test\nphases: [{ phase: do_it, steps: [{ task: Do it }, { task: Do it }] }]\n"), "no problem");
    let twice = "runbook: test\nphases: [{ phase: one, steps: [{ task: x }] }]\n";
    let files = Files::default().with("config/runbooks/a.yaml", twice).with("config/runbooks/b.yaml", twice);
    let expected = "error: another file defines the runbook `test` already\n --> config/runbooks/b.yaml:1:10\n";
    assert!(said(&files).starts_with(expected), "{}", said(&files));
    // Also where the first one has other errors.
    let files = files.with("config/runbooks/a.yaml", "runbook: test\nphases: []\n");
    assert!(said(&files).contains(expected), "{}", said(&files));
}

#[test]
fn phases_that_never_open_or_are_always_late_are_said() {
    let runbook = |top: &str, one: &str, two: &str| {
        format!(
            "runbook: test\n{top}phases:\n  - {{ phase: one, {one}steps: [{{ task: x }}] }}\n  - {{ phase: two, {two}steps: [{{ task: y }}] }}\n"
        )
    };
    let window = "inputs: { window: { type: window } }\n";
    let days = "inputs: { window: { type: window } }\ndays: { Day 0: T-1d, Day 1: T-0, Day 2: manual }\n";
    for (text, expected) in [
        (
            runbook("", "", "after: [two], "),
            "error: `two` waits for itself and would never open\n --> config/runbooks/test.yaml:4:7\n",
        ),
        (
            runbook("", "after: [two], ", "after: [one], "),
            "error: `one` waits for `two`, a phase that stands after it\n --> config/runbooks/test.yaml:3:7\n",
        ),
        (runbook("", "", "after: [three], "), "error: unknown phase `three`\n"),
        (runbook("", "", "back-off: one, "), "error: `two` backs off to a phase that stands before it\n"),
        (
            runbook(window, "at: T-1h, ", "at: T-2h, "),
            "error: `two` opens at T-2h, after `one`, which opens later\n --> config/runbooks/test.yaml:5:7\n",
        ),
        (
            runbook(days, "at: Day 1 09:00, ", "at: Day 0 09:00, "),
            "error: `two` opens at Day 0 09:00, after `one`, which opens later\n",
        ),
        (
            runbook(days, "at: Day 1 09:00, ", "at: Day 1 08:30, "),
            "error: `two` opens at Day 1 08:30, after `one`, which opens later\n",
        ),
        (runbook(days, "", "at: Day 3 08:30, "), "error: unknown day `Day 3`\n"),
        (runbook("", "at: T-1h, ", ""), "error: `one` has a time, but nothing says when T-0 is\n"),
    ] {
        let said = said(&Files::default().with("config/runbooks/test.yaml", &text));
        assert!(said.contains(expected), "{text}\n{said}");
        assert_eq!(said.matches("error:").count(), 1, "{text}\n{said}");
    }
    for text in [
        runbook(window, "at: T-1h, ", "at: T-1h, "),
        runbook(window, "at: T-1h, ", "at: T-2h, after: [], "),
        runbook(days, "at: Day 1 09:00, ", "at: Day 2 08:00, "),
    ] {
        assert_eq!(problems(&text), "no problem", "{text}");
    }
}

#[test]
fn patterns_that_do_not_compile_or_would_take_for_ever_are_said() {
    for (pattern, expected) in [
        ("(", "the pattern “(” does not compile"),
        ("[a-", "the pattern “[a-” does not compile"),
        (r"(?P<a>x)\k<a>", "does not compile"),
        ("(a{1000}){1000}", "does not compile"),
    ] {
        for text in [
            format!("inputs: {{ v: {{ pattern: '{pattern}' }} }}\nphases: [{{ phase: one, steps: [{{ task: x }}] }}]"),
            format!("phases: [{{ phase: one, steps: [{{ task: x, evidence: {{ v: {{ pattern: '{pattern}' }} }} }}] }}]"),
        ] {
            let said = said(&Files::default().with("config/runbooks/test.yaml", &format!("runbook: test\n{text}\n")));
            assert!(said.contains(expected), "{text}\n{said}");
            assert!(said.contains(" --> config/runbooks/test.yaml:2:"), "{text}\n{said}");
            assert_eq!(said.matches("error:").count(), 1, "{text}\n{said}");
        }
    }
}

#[test]
fn a_flood_of_errors_is_cut_and_a_text_without_measure_is_refused() {
    let announces = "runbook: test
audiences: { watch: ['slack:x'] }
phases: [{ phase: one, steps: [{ announce: note, to: [watch] }] }]
";
    let files = Files::default()
        .with("config/tminus.yaml", "addresses: { x: { slack: C0 } }\n")
        .with("config/runbooks/test.yaml", announces);
    let names = |count: usize| (0..count).fold(String::new(), |all, i| all + &format!("{{{{ n{i} }}}} "));
    let all = said(&files.clone().with("messages/note.md", &names(500)));
    assert_eq!(all.matches("error: unknown name").count(), 200);
    assert!(all.contains("error: there are more than 200 errors; the others are not said"), "{all}");
    let all = said(&files.with("messages/note.md", &names(10_000)));
    assert!(all.starts_with("error: the text does not compile: it has "), "{all}");
    assert_eq!(all.matches("error:").count(), 1, "{all}");
}

#[test]
fn an_environment_is_held_for_what_checklists_change_too() {
    let child = "runbook: inner\nphases: [{ phase: one, steps: [{ checklist: innermost, id: deeper }] }]\n";
    let innermost = "runbook: innermost\nphases: [{ phase: one, steps: [{ run: ci.command.x, id: x, with: { argv: [x] } }] }]\n";
    let parent = "
runbook: test
environment: shop/staging
phases:
  - { phase: before, steps: [{ task: Look, id: look }] }
  - { phase: act, steps: [{ checklist: inner, id: act_now }] }
  - { phase: more, steps: [{ run: ci.command.y, id: y, with: { argv: [y] } }] }
";
    let locks = |innermost: &str| {
        let files = Files::embedded()
            .with("config/runbooks/test.yaml", parent)
            .with("config/runbooks/inner.yaml", child)
            .with("config/runbooks/innermost.yaml", innermost);
        files.settings().unwrap_or_else(|unusable| panic!("{unusable}")).runbooks["test"].lock_from
    };
    assert_eq!(locks(innermost), Some(1));
    assert_eq!(locks("runbook: innermost\nphases: [{ phase: one, steps: [{ task: Only look, id: only }] }]\n"), Some(2));
}

#[test]
fn a_short_name_names_one_person_and_one_room() {
    let said = |path: &str, text: &str| {
        let files = Files::default().with(path, text);
        files.check().problems.iter().map(|problem| problem.render(files.text(path))).collect::<String>()
    };
    let people = |entries: &str| said("config/people.yaml", &format!("people:\n{entries}"));
    assert_eq!(people("  Ana.Silva-2_b: { name: Ana Silva }\n  ana: { name: Ana }\n"), "");
    let long = "a".repeat(81);
    for id in ["josé", "Ana Silva", "a/b", &long] {
        let said = people(&format!("  maria: {{ name: Maria }}\n  {id}: {{ name: X }}\n"));
        assert!(said.contains("can't be the short name of a person"), "{id}: {said}");
        assert!(said.contains("config/people.yaml:3:3"), "{id}: {said}");
        assert!(said.contains("= help: up to 80 letters (a to z), digits"), "{id}: {said}");
    }
    let said_of_two = people("  maria: { name: Maria }\n  ana: { name: Ana }\n  Maria: { name: Another }\n");
    assert!(said_of_two.contains("`maria` and `Maria` can't be two people"), "{said_of_two}");
    assert!(said_of_two.contains("config/people.yaml:4:3"), "{said_of_two}");
    for key in ["rooms", "addresses"] {
        let said =
            said("config/tminus.yaml", &format!("{key}:\n  direct-maria: {{ local: true }}\n  directors: {{ local: true }}\n"));
        assert_eq!(said.matches("can't be the name of a room or address").count(), 1, "{said}");
        assert!(said.contains("config/tminus.yaml:2:3") && said.contains("in which T-minus writes to one person"), "{said}");
    }
}

#[test]
fn where_rooms_addresses_and_people_are_is_checked() {
    let said = |file: &str, text: &str| said(&Files::default().with(file, text));
    for (place, what) in [
        ("slack: '#rollouts'", "`#rollouts` is not the id of a channel in Slack"),
        ("slack: D0123ABCD", "`D0123ABCD` is not the id of a channel in Slack"),
        ("telegram: rollouts", "`rollouts` is not the id of a group in Telegram"),
        ("telegram: 12345", "`12345` is not the id of a group in Telegram"),
    ] {
        let said = said("config/tminus.yaml", &format!("rooms: {{ rollouts: {{ {place} }} }}\n"));
        assert!(said.contains(what), "{said}");
    }
    let many: Vec<String> = (0..51).map(|number| format!("a{number}@example.com")).collect();
    for (place, what) in [
        ("slack: [C0123ABCD, C0456ABCD]", "an address is one channel on a platform"),
        ("telegram: '@x'", "`@x` is not the name of a channel in Telegram"),
        ("email: [maria]", "`maria` is not a mail address"),
        ("email: \"a@b\\r\\nBcc: c@d\"", "is not a mail address"),
        ("email: [a@example.com, A@example.com]", "`A@example.com` stands twice"),
        (&format!("email: [{}]", many.join(", ")), "an address has at most 50 mail addresses"),
    ] {
        let said = said("config/tminus.yaml", &format!("addresses: {{ watch: {{ {place} }} }}\n"));
        assert!(said.contains(what), "{said}");
    }
    let rooms = "rooms:\n  one: { slack: C0123ABCD, telegram: -1001 }\n  two: { slack: C0123ABCD, telegram: -1001 }\n";
    let twice = said("config/tminus.yaml", rooms);
    assert!(twice.contains("`C0123ABCD` is one's already") && twice.contains("`-1001` is one's already"), "{twice}");
    let people =
        "people:\n  ana: { name: Ana, slack: U0123ABCD }\n  tom: { name: Tom, slack: U0123ABCD, telegram: '@tom', email: x }\n";
    let said = said("config/people.yaml", people);
    assert!(said.contains("`U0123ABCD` is ana's already"), "{said}");
    assert!(said.contains("whoever has it there would be both of them"), "{said}");
    assert!(said.contains("`@tom` is not the id of somebody in Telegram"), "{said}");
    assert!(said.contains("`x` is not a mail address"), "{said}");
}

#[test]
fn what_is_configured_is_had_as_it_is() {
    let files = Files::default()
        .with("config/people.yaml", "people: { ana: { name: Ana, slack: T0AB/U0CD, telegram: 7, email: ana@example.com } }\n")
        .with(
            "config/tminus.yaml",
            "rooms: { rollouts: { slack: C0123ABCD, telegram: -1001, local: true } }
addresses: { watch: { telegram: '@watchers', email: [a@example.com, b@example.com] } }
",
        );
    let settings = files.settings().unwrap_or_else(|no| panic!("{no}"));
    let room = &settings.rooms["rollouts"];
    assert_eq!((room.slack.as_deref(), room.telegram, room.local), (Some("C0123ABCD"), Some(-1001), true));
    let watch = &settings.addresses["watch"];
    assert_eq!(watch.telegram, Some(TelegramChat::Name("@watchers".into())));
    assert_eq!(watch.email, ["a@example.com", "b@example.com"]);
    let ana = &settings.handles[&PersonId::new("ana")];
    let slack = SlackMember { team: Some("T0AB".into()), user: "U0CD".into() };
    assert_eq!((ana.slack.as_ref(), ana.telegram, ana.email.as_deref()), (Some(&slack), Some(7), Some("ana@example.com")));
}

#[test]
fn an_address_is_used_where_it_is() {
    let announces = |to: &str| {
        let text = format!(
            "runbook: test\naudiences: {{ watch: ['{to}'] }}\nphases: [{{ phase: one, steps: [{{ announce: note, to: [watch] }}] }}]\n"
        );
        let tminus = "rooms: { rollouts: { local: true } }\naddresses: { watch: { slack: C0123ABCD }, empty: {} }\n";
        let files = Files::default().with("config/tminus.yaml", tminus).with("messages/note.md", "note");
        said(&files.with("config/runbooks/test.yaml", &text))
    };
    for good in ["slack:watch", "local:rollouts"] {
        assert_eq!(announces(good), "", "{good}");
    }
    let said = announces("email:watch");
    assert!(said.contains("`watch` is nowhere on E-mail"), "{said}");
    assert!(said.contains("add `email` to it in config/tminus.yaml, or write `slack:watch`"), "{said}");
    assert!(announces("slack:empty").contains("add `slack` to it in config/tminus.yaml"));
    assert!(announces("slack:nobody").contains("unknown address `nobody`"));
}
