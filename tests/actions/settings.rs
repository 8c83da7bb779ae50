//! What settings say of systems, and what is built of it.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tminus::cli::serve::{COMMANDS_DIR, executors};
use tminus::engine::ports::StartError;
use tminus::gateway::action::pretend::Ledger;
use tminus::settings::{Files, Means, Settings};

use super::{action, failed, now, start_and_end, succeeded};

fn read(systems: &str) -> Result<Settings, String> {
    let files = Files::of([("config/tminus.yaml".to_owned(), format!("systems:\n  it: {systems}\n"))]);
    files.settings().map_err(|unusable| unusable.to_string())
}

#[test]
fn systems_say_what_they_are() {
    let means = |systems: &str| read(systems).unwrap().systems.remove("it").unwrap().means;
    let Means::Http { allow, timeout, .. } = means("{ kind: http, allow: ['https://staging.example.com'], timeout: 2m }") else {
        panic!()
    };
    assert_eq!(allow[0].to_string(), "https://staging.example.com/");
    assert_eq!(timeout, Some(Duration::from_mins(2)));
    let Means::Command(programs) = means("{ kind: command, allow: [./post-cutover.sh, /usr/bin/env], cwd: /srv, env: [REGION] }")
    else {
        panic!()
    };
    assert_eq!(programs.allow, ["./post-cutover.sh", "/usr/bin/env"]);
    assert_eq!((programs.cwd.unwrap().to_str(), programs.env, programs.timeout), (Some("/srv"), vec!["REGION".to_owned()], None));
    let headers = "headers: { Authorization: { env: STAGING_AUTHORIZATION }, X-Key: { file: /run/secrets/key } }";
    let settings = read(&format!("{{ kind: http, allow: ['https://x.example', 'http://[::1]:80'], {headers} }}")).unwrap();
    let Means::Http { headers: read_headers, .. } = &settings.systems["it"].means else { panic!() };
    let names: Vec<&str> = read_headers.iter().map(|header| header.name().as_str()).collect();
    assert_eq!(names, ["authorization", "x-key"]);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    let settings = read(&format!("{{ kind: http, allow: ['https://x.example', 'http://y.example'], {headers} }}")).unwrap();
    assert!(settings.warnings[0].what.contains("sent to http://y.example/ can be read on the way"), "{:?}", settings.warnings);
    assert!(matches!(means("{ kind: pretend, as: http }"), Means::Pretend { .. }));
    assert_eq!(means("{ kind: aws, region: eu-west-1 }"), Means::Unconnected);
}

#[test]
fn what_is_wrong_with_them_is_said() {
    for (systems, problem) in [
        ("{ kind: http }", "a system of kind `http` needs `allow`"),
        ("{ kind: command }", "a system of kind `command` needs `allow`"),
        ("{ kind: command, allow: [] }", "`allow` is empty"),
        ("{ kind: http, allow: [staging.example.com] }", "`staging.example.com` is not an address"),
        ("{ kind: http, allow: ['ftp://x.example'] }", "begins with neither"),
        ("{ kind: http, allow: ['https://*.example.com'] }", "has a `*`"),
        ("{ kind: http, allow: ['https://x.example'], timeout: soon }", "is not a duration"),
        ("{ kind: http, allow: ['https://x.example'], timeout: 0s }", "is no time-out"),
        ("{ kind: http, allow: ['https://x.example'], timeout: 2h }", "from one second to 1h"),
        ("{ kind: http, allow: ['https://x.example'], cwd: /srv }", "unknown key in a system `cwd`"),
        ("{ kind: http, allow: ['https://x.example'], headers: { A: Bearer x } }", "a secret does not belong into this file"),
        ("{ kind: http, allow: ['https://x.example'], headers: { A: {} } }", "a secret has one place"),
        ("{ kind: http, allow: ['https://x.example'], headers: { A: { env: X, file: /x } } }", "a secret has one place"),
        ("{ kind: http, allow: ['https://x.example'], headers: { A: { env: Bearer x } } }", "not the name of an environment"),
        ("{ kind: http, allow: ['https://x.example'], headers: { A: { evn: X } } }", "unknown key in a secret `evn`"),
        ("{ kind: http, allow: ['https://x.example'], headers: { Host: { env: X } } }", "T-minus's own business"),
        (
            "{ kind: http, allow: ['https://x.example'], headers: { A: { env: X }, a: { env: X } } }",
            "the header `a` stands twice",
        ),
        ("{ kind: http, allow: ['https://x.example'], haeders: { A: { env: X } } }", "did you mean `headers`?"),
        ("{ kind: command, allow: [ansible-playbook] }", "`ansible-playbook` could be several programs"),
        ("{ kind: command, allow: [./a/../b] }", "is not the plain path of a program"),
        ("{ kind: command, allow: [/usr/bin/] }", "is not the plain path of a program"),
        ("{ kind: command, allow: [./a], env: ['TOKEN=hunter2'] }", "this is not the name of an environment variable"),
        ("{ kind: command, allow: [./a], url: x }", "unknown key in a system `url`"),
    ] {
        let said = read(systems).err().unwrap_or_else(|| panic!("{systems} has no problem"));
        assert!(said.contains(problem), "{systems}: {said}");
    }
    let said = read("{ kind: http, allow: ['https://user:hunter2@x.example'] }").unwrap_err();
    assert!(said.contains("names nobody before the host"), "{said}");
}

#[tokio::test]
async fn what_is_configured_is_built() {
    let data = TempDir::new().unwrap();
    let systems = "systems:
  web: { kind: http, allow: ['https://staging.example.com/deploy'] }
  host: { kind: command, allow: [/bin/echo, /bin/false], cwd: / }
  played: { kind: pretend, as: command }
  aws: { kind: aws }
";
    let settings = Files::of([("config/tminus.yaml".to_owned(), systems.to_owned())]).settings().unwrap();
    let built = executors(&settings, &Ledger::in_memory(), data.path()).unwrap();
    assert_eq!(built.keys().collect::<Vec<_>>(), ["host", "played", "web"]);
    let outputs =
        succeeded(start_and_end(&*built["host"], &action(1, "command.echo", json!({ "argv": ["/bin/echo", "hello"] }))).await);
    assert_eq!(outputs["output"], "hello");
    assert_eq!(
        failed(start_and_end(&*built["host"], &action(2, "command.x", json!({ "argv": ["/bin/false"] }))).await),
        "it ended with exit code 1"
    );
    assert_eq!(std::fs::read_dir(data.path().join(COMMANDS_DIR)).unwrap().count(), 2);
    let elsewhere = action(3, "request", json!({ "url": "https://staging.example.com/" }));
    assert!(matches!(built["web"].start(&elsewhere, now()).await, Err(StartError::Refused { .. })));

    let unset =
        "systems: { web: { kind: http, allow: ['https://x.example'], headers: { X-Key: { env: TMINUS_TEST_IS_NOT_SET } } } }";
    let settings = Files::of([("config/tminus.yaml".to_owned(), unset.to_owned())]).settings().unwrap();
    // What asks it fails, and says why; the rest of T-minus has no part in it.
    let built = executors(&settings, &Ledger::in_memory(), data.path()).unwrap();
    let asked = built["web"].start(&action(4, "request", json!({ "url": "https://x.example/" })), now()).await;
    let Err(StartError::Refused { why }) = asked else { panic!("{asked:?}") };
    assert!(why.contains("the header `x-key`: the environment variable TMINUS_TEST_IS_NOT_SET is not set"), "{why}");

    let missing = "systems: { host: { kind: command, allow: [./x], cwd: /nowhere/at/all } }";
    let settings = Files::of([("config/tminus.yaml".to_owned(), missing.to_owned())]).settings().unwrap();
    let problem = executors(&settings, &Ledger::in_memory(), data.path()).err().unwrap();
    assert!(format!("{problem:#}").contains("the system `host` can't be used: the folder /nowhere/at/all"), "{problem:#}");
}
