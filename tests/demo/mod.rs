//! The real program as a demo, or serving in earnest, on a free port.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running T-minus; dropping it kills it, as a crash would.
pub struct Demo {
    child: Child,
    pub url: String,
}

#[allow(dead_code, reason = "not every test program starts it in every way")]
impl Demo {
    /// Starts a demo and waits until it is ready. Its log is the file `log` in `data`.
    pub fn start(data: &Path, listen: &str) -> Result<Self, String> {
        Self::run(data, &["demo", "--listen", listen])
    }

    /// Starts a demo of a configuration.
    pub fn of(data: &Path, config: &Path, listen: &str) -> Result<Self, String> {
        Self::run(data, &["demo", "--listen", listen, "--config", config.to_str().expect("UTF-8")])
    }

    /// Starts `tminus serve` with a configuration.
    pub fn serve(data: &Path, config: &Path, listen: &str) -> Result<Self, String> {
        Self::run(data, &["serve", "--listen", listen, "--config", config.to_str().expect("UTF-8")])
    }

    fn run(data: &Path, args: &[&str]) -> Result<Self, String> {
        let log = File::options().create(true).append(true).open(data.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tminus"));
        command.args(args).arg("--data").arg(data);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut demo = Self { child: spawned.map_err(|error| error.to_string())?, url: String::new() };
        let said = BufReader::new(demo.child.stdout.take().expect("it is piped"));
        let ready = said.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("ready: ").map(str::to_owned));
        demo.url = ready.ok_or_else(|| "it did not get ready".to_owned())?;
        Ok(demo)
    }

    /// Asks it to stop, as an operator does, and waits; whether it ended well.
    #[cfg(unix)]
    pub fn stop(mut self) -> bool {
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        asked.is_ok_and(|asked| asked.success()) && self.child.wait().is_ok_and(|ended| ended.success())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
