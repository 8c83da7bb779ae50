//! A pretended system: takes another kind's operations and plays scripted outcomes on the rollout's own clock.
//!
//! It is the outside world of the demo and of rehearsals, so it has a memory of its own: a ledger file with one line per
//! thing it was asked to do. That is what `find` looks in after a crash, and what shows that nothing was asked twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::catalogue::{Kind, Operation, ParameterKind};
use crate::domain::message::card::Progress;
use crate::domain::message::template::{self, Landing};
use crate::domain::rollout::effect::Action;
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::ports::{CancelError, Executor, Found, Polled, StartError};

/// How long an operation takes when its script does not say.
const SECONDS_DEFAULT: i64 = 20;

/// How long nobody looks at an operation that says nothing.
const SILENT_SECONDS: i64 = 600;

/// What a pretended operation plays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// How long it takes.
    pub seconds: Option<i64>,
    /// What it says on the way, spread evenly.
    pub progress: Vec<String>,
    /// What it gives; templates over the operation's inputs and the rollout's.
    pub outputs: BTreeMap<String, String>,
    /// How it fails, if it does.
    pub fails: Option<String>,
    /// Whether nothing more is heard of it once it has begun.
    pub silent: bool,
    /// Whether the answer to its beginning is lost, and only a second look finds it.
    pub loses_answer: bool,
    /// Whether its end is said twice.
    pub twice: bool,
    /// How long after it its end is said, in seconds.
    pub late_seconds: i64,
}

/// The memory of everything pretended: one file for all pretended systems.
pub struct Ledger {
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<File>,
    begun: HashMap<String, Line>,
    /// What was looked for since the process began.
    looked_for: HashSet<String>,
}

/// One thing that was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    /// The effect's identity.
    effect: String,
    /// When, on the rollout's clock.
    at: DateTime<Utc>,
    rollout: String,
    step: String,
    system: String,
    operation: String,
    inputs: serde_json::Value,
    /// When it was asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Opens the ledger in a file, and reads what was asked before.
    ///
    /// # Errors
    /// When the file can't be opened or read.
    pub fn open(path: &Path) -> std::io::Result<Arc<Self>> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let mut begun = HashMap::new();
        for line in BufReader::new(&file).split(b'\n') {
            // A line that was cut off by a crash, perhaps in the middle of a character, was never acted on.
            if let Ok(line) = serde_json::from_slice::<Line>(&line?) {
                begun.insert(line.effect.clone(), line);
            }
        }
        Ok(Arc::new(Self { inner: Mutex::new(Inner { file: Some(file), begun, looked_for: HashSet::new() }) }))
    }

    /// A ledger that is forgotten with the process: simulations and tests.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { file: None, begun: HashMap::new(), looked_for: HashSet::new() }) })
    }

    fn begin(&self, line: Line) -> std::io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.begun.contains_key(&line.effect) {
            return Ok(());
        }
        inner.write(line)
    }

    /// Notes that something was asked to stop: a second line about it, which is the one that counts.
    fn cancel(&self, effect: &str, at: DateTime<Utc>) -> std::io::Result<bool> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.begun.get(effect).cloned() {
            None => Ok(false),
            Some(line) if line.cancelled.is_some() => Ok(true),
            Some(line) => inner.write(Line { cancelled: Some(at), ..line }).map(|()| true),
        }
    }

    /// Whether this is the first time since the process began that it is looked for.
    fn is_first_look(&self, effect: &str) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).looked_for.insert(effect.to_owned())
    }

    fn begun(&self, effect: &str) -> Option<Line> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).begun.get(effect).cloned()
    }
}

impl Inner {
    fn write(&mut self, line: Line) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            // Begins with a line break, in case the line before was cut off. One write, so that a kill leaves all or nothing.
            let mut text = String::from("\n");
            text.push_str(&serde_json::to_string(&line)?);
            text.push('\n');
            file.write_all(text.as_bytes())?;
        }
        self.begun.insert(line.effect.clone(), line);
        Ok(())
    }
}

/// A pretended system.
pub struct Pretend {
    ledger: Arc<Ledger>,
    kind: &'static Kind,
    scripts: BTreeMap<String, Script>,
}

impl Pretend {
    /// A system that plays the operations of a kind by these scripts.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, kind: &'static Kind, scripts: BTreeMap<String, Script>) -> Self {
        Self { ledger, kind, scripts }
    }

    fn outcome(&self, script: &Script, action: &Action) -> ActionOutcome {
        match &script.fails {
            Some(reason) => ActionOutcome::Failed { reason: reason.clone() },
            None => match outputs(script, self.kind.operation(&action.operation), action) {
                Ok(outputs) => ActionOutcome::Succeeded { outputs },
                Err(reason) => ActionOutcome::Failed { reason },
            },
        }
    }

    fn script(&self, operation: &str) -> Script {
        self.scripts.get(operation).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Executor for Pretend {
    async fn start(&self, action: &Action, now: DateTime<Utc>) -> Result<(), StartError> {
        let line = Line {
            effect: action.id.token(),
            at: now,
            rollout: action.rollout.to_string(),
            step: action.step_id.clone(),
            system: action.system.clone(),
            operation: action.operation.clone(),
            inputs: action.inputs.clone(),
            cancelled: None,
        };
        self.ledger
            .begin(line)
            .map_err(|error| StartError::Unclear { why: format!("the ledger of pretended actions: {error}") })?;
        if self.script(&action.operation).loses_answer {
            return Err(StartError::Unclear { why: format!("{} was asked, and its answer was lost", action.system) });
        }
        Ok(())
    }

    async fn find(&self, action: &Action) -> Found {
        let token = action.id.token();
        if self.script(&action.operation).loses_answer && self.ledger.is_first_look(&token) {
            return Found::CannotTell { why: format!("{} does not say whether it has begun", action.system) };
        }
        match self.ledger.begun(&token) {
            Some(_) => Found::There { reference: token },
            None => Found::Absent,
        }
    }

    async fn poll(&self, action: &Action, now: DateTime<Utc>) -> Result<Polled, String> {
        let line = self.ledger.begun(&action.id.token()).ok_or("it was never asked to do this")?;
        if line.cancelled.is_some() {
            return Ok(Polled::Ended(ActionOutcome::Failed { reason: "it was cancelled".to_owned() }));
        }
        let begun = line.at;
        let script = self.script(&action.operation);
        if script.silent {
            let progress = Progress { line: None, link: None };
            return Ok(Polled::Running { progress, again: now + TimeDelta::seconds(SILENT_SECONDS) });
        }
        let seconds = script.seconds.unwrap_or(SECONDS_DEFAULT).max(0);
        let ends = begun + TimeDelta::seconds(seconds);
        let said = ends + TimeDelta::seconds(script.late_seconds);
        if now >= ends && now < said {
            return Ok(Polled::Running { progress: Progress { line: None, link: None }, again: said });
        }
        if now >= said {
            return Ok(Polled::Ended(self.outcome(&script, action)));
        }
        let stages = i64::try_from(script.progress.len()).unwrap_or(1).max(1);
        let stage = ((now - begun).num_seconds().max(0) * stages / seconds.max(1)).min(stages - 1);
        let next = begun + TimeDelta::milliseconds(seconds * 1000 * (stage + 1) / stages);
        let line = usize::try_from(stage).ok().and_then(|stage| script.progress.get(stage)).cloned();
        Ok(Polled::Running { progress: Progress { line, link: None }, again: next.clamp(now + TimeDelta::seconds(1), ends) })
    }

    async fn said_again(&self, action: &Action) -> Option<ActionOutcome> {
        let script = self.script(&action.operation);
        script.twice.then(|| self.outcome(&script, action))
    }

    async fn cancel(&self, action: &Action, now: DateTime<Utc>) -> Result<(), CancelError> {
        match self.ledger.cancel(&action.id.token(), now) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CancelError::Impossible { why: "it was never asked to do this".to_owned() }),
            Err(error) => Err(CancelError::TryAgain { why: format!("the ledger of pretended actions: {error}") }),
        }
    }
}

/// What a script gives, each as what the operation says that it is: expressions see of a pretended system what they will see of
/// the real one.
fn outputs(
    script: &Script,
    operation: Option<&Operation>,
    action: &Action,
) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    let inputs = action
        .inputs
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let known: BTreeMap<String, String> = action.values.clone().into_iter().chain(inputs).collect();
    let scope = minijinja::Value::from_pairs(known);
    let mut outputs = serde_json::Map::new();
    for (name, text) in &script.outputs {
        let text = template::render(text, Landing::Plain, &scope)
            .map_err(|problem| format!("the script's output `{name}`: {problem}"))?;
        let kind = operation.and_then(|operation| operation.output(name)).map_or(ParameterKind::Text, |output| output.kind);
        let value = typed(kind, &text).ok_or_else(|| format!("the script's output `{name}` is “{text}”, not {}", kind.name()))?;
        outputs.insert(name.clone(), value);
    }
    Ok(outputs)
}

fn typed(kind: ParameterKind, text: &str) -> Option<serde_json::Value> {
    match kind {
        ParameterKind::Number => match text.parse::<i64>() {
            Ok(whole) => Some(whole.into()),
            Err(_) => serde_json::Number::from_f64(text.parse().ok()?).map(Into::into),
        },
        ParameterKind::Flag => match text {
            "yes" | "true" => Some(true.into()),
            "no" | "false" => Some(false.into()),
            _ => None,
        },
        ParameterKind::List => Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
        ParameterKind::Text | ParameterKind::Map => Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_is_no_line_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pretended.jsonl");
        let line = |effect: &str| Line {
            effect: effect.to_owned(),
            at: "2026-11-20T12:00:00Z".parse().unwrap(),
            rollout: "r".to_owned(),
            step: "s".to_owned(),
            system: "ci".to_owned(),
            operation: "command.x".to_owned(),
            inputs: serde_json::json!({ "text": "grün" }),
            cancelled: None,
        };
        Ledger::open(&path).unwrap().begin(line("one")).unwrap();
        // Cut in the middle of a character of two bytes.
        let text = serde_json::to_vec(&line("two")).unwrap();
        let cut = text.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&text[..cut]).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        ledger.begin(line("three")).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        let known = ["one", "two", "three"].map(|effect| ledger.begun(effect).is_some());
        assert_eq!(known, [true, false, true]);
    }
}
