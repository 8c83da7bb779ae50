//! Buttons: what a press says, in few enough bytes for every platform.

use std::fmt;

/// The longest token, in bytes: Telegram's limit for callback data.
pub const TOKEN_BYTES_MAX: usize = 64;

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Acknowledge.
    Ack,
    /// Complete a task, or a failed step by hand.
    Done,
    /// Tick an item of a task, from 0.
    Item(usize),
    /// Answer a question.
    Answer,
    /// Vote GO.
    Go,
    /// Vote NO-GO.
    NoGo,
    /// Run an action, or run it again.
    Run,
    /// Confirm what waits for it.
    Confirm,
    /// Say that it did not work.
    Fail,
    /// Ask it to stop.
    Cancel,
    /// Go on without it, or agree to that.
    Skip,
    /// It ran.
    Ran,
    /// It did not, run it.
    Rerun,
    /// Look again.
    Look,
    /// Nobody knows: hold.
    Unclear,
    /// Open a phase, by its index.
    Open(usize),
    /// Leave the phase and go back.
    BackOff,
    /// Agree to the amendment that is proposed.
    Agree,
    /// Show everybody on a long roster, to the one who asks.
    All,
    /// Hold the rollout.
    Hold,
    /// Let it go on.
    Resume,
    /// Abort it.
    Abort,
}

/// What a press says: which rollout, which step, what, and for which generation of the step the button was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ButtonToken {
    /// The rollout's number.
    pub rollout: u32,
    /// The step's index; none for the rollout as a whole.
    pub step: Option<usize>,
    /// What it does.
    pub verb: Verb,
    /// Rises whenever buttons made before must not count any more.
    pub generation: u32,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ack => f.write_str("ack"),
            Self::Done => f.write_str("done"),
            Self::Item(item) => write!(f, "item{item}"),
            Self::Answer => f.write_str("answer"),
            Self::Go => f.write_str("go"),
            Self::NoGo => f.write_str("no-go"),
            Self::Run => f.write_str("run"),
            Self::Confirm => f.write_str("confirm"),
            Self::Fail => f.write_str("fail"),
            Self::Cancel => f.write_str("cancel"),
            Self::Skip => f.write_str("skip"),
            Self::Ran => f.write_str("ran"),
            Self::Rerun => f.write_str("rerun"),
            Self::Look => f.write_str("look"),
            Self::Unclear => f.write_str("unclear"),
            Self::BackOff => f.write_str("back-off"),
            Self::Open(phase) => write!(f, "open{phase}"),
            Self::Agree => f.write_str("agree"),
            Self::All => f.write_str("all"),
            Self::Hold => f.write_str("hold"),
            Self::Resume => f.write_str("resume"),
            Self::Abort => f.write_str("abort"),
        }
    }
}

impl fmt::Display for ButtonToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "{}.{step}.{}.{}", self.rollout, self.verb, self.generation),
            None => write!(f, "{}.-.{}.{}", self.rollout, self.verb, self.generation),
        }
    }
}

impl ButtonToken {
    /// Reads a token; nothing if it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let (rollout, step, verb, generation) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let verb = match verb {
            "ack" => Verb::Ack,
            "done" => Verb::Done,
            "answer" => Verb::Answer,
            "go" => Verb::Go,
            "no-go" => Verb::NoGo,
            "run" => Verb::Run,
            "confirm" => Verb::Confirm,
            "fail" => Verb::Fail,
            "cancel" => Verb::Cancel,
            "skip" => Verb::Skip,
            "ran" => Verb::Ran,
            "rerun" => Verb::Rerun,
            "look" => Verb::Look,
            "unclear" => Verb::Unclear,
            "back-off" => Verb::BackOff,
            "agree" => Verb::Agree,
            "all" => Verb::All,
            "hold" => Verb::Hold,
            "resume" => Verb::Resume,
            "abort" => Verb::Abort,
            other => match other.strip_prefix("item") {
                Some(item) => Verb::Item(item.parse().ok()?),
                None => Verb::Open(other.strip_prefix("open")?.parse().ok()?),
            },
        };
        let step = if step == "-" { None } else { Some(step.parse().ok()?) };
        Some(Self { rollout: rollout.parse().ok()?, step, verb, generation: generation.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verb() -> impl Strategy<Value = Verb> {
        use Verb::{
            Abort, Ack, Agree, All, Answer, BackOff, Cancel, Confirm, Done, Fail, Go, Hold, Item, Look, NoGo, Open, Ran, Rerun,
            Resume, Run, Skip, Unclear,
        };
        prop_oneof![
            Just(Ack),
            Just(Done),
            any::<usize>().prop_map(Item),
            Just(Answer),
            Just(Go),
            Just(NoGo),
            Just(Run),
            Just(Agree),
            Just(All),
            Just(Hold),
            Just(Resume),
            Just(Abort),
            Just(Confirm),
            Just(Fail),
            Just(Cancel),
            Just(Skip),
            Just(Ran),
            Just(Rerun),
            Just(Look),
            Just(Unclear),
            any::<usize>().prop_map(Open),
            Just(BackOff)
        ]
    }

    proptest! {
        #[test]
        fn tokens_read_back_and_fit(rollout: u32, step in proptest::option::of(0usize..1000), verb in verb(), generation: u32) {
            let token = ButtonToken { rollout, step, verb, generation };
            let text = token.to_string();
            prop_assert!(text.len() <= TOKEN_BYTES_MAX);
            prop_assert_eq!(ButtonToken::parse(&text), Some(token));
        }

        #[test]
        fn anything_else_is_no_token_and_no_panic(text: String) {
            let _ = ButtonToken::parse(&text);
        }
    }
}
