//! What people say and press, heard by a rollout in memory: grammar, button tokens, answers to forms, and everything that is decided
//! by them.
//!
//! A line is a happening:
//!
//! ```text
//! @everything                      with which rollout it begins: `everything` (as without) or `small`
//! maria: /rollout done backup      somebody says something
//! maria! 1.3.done.2 | why | a=b    somebody presses a button, with a reason and fields
//! +4h                              time passes
//! >                                the next moment comes at which something happens by itself
//! ~ ~bad ~lost                     the outside does its part for what is owed first
//! ^ ^bad                           checklists end
//! ```

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::TimeDelta;
use tminus::domain::conversation::answer;
use tminus::domain::conversation::button::{ButtonToken, Verb};
use tminus::domain::conversation::form::{Reading, read_form};
use tminus::domain::conversation::grammar::{Ask, addressed, parse};
use tminus::domain::people::PersonId;
use tminus::domain::report::report;
use tminus::domain::rollout::command::{CommandBody, StepRef};
use tminus::domain::rollout::event::{Choice, Fate};
use tminus::domain::runbook::model::Outcome;
use tminus::domain::time::{parse_duration, parse_time};
use tminus::settings::Files;

use super::bounds::{Watch, timed};
use super::stage::{Luck, Stage, fields, hears};

/// How many lines are played: a rollout as long as any, and no more.
const LINES_MAX: usize = 400;

static STAGES: LazyLock<BTreeMap<&'static str, Stage>> = LazyLock::new(|| {
    let files = Files::of([
        ("config/people.yaml".to_owned(), include_str!("../stages/people.yaml").to_owned()),
        ("config/tminus.yaml".to_owned(), include_str!("../stages/tminus.yaml").to_owned()),
        ("config/runbooks/everything.yaml".to_owned(), include_str!("../stages/everything.yaml").to_owned()),
        ("config/runbooks/small.yaml".to_owned(), include_str!("../stages/small.yaml").to_owned()),
        ("messages/notice.md".to_owned(), include_str!("../stages/notice.md").to_owned()),
    ]);
    let settings = files.settings().unwrap_or_else(|unusable| panic!("{unusable}"));
    let stage = |name: &'static str| (name, Stage::start(&settings, &settings.runbooks[name], "maria"));
    ["everything", "small"].map(stage).into()
});

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().peekable();
    let named = lines.next_if(|line| line.starts_with('@')).map_or("everything", |line| line[1..].trim());
    let mut stage = STAGES.get(named).unwrap_or(&STAGES["everything"]).clone();
    // Also what no rollout would come to hear is read.
    grammar(&text);
    let watch = Watch::start();
    for line in lines.take(LINES_MAX) {
        happens(&mut stage, line);
    }
    stage.assert_whole();
    watch.stop("all of it");
}

fn grammar(text: &str) {
    let read = timed("reading what was said", || parse(addressed(text).unwrap_or(text), &|id| id == "r"));
    if let Err(refusal) = read {
        assert!(refusal.says.chars().count() < 500, "a long refusal: {}", refusal.says);
    }
    if let Some(token) = ButtonToken::parse(text) {
        assert_eq!(ButtonToken::parse(&token.to_string()), Some(token), "a token is read as it is printed");
    }
}

fn happens(stage: &mut Stage, line: &str) {
    match line.trim() {
        ">" => drop(stage.next_moment()),
        "~" => drop(stage.outside(Luck::Good)),
        "~bad" => drop(stage.outside(Luck::Bad)),
        "~lost" => drop(stage.outside(Luck::None)),
        "^" => stage.children_end(Outcome::Succeeded),
        "^bad" => stage.children_end(Outcome::Failed),
        line => {
            if let Some(passes) = line.strip_prefix('+') {
                if let Ok(seconds) = parse_duration(passes) {
                    stage.passes(TimeDelta::seconds(seconds));
                }
            } else if let Some((person, press)) = person_and(line, '!') {
                pressed(stage, person, press);
            } else if let Some((person, said)) = person_and(line, ':') {
                said_by(stage, person, said);
            }
        }
    }
}

/// Who, and what: names are short, so that a mark further on is one of the text's own.
fn person_and(line: &str, mark: char) -> Option<(&str, &str)> {
    let (person, rest) = line.split_once(mark)?;
    person.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| (person, rest.trim()))
}

fn said_by(stage: &mut Stage, person: &str, words: &str) {
    let Some(asked) = addressed(words) else { return };
    let understood = match timed("reading what was said", || parse(asked, &|id| id == "r")) {
        Ok(understood) => understood,
        Err(refusal) => return hears(&refusal.says),
    };
    let (rollout, people, now) = (&stage.state, &stage.people, stage.now);
    let says = match understood.ask {
        Ask::Do(bodies) => {
            for body in bodies {
                given(stage, person, body);
            }
            return;
        }
        Ask::Start { typed, at, .. } => {
            let reading = Reading { zone: rollout.runbook.timezone, now, people };
            let inputs: Vec<_> = rollout.runbook.inputs.iter().map(|input| input.field.clone()).collect();
            let problems = timed("reading a form", || read_form(&inputs, &typed, reading)).err().unwrap_or_default();
            let at = at.map(|at| parse_time(&at, reading.zone, now)).and_then(Result::err);
            problems.into_values().chain(at).collect::<Vec<_>>().join("\n")
        }
        Ask::Status => answer::status(rollout, people, now, None).text,
        Ask::Who => answer::who(rollout, people, now).text,
        Ask::Report => answer::report(&report(rollout, people), rollout.runbook.timezone).text,
        Ask::Mine => answer::mine(&answer::waiting_for(rollout, people, now, &PersonId::new(person))).text,
        Ask::Preview { step } => match timed("a preview", || answer::preview(rollout, people, now, &step)) {
            Ok(answer) => answer.text,
            Err(refusal) => refusal.says,
        },
        Ask::Help { about: Some(about) } => {
            let explained = answer::explain(rollout, people, now, &about);
            explained.unwrap_or_else(|| answer::help(Some(&about))).text
        }
        Ask::Help { about: None } => answer::help(None).text,
        Ask::Advance { by } => by.and_then(|by| parse_duration(&by).err()).unwrap_or_default(),
        Ask::List => return,
    };
    hears(&says);
}

fn pressed(stage: &mut Stage, person: &str, press: &str) {
    let mut parts = press.split('|').map(str::trim);
    let Some(token) = parts.next().and_then(ButtonToken::parse) else { return };
    let reason = parts.next().filter(|reason| !reason.is_empty()).map(str::to_owned);
    let typed = fields(parts);
    let step = || StepRef::Button { index: token.step.unwrap_or(usize::MAX), generation: token.generation };
    let why = || reason.clone().unwrap_or_default();
    let vote = |choice| CommandBody::CastVote { step: step(), choice, reason: reason.clone(), instead_of: None };
    let fate = |fate| CommandBody::SayFate { step: step(), fate };
    let body = match token.verb {
        Verb::Ack => CommandBody::Acknowledge { step: step() },
        Verb::Done => CommandBody::CompleteStep { step: step(), typed },
        Verb::Item(item) => CommandBody::TickItem { step: step(), item },
        Verb::Answer => CommandBody::AnswerStep { step: step(), typed },
        Verb::Go => vote(Choice::Go),
        Verb::NoGo => vote(Choice::NoGo),
        Verb::Run => CommandBody::RunStep { step: step() },
        Verb::Confirm => CommandBody::ConfirmStep { step: step() },
        Verb::Fail => CommandBody::FailStep { step: step(), reason: why() },
        Verb::Cancel => CommandBody::CancelStep { step: step() },
        Verb::Skip => CommandBody::SkipStep { step: step(), reason: why() },
        Verb::Ran => fate(Fate::Ran),
        Verb::Rerun => fate(Fate::Rerun),
        Verb::Look => fate(Fate::Look),
        Verb::Unclear => fate(Fate::Hold),
        Verb::Open(phase) => {
            let phase = stage.state.runbook.phases.get(phase).map(|phase| phase.id.clone());
            CommandBody::OpenPhase { phase }
        }
        Verb::BackOff => CommandBody::BackOff { generation: Some(token.generation) },
        Verb::Agree => CommandBody::AgreeToAmendment { generation: Some(token.generation) },
        Verb::All => {
            let everybody = token.step.and_then(|step| answer::everybody(&stage.state, &stage.people, stage.now, step));
            return everybody.iter().for_each(|answer| hears(&answer.text));
        }
        Verb::Hold => CommandBody::Hold,
        Verb::Resume => CommandBody::Resume { generation: Some(token.generation) },
        Verb::Abort => CommandBody::Abort { reason: why(), generation: Some(token.generation) },
    };
    given(stage, person, body);
}

fn given(stage: &mut Stage, person: &str, body: CommandBody) {
    match stage.give(Some(person), body) {
        Ok(recorded) => {
            let person = PersonId::new(person);
            let told = answer::answer(&stage.state, &stage.people, stage.now, Some(&person), &recorded);
            hears(&told.text);
        }
        Err(refusal) => hears(&refusal.says),
    }
}
