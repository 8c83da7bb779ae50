//! `tminus check`: everything that is wrong with a configuration, at once.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::domain::problem::Severity;
use crate::settings::{Checked, Files};

/// What is checked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder with config/ and messages/; the current one if it has them, or else what is built in
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match &args.dir {
        Some(dir) => Files::read(dir)?,
        None => Files::here()?.unwrap_or_else(|| {
            println!("There is no config/ here, so this is about the configuration that is built in.\n");
            Files::embedded()
        }),
    };
    let checked = files.check();
    for problem in &checked.problems {
        println!("{}", problem.render(files.text(&problem.file)));
    }
    println!("{}", summary(&files, &checked));
    Ok(if checked.count(Severity::Error) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line: how many problems there are, or else what is there.
fn summary(files: &Files, checked: &Checked) -> String {
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    if errors > 0 {
        let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning", "warnings")) };
        return format!("{}{warned} in {}", counted(errors, "error", "errors"), counted(files.count(), "file", "files"));
    }
    let settings = &checked.settings;
    let warned = if warnings == 0 { String::new() } else { format!(", with {}", counted(warnings, "warning", "warnings")) };
    let runbooks = counted(settings.runbooks.len(), "runbook", "runbooks");
    let people = counted(settings.people.people().count(), "person", "people");
    format!("ok{warned}: {runbooks}, {people}, {}", counted(settings.messages.len(), "message", "messages"))
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed(files: &Files) -> String {
        summary(files, &files.check())
    }

    #[test]
    fn one_line_sums_it_up() {
        let smallest = "runbook: a\nphases: [{ phase: one, steps: [{ task: x }] }]\n";
        let files = Files::default().with("config/runbooks/a.yaml", smallest);
        assert_eq!(summed(&files), "ok: 1 runbook, 0 people, 0 messages");
        let by_hand = "runbook: b\nphases: [{ phase: one, steps: [{ run: robot.go }] }]\n";
        let files = files.with("config/runbooks/b.yaml", by_hand);
        assert_eq!(summed(&files), "ok, with 1 warning: 2 runbooks, 0 people, 0 messages");
        let files = files.with("config/runbooks/c.yaml", "runbook: c\nphases: []\ntitel: x\n");
        assert_eq!(summed(&files), "2 errors, 1 warning in 3 files");
    }
}
