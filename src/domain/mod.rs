//! What a rollout is. PURE: no clock, no files, no network, no tokio; the same input always gives the same output.
//!
//! In reading order:
//!
//! - [`runbook`]: YAML as written, checked, and the validated model.
//! - [`rollout`]: what is asked of one rollout, what happened to it, what it owes the world.
//! - [`registry`]: which rollouts there are, and who holds which environment.
//! - [`conversation`]: what people can say and press, and what they are answered.
//! - [`message`]: templates and the card.
//! - [`report`], [`paper`]: a rollout written down as the checklist it was, with figures; and with what is to come. [`proof`] ties a
//!   report to the journal that it was made of.
//! - [`timeline`], [`history`]: when everything was, as a picture; how long things took in the runs before.
//! - [`freeze`]: when nothing is to be changed, and who may do it all the same.
//! - [`digest`]: what is open, said at set times to those whom it concerns.
//! - [`people`], [`time`], [`calendar`], [`catalogue`]: who there is, when it is, what comes again and again, what systems can do.
//! - [`yaml`], [`section`], [`problem`]: reading what people wrote, and saying what is wrong with it; [`schema`] says it to editors.

pub mod calendar;
pub mod catalogue;
pub mod conversation;
pub mod digest;
pub mod freeze;
pub mod history;
pub mod message;
pub mod paper;
pub mod people;
pub mod problem;
pub mod proof;
pub mod registry;
pub mod report;
pub mod rollout;
pub mod runbook;
pub mod schema;
pub mod section;
pub mod time;
pub mod timeline;
pub mod yaml;
