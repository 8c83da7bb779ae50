pub mod cli;
pub mod domain;
pub mod engine;
pub mod gateway;
pub mod settings;
pub mod telemetry;
