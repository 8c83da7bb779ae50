//! The rules of the house: which floor may use what. Each is a sentence, and a test of one mention.

use std::collections::BTreeSet;
use std::fmt;

use crate::paths::{Mention, NAMED_BY_HAND, PASTED, Segments, mentions};

/// A sentence that every mention has to keep.
struct Rule {
    says: &'static str,
    is_broken_by: fn(&Mention) -> bool,
}

const RULES: &[Rule] = &[
    Rule { says: "domain uses only domain", is_broken_by: |m| m.is_in("domain") && m.leaves_for_other_than(&["domain"]) },
    Rule {
        says: "the engine uses only the engine and the domain",
        is_broken_by: |m| m.is_in("engine") && m.leaves_for_other_than(&["engine", "domain", "settings"]),
    },
    Rule {
        says: "the engine takes plain values, never settings",
        is_broken_by: |m| m.is_in("engine") && m.uses("crate::settings"),
    },
    Rule {
        says: "gateway uses only gateway, engine and domain",
        is_broken_by: |m| m.is_in("gateway") && m.leaves_for_other_than(&["gateway", "engine", "domain"]),
    },
    Rule { says: "siblings inside gateway do not use each other", is_broken_by: uses_a_sibling },
    Rule {
        says: "settings uses only domain, and what a pretended system plays and a real one is allowed",
        is_broken_by: |m| {
            let is_setting = m.uses_any(&[
                "crate::gateway::action::pretend::Script",
                "crate::gateway::action::http::Allowed",
                // As it is written, and where it is defined.
                "crate::gateway::action::http::Secret",
                "crate::gateway::action::http::SecretHeader",
                "crate::gateway::action::http::secret::Secret",
                "crate::gateway::action::http::secret::SecretHeader",
            ]);
            m.is_in("settings") && m.leaves_for_other_than(&["settings", "domain"]) && !is_setting
        },
    },
    Rule {
        says: "only engine/journal and engine/scratch.rs use the store",
        is_broken_by: |m| m.uses("sled") && !m.is_in("engine::journal") && !m.is_in("engine::scratch"),
    },
    Rule {
        says: "only gateway/web serves HTTP; cli/serve.rs wires it, telemetry records its figures",
        is_broken_by: |m| {
            let serves = m.path.first().is_some_and(|first| {
                ["axum", "tower", "hyper", "http"].iter().any(|name| first == name || first.starts_with(&format!("{name}_")))
            });
            serves && !["gateway::web", "cli::serve", "telemetry"].iter().any(|place| m.is_in(place))
        },
    },
    Rule {
        says: "only engine/clock.rs reads the time of day",
        is_broken_by: |m| (reads_chrono_clock(m) || m.ends_with_in(&["SystemTime", "now"], "std")) && !m.is_in("engine::clock"),
    },
    Rule {
        says: "pauses are measured only by engine/clock.rs, by the journal while it waits for its lock, and in tokio's time by the outbox",
        is_broken_by: |m| {
            let machine = m.ends_with_in(&["Instant", "now"], "std")
                && !m.is_in("engine::clock")
                && !m.is_in("engine::journal::sled::open");
            machine || (m.ends_with_in(&["Instant", "now"], "tokio") && !m.is_in("engine::outbox"))
        },
    },
    Rule {
        says: "domain never reads a clock",
        is_broken_by: |m| {
            let of_std =
                ["SystemTime", "UNIX_EPOCH", "Instant"].iter().any(|name| m.has_in(name, "std") || m.has_in(name, "tokio"));
            m.is_pure() && (reads_chrono_clock(m) || m.has_in("Local", "chrono") || of_std)
        },
    },
    Rule {
        says: "domain never waits",
        is_broken_by: |m| m.is_pure() && m.uses_any(&["tokio", "tokio_stream", "futures_util", "std::thread"]),
    },
    Rule {
        says: "domain never touches a file",
        is_broken_by: |m| m.is_pure() && m.uses_any(&["std::fs", "include_dir", "tempfile"]),
    },
    Rule {
        says: "domain never touches the network",
        is_broken_by: |m| m.is_pure() && m.uses_any(&["std::net", "reqwest", "axum"]),
    },
    Rule { says: "domain never reads its environment", is_broken_by: |m| m.is_pure() && m.uses("std::env") },
    Rule { says: "domain never starts a process", is_broken_by: |m| m.is_pure() && m.uses("std::process") },
    Rule { says: "domain never stores anything", is_broken_by: |m| m.is_pure() && m.uses("sled") },
    Rule { says: "domain never throws dice", is_broken_by: |m| m.is_pure() && m.uses_any(&["fastrand", "rand", "getrandom"]) },
    Rule {
        says: "a module stands in the file that its name says",
        is_broken_by: |m| matches!(&m.path[..], [only] if only == NAMED_BY_HAND || only == PASTED),
    },
];

/// Folders of the gateway whose children are siblings too.
const FAMILIES: &[&str] = &["chat", "action"];

fn uses_a_sibling(mention: &Mention) -> bool {
    let (own, other) = (member(&mention.module), member(&mention.target));
    // What the family's own module holds is shared by its children.
    mention.is_in("gateway") && mention.uses("crate::gateway") && !own.starts_with(&other) && !other.starts_with(&own)
}

/// The part of the gateway that a module belongs to: `["web"]`, `["chat", "slack"]`.
fn member(module: &[String]) -> Segments {
    let is_family = module.get(1).is_some_and(|name| FAMILIES.contains(&name.as_str()));
    module.iter().skip(1).take(if is_family { 2 } else { 1 }).cloned().collect()
}

fn reads_chrono_clock(mention: &Mention) -> bool {
    mention.ends_with_in(&["Utc", "now"], "chrono") || mention.ends_with_in(&["Local", "now"], "chrono")
}

impl Mention {
    fn is_in(&self, place: &str) -> bool {
        starts_with(&self.module, place)
    }

    /// In the domain, and not in what is there for its tests only.
    fn is_pure(&self) -> bool {
        self.is_in("domain") && !self.in_tests
    }

    fn uses(&self, path: &str) -> bool {
        starts_with(&self.path, path)
    }

    fn uses_any(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.uses(path))
    }

    /// Whether it means something of this crate outside these floors.
    fn leaves_for_other_than(&self, floors: &[&str]) -> bool {
        matches!(&self.path[..], [house, floor, ..] if house == "crate" && !floors.contains(&floor.as_str()))
    }

    fn has_in(&self, name: &str, of: &str) -> bool {
        self.uses(of) && self.path.iter().any(|segment| segment == name)
    }

    fn ends_with_in(&self, end: &[&str], of: &str) -> bool {
        let skipped = self.path.len().checked_sub(end.len());
        self.uses(of) && skipped.is_some_and(|skipped| self.path[skipped..] == *end)
    }
}

fn starts_with(path: &[String], start: &str) -> bool {
    let mut path = path.iter();
    start.split("::").all(|wanted| path.next().is_some_and(|segment| segment == wanted))
}

/// A rule that a line breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub path: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {} (`{}`)", self.file, self.line, self.rule, self.path)
    }
}

/// Everything that breaks a rule in these files: pairs of a place under `src/` and the source.
pub fn check(sources: &[(String, String)]) -> Vec<Violation> {
    let mut violations = BTreeSet::new();
    for mention in mentions(sources) {
        for rule in RULES.iter().filter(|rule| (rule.is_broken_by)(&mention)) {
            let (file, line, path) = (mention.file.clone(), mention.line, mention.path.join("::"));
            violations.insert(Violation { file, line, rule: rule.says, path });
        }
    }
    violations.into_iter().collect()
}

/// All sentences.
pub fn sentences() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.says)
}
