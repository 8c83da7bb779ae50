//! The steps of a runbook: what each kind does and what can be said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::Field;
use crate::domain::time::{Offset, Takes};

use super::model::Outcome;

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id: `go_call`.
    pub id: String,
    /// The item it is for, where `each` made one step of every item. Its id is `id[item]` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// The phase it belongs to.
    pub phase: usize,
    /// The sentence people read; a template.
    pub title: String,
    /// Whether it applies; an expression.
    pub condition: Option<String>,
    /// Who does it: names as in [`Runbook::people`](super::model::Runbook::people). Empty: the owner.
    pub who: Vec<String>,
    /// Shown on demand; a template.
    pub help: Option<String>,
    /// How long it usually takes.
    pub takes: Option<Takes>,
    /// By when it should be done. Passing it reminds and escalates; it never decides by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// How often who is awaited is reminded, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_seconds: Option<i64>,
    /// Whether skipping it takes a second person.
    #[serde(default = "yes")]
    pub required: bool,
    /// What kind of step it is.
    pub kind: StepKind,
}

const fn yes() -> bool {
    true
}

impl Step {
    /// Its id as the runbook writes it: without the item of `each`.
    #[must_use]
    pub fn base_id(&self) -> &str {
        match &self.each {
            Some(item) => self.id.strip_suffix(&format!("[{item}]")).unwrap_or(&self.id),
            None => &self.id,
        }
    }
}

/// By when a step should be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Due {
    /// So many seconds after it opened.
    After(i64),
    /// At a time of the window.
    At(Offset),
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum StepKind {
    /// Posts an announcement.
    Announce {
        /// Its template.
        message: String,
        /// The audiences it goes to.
        to: Vec<String>,
        /// How often it is posted while its phase is open, in seconds; once, if nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every_seconds: Option<i64>,
    },
    /// Everybody on the roster acknowledges.
    Acknowledge {
        /// The groups that form the roster.
        from: Vec<String>,
    },
    /// A person does something.
    Task {
        /// What belongs to it; templates.
        items: Vec<String>,
        /// What is recorded with it.
        evidence: Vec<Field>,
    },
    /// A person answers something, or many people do, each for themselves.
    Ask {
        /// Those who all answer. Empty: one of `who` does.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        from: Vec<String>,
        /// The fields of the answer.
        fields: Vec<Field>,
        /// The inputs that the answer writes: field name to input name.
        sets: BTreeMap<String, String>,
    },
    /// A system does something.
    Run {
        /// What it does.
        #[serde(flatten)]
        call: Call,
        /// Who presses Run; without, it runs by itself.
        press: Option<Vec<String>>,
        /// When to stop waiting for its end, in seconds.
        timeout_seconds: Option<i64>,
        /// Whether a second person has to press Run too.
        #[serde(default)]
        four_eyes: bool,
        /// What a person records in place of the outputs, where the system is not configured and the step is a task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_hand: Option<Vec<Field>>,
    },
    /// Nothing is done until something has come true.
    Wait {
        /// For what.
        wait: Wait,
    },
    /// A rollout of another runbook.
    Checklist {
        /// Which runbook.
        runbook: String,
        /// The inputs it starts with; texts in it are templates.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        with: BTreeMap<String, String>,
        /// Whether it has to succeed; otherwise any ending settles the step.
        gate: bool,
        /// The phase of the child that settles the step, where it need not end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// What is recorded with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evidence: Vec<Field>,
    },
    /// Works something out once; it is a name in expressions from then on.
    Let {
        /// The name.
        name: String,
        /// The template of the value.
        value: String,
        /// Who confirms it; nobody has to, if nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<Vec<String>>,
    },
    /// Voters decide.
    Decide {
        /// Who votes.
        voters: Vec<String>,
        /// When it is decided.
        rule: Rule,
        /// Whether one NO-GO decides, whatever the rule.
        #[serde(default)]
        veto: bool,
        /// Who may vote for a voter who is away.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stand_ins: Vec<String>,
        /// The steps whose results are shown with it.
        evidence: Vec<usize>,
        /// The announcement posted with the decision.
        notice: Option<String>,
        /// The audiences it goes to.
        to: Vec<String>,
    },
    /// Records the result of the rollout.
    Result {
        /// Which.
        result: Outcome,
    },
}

impl StepKind {
    /// Whether systems do something for it, by themselves once it is open: an action, or a checklist that may have some.
    #[must_use]
    pub const fn acts(&self) -> bool {
        matches!(self, Self::Run { by_hand: None, .. } | Self::Checklist { .. })
    }

    /// The call it makes of a system, if it makes one.
    #[must_use]
    pub const fn call(&self) -> Option<&Call> {
        match self {
            Self::Run { call, .. } => Some(call),
            Self::Wait { wait } => wait.call(),
            _ => None,
        }
    }

    /// The fields that are filled in with it.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Task { evidence, .. } | Self::Checklist { evidence, .. } => evidence,
            Self::Ask { fields, .. } | Self::Run { by_hand: Some(fields), .. } => fields,
            _ => &[],
        }
    }

    /// The key that names the kind in a runbook.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Announce { .. } => "announce",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Task { .. } => "task",
            Self::Ask { .. } => "ask",
            Self::Run { .. } => "run",
            Self::Decide { .. } => "decide",
            Self::Wait { .. } => "wait",
            Self::Checklist { .. } => "checklist",
            Self::Let { .. } => "let",
            Self::Result { .. } => "result",
        }
    }
}

/// One call of one operation of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The configured system.
    pub system: String,
    /// One of its operations.
    pub operation: String,
    /// The operation's inputs; texts in it are templates.
    pub with: serde_json::Value,
    /// What must hold of its outputs.
    pub require: Vec<Requirement>,
}

/// What a `wait` waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum Wait {
    /// Time to pass.
    Time {
        /// How much, in seconds.
        seconds: i64,
    },
    /// A call whose requirements hold.
    Until {
        /// The call.
        #[serde(flatten)]
        call: Call,
        /// How often it is asked, in seconds.
        every_seconds: i64,
        /// When to stop asking, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<i64>,
    },
    /// A call that is good so many times in a row; or, in `during`, for as long as the phase is open.
    Cycles {
        /// The call.
        #[serde(flatten)]
        call: Call,
        /// How many; none while the phase is open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cycles: Option<u32>,
        /// How often it is asked, in seconds.
        every_seconds: i64,
        /// What a bad one does.
        bad: Bad,
    },
}

impl Wait {
    /// The call that it repeats, if there is one.
    #[must_use]
    pub const fn call(&self) -> Option<&Call> {
        match self {
            Self::Time { .. } => None,
            Self::Until { call, .. } | Self::Cycles { call, .. } => Some(call),
        }
    }
}

/// What one bad cycle of a `wait` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bad {
    /// Counting begins again.
    Restart,
    /// The step fails.
    Fail,
    /// The room is told; counting goes on.
    Tell,
}

/// Something that must hold of an action's outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The expression; `outputs` is what came out.
    pub that: String,
    /// What is said when it does not hold; a template.
    pub otherwise: String,
}

/// When a decision is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The first vote decides.
    Any,
    /// More than half of all voters.
    Majority,
    /// Everybody.
    Unanimous,
    /// At least so many.
    AtLeast(usize),
}

impl Rule {
    /// How many must say GO among so many voters.
    #[must_use]
    pub const fn needed(self, voters: usize) -> usize {
        match self {
            Self::Any => 1,
            Self::Majority => voters / 2 + 1,
            Self::Unanimous => voters,
            Self::AtLeast(number) => number,
        }
    }

    /// The rule in words.
    #[must_use]
    pub fn in_words(self, voters: usize) -> String {
        match self {
            Self::Any => "the first vote decides".to_owned(),
            Self::Unanimous if voters == 1 => "one voter decides".to_owned(),
            Self::Unanimous => format!("all {voters} must say GO; one NO-GO stops it"),
            Self::Majority | Self::AtLeast(_) => {
                format!("{} of {voters} must say GO; it is NO-GO once that can't be reached", self.needed(voters))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn rules_in_figures_and_words() {
        for (rule, voters, needed) in
            [(Rule::Any, 3, 1), (Rule::Majority, 3, 2), (Rule::Majority, 4, 3), (Rule::Unanimous, 3, 3), (Rule::AtLeast(2), 5, 2)]
        {
            assert_eq!(rule.needed(voters), needed, "{rule:?} of {voters}");
        }
        assert_eq!(Rule::Unanimous.in_words(3), "all 3 must say GO; one NO-GO stops it");
    }
}
