//! Where issues are kept: GitHub, GitLab.

use super::ParameterKind::{List, Number, Text};
use super::{Kind, Operation, Parameter, may};

/// The same on both, so that a runbook moves from one to the other with its system's kind.
const CREATE_ISSUE: &[Operation] = &[Operation {
    name: "create-issue",
    about: "Opens an issue",
    changes: true,
    inputs: INPUTS,
    outputs: &[may("number", Number, "The issue's number"), may("url", Text, "The issue's page")],
}];

const INPUTS: &[Parameter] = &[
    may("repository", Text, "The repository or project, where the settings name none"),
    may("template", Text, "The issue template it begins from"),
    may("title", Text, "Its title; without one, the rollout's"),
    may("body", Text, "Its text in Markdown"),
    may("labels", List, "Its labels"),
    may("assignees", List, "Who is assigned"),
];

pub(super) const GITHUB: Kind = Kind { name: "github", operations: CREATE_ISSUE };

pub(super) const GITLAB: Kind = Kind { name: "gitlab", operations: CREATE_ISSUE };
