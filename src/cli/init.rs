//! `tminus init`: a beginning of a configuration, from a few questions.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::domain::problem::Severity;
use crate::settings::{Files, slack_channel, telegram_group};

/// How many people are asked for: more are written into the file.
const PEOPLE_MAX: usize = 50;
/// How often one question is asked before it is given up.
const TRIES_MAX: usize = 5;

/// Where it is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that gets config/ and messages/; it is made when it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    room: String,
    /// The channel in Slack, the chat in Telegram.
    slack: Option<String>,
    telegram: Option<i64>,
    people: Vec<Named>,
}

/// Somebody: short name and full name.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    id: String,
    name: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = ["config/tminus.yaml", "config/people.yaml", "config/runbooks/first.yaml", "messages/first-notice.md"];
    if let Some(there) = files.iter().map(|name| args.dir.join(name)).find(|path| path.exists()) {
        bail!("{} is there already, and nothing is overwritten; choose another folder: tminus init DIR", there.display());
    }
    let answers = asked(&mut std::io::stdin().lock(), std::io::stdin().is_terminal())?;
    let texts = [settings(&answers), people(&answers), runbook(&answers), NOTICE.to_owned()];
    // What is written is checked before it is.
    let written = Files::of(files.iter().map(|name| (*name).to_owned()).zip(texts.iter().cloned())).check();
    if let Some(problem) = written.problems.iter().find(|problem| problem.severity == Severity::Error) {
        bail!("the answers make no configuration: {}", problem.what);
    }
    for (name, text) in files.iter().zip(&texts) {
        write(&args.dir.join(name), text).with_context(|| format!("{name} can't be written"))?;
        println!("wrote {}", args.dir.join(name).display());
    }
    println!("\nNext:\n{}", next(&args.dir, &answers));
    Ok(ExitCode::SUCCESS)
}

/// Asks everything there is to ask, of a person or of what a script answers.
fn asked(answers: &mut dyn BufRead, is_person: bool) -> anyhow::Result<Answers> {
    let mut questions = Questions { answers, is_person };
    say("A few questions; an empty answer takes what stands in [brackets]. Nothing is written before the last one.\n");
    let platforms = questions.ask(
        "Where do people talk? T-minus always has rooms of its own; name others too: slack, telegram",
        "local",
        |said| {
            let named: Vec<&str> = said.split([',', ' ']).filter(|name| !name.is_empty()).collect();
            let unknown = named.iter().find(|name| !["local", "slack", "telegram"].contains(name));
            match unknown {
                Some(unknown) => Err(format!("{unknown} is none of local, slack, telegram.")),
                None => Ok(named.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()),
            }
        },
    )?;
    let room = questions.ask("What is the room called in which rollouts take place?", "rollouts", |said| {
        let fits = said.len() <= 80 && said.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(said.to_owned()) } else { Err("Up to 80 lower-case letters, digits and hyphens.".to_owned()) }
    })?;
    let is_on = |platform: &str| platforms.iter().any(|named| named == platform);
    let form = |help: &str| format!("It is {help}.");
    let mut slack = None;
    if is_on("slack") {
        let question = "Which channel is it in Slack? Its id, like C0123ABCD";
        slack = Some(questions.ask(question, "", |said| slack_channel(said).map_err(form))?);
    }
    let mut telegram = None;
    if is_on("telegram") {
        let question = "Which group is it in Telegram? Its id, like -1001234567890";
        telegram = Some(questions.ask(question, "", |said| telegram_group(said).map_err(form))?);
    }
    let first =
        questions.ask("Who looks after T-minus? Short name and full name: maria Maria Keller", "", |said| named(said, &[]))?;
    let mut people = vec![first];
    while people.len() < PEOPLE_MAX {
        let question = "Who else takes part? One at a time; an empty answer ends the list";
        let Some(person) =
            questions.ask(question, "", |said| if said.is_empty() { Ok(None) } else { named(said, &people).map(Some) })?
        else {
            break;
        };
        people.push(person);
    }
    Ok(Answers { room, slack, telegram, people })
}

/// Somebody, as they were named.
fn named(said: &str, people: &[Named]) -> Result<Named, String> {
    let (id, name) = said.split_once(char::is_whitespace).map_or((said, ""), |(id, name)| (id, name.trim()));
    let starts = id.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("The short name comes first: lower-case letters, digits and hyphens.".to_owned());
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(format!("And the full name after it: {id} Maria Keller."));
    }
    if people.iter().any(|person| person.id == id) {
        return Err(format!("{id} is somebody else already."));
    }
    Ok(Named { id: id.to_owned(), name: name.to_owned() })
}

struct Questions<'a> {
    answers: &'a mut dyn BufRead,
    /// Whether somebody sits there; otherwise a mistake can't be mended by asking again.
    is_person: bool,
}

impl Questions<'_> {
    fn ask<T>(&mut self, question: &str, default: &str, read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
        let offered = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        for _ in 0..TRIES_MAX {
            say(&format!("{question}{offered}: "));
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                // An answer that may be empty is empty; the others are missing.
                return read(default).map_err(|_| anyhow::anyhow!("the answers end before: {question}"));
            }
            let said = line.trim();
            match read(if said.is_empty() { default } else { said }) {
                Ok(answer) => return Ok(answer),
                Err(why) if self.is_person => say(&format!("{why}\n")),
                Err(why) => bail!("`{said}` is no answer to: {question}. {why}"),
            }
        }
        bail!("nothing was written; start again with `tminus init` when you know: {question}")
    }
}

/// Questions are for people, standard output for what was written.
fn say(text: &str) {
    eprint!("{text}");
    drop(std::io::stderr().flush());
}

/// A text as YAML reads it, whatever stands in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn settings(answers: &Answers) -> String {
    let mut room = String::new();
    if let Some(id) = &answers.slack {
        let _ = write!(room, "slack: {id}, ");
    }
    if let Some(id) = answers.telegram {
        let _ = write!(room, "telegram: {id}, ");
    }
    format!(
        "# Where the conversation takes place, where announcements go, what actions run against.\n\
         rooms:\n  {}: {{ {room}local: true }}\n\
         addresses:\n  stakeholders: {{ local: true }}\n\
         web:\n  listen: 127.0.0.1:8080\n  \
         # Where people reach it, through a proxy or with a certificate of its own (`tls: {{ certificate: …, key: … }}`):\n  \
         # public_url: https://rollouts.example.com\n",
        answers.room
    )
}

fn people(answers: &Answers) -> String {
    let mut text = "# Who there is. The short names are what runbooks use.\npeople:\n".to_owned();
    for (at, Named { id, name }) in answers.people.iter().enumerate() {
        let roles = if at == 0 { ", roles: [operator]" } else { "" };
        let _ = writeln!(text, "  {id}: {{ name: {}{roles} }}", quoted(name));
    }
    let ids: Vec<&str> = answers.people.iter().map(|person| person.id.as_str()).collect();
    let _ = writeln!(text, "teams:\n  everybody: [{}]", ids.join(", "));
    text
}

fn runbook(answers: &Answers) -> String {
    let room = &answers.room;
    format!(
        "# A first checklist, to be replaced by yours line by line. `tminus check` says what is wrong with it, `tminus simulate first 1.0`\n\
         # plays it in no time.\n\
         runbook: first\n\
         title: Release {{{{ version }}}}\n\
         rooms: [{room}]\n\
         inputs:\n  version: {{ label: Version, positional: true, example: '1.0' }}\n\
         audiences:\n  stakeholders: [local:stakeholders]\n\
         phases:\n\
         \x20 - phase: ready\n    title: Are we ready?\n    steps:\n\
         \x20     - acknowledge: Read the release notes\n        from: [everybody]\n\
         \x20     - decide: Go or no-go for {{{{ version }}}}?\n        id: go\n        voters: [everybody]\n        rule: majority\n\
         \x20 - phase: release\n    title: The release\n    if: decision.go == 'go'\n    steps:\n\
         \x20     - announce: first-notice\n        to: stakeholders\n\
         \x20     - task: Put {{{{ version }}}} into production\n        id: deployed\n\
         \x20     - result: succeeded\n"
    )
}

const NOTICE: &str = "---\nsubject: Release {{ version }} is starting\n---\n\
    **Release {{ version }}** is starting now. You will hear from us when it is done.\n";

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn next(dir: &Path, answers: &Answers) -> String {
    let dir = dir.display();
    let first = &answers.people[0].id;
    let mut text = format!(
        "  tminus check {dir}\n  tminus serve --config {dir} --data tminus-data\n  \
         tminus invite {first} --config {dir} --data tminus-data    # in another window: your link\n"
    );
    if answers.slack.is_some() || answers.telegram.is_some() {
        text.push_str(
            "\nThis version connects its own rooms only; what stands there of other platforms waits for one that does.\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> anyhow::Result<Answers> {
        asked(&mut text.as_bytes(), false)
    }

    #[test]
    fn whatever_people_are_called_the_files_pass_check() {
        let answers = answer("slack telegram\nops-room\nC1\n-100\nmaria Maria \"M\" O'Keller: #1 {{ x }}\nana Ana\n\n").unwrap();
        assert_eq!(answers.people.len(), 2);
        let files = Files::default()
            .with("config/tminus.yaml", &settings(&answers))
            .with("config/people.yaml", &people(&answers))
            .with("config/runbooks/first.yaml", &runbook(&answers))
            .with("messages/first-notice.md", NOTICE);
        let checked = files.check();
        assert_eq!(checked.problems, [], "{}", settings(&answers));
        assert_eq!(checked.settings.people.people().last().map(|p| p.name.as_str()), Some("Maria \"M\" O'Keller: #1 {{ x }}"));
    }

    #[test]
    fn what_is_no_answer_ends_a_script_with_the_reason() {
        for (text, expected) in [
            ("irc\n", "irc is none of local, slack, telegram"),
            ("\nMy Room\n", "lower-case letters"),
            ("\n\nMaria\n", "The short name comes first"),
            ("\n\nmaria\n", "And the full name after it"),
            ("\n\nmaria M\nmaria M\n", "maria is somebody else already"),
            ("", "the answers end before: Who looks after T-minus?"),
            ("slack\n\n#rollouts\n", "It is its id, like `C0123ABCD`"),
            ("telegram\n\n12\n", "It is a negative number"),
        ] {
            let error = answer(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert_eq!(answer("\n\nmaria M\n").unwrap().people.len(), 1, "the list ends with the answers");
    }
}
