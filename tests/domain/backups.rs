//! Backups as they are configured.

use std::path::Path;

use tminus::settings::{Backups, Files, Unusable};

fn settings(backups: &str) -> Result<Option<Backups>, Unusable> {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + "backups: " + backups + "\n";
    Files::embedded().with("config/tminus.yaml", &settings).settings().map(|settings| settings.backups)
}

#[test]
fn backups_are_read_with_everything_that_is_wrong_with_them() {
    let read = settings("{ to: /var/backups/tminus, at: '0 30 3 * * *', timezone: Europe/Berlin, keep: 30 }");
    let read = read.unwrap_or_else(|unusable| panic!("{unusable}")).expect("backups");
    assert_eq!((read.to.as_path(), read.keep), (Path::new("/var/backups/tminus"), 30));
    assert_eq!(read.at.to_string(), "0 30 3 * * * (Europe/Berlin)");
    let read = settings("{ to: backups, at: '0 0 3 * * *' }").unwrap_or_else(|unusable| panic!("{unusable}"));
    assert_eq!(read.expect("backups").keep, 14);
    assert_eq!(Files::embedded().settings().unwrap_or_else(|unusable| panic!("{unusable}")).backups, None);
    for (backups, expected, count) in [
        ("{ at: '0 0 3 * * *' }", "backups needs `to`", 1),
        ("{ to: x }", "backups needs `at`", 1),
        ("{ to: x, at: 0 3 * * * }", "“0 3 * * *” is no cron expression: it has 5 fields", 1),
        ("{ to: x, at: '0 0 3 * * *', timezone: Mars/Base }", "unknown time zone `Mars/Base`", 1),
        ("{ to: x, at: '0 0 3 * * *', keep: 0 }", "`0` is not how many backups can be kept", 1),
        ("{ to: x, at: '0 0 3 * * *', keep: many }", "`many` is not how many backups can be kept", 1),
        ("{ to: x, at: '0 0 3 * * *', kept: 3 }", "unknown key in backups `kept`", 1),
        ("{ to: '', at: '0 0 3 * * *' }", "`to` is empty", 1),
        ("{ at: noon, keep: -1 }", "is no cron expression", 3),
        ("every night", "backups", 1),
    ] {
        let said = settings(backups).map_or_else(|unusable| unusable.to_string(), |_| "no problem".to_owned());
        assert!(said.contains(expected), "{backups}: {said}");
        assert_eq!(said.matches("error:").count(), count, "{backups}: {said}");
    }
}
