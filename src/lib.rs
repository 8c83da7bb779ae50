//! **T-minus** hosts software rollouts in chat: it runs the checklist, calls the roll, takes the go/no-go, has systems do
//! what systems can do, and remembers everything.
//!
//! The way of one click, always forward:
//!
//! ```text
//! click ─▶ gateway verifies, narrows ─▶ Command ─▶ inbox ─▶ decide ─▶ Events ─▶ journal (durable) ─▶ evolve
//!       ─▶ Answer to the one who clicked
//!       ─▶ Effects ─▶ outbox ─▶ Courier / Executor ─▶ receipt ─▶ inbox (the only way back)
//! ```
//!
//! Three floors, and no arrow points up: [`gateway`] uses [`engine`] and [`domain`], the engine uses the domain, the
//! domain uses neither. In reading order:
//!
//! - [`domain`] is what a rollout *is*: the runbook, the rollout and its decisions, the conversation, messages. Pure: it
//!   reads no clock, no file, no network.
//! - [`engine`] owns order and memory: the journal, the conductor that takes commands one by one, the outbox that brings
//!   effects out and receipts back.
//! - [`gateway`] is the outside: rooms, systems, the web.
//! - [`settings`] turns `config/` and `messages/` into typed settings, once.
//! - [`telemetry`] is what operators see.
//! - [`cli`] is the command line; `cli/serve.rs` does all the wiring.

pub mod cli;
pub mod domain;
pub mod engine;
pub mod gateway;
pub mod settings;
pub mod telemetry;
