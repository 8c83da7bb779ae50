//! What templates and expressions of a runbook may name, besides its inputs: the one table of it.
//!
//! [`super::check`] refuses what is not in here, and a rollout's scope is built by going through it: what was accepted is there
//! at night.

/// A name that every template sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The steps, by id: `steps.backup.backup_id`, `steps.update.outputs.status`.
    Steps,
    /// What was decided, by the id of the decision: `decision.cutover`.
    Decision,
    /// The result, once recorded.
    Result,
    /// The time.
    Now,
    /// T-0 and how long the window is.
    Window,
    /// The rollout itself: see [`Member`].
    Rollout,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Steps, Self::Decision, Self::Result, Self::Now, Self::Window, Self::Rollout];

    /// As templates write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Decision => "decision",
            Self::Result => "result",
            Self::Now => "now",
            Self::Window => "window",
            Self::Rollout => "rollout",
        }
    }
}

/// What `rollout` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// Its id.
    Id,
    /// Its title.
    Title,
    /// Where its page is.
    Link,
    /// When it was started.
    Started,
    /// How long it has taken.
    Duration,
    /// The phase that it is in.
    Phase,
    /// How many of its steps are settled.
    Progress,
    /// What was done since the last recurring announcement.
    Done,
    /// What comes after the phase that it is in.
    Next,
    /// When it should be over, as far as the runbook says how long things take.
    Ends,
    /// The step that a message is about.
    Step,
    /// By when that step should be done.
    Due,
    /// Who is awaited by that step.
    Awaited,
    /// How far from T-0 it ended.
    AfterT0,
    /// What was decided, by whom.
    Decided,
    /// The steps that took longest.
    Slowest,
    /// What was out of the ordinary.
    Unusual,
    /// How many announcements arrived.
    Delivered,
}

impl Member {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Id,
        Self::Title,
        Self::Link,
        Self::Started,
        Self::Duration,
        Self::Phase,
        Self::Progress,
        Self::Done,
        Self::Next,
        Self::Ends,
        Self::Step,
        Self::Due,
        Self::Awaited,
        Self::AfterT0,
        Self::Decided,
        Self::Slowest,
        Self::Unusual,
        Self::Delivered,
    ];

    /// As templates write it after `rollout.`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Title => "title",
            Self::Link => "link",
            Self::Started => "started",
            Self::Duration => "duration",
            Self::Phase => "phase",
            Self::Progress => "progress",
            Self::Done => "done",
            Self::Next => "next",
            Self::Ends => "ends",
            Self::Step => "step",
            Self::Due => "due",
            Self::Awaited => "awaited",
            Self::AfterT0 => "after_t0",
            Self::Decided => "decided",
            Self::Slowest => "slowest",
            Self::Unusual => "unusual",
            Self::Delivered => "delivered",
        }
    }
}

/// A question about a step or a phase: `done('backup')`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Whether a step is done.
    Done,
    /// Whether a step failed.
    Failed,
    /// Whether a phase has begun.
    Started,
    /// Whether a phase was left by **Back off**.
    BackedOff,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Started, Self::BackedOff];

    /// As templates write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Started => "started",
            Self::BackedOff => "backed_off",
        }
    }

    /// What it is asked about.
    #[must_use]
    pub const fn asks_about(self) -> &'static str {
        match self {
            Self::Done | Self::Failed => "step",
            Self::Started | Self::BackedOff => "phase",
        }
    }
}

/// What came out of an action, where its requirements are checked.
pub const OUTPUTS: &str = "outputs";

/// The item that a step is for, under `each`.
pub const EACH: &str = "each";

/// What the template engine calls the template itself, of which there is nothing to say.
pub(super) const ITSELF: &str = "self";

/// Whether an input, step or phase can't be called so, because expressions use the name for something else.
///
/// `window` is free: the input that holds the window is usually called so.
pub(super) fn is_reserved(name: &str) -> bool {
    /// Announcements to one person will see who it is.
    const LATER: [&str; 1] = ["person"];
    let others = [OUTPUTS, ITSELF, EACH];
    let values = Name::ALL.into_iter().filter(|value| *value != Name::Window).map(Name::name);
    values.chain(Function::ALL.map(Function::name)).chain(LATER).chain(others).any(|reserved| reserved == name)
}

/// An id made of a sentence: `Confirm Go Call` becomes `confirm_go_call`.
#[must_use]
pub fn slug(text: &str) -> String {
    /// Long enough to tell steps apart, short enough to type.
    const CHARS_MAX: usize = 32;
    let mut slug = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if !slug.is_empty() && slug.len() + 1 + word.len() > CHARS_MAX {
            break;
        }
        if !slug.is_empty() {
            slug.push('_');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    if slug.starts_with(|c: char| c.is_ascii_lowercase()) { slug } else { format!("s_{slug}") }
}
