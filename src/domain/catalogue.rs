//! What systems can do, as data: the operations of every kind, with their inputs and outputs.
//!
//! Checking a runbook reads it, a pretended system takes its operations from it, and it is what people look things up in.

/// What an input or output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A text.
    Text,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// A list of texts.
    List,
    /// A map of texts.
    Map,
}

impl ParameterKind {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// One input or output of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as `with:` writes it.
    pub name: &'static str,
    /// What it is.
    pub kind: ParameterKind,
    /// Whether the operation needs it. Outputs that are not required are not always there.
    pub required: bool,
    /// One sentence for people.
    pub about: &'static str,
}

/// One thing a kind of system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name after the system's: `cloudformation.update-stack`. A `*` at its end stands for any name.
    pub name: &'static str,
    /// One sentence for people.
    pub about: &'static str,
    /// Whether it changes the system, or only looks.
    pub changes: bool,
    /// What it takes.
    pub inputs: &'static [Parameter],
    /// What it gives. A `*` stands for outputs named by the system itself.
    pub outputs: &'static [Parameter],
}

/// A kind of system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As settings write it: `aws`.
    pub name: &'static str,
    /// Its operations.
    pub operations: &'static [Operation],
}

impl Kind {
    /// A kind by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// An operation by its name.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| match operation.name.strip_suffix('*') {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => operation.name == name,
        })
    }
}

impl Operation {
    /// Whether it may give an output of this name.
    #[must_use]
    pub fn gives(&self, output: &str) -> bool {
        self.outputs.iter().any(|parameter| parameter.name == output || parameter.name == "*")
    }
}

use ParameterKind::{Flag, List, Map, Number, Text};

const fn needs(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: false, about }
}

/// Every kind of system known.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "aws",
        operations: &[
            Operation {
                name: "cloudformation.describe-stack",
                about: "Reads a CloudFormation stack's status and outputs",
                changes: false,
                inputs: &[needs("stack", Text, "The stack's name")],
                outputs: &[may("status", Text, "The stack's status"), may("*", Text, "The stack's own outputs")],
            },
            Operation {
                name: "cloudformation.update-stack",
                about: "Updates named parameters of a CloudFormation stack; the others keep their values",
                changes: true,
                inputs: &[needs("stack", Text, "The stack's name"), needs("parameters", Map, "The parameters to change")],
                outputs: &[may("status", Text, "The stack's status"), may("*", Text, "The stack's own outputs")],
            },
            Operation {
                name: "autoscaling.prescale",
                about: "Raises an Auto Scaling group to the size of another and waits until its instances are in service",
                changes: true,
                inputs: &[
                    needs("group", Text, "The group to raise, or the stack it belongs to"),
                    needs("like", Text, "The group whose size it takes"),
                ],
                outputs: &[may("from", Number, "Its size before"), may("to", Number, "Its size now")],
            },
            Operation {
                name: "route53.switch-record",
                about: "Points a DNS record at another load balancer and waits until Route 53 has it everywhere",
                changes: true,
                inputs: &[
                    needs("record", Text, "The record's name"),
                    needs("target", Text, "The load balancer it points to, or the stack it belongs to"),
                    may("zone", Text, "The hosted zone, where the name alone does not tell"),
                ],
                outputs: &[
                    may("old", Text, "Where it pointed"),
                    may("new", Text, "Where it points"),
                    may("ttl", Number, "Its time to live in seconds"),
                ],
            },
        ],
    },
    Kind {
        name: "command",
        operations: &[Operation {
            name: "command.*",
            about: "Runs an allowed command, without a shell",
            changes: true,
            inputs: &[needs("argv", List, "The program and its arguments"), may("cwd", Text, "The folder it runs in")],
            outputs: &[may("code", Number, "Its exit code"), may("output", Text, "The end of what it printed")],
        }],
    },
    Kind {
        name: "http",
        operations: &[Operation {
            name: "request",
            about: "Sends an HTTP request and reads the answer",
            changes: true,
            inputs: &[
                needs("url", Text, "Where to"),
                may("method", Text, "GET unless told"),
                may("body", Text, "What to send"),
                may("headers", Map, "Headers to send"),
                may("follow", Flag, "Whether redirects are followed"),
            ],
            outputs: &[may("status", Number, "The status code"), may("body", Text, "The answer's text")],
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name_and_by_prefix() {
        let aws = Kind::named("aws").unwrap();
        assert!(aws.operation("cloudformation.update-stack").unwrap().changes);
        assert!(aws.operation("cloudformation.update").is_none());
        let command = Kind::named("command").unwrap();
        assert!(command.operation("command.post-cutover-tests").is_some());
        assert!(command.operation("command.").is_none());
    }

    #[test]
    fn the_catalogue_is_sorted_and_says_something_about_everything() {
        assert!(KINDS.is_sorted_by_key(|kind| kind.name));
        for operation in KINDS.iter().flat_map(|kind| kind.operations) {
            assert!(!operation.about.is_empty() && !operation.about.ends_with('.'), "{}", operation.name);
            assert!(operation.inputs.iter().chain(operation.outputs).all(|p| !p.about.is_empty()), "{}", operation.name);
        }
    }
}
