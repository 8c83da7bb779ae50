//! What is looked at and asked: DNS, HTTP, Prometheus.

use super::ParameterKind::{Flag, List, Map, Number, Text};
use super::{Kind, Operation, may, needs};

pub(super) const DNS: Kind = Kind {
    name: "dns",
    operations: &[Operation {
        name: "lookup",
        about: "Looks a name up, of several name servers if told",
        changes: false,
        inputs: &[
            needs("name", Text, "The name"),
            may("type", Text, "The type of record: A unless told"),
            may("all-of", List, "The name servers that are asked"),
        ],
        outputs: &[may("all_agree", Flag, "Whether all answered the same"), may("answer", Text, "What was answered")],
    }],
};

pub(super) const HTTP: Kind = Kind {
    name: "http",
    operations: &[Operation {
        name: "request",
        about: "Sends an HTTP request and reads the answer",
        changes: true,
        inputs: &[
            needs("url", Text, "Where to"),
            may("path", Text, "What is added to the path of the address"),
            may("method", Text, "GET unless told"),
            may("body", Text, "What to send"),
            may("headers", Map, "Headers to send"),
            may("follow", Flag, "Whether redirects are followed"),
        ],
        outputs: &[may("status", Text, "The status code: `200`"), may("body", Text, "The answer's text")],
    }],
};

pub(super) const PROMETHEUS: Kind = Kind {
    name: "prometheus",
    operations: &[
        Operation {
            name: "capture",
            about: "Reads a set of figures, to compare them with later",
            changes: false,
            inputs: &[needs("set", Text, "The set's name in the settings")],
            outputs: &[may("*", Number, "The figures of the set")],
        },
        Operation {
            name: "compare",
            about: "Reads figures again and says which have become worse",
            changes: false,
            inputs: &[
                needs("before", Text, "What was captured before"),
                may("tolerance", Text, "How much worse is still the same: `10%`"),
            ],
            outputs: &[may("worse", List, "The figures that have become worse"), may("report", Text, "Before and now, in words")],
        },
        Operation {
            name: "query",
            about: "Asks for one figure, and whether it is within limits",
            changes: false,
            inputs: &[
                needs("q", Text, "The query"),
                may("below", Number, "What it has to be below"),
                may("above", Number, "What it has to be above"),
            ],
            outputs: &[may("value", Number, "The figure"), may("holds", Flag, "Whether it is within its limits")],
        },
    ],
};
