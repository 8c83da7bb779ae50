//! Freezes: how they are configured, what they keep from happening, and who lets a rollout go on all the same.

use tminus::settings::Files;

fn said(freezes: &str) -> String {
    let settings = include_str!("../../config/tminus.yaml").to_owned() + freezes;
    match Files::embedded().with("config/tminus.yaml", &settings).settings() {
        Ok(_) => "no problem".to_owned(),
        Err(unusable) => unusable.to_string(),
    }
}

#[test]
fn freezes_are_read_with_everything_that_is_wrong_with_them() {
    let good = "freezes:
  - { name: weekend, starts: '0 0 17 * * Fri', lasts: 62h, timezone: America/New_York, environments: [andromeda/*], override: [operator, sam, auditors], reason: nobody is here }
  - { name: holidays, starts: '0 0 0 18 Dec *', lasts: 17d, environments: '*' }
";
    let settings = include_str!("../../config/tminus.yaml").to_owned() + good;
    let settings = Files::embedded().with("config/tminus.yaml", &settings).settings().unwrap_or_else(|no| panic!("{no}"));
    let named: Vec<String> = settings.freezes.0.iter().map(|freeze| format!("{}: {}", freeze.name, freeze.starts)).collect();
    assert_eq!(named, ["weekend: 0 0 17 * * Fri (America/New_York)", "holidays: 0 0 0 18 Dec * (UTC)"]);
    for (freeze, expected) in [
        ("name: a, starts: '0 17 * * Fri', lasts: 1h, environments: x", "“0 17 * * Fri” is no cron expression: it has 5 fields"),
        (
            "name: a, starts: 'at noon', lasts: 1h, environments: x",
            "six fields: second, minute, hour, day of the month, month, day of the week, like `0 0 17 * * Fri`",
        ),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1w, environments: x", "“1w” is not a duration"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 91d, environments: x", "a freeze does not last “91d”"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1h", "a freeze needs `environments`"),
        ("name: a, starts: '0 0 17 * * Fri', lasts: 1h, environments: x, timezone: Mars", "unknown time zone `Mars`"),
        (
            "name: a, starts: '0 0 17 * * Fri', lasts: 1h, environments: x, override: [oprator]",
            "unknown person, team or role `oprator`",
        ),
        ("starts: '0 0 17 * * Fri', lasts: 1h, environments: x", "a freeze needs `name`"),
        ("name: b, starts: '0 0 17 * * Fri', lasts: 1h, environments: x", "there is a freeze `b` already"),
    ] {
        let said = said(&format!(
            "freezes:\n  - {{ name: b, starts: '0 0 8 * * *', lasts: 1h, environments: y }}\n  - {{ {freeze} }}\n"
        ));
        assert!(said.contains(expected), "{freeze}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{freeze}: {said}");
    }
}
