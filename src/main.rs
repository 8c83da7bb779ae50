//! The `tminus` program: arguments to [`tminus::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tminus::cli::run()
}
