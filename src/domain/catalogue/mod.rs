//! What systems can do, as data: the operations of every kind, with their inputs and outputs.
//!
//! Checking a runbook reads it, a pretended system takes its operations from it, and it is what people look things up in.

mod aws;
mod delivery;
mod issues;
mod platforms;
mod probes;

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
        self.output(output).is_some()
    }

    /// An output by its name; the one that stands for any, where none is called so.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&'static Parameter> {
        let named = |wanted: &str| self.outputs.iter().find(|parameter| parameter.name == wanted);
        named(name).or_else(|| named("*"))
    }
}

const fn needs(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: false, about }
}

/// Every kind of system known, by name.
pub const KINDS: &[Kind] = &[
    delivery::ANSIBLE,
    aws::AWS,
    delivery::COMMAND,
    probes::DNS,
    platforms::DOCKER,
    issues::GITHUB,
    issues::GITLAB,
    platforms::HEROKU,
    probes::HTTP,
    delivery::JENKINS,
    platforms::K8S,
    probes::PROMETHEUS,
    platforms::RANCHER,
    delivery::TOWER,
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
        assert!(KINDS.iter().all(|kind| kind.operations.is_sorted_by_key(|operation| operation.name)));
        for operation in KINDS.iter().flat_map(|kind| kind.operations) {
            assert!(!operation.about.is_empty() && !operation.about.ends_with('.'), "{}", operation.name);
            assert!(operation.inputs.iter().chain(operation.outputs).all(|p| !p.about.is_empty()), "{}", operation.name);
            for parameters in [operation.inputs, operation.outputs] {
                let names: std::collections::BTreeSet<&str> = parameters.iter().map(|parameter| parameter.name).collect();
                assert_eq!(names.len(), parameters.len(), "{}: a name stands twice", operation.name);
            }
            assert!(
                operation.inputs.is_sorted_by_key(|input| !input.required),
                "{}: what is needed stands first",
                operation.name
            );
            // Expressions name outputs, and a hyphen there is a minus.
            assert!(operation.outputs.iter().all(|output| !output.name.contains('-')), "{}", operation.name);
        }
    }
}
