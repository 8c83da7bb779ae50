//! The real program as a demo, on a free port.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running demo; dropping it kills it, as a crash would.
pub struct Demo {
    child: Child,
    pub url: String,
}

impl Demo {
    /// Starts it and waits until it is ready. Its log is the file `log` in `data`.
    pub fn start(data: &Path, listen: &str) -> Result<Self, String> {
        Self::start_with(data, listen, &[])
    }

    /// The same with further arguments.
    pub fn start_with(data: &Path, listen: &str, args: &[&str]) -> Result<Self, String> {
        let log = File::options().create(true).append(true).open(data.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tminus"));
        command.args(["demo", "--listen", listen, "--data"]).arg(data).args(args);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut demo = Self { child: spawned.map_err(|error| error.to_string())?, url: String::new() };
        let said = BufReader::new(demo.child.stdout.take().expect("it is piped"));
        let ready = said.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("ready: ").map(str::to_owned));
        demo.url = ready.ok_or_else(|| "the demo did not get ready".to_owned())?;
        Ok(demo)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
