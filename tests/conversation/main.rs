//! The conversation through the whole app: the real HTTP API over a journal in memory and a clock that the test moves.
//! Somebody says something, and the reply is what the test says it is.

mod andromeda;
mod app;
mod digests;
mod environments;
mod other_roads;
mod outside;
mod recorder;
mod rehearsal;
mod repairs;
mod replies;
mod straight_road;
mod tokens;
