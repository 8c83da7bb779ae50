//! The schemas that editors use say the same as the reader: which keys there are, where, and what is needed.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tminus::domain::schema::Subject;
use tminus::settings::Files;

/// A key that nobody has thought of, so that the reader says which it knows.
const NONSENSE: &str = "qqqqqqqq";

/// Set to write the shipped schemas anew.
const UPDATE: &str = "SCHEMA_UPDATE";

fn as_an_editor_reads(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// What a validator of JSON Schema says, or nothing.
fn invalid(subject: Subject, document: &Value) -> Option<String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("schema.json", subject.schema()).expect("a resource");
    let index = compiler.compile("schema.json", &mut schemas).expect("a schema");
    schemas.validate(document, index).err().map(|error| format!("{error:#}"))
}

fn subject_of(path: &str) -> Subject {
    match path {
        "config/people.yaml" => Subject::People,
        "config/tminus.yaml" => Subject::Settings,
        _ => Subject::Runbook,
    }
}

/// The keys of a definition: of the file itself, or what a pointer leads to.
fn keys(subject: Subject, pointer: &str) -> BTreeSet<String> {
    let schema = subject.schema();
    let found = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} of {}", subject.name()));
    found["properties"].as_object().expect("properties").keys().cloned().collect()
}

fn runbook_with_step(step: &str) -> String {
    format!("runbook: test\ninputs: {{ version: {{}} }}\nphases: [{{ phase: one, steps: [{step}] }}]\n")
}

/// A file, in it a map with a key that nobody knows; how the reader calls that map; where its definition is.
fn probes() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let runbook = "config/runbooks/test.yaml";
    let top = |text: &str| format!("runbook: test\n{text}\nphases: [{{ phase: one, steps: [{{ task: x }}] }}]\n");
    let q = NONSENSE;
    let mut probes = vec![
        (runbook, top("qqqqqqqq: x"), "a runbook", ""),
        (runbook, top("inputs: { a: { qqqqqqqq: x } }"), "an input", "/$defs/input"),
        (runbook, top("audiences: { a: { to: slack:x, qqqqqqqq: x } }"), "a destination", "/$defs/destination/anyOf/1"),
        (runbook, top("notes: [{ question: x, qqqqqqqq: x }]"), "a note", "/$defs/note"),
        (runbook, top("may: { qqqqqqqq: x }"), "`may`", "/$defs/may"),
        (
            runbook,
            format!("runbook: test\nphases: [{{ phase: one, {q}: x, steps: [{{ task: x }}] }}]\n"),
            "a phase",
            "/$defs/phase",
        ),
        (runbook, runbook_with_step("{ task: x, evidence: { a: { qqqqqqqq: x } } }"), "a field", "/$defs/field"),
        (
            runbook,
            runbook_with_step("{ decide: x, voters: owner, rule: { at-least: 1, qqqqqqqq: x } }"),
            "a rule",
            "/$defs/rule/anyOf/1",
        ),
        (
            runbook,
            runbook_with_step("{ run: jenkins.build, with: { job: x }, require: [{ that: 'true', qqqqqqqq: x }] }"),
            "a requirement",
            "/$defs/requirement",
        ),
        (
            runbook,
            runbook_with_step("{ wait: x, until: { run: rancher.read-lb, require: [{ that: 'true' }], qqqqqqqq: x } }"),
            "a check",
            "/$defs/check",
        ),
        ("config/people.yaml", "qqqqqqqq: x\n".to_owned(), "the people file", ""),
        (
            "config/people.yaml",
            "people: { a: { name: A, qqqqqqqq: x } }\n".to_owned(),
            "a person",
            "/properties/people/additionalProperties",
        ),
    ];
    for (text, what, pointer) in [
        ("qqqqqqqq: x\n", "the settings", ""),
        ("rooms: { a: { qqqqqqqq: x } }\n", "a room", "/properties/rooms/additionalProperties"),
        ("addresses: { a: { qqqqqqqq: x } }\n", "an address", "/properties/addresses/additionalProperties"),
        ("web: { qqqqqqqq: x }\n", "web", "/properties/web"),
        ("freezes: [{ qqqqqqqq: x }]\n", "a freeze", "/properties/freezes/items"),
        ("digests: [{ qqqqqqqq: x }]\n", "a digest", "/properties/digests/items"),
        ("backups: { qqqqqqqq: x }\n", "backups", "/properties/backups"),
        ("systems: { a: { kind: pretend, as: aws, qqqqqqqq: x } }\n", "a system", "/$defs/pretended"),
        ("systems: { a: { kind: aws, qqqqqqqq: x } }\n", "a system", "/$defs/configured"),
        ("systems: { a: { kind: http, allow: ['https://x.example'], qqqqqqqq: x } }\n", "a system", "/$defs/http"),
        (
            "systems: { a: { kind: http, allow: ['https://x.example'], headers: { b: { qqqqqqqq: x } } } }\n",
            "a secret",
            "/$defs/secret",
        ),
        ("systems: { a: { kind: command, allow: [./x], qqqqqqqq: x } }\n", "a system", "/$defs/programs"),
        ("systems: { a: { kind: pretend, as: jenkins, script: { build: { qqqqqqqq: x } } } }\n", "a script", "/$defs/script"),
    ] {
        probes.push(("config/tminus.yaml", text.to_owned(), what, pointer));
    }
    for (step, pointer) in [
        ("{ announce: commencement, to: [all], qqqqqqqq: x }", "/$defs/announce"),
        ("{ acknowledge: x, from: owner, qqqqqqqq: x }", "/$defs/acknowledge"),
        ("{ task: x, qqqqqqqq: x }", "/$defs/task"),
        ("{ ask: x, qqqqqqqq: x }", "/$defs/ask"),
        ("{ run: rancher.read-lb, qqqqqqqq: x }", "/$defs/run"),
        ("{ decide: x, voters: owner, qqqqqqqq: x }", "/$defs/decide"),
        ("{ wait: x, every: 1m, cycles: 1, of: { run: rancher.read-lb }, qqqqqqqq: x }", "/$defs/wait"),
        ("{ checklist: test, qqqqqqqq: x }", "/$defs/checklist"),
        ("{ let: x, value: x, qqqqqqqq: x }", "/$defs/let"),
        ("{ result: succeeded, qqqqqqqq: x }", "/$defs/result"),
    ] {
        probes.push((runbook, runbook_with_step(step), "a step", pointer));
    }
    probes
}

/// Keys that the reader knows only to say that they are not supported yet, or not by this kind.
fn is_refused(pointer: &str, key: &str, path: &str, text: &str) -> bool {
    // `who` is taken of every step, to say what stands in its place.
    let other_who = ["announce", "acknowledge", "run", "decide", "let", "result"];
    if key == "who" && other_who.iter().any(|kind| pointer == format!("/$defs/{kind}")) {
        return true;
    }
    let said = problems(path, &text.replace(NONSENSE, key));
    said.contains(&format!("`{key}` of ")) && said.contains("is not supported by this version")
}

fn problems(path: &str, text: &str) -> String {
    let files = Files::default().with("messages/commencement.md", "It begins.").with(path, text);
    files.check().problems.iter().map(|problem| problem.render(None)).collect()
}

#[test]
fn the_reader_and_the_schemas_know_the_same_keys() {
    let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
    for (path, text, what, pointer) in probes() {
        let subject = subject_of(path);
        let said = problems(path, &text);
        let found =
            said.split(&format!("unknown key in {what} `{NONSENSE}`\n")).nth(1).unwrap_or_else(|| panic!("{text}\n{said}"));
        let known = found.lines().find_map(|line| line.strip_prefix("  = help: known: ")).expect("what is known");
        let known: BTreeSet<String> =
            known.split(", ").filter(|key| !is_refused(pointer, key, path, &text)).map(str::to_owned).collect();
        assert_eq!(keys(subject, pointer), known, "{what} in {path}: the schema on the left, the reader on the right\n{text}");
        seen.insert((subject.name(), pointer.to_owned()));
    }
    // Every definition with keys of its own was asked about.
    for subject in Subject::ALL {
        let schema = subject.schema();
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            let is_map = definition["additionalProperties"] == json!(false);
            let pointer = format!("/$defs/{name}");
            assert!(!is_map || seen.contains(&(subject.name(), pointer)), "{name} of {} is not compared", subject.name());
        }
    }
}

#[test]
fn the_reader_and_the_schema_know_the_same_kinds_of_steps() {
    let said = problems("config/runbooks/test.yaml", &runbook_with_step("{ qqqqqqqq: x }"));
    let known = said.split("one key names it: ").nth(1).and_then(|rest| rest.lines().next()).expect("the kinds");
    let is_supported = |kind: &&str| {
        let said = problems("config/runbooks/test.yaml", &runbook_with_step(&format!("{{ {kind}: x }}")));
        !said.contains("step is not supported by this version")
    };
    let known: BTreeSet<String> = known.split(", ").filter(is_supported).map(str::to_owned).collect();
    assert_eq!(keys(Subject::Runbook, "/$defs/step"), known);
}

#[test]
fn the_shipped_files_are_valid_and_name_their_schemas() {
    for dir in ["config", "config/runbooks"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)).expect("a folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            if Path::new(&name).extension().is_none_or(|ending| ending != "yaml") {
                continue;
            }
            let path = format!("{dir}/{name}");
            let text = Files::embedded().text(&path).expect("built in").to_owned();
            let subject = subject_of(&path);
            if let Some(error) = invalid(subject, &as_an_editor_reads(&text)) {
                panic!("{path}: {error}");
            }
            let up = if dir == "config" { "" } else { "../" };
            let header = format!("# yaml-language-server: $schema={up}schema/{}.json\n", subject.name());
            assert!(text.starts_with(&header), "{path} does not begin with {header}");
        }
    }
}

#[test]
fn what_the_reader_takes_in_any_spelling_is_valid_and_slips_are_not() {
    let step = |step: &str| runbook_with_step(step);
    for text in [
        step("{ task: 4.10 }"),
        step("{ task: true, who: [owner], each: [core, web] }"),
        step("{ run: robot.dance, with: { to: '{{ version }}' }, takes: 5s..20m, due: T-30m }"),
        step("{ wait: 24h, due: 1h30m }"),
        step("{ decide: Go?, voters: owner, rule: { at-least: 2 } }"),
        "runbook: test\ninputs: { version: , window: { type: window } }\ndays: { Day 1: T-0 }\nphases: [{ phase: one, at: Day 1 09:00, steps: [{ task: x }] }]\n".to_owned(),
    ] {
        assert_eq!(invalid(Subject::Runbook, &as_an_editor_reads(&text)), None, "{text}");
    }
    for text in [
        step("{ taks: x }"),
        step("{ task: x, announce: y }"),
        step("{ task: x, voters: owner }"),
        step("{ announce: x }"),
        step("{ task: x, takes: 5 minutes }"),
        step("{ task: x, id: a-b }"),
        step("{ run: jenkins }"),
        step("{ wait: x, cycles: 0 }"),
        "phases: [{ phase: one, steps: [{ task: x }] }]\n".to_owned(),
        "runbook: test\nphases: []\n".to_owned(),
        "runbook: test\nphases: [{ phase: one, during: [{ task: y }], steps: [{ task: x }] }]\n".to_owned(),
        "runbook: test\nphases: [{ phase: one, at: T5d, steps: [{ task: x }] }]\n".to_owned(),
    ] {
        assert!(invalid(Subject::Runbook, &as_an_editor_reads(&text)).is_some(), "{text}");
    }
    for (text, is_valid) in [
        ("people: { Ana.Silva-2_b: { name: Ana Silva } }", true),
        ("people: { josé: { name: José } }", false),
        ("people: { Ana Silva: { name: Ana Silva } }", false),
    ] {
        assert_eq!(invalid(Subject::People, &as_an_editor_reads(text)).is_none(), is_valid, "{text}");
    }
    for (text, is_valid) in [
        ("rooms: { direct-maria: { local: true } }", false),
        ("addresses: { direct-maria: { local: true } }", false),
        ("systems: { a: { kind: pretend, as: jenkins, script: { build: {} } } }", true),
        ("systems: { a: { kind: pretend, as: jenkins, script: { biuld: {} } } }", false),
        ("systems: { a: { kind: pretend, as: command, script: { command.tests: {} } } }", true),
        ("systems: { a: { kind: jenkins, token: { env: TOKEN } } }", true),
        ("systems: { a: { kind: jenkins, token: secret } }", false),
        ("systems: { a: { kind: jenkin } }", false),
        ("rooms: { A: {} }", false),
    ] {
        assert_eq!(invalid(Subject::Settings, &as_an_editor_reads(text)).is_none(), is_valid, "{text}");
    }
}

#[test]
fn the_shipped_schemas_are_what_the_command_prints() {
    for subject in Subject::ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/schema/{}.json", subject.name()));
        let schema = subject.schema();
        if std::env::var_os(UPDATE).is_some() {
            let text = serde_json::to_string_pretty(&schema).expect("JSON");
            std::fs::write(&path, format!("{text}\n")).expect("written");
        }
        let shipped = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        assert!(
            shipped.as_ref() == Some(&schema),
            "{} is not what `tminus schema --for {}` prints; run this test with {UPDATE}=1",
            path.display(),
            subject.name()
        );
    }
}
