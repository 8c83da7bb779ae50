//! What people type: `/rollout start 4.3`, `@tminus done backup`. One grammar on every platform; nothing runs on a guess.

use std::collections::BTreeMap;

use crate::domain::problem::did_you_mean;
use crate::domain::rollout::command::{Change, CommandBody, Refusal, RefusalKind, StepRef};
use crate::domain::rollout::event::{Choice, Fate, NoteKind};

/// The longest text that is read as a command, in characters.
pub const COMMAND_CHARS_MAX: usize = 4000;

/// What was said, with the rollout it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The rollout that was named first, if one was.
    pub rollout: Option<String>,
    /// What is asked.
    pub ask: Ask,
}

/// What people can ask.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Start a rollout.
    Start {
        /// Words that are not `name=value`: perhaps the runbook, then the positional input.
        words: Vec<String>,
        /// Inputs by name.
        typed: BTreeMap<String, String>,
        /// When T-0 is.
        at: Option<String>,
        /// Whether it only rehearses.
        rehearsal: bool,
    },
    /// Where a rollout stands.
    Status,
    /// Which rollouts are open.
    List,
    /// Who is awaited.
    Who,
    /// How to say things, or what a step or phase is about.
    Help {
        /// About which command, step or phase.
        about: Option<String>,
    },
    /// Move the clock of a rehearsal forward.
    Advance {
        /// By how much, as typed; to the next moment at which something happens, if nothing is said.
        by: Option<String>,
    },
    /// What waits for the person who asks.
    Mine,
    /// The checklist as it stands.
    Report,
    /// How an announcement would read now.
    Preview {
        /// Of which step.
        step: StepRef,
    },
    /// Something done to a rollout; several things where several steps are named.
    Do(Vec<CommandBody>),
}

/// A command in the help text.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// Its word.
    pub verb: &'static str,
    /// What comes after it.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn help(verb: &'static str, arguments: &'static str, about: &'static str) -> Help {
    Help { verb, arguments, about }
}

/// Every command, in the order of the help text.
pub const COMMANDS: [Help; 39] = [
    help(
        "start",
        "[RUNBOOK] [VALUE] [INPUT=VALUE…] [at TIME] [rehearsal]",
        "starts a rollout: `start 4.3`; a rehearsal touches nothing",
    ),
    help("status", "", "says where it stands and what comes next"),
    help("list", "", "lists the open rollouts"),
    help("mine", "", "lists what waits for you, in all rollouts"),
    help("who", "", "says who has not acknowledged, voted or done"),
    help("ack", "[STEP]", "acknowledges, for yourself"),
    help("go", "[for PERSON]", "votes GO; a stand-in says for whom"),
    help("no-go", "[for PERSON] [REASON]", "votes NO-GO; runs stop at once, and a minute later it is final"),
    help("done", "STEP… [FIELD=VALUE…]", "completes a task: `done backup backup_id=4711 finished=yes`"),
    help("answer", "STEP FIELD=VALUE…", "answers a question or fills in what a phase needs"),
    help("run", "STEP", "runs an action, or what failed again"),
    help("confirm", "STEP", "confirms what waits for it: a value that was worked out, a late action"),
    help("cancel", "STEP", "asks a running action to stop"),
    help("fail", "STEP REASON", "says that a task did not work"),
    help("fate", "STEP ran|rerun|look|hold", "says what became of an action that nobody knows the end of"),
    help("skip", "STEP REASON", "goes on without a step; a required one takes the owner and somebody else"),
    help("reopen", "STEP REASON", "undoes a mistaken Done"),
    help("open", "[PHASE]", "opens a phase that a person opens"),
    help("back-off", "", "leaves a phase and goes back by another"),
    help("assign", "STEP PERSON", "gives a step to somebody else"),
    help("handover", "PERSON", "gives the rollout to somebody else"),
    help("waive", "PERSON|DESTINATION REASON", "goes on without an acknowledgement, or without a destination"),
    help("set", "INPUT VALUE", "changes what may still change: `set container 4.3.1`"),
    help(
        "amend",
        "[STEP INPUT=VALUE…|STEP add TEXT|STEP drop REASON]",
        "changes the runbook for this rollout only, by two people; alone it agrees",
    ),
    help("reschedule", "TIME", "moves T-0: `reschedule 2026-12-01 02:00 for 2h`"),
    help("preview", "STEP", "shows an announcement before it goes"),
    help("correct", "STEP TEXT", "follows an announcement with a correction"),
    help("announce", "TEXT to AUDIENCE", "announces what no step announces"),
    help("advance", "[DURATION]", "moves the clock of a rehearsal: `advance 4h`; without, to what comes next"),
    help("note", "[problem|resolution] TEXT", "leaves a note in the record"),
    help("report", "", "writes the checklist as it stands, with figures"),
    help("lock", "", "takes the environment now, before its time"),
    help("unlock", "", "gives it back, or leaves the line for it, before its time"),
    help("takeover", "REASON", "takes the environment over from the rollout that holds it"),
    help("override", "REASON", "lets a rollout go on in spite of a freeze"),
    help("hold", "", "starts nothing new until `resume`"),
    help("resume", "", "lets a held rollout go on"),
    help("abort", "REASON", "stops a rollout; what wraps up still runs"),
    help("help", "[COMMAND|STEP]", "says how to say things, or what a step is about"),
];

/// The last word of a start that only rehearses.
const REHEARSE: &str = "rehearsal";

/// Words that will mean something later: refused by name, so that nobody wonders.
const LATER: [&str; 2] = ["rollback", "link"];

/// Other words for the same command.
const SYNONYMS: [(&str, &str); 12] = [
    ("take-over", "takeover"),
    ("backoff", "back-off"),
    ("hand-over", "handover"),
    ("move", "reschedule"),
    ("acknowledge", "ack"),
    ("nogo", "no-go"),
    ("no_go", "no-go"),
    ("retry", "run"),
    ("pause", "hold"),
    ("continue", "resume"),
    ("?", "help"),
    ("ls", "list"),
];

/// What follows the bot's name in a text, or nothing if the text is not for the bot.
#[must_use]
pub fn addressed(text: &str) -> Option<&str> {
    let text = text.trim();
    let first = text.split_whitespace().next()?;
    let name = first.to_lowercase();
    let is_bot =
        name == "/rollout" || name.starts_with("/rollout@") || name == "@tminus" || name == "@tminus:" || name == "@tminus,";
    is_bot.then(|| text[first.len()..].trim())
}

/// Reads what follows the bot's name. `is_rollout` knows the ids of rollouts.
///
/// # Errors
/// What was not understood, and what was probably meant.
pub fn parse(text: &str, is_rollout: &dyn Fn(&str) -> bool) -> Result<Said, Refusal> {
    if text.chars().count() > COMMAND_CHARS_MAX {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            format!("That is longer than the {COMMAND_CHARS_MAX} characters a command may have."),
        ));
    }
    let mut words = Words { rest: text.trim() };
    let mut rollout = words.take_if(is_rollout);
    let Some(said_verb) = words.next() else {
        let ask = if rollout.is_some() { Ask::Status } else { Ask::Help { about: None } };
        return Ok(Said { rollout, ask });
    };
    let verb = canonical(&said_verb)?;
    // Every command takes an id first; `status ID` and `ID status` are the same.
    if rollout.is_none() && verb != "help" && verb != "start" {
        rollout = words.take_if(is_rollout);
    }
    let ask = match verb {
        "start" => start(words)?,
        "status" => Ask::Status,
        "list" => Ask::List,
        "who" => Ask::Who,
        "help" => Ask::Help { about: words.next() },
        "advance" => Ask::Advance { by: words.remainder() },
        "mine" => Ask::Mine,
        "report" => Ask::Report,
        "preview" => Ask::Preview { step: words.step() },
        "ack" => Ask::Do(vec![CommandBody::Acknowledge { step: words.step() }]),
        "go" => vote(Choice::Go, words),
        "no-go" => vote(Choice::NoGo, words),
        "done" => {
            let (steps, typed) = words.names_and_fields()?;
            if steps.len() > 1 && !typed.is_empty() {
                return Err(invalid("Fields belong to one step: complete the steps one by one."));
            }
            let steps =
                if steps.is_empty() { vec![StepRef::TheOpenOne] } else { steps.into_iter().map(StepRef::Named).collect() };
            Ask::Do(steps.into_iter().map(|step| CommandBody::CompleteStep { step, typed: typed.clone() }).collect())
        }
        "answer" => {
            let (steps, typed) = words.names_and_fields()?;
            let step = match &steps[..] {
                [] => StepRef::TheOpenOne,
                [step] => StepRef::Named(step.clone()),
                [_, stray, ..] => {
                    return Err(invalid(&format!(
                        "`{}` has no field name. Write `FIELD=VALUE`, with quotes around spaces: `reason=\"two words\"`.",
                        clean(stray)
                    )));
                }
            };
            Ask::Do(vec![CommandBody::AnswerStep { step, typed }])
        }
        "note" => {
            let kind = match words.take_if(&|word| matches!(word, "problem" | "resolution")).as_deref() {
                Some("problem") => NoteKind::Problem,
                Some(_) => NoteKind::Resolution,
                None => NoteKind::Remark,
            };
            Ask::Do(vec![CommandBody::AddNote { text: words.rest(), kind }])
        }
        "announce" => announce(words)?,
        _ => Ask::Do(vec![one_thing(verb, words)?]),
    };
    Ok(Said { rollout, ask })
}

fn vote(choice: Choice, mut words: Words<'_>) -> Ask {
    let instead_of = words.take_if(&|word: &str| word.eq_ignore_ascii_case("for")).and_then(|_| words.next());
    Ask::Do(vec![CommandBody::CastVote { step: StepRef::TheOpenOne, choice, reason: words.remainder(), instead_of }])
}

/// What is done to one step, or to the rollout as a whole.
fn one_thing(verb: &str, mut words: Words<'_>) -> Result<CommandBody, Refusal> {
    Ok(match verb {
        "run" => CommandBody::RunStep { step: words.step() },
        "confirm" => CommandBody::ConfirmStep { step: words.step() },
        "cancel" => CommandBody::CancelStep { step: words.step() },
        "fail" => CommandBody::FailStep { step: words.named("fail STEP REASON")?, reason: words.rest() },
        "skip" => CommandBody::SkipStep { step: words.named("skip STEP REASON")?, reason: words.rest() },
        "reopen" => CommandBody::ReopenStep { step: words.named("reopen STEP REASON")?, reason: words.rest() },
        "correct" => CommandBody::Correct { step: words.named("correct STEP TEXT")?, text: words.rest() },
        "fate" => {
            const USAGE: &str = "fate STEP ran|rerun|look|hold";
            let step = words.named(USAGE)?;
            let fate = match words.needed(USAGE)?.to_lowercase().as_str() {
                "ran" => Fate::Ran,
                "rerun" => Fate::Rerun,
                "look" => Fate::Look,
                "hold" => Fate::Hold,
                other => {
                    let says = format!("A fate is `ran`, `rerun`, `look` or `hold`, not `{}`.", clean(other));
                    return Err(invalid(&says));
                }
            };
            CommandBody::SayFate { step, fate }
        }
        "assign" => CommandBody::AssignStep { step: words.named("assign STEP PERSON")?, to: words.needed("assign STEP PERSON")? },
        "handover" => CommandBody::HandOver { to: words.needed("handover PERSON")? },
        "waive" => CommandBody::Waive { whom: words.needed("waive PERSON REASON")?, reason: words.rest() },
        "set" => CommandBody::SetInput { input: words.needed("set INPUT VALUE")?, text: words.rest() },
        "amend" => words.amendment()?,
        "reschedule" => {
            // `reschedule to …` is how people say it.
            words.take_if(&|word| matches!(word, "to" | "at"));
            CommandBody::Reschedule { text: words.rest() }
        }
        "open" => CommandBody::OpenPhase { phase: words.next() },
        "back-off" => CommandBody::BackOff { generation: None },
        "takeover" => CommandBody::TakeOver { reason: words.rest() },
        "override" => CommandBody::OverrideFreeze { reason: words.rest() },
        "lock" => CommandBody::Lock,
        "unlock" => CommandBody::Unlock,
        "hold" => CommandBody::Hold,
        "resume" => CommandBody::Resume { generation: None },
        _ => CommandBody::Abort { reason: words.rest(), generation: None },
    })
}

/// `announce TEXT to AUDIENCE`: the last `to` is the one that is meant.
fn announce(mut words: Words<'_>) -> Result<Ask, Refusal> {
    let said = words.rest();
    let Some((text, audience)) =
        said.rsplit_once(" to ").filter(|(text, audience)| !text.trim().is_empty() && !audience.trim().is_empty())
    else {
        return Err(invalid("Say what and to whom: `/rollout announce TEXT to AUDIENCE`."));
    };
    Ok(Ask::Do(vec![CommandBody::Announce { text: text.trim().to_owned(), audience: audience.trim().to_owned() }]))
}

/// Whether a word is a command.
#[must_use]
pub fn is_command(word: &str) -> bool {
    COMMANDS.iter().any(|command| command.verb == word.to_lowercase())
}

fn canonical(said: &str) -> Result<&'static str, Refusal> {
    let lower = said.to_lowercase();
    if let Some(found) = COMMANDS.iter().find(|command| command.verb == lower) {
        return Ok(found.verb);
    }
    if let Some((_, meant)) = SYNONYMS.iter().find(|(word, _)| *word == lower) {
        return Ok(meant);
    }
    if lower == REHEARSE {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            "A rehearsal is a rollout that touches nothing: `/rollout start … rehearsal` begins one.",
        ));
    }
    if LATER.contains(&lower.as_str()) {
        return Err(Refusal::new(
            RefusalKind::Unknown,
            format!("`{lower}` is not supported by this version. `/rollout help` lists what is."),
        ));
    }
    let near = did_you_mean(&lower, COMMANDS.iter().map(|command| command.verb));
    let hint = near.map_or_else(|| "`/rollout help` lists what I know.".to_owned(), |near| format!("Did you mean `{near}`?"));
    Err(Refusal::new(RefusalKind::Unknown, format!("I don't know `{}`. {hint}", clean(said))))
}

fn start(mut words: Words<'_>) -> Result<Ask, Refusal> {
    let mut plain = Vec::new();
    let mut typed = BTreeMap::new();
    let (mut at, mut rehearsal) = (None, false);
    while let Some(word) = words.next_raw() {
        if word.text == "at" && !word.quoted {
            let said = words.remainder().unwrap_or_default();
            let is_word = |time: &&str| time.is_empty() || time.ends_with(char::is_whitespace);
            let only_rehearses = said.strip_suffix(REHEARSE).filter(is_word);
            rehearsal |= only_rehearses.is_some();
            let time = only_rehearses.unwrap_or(&said).trim_end();
            if time.is_empty() {
                return Err(invalid("After `at` comes when T-0 is: `at 2026-12-01 02:00`."));
            }
            at = Some(time.to_owned());
            break;
        }
        if word.text == REHEARSE && !word.quoted {
            rehearsal = true;
            continue;
        }
        match word.field() {
            Some((name, value)) => drop(typed.insert(name, value)),
            None => plain.push(word.text),
        }
    }
    Ok(Ask::Start { words: plain, typed, at, rehearsal })
}

fn invalid(says: &str) -> Refusal {
    Refusal::new(RefusalKind::Invalid, says)
}

/// A word within backticks: it can't close them, and it is short.
fn clean(text: &str) -> String {
    text.chars().filter(|c| *c != '`' && !c.is_control()).take(60).collect()
}

struct Words<'a> {
    rest: &'a str,
}

struct Word {
    text: String,
    quoted: bool,
    /// Where the first `=` outside quotes stands.
    equals: Option<usize>,
}

impl Word {
    /// `name=value`, if it is that.
    fn field(&self) -> Option<(String, String)> {
        let at = self.equals?;
        let name = &self.text[..at];
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| (name.to_owned(), self.text[at + 1..].to_owned()))
    }
}

impl Words<'_> {
    fn next_raw(&mut self) -> Option<Word> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return None;
        }
        let (mut text, mut quote, mut quoted, mut equals) = (String::new(), None, false, None);
        let mut end = self.rest.len();
        for (index, c) in self.rest.char_indices() {
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    end = index;
                    break;
                }
                // A quote opens where a word or a value begins; elsewhere it is an apostrophe. Phones make curly ones.
                (None, '"' | '\'' | '“' | '”') if text.is_empty() || text.ends_with('=') => {
                    quote = Some(if c == '“' { '”' } else { c });
                    quoted = true;
                }
                (Some(closing), c) if c == closing => quote = None,
                (None, '=') if equals.is_none() => {
                    equals = Some(text.len());
                    text.push('=');
                }
                (_, c) => text.push(c),
            }
        }
        self.rest = &self.rest[end..];
        Some(Word { text, quoted, equals })
    }

    fn next(&mut self) -> Option<String> {
        self.next_raw().map(|word| word.text)
    }

    /// The step that is named, or the only open one that fits.
    fn step(&mut self) -> StepRef {
        self.next().map_or(StepRef::TheOpenOne, StepRef::Named)
    }

    /// A step that has to be named.
    fn named(&mut self, usage: &str) -> Result<StepRef, Refusal> {
        self.needed(usage).map(StepRef::Named)
    }

    fn needed(&mut self, usage: &str) -> Result<String, Refusal> {
        self.next().ok_or_else(|| invalid(&format!("Something is missing: `/rollout {usage}`.")))
    }

    /// What is left, or nothing.
    fn rest(&mut self) -> String {
        self.remainder().unwrap_or_default()
    }

    fn take_if(&mut self, test: &dyn Fn(&str) -> bool) -> Option<String> {
        let before = self.rest;
        let word = self.next()?;
        if test(&word) {
            return Some(word);
        }
        self.rest = before;
        None
    }

    fn remainder(&mut self) -> Option<String> {
        let rest = self.rest.trim();
        self.rest = "";
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// `amend` alone agrees; `amend STEP …` proposes.
    fn amendment(&mut self) -> Result<CommandBody, Refusal> {
        let Some(step) = self.next() else { return Ok(CommandBody::AgreeToAmendment { generation: None }) };
        let change = match self.take_if(&|word| matches!(word, "add" | "drop")).as_deref() {
            Some("add") => Change::Add(self.rest()),
            Some(_) => Change::Drop(self.rest()),
            None => {
                let mut inputs = BTreeMap::new();
                while let Some(word) = self.next_raw() {
                    // Inputs of systems are called as the systems call them: `parameters.ContainerVersion`.
                    let Some((name, value)) = word.equals.map(|at| word.text.split_at(at)).filter(|(name, _)| !name.is_empty())
                    else {
                        return Err(invalid(&format!(
                            "`{}` says nothing of `{}`. Write `INPUT=VALUE`, `add TEXT` or `drop REASON`.",
                            clean(&word.text),
                            clean(&step)
                        )));
                    };
                    inputs.insert(name.to_owned(), value[1..].to_owned());
                }
                if inputs.is_empty() { Change::Nothing } else { Change::Inputs(inputs) }
            }
        };
        Ok(CommandBody::Amend { step: StepRef::Named(step), change })
    }

    fn names_and_fields(&mut self) -> Result<(Vec<String>, BTreeMap<String, String>), Refusal> {
        let (mut names, mut typed) = (Vec::new(), BTreeMap::new());
        while let Some(word) = self.next_raw() {
            match word.field() {
                Some((name, value)) => drop(typed.insert(name, value)),
                None if typed.is_empty() => names.push(word.text),
                None => {
                    let says = format!(
                        "`{}` has no field name. Put quotes around a value with spaces: `name=\"two words\"`.",
                        clean(&word.text)
                    );
                    return Err(invalid(&says));
                }
            }
        }
        Ok((names, typed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> Result<Said, String> {
        parse(addressed(text).expect("a command"), &|id| id == "andromeda-staging-4.3").map_err(|refusal| refusal.says)
    }

    fn typed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn commands_are_understood() {
        let named = |id: &str| StepRef::Named(id.to_owned());
        let cases = [
            ("/rollout", None, Ask::Help { about: None }),
            ("/rollout start 4.3", None, Ask::Start { words: vec!["4.3".into()], typed: typed(&[]), at: None, rehearsal: false }),
            (
                "/rollout start 4.3 rehearsal",
                None,
                Ask::Start { words: vec!["4.3".into()], typed: typed(&[]), at: None, rehearsal: true },
            ),
            (
                "/rollout start 4.3 at 2026-12-01 02:00 rehearsal",
                None,
                Ask::Start { words: vec!["4.3".into()], typed: typed(&[]), at: Some("2026-12-01 02:00".into()), rehearsal: true },
            ),
            (
                "/rollout start note='a rehearsal' 'rehearsal'",
                None,
                Ask::Start {
                    words: vec!["rehearsal".into()],
                    typed: typed(&[("note", "a rehearsal")]),
                    at: None,
                    rehearsal: false,
                },
            ),
            (
                "/rollout start andromeda-staging 4.3 completers=maria at 2026-12-01 02:00",
                None,
                Ask::Start {
                    words: vec!["andromeda-staging".into(), "4.3".into()],
                    typed: typed(&[("completers", "maria")]),
                    at: Some("2026-12-01 02:00".into()),
                    rehearsal: false,
                },
            ),
            ("/rollout@tminusbot STATUS", None, Ask::Status),
            (
                "@tminus done backup go_call",
                None,
                Ask::Do(vec![
                    CommandBody::CompleteStep { step: named("backup"), typed: typed(&[]) },
                    CommandBody::CompleteStep { step: named("go_call"), typed: typed(&[]) },
                ]),
            ),
            (
                "/rollout done backup backup_id=\"a b\" finished=yes",
                None,
                Ask::Do(vec![CommandBody::CompleteStep {
                    step: named("backup"),
                    typed: typed(&[("backup_id", "a b"), ("finished", "yes")]),
                }]),
            ),
            ("/rollout andromeda-staging-4.3 who", Some("andromeda-staging-4.3"), Ask::Who),
            ("/rollout status andromeda-staging-4.3", Some("andromeda-staging-4.3"), Ask::Status),
            ("/rollout andromeda-staging-4.3", Some("andromeda-staging-4.3"), Ask::Status),
            ("/rollout acknowledge", None, Ask::Do(vec![CommandBody::Acknowledge { step: StepRef::TheOpenOne }])),
            (
                "/rollout nogo it isn't ready",
                None,
                Ask::Do(vec![CommandBody::CastVote {
                    step: StepRef::TheOpenOne,
                    choice: Choice::NoGo,
                    reason: Some("it isn't ready".into()),
                    instead_of: None,
                }]),
            ),
            (
                "/rollout go for Pia",
                None,
                Ask::Do(vec![CommandBody::CastVote {
                    step: StepRef::TheOpenOne,
                    choice: Choice::Go,
                    reason: None,
                    instead_of: Some("Pia".into()),
                }]),
            ),
            (
                "/rollout abort wrong version",
                None,
                Ask::Do(vec![CommandBody::Abort { reason: "wrong version".into(), generation: None }]),
            ),
            ("/rollout retry dns", None, Ask::Do(vec![CommandBody::RunStep { step: named("dns") }])),
            (
                "/rollout note problem the disk is full",
                None,
                Ask::Do(vec![CommandBody::AddNote { text: "the disk is full".into(), kind: NoteKind::Problem }]),
            ),
            (
                "/rollout skip backup no time",
                None,
                Ask::Do(vec![CommandBody::SkipStep { step: named("backup"), reason: "no time".into() }]),
            ),
            ("/rollout fate dns RAN", None, Ask::Do(vec![CommandBody::SayFate { step: named("dns"), fate: Fate::Ran }])),
            (
                "/rollout waive slack:watch it is archived",
                None,
                Ask::Do(vec![CommandBody::Waive { whom: "slack:watch".into(), reason: "it is archived".into() }]),
            ),
            (
                "/rollout reschedule to 2026-12-01 02:00 for 2h",
                None,
                Ask::Do(vec![CommandBody::Reschedule { text: "2026-12-01 02:00 for 2h".into() }]),
            ),
            (
                "/rollout announce we are back to normal to watch",
                None,
                Ask::Do(vec![CommandBody::Announce { text: "we are back to normal".into(), audience: "watch".into() }]),
            ),
            ("/rollout backoff", None, Ask::Do(vec![CommandBody::BackOff { generation: None }])),
            ("/rollout mine", None, Ask::Mine),
            ("/rollout advance 4h", None, Ask::Advance { by: Some("4h".into()) }),
            ("/rollout advance", None, Ask::Advance { by: None }),
            ("/rollout lock", None, Ask::Do(vec![CommandBody::Lock])),
            ("/rollout andromeda-staging-4.3 unlock", Some("andromeda-staging-4.3"), Ask::Do(vec![CommandBody::Unlock])),
            ("/rollout amend", None, Ask::Do(vec![CommandBody::AgreeToAmendment { generation: None }])),
            (
                "/rollout amend dns parameters.Size='a b' group=x",
                None,
                Ask::Do(vec![CommandBody::Amend {
                    step: named("dns"),
                    change: Change::Inputs(typed(&[("parameters.Size", "a b"), ("group", "x")])),
                }]),
            ),
            (
                "/rollout amend dns add Tell the support desk",
                None,
                Ask::Do(vec![CommandBody::Amend { step: named("dns"), change: Change::Add("Tell the support desk".into()) }]),
            ),
        ];
        for (text, rollout, ask) in cases {
            assert_eq!(said(text), Ok(Said { rollout: rollout.map(str::to_owned), ask }), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_gets_a_specific_answer() {
        for (text, expected) in [
            ("/rollout strat 4.3", "I don't know `strat`. Did you mean `start`?"),
            ("/rollout xyzzy", "I don't know `xyzzy`. `/rollout help` lists what I know."),
            ("/rollout amend it now", "`now` says nothing of `it`. Write `INPUT=VALUE`, `add TEXT` or `drop REASON`."),
            ("/rollout link it", "`link` is not supported by this version. `/rollout help` lists what is."),
            ("/rollout rehearsal 4.3", "A rehearsal is a rollout that touches nothing: `/rollout start … rehearsal` begins one."),
            ("/rollout start 4.3 at rehearsal", "After `at` comes when T-0 is: `at 2026-12-01 02:00`."),
            ("/rollout start 4.3 at", "After `at` comes when T-0 is: `at 2026-12-01 02:00`."),
            ("/rollout skip", "Something is missing: `/rollout skip STEP REASON`."),
            ("/rollout fate dns perhaps", "A fate is `ran`, `rerun`, `look` or `hold`, not `perhaps`."),
            ("/rollout announce hello", "Say what and to whom: `/rollout announce TEXT to AUDIENCE`."),
            ("/rollout done a b x=1", "Fields belong to one step: complete the steps one by one."),
            ("/rollout done a x=1 2", "`2` has no field name. Put quotes around a value with spaces: `name=\"two words\"`."),
        ] {
            assert_eq!(said(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn other_talk_is_not_for_the_bot() {
        for text in ["", "good morning", "rollout start 4.3", "/rollouts", "tell @tminus done"] {
            assert_eq!(addressed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_typed_is_an_ask_or_a_refusal(text in ".{0,200}") {
            let _ = parse(&text, &|_| false);
            if let Some(rest) = addressed(&text) {
                let _ = parse(rest, &|_| true);
            }
        }
    }
}
