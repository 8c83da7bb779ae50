//! The steps of a runbook: what each kind does and what can be said of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::conversation::form::Field;
use crate::domain::time::Takes;

use super::model::Outcome;

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id: `go_call`.
    pub id: String,
    /// The phase it belongs to.
    pub phase: usize,
    /// The sentence people read; a template.
    pub title: String,
    /// Whether it applies; an expression.
    pub condition: Option<String>,
    /// Who does it: names as in [`Runbook::people`]. Empty: the owner.
    pub who: Vec<String>,
    /// Shown on demand; a template.
    pub help: Option<String>,
    /// How long it usually takes.
    pub takes: Option<Takes>,
    /// What kind of step it is.
    pub kind: StepKind,
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
    /// A person answers something.
    Ask {
        /// The fields of the answer.
        fields: Vec<Field>,
        /// The inputs that the answer writes: field name to input name.
        sets: BTreeMap<String, String>,
    },
    /// A system does something.
    Run {
        /// The configured system.
        system: String,
        /// One of its operations.
        operation: String,
        /// The operation's inputs; texts in it are templates.
        with: serde_json::Value,
        /// Who presses Run; without, it runs by itself.
        press: Option<Vec<String>>,
        /// When to stop waiting for its end, in seconds.
        timeout_seconds: Option<i64>,
        /// What must hold of its outputs.
        require: Vec<Requirement>,
    },
    /// Voters decide.
    Decide {
        /// Who votes.
        voters: Vec<String>,
        /// When it is decided.
        rule: Rule,
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
    /// The fields that are filled in with it.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Task { evidence, .. } => evidence,
            Self::Ask { fields, .. } => fields,
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
            Self::Result { .. } => "result",
        }
    }
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
