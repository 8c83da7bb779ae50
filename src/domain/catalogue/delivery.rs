//! What builds, configures and runs jobs: Ansible, allowed commands, Jenkins, Ansible Tower.

use super::ParameterKind::{List, Map, Number, Text};
use super::{Kind, Operation, may, needs};

pub(super) const ANSIBLE: Kind = Kind {
    name: "ansible",
    operations: &[Operation {
        name: "playbook",
        about: "Runs an Ansible playbook",
        changes: true,
        inputs: &[
            needs("playbook", Text, "The playbook's file"),
            may("inventory", Text, "The inventory"),
            may("limit", Text, "The hosts it is limited to"),
            may("extra-vars", Map, "Variables of this run"),
        ],
        outputs: &[
            may("ok", Number, "How many tasks found all as it should be"),
            may("changed", Number, "How many tasks changed something"),
            may("failed", Number, "How many tasks failed"),
        ],
    }],
};

pub(super) const COMMAND: Kind = Kind {
    name: "command",
    operations: &[Operation {
        name: "command.*",
        about: "Runs an allowed command, without a shell",
        changes: true,
        inputs: &[needs("argv", List, "The program and its arguments"), may("cwd", Text, "The folder it runs in")],
        outputs: &[may("code", Text, "Its exit code: `0`"), may("output", Text, "The end of what it printed")],
    }],
};

pub(super) const JENKINS: Kind = Kind {
    name: "jenkins",
    operations: &[Operation {
        name: "build",
        about: "Builds a Jenkins job and waits for its end",
        changes: true,
        inputs: &[needs("job", Text, "The job's name, with its folders"), may("parameters", Map, "The build's parameters")],
        outputs: &[
            may("number", Number, "The build's number"),
            may("result", Text, "What Jenkins made of it: SUCCESS, UNSTABLE, FAILURE"),
            may("url", Text, "The build's page"),
        ],
    }],
};

pub(super) const TOWER: Kind = Kind {
    name: "tower",
    operations: &[Operation {
        name: "launch",
        about: "Launches a job template of Ansible Tower and waits for its end",
        changes: true,
        inputs: &[
            needs("template", Text, "The job template's name"),
            may("inventory", Text, "Another inventory than the template's"),
            may("limit", Text, "The hosts it is limited to"),
            may("extra-vars", Map, "Variables of this job"),
        ],
        outputs: &[
            may("job", Number, "The job's number"),
            may("status", Text, "The job's status"),
            may("url", Text, "The job's page"),
        ],
    }],
};
