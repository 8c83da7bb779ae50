//! The journal of a T-minus that serves, taken along by an operator, and brought back elsewhere.

use std::fs;

use serde_json::json;

use crate::{Browser, House, told};

#[test]
fn an_operator_takes_the_journal_along_while_it_serves_and_it_goes_on_elsewhere() {
    let house = House::new();
    let serving = house.serve();
    let mut ana = Browser::at(&serving.url);
    ana.log_in(&house.given(&["invite", "ana"]));
    ana.says("/rollout start hello");
    ana.says("/rollout ack");
    assert_eq!(ana.get("/api/journal/export").status(), 403, "it holds everything that anybody said");

    let token = |person: &str| {
        let file = house.path().join(person);
        fs::write(&file, house.given(&["token", person])).expect("written");
        file.display().to_string()
    };
    let (marias, anas) = (token("maria"), token("ana"));
    let file = house.path().join("export.jsonl").display().to_string();
    let export = |token: &str| house.tminus(&["journal", "export", "--url", &serving.url, "--token-file", token, "-o", &file]);
    let (code, _, error) = export(&anas);
    assert_eq!(code, Some(1));
    assert!(error.contains("This is for people whose `roles`") && !fs::exists(&file).expect("a look"), "{error}");
    let (code, _, error) = export(&marias);
    assert_eq!(code, Some(0), "{error}");
    let log = fs::read_to_string(house.data().join("log")).expect("a log");
    assert_eq!(
        log.matches("The journal is taken along by maria").count(),
        1,
        "who did it is logged, and who could not is not: {log}"
    );
    let (code, said, _) = house.tminus(&["journal", "verify", "--file", &file]);
    assert_eq!(code, Some(0), "{said}");

    // The nightly backup does the same, tries it out, and keeps only so many.
    let backups = house.path().join("backups").display().to_string();
    let backup =
        house.tminus(&["journal", "backup", "--url", &serving.url, "--token-file", &marias, "--to", &backups, "--keep", "1"]);
    assert_eq!(backup.0, Some(0), "{}", backup.2);
    assert!(backup.1.ends_with("tried out"), "{}", backup.1);
    assert_eq!(fs::read_dir(&backups).expect("a folder").count(), 1);

    // What happened after is not in it; what happened before goes on.
    ana.says("/rollout note after the export");
    drop(serving);
    let elsewhere = house.path().join("elsewhere").display().to_string();
    let (code, said, error) = house.tminus(&["journal", "import", &file, "--data", &elsewhere]);
    assert_eq!(code, Some(0), "{said}{error}");
    let serving = crate::demo::Demo::serve(elsewhere.as_ref(), &house.config(), "127.0.0.1:0").expect("it starts");
    let mut maria = Browser::at(&serving.url);
    let (code, link, error) = house.tminus(&["invite", "maria", "--data", &elsewhere]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(maria.log_in(&link).status(), 303);
    maria.says("/rollout ack");
    let rollout = told(maria.get("/api/rollouts"))[0]["id"].as_str().expect("an id").to_owned();
    let events = told(maria.get(&format!("/api/rollouts/{rollout}/events"))).to_string();
    assert!(events.contains("acknowledged") && !events.contains("after the export"), "{events}");
    let answer = maria.post("/api/journal/export", &json!({}));
    assert_eq!(answer.status(), 405);
}
