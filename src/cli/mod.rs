//! The command line.

mod access;
mod check;
mod client;
mod completions;
mod demo;
mod folder;
mod init;
mod journal;
mod ready;
mod report;
mod say;
mod schema;
pub mod serve;
mod simulate;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use clap::{Parser, Subcommand};

use crate::domain::message::template::is_deceptive;

/// Hosts software rollouts: runs the checklist, calls the roll, takes the go/no-go, remembers everything.
#[derive(Debug, Parser)]
#[command(name = "tminus", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays rollouts on this machine: rooms on a local page, pretended systems, a clock that can be moved
    Demo(demo::Args),
    /// Asks a few questions and writes the beginning of a configuration
    Init(init::Args),
    /// Hosts rollouts in earnest: people log in, rooms and systems are as configured
    Serve(serve::Args),
    /// Plays a whole rollout in no time, with every message in full; nothing is sent or asked
    Simulate(simulate::Args),
    /// Says a command to a running T-minus, when chat is down
    Say(say::Args),
    /// Gives out a personal link that logs a browser in
    Invite(access::InviteArgs),
    /// Gives out a token that a program acts with for a person, such as `say`
    Token(access::TokenArgs),
    /// Lists who may come in, and takes it back
    Access(access::AccessArgs),
    /// Prints the checklist of a rollout as it stands, with what is to come: for a wall, for paper
    Print(report::PrintArgs),
    /// Writes a rollout down as the checklist it was, with figures
    Report(report::Args),
    /// Says everything that is wrong with a configuration, with its place and what would be right
    Check(check::Args),
    /// Prints the JSON Schema of a file, for editors that complete and underline
    Schema(schema::Args),
    /// Says whether a running T-minus can be used, for health checks
    Ready(ready::Args),
    /// Prints what a shell needs to complete commands and options
    Completions(completions::Args),
    /// Looks after the journal
    #[command(subcommand)]
    Journal(journal::Command),
}

/// Runs what the arguments say.
#[must_use]
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Say(args) => Ok(say::say(&args)),
        Command::Invite(args) => access::invite(&args),
        Command::Token(args) => access::token(&args),
        Command::Access(args) => access::access(&args),
        Command::Print(args) => report::print(&args),
        Command::Report(args) => report::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Journal(command) => journal::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output. Whoever reads it may have read enough, as `head` does: that is no error.
fn say_out(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("nothing can be written"),
        _ => Ok(()),
    }
}

/// Markdown as it is read: without the signs that escape or stress, and without what would steer a terminal.
fn plain(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut chars = markdown.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(char::is_ascii_punctuation) => text.extend(chars.next()),
            '*' if chars.peek() == Some(&'*') => drop(chars.next()),
            c if (c.is_control() && c != '\n') || is_deceptive(c) => {}
            c => text.push(c),
        }
    }
    text
}
