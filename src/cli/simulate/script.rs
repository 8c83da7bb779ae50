//! What a simulation writes down: what happened when, and every message in its words.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use crate::cli::plain;
use crate::domain::conversation::log::sentence;
use crate::domain::people::Directory;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::{Event, Recorded};
use crate::domain::rollout::state::State;
use crate::domain::runbook::model::{Address, Outcome};
use crate::domain::time::{say_between, say_seconds, write_time};

/// A simulation as it went.
#[derive(Debug, Serialize)]
pub(super) struct Script {
    /// The rollout.
    pub rollout: RolloutId,
    /// Its title.
    pub title: String,
    /// T-0.
    pub window_starts: Option<DateTime<Utc>>,
    /// How long the window is, in seconds.
    pub window_seconds: Option<i64>,
    /// How it ended, if it did.
    pub result: Option<Outcome>,
    /// When.
    pub ended: Option<DateTime<Utc>>,
    /// What happened, in order.
    pub scenes: Vec<Scene>,
    /// What it waits for, where it did not end.
    pub waits_for: Vec<String>,
    /// What of the answers file changed nothing.
    pub unused: Vec<String>,
    #[serde(rename = "timezone", serialize_with = "by_name")]
    zone: Tz,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
pub(super) struct Scene {
    /// When.
    pub at: DateTime<Utc>,
    /// In which checklist, if it was in one.
    pub checklist: Option<RolloutId>,
    /// What, in a sentence.
    pub what: String,
    /// The message, where it was one.
    pub message: Option<Message>,
    /// The checklist whose end or phase it is about.
    #[serde(skip)]
    settles: Option<RolloutId>,
}

/// A message in its words.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    /// To whom.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Its Markdown.
    pub text: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn by_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

impl Scene {
    /// The scene of one event; nothing for events that say nothing to people.
    pub(super) fn of(state: &State, people: &Directory, recorded: &Recorded, checklist: Option<&RolloutId>) -> Option<Self> {
        let to = |to: &[Address]| to.iter().map(ToString::to_string).collect();
        let rooms = |rooms: &[String]| rooms.iter().map(|room| format!("the room {room}")).collect();
        let message = match &recorded.event {
            // Only this program moves the clock.
            Event::ClockAdvanced { .. } => return None,
            Event::AnnouncementIssued { to: addresses, subject, text, .. } => {
                Some(Message { to: to(addresses), subject: subject.clone(), text: text.clone() })
            }
            Event::Told { to: addresses, text, .. } => Some(Message { to: to(addresses), subject: None, text: text.clone() }),
            Event::Nudged { people: whom, text, .. } | Event::Informed { people: whom, text } => {
                let names = whom.iter().map(|id| people.person(id).map_or_else(|| id.to_string(), |person| person.name.clone()));
                Some(Message { to: names.collect(), subject: None, text: text.clone() })
            }
            Event::Ended { text: Some(text), .. } => Some(Message { to: rooms(&state.rooms), subject: None, text: text.clone() }),
            _ => None,
        };
        let said = sentence(state, people, recorded);
        let what = match (&message, said) {
            (Some(message), None) => format!("{} written to", is_or_are(message.to.len())),
            (_, Some(said)) => said,
            (None, None) => return None,
        };
        let settles = match &recorded.event {
            Event::ChildSettled { child, .. } => Some(child.clone()),
            _ => None,
        };
        Some(Self { at: recorded.at, checklist: checklist.cloned(), what, message, settles })
    }
}

/// One story of what happened in a rollout and in its checklists. Moments alone do not tell: much happens at the same one, and
/// a checklist comes before what is said of its end.
pub(super) fn in_order(scenes: Vec<Scene>, of_checklists: Vec<Scene>) -> Vec<Scene> {
    let mut story = Vec::with_capacity(scenes.len() + of_checklists.len());
    let mut left = of_checklists;
    for scene in scenes {
        let is_before = |other: &Scene| {
            other.at < scene.at || (scene.settles.is_some() && other.checklist == scene.settles && other.at <= scene.at)
        };
        let (mut before, after): (Vec<Scene>, Vec<Scene>) = left.into_iter().partition(is_before);
        before.sort_by_key(|scene| scene.at);
        story.append(&mut before);
        left = after;
        story.push(scene);
    }
    left.sort_by_key(|scene| scene.at);
    story.append(&mut left);
    story
}

fn is_or_are(count: usize) -> String {
    if count == 1 { "one person is".to_owned() } else { format!("{count} people are") }
}

impl Script {
    pub(super) fn new(state: &State, scenes: Vec<Scene>, waits_for: Vec<String>, unused: Vec<String>) -> Self {
        let window = state.window();
        Self {
            rollout: state.id.clone(),
            title: state.title.clone(),
            window_starts: window.map(|window| window.starts),
            window_seconds: window.and_then(|window| window.seconds),
            result: state.result,
            ended: state.ended,
            scenes,
            waits_for,
            unused,
            zone: state.runbook.timezone,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("Simulation of {} ({})\n", self.title, self.rollout);
        if let Some(starts) = self.window_starts {
            let length = self.window_seconds.map(|seconds| format!(" for {}", say_seconds(seconds))).unwrap_or_default();
            text.push_str(&format!("T-0 is {}{length}. ", write_time(starts, self.zone)));
        }
        text.push_str("Nothing is sent, and nothing is asked of a system.\n\n");
        for scene in &self.scenes {
            let checklist = scene.checklist.as_ref().map(|id| format!("[{id}] ")).unwrap_or_default();
            text.push_str(&format!("{}  {checklist}{}\n", write_time(scene.at, self.zone), plain(&scene.what)));
            let Some(message) = &scene.message else { continue };
            text.push_str(&format!("      to {}\n", message.to.join(", ")));
            if let Some(subject) = &message.subject {
                text.push_str(&format!("      subject: {subject}\n"));
            }
            for line in message.text.lines() {
                text.push_str(&format!("      | {}\n", plain(line)));
            }
        }
        text.push('\n');
        if let (Some(result), Some(ended)) = (self.result, self.ended) {
            let against = self.window_starts.map(|starts| {
                if ended >= starts {
                    format!(", {} after T-0", say_between(starts, ended))
                } else {
                    format!(", {} before T-0", say_between(ended, starts))
                }
            });
            let window = self.window_seconds.map(|seconds| format!(" (the window is {})", say_seconds(seconds)));
            let (against, window) = (against.unwrap_or_default(), window.unwrap_or_default());
            text.push_str(&format!("Ends {} at {}{against}{window}.\n", result.title(), write_time(ended, self.zone)));
        } else {
            text.push_str("It does not end. It waits:\n");
            for waits in &self.waits_for {
                text.push_str(&format!("  {}\n", plain(waits)));
            }
        }
        if !self.unused.is_empty() {
            text.push_str("Of the answers, this changed nothing:\n");
            for unused in &self.unused {
                text.push_str(&format!("  {unused}\n"));
            }
        }
        text
    }
}
