//! Every command and click gets an answer: also the stale, the unauthorised, the duplicate and the mistyped one.

use serde_json::json;
use tminus::settings::Files;

use crate::app::{App, ROOM};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_said_and_starts_nothing() {
    let app = App::start().await;
    for (text, reply) in [
        ("/rollout strat 4.3", "I don't know `strat`. Did you mean `start`?"),
        ("/rollout status", "No rollout is open in this room. `/rollout start` begins one, `/rollout list` shows all."),
        ("/rollout go", "No rollout is open in this room. `/rollout start` begins one, `/rollout list` shows all."),
        ("/rollout list", "No rollout is open. `/rollout start` begins one."),
        (
            "/rollout start four",
            "Nothing was started. “four” is not a Changeset version: it must match “^\\\\d+\\\\.\\\\d+\\$”, for example “4.3”. \
             `/rollout start 4.3` is an example.",
        ),
        (
            "/rollout start",
            "Nothing was started. Changeset version is needed, for example “4.3”. `/rollout start 4.3` is an example.",
        ),
        ("/rollout start androm 4.3", "I can start `andromeda-staging` here, and it takes one word: `/rollout start 4.3`."),
        (
            "/rollout start 4.3 completers=marla",
            "Nothing was started. I know no person or team “marla”; did you mean “maria”? `/rollout start 4.3` is an example.",
        ),
        (
            "/rollout start 4.3 at 2020-01-01 02:00",
            "Nothing was started. That window has begun already; choose one that is still to come. `/rollout start 4.3` is an example.",
        ),
    ] {
        assert_eq!(app.says("maria", text).await, reply, "{text}");
    }
    assert_eq!(app.get("/api/rollouts").await, json!([]));
    // Talk that is not for the bot gets no answer, and stays in the room.
    assert_eq!(app.says("maria", "good morning").await, "");
    assert!(app.texts(ROOM).await.contains(&"good morning".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_own_runbook_is_meant_where_none_is_named_and_those_of_every_room_are_there_by_name() {
    let settings = Files::embedded().text("config/tminus.yaml").expect("settings").replace("rooms:\n", "rooms:\n  quiet: {}\n");
    let app = App::start_with(Files::embedded().with("config/tminus.yaml", &settings)).await;
    let own = app.says("maria", "/rollout start 4.3").await;
    assert!(own.starts_with("Started **andromeda-staging-4.3**"), "{own}");
    let named = app.says("maria", "/rollout start minimal web").await;
    assert!(named.starts_with("Started **minimal-web**"), "{named}");
    assert_eq!(
        app.says("maria", "/rollout start minmal web").await,
        "I can start `andromeda-staging` here, and it takes one word: `/rollout start 4.3`. Did you mean `minimal`?"
    );
    // A room that no runbook names has those of every room, and no others.
    let quiet = async |text: &str| {
        let (_, told) = app.post("/api/rooms/quiet/messages", &json!({ "person": "ana", "text": text }), None).await;
        told["answer"].as_str().unwrap_or_default().to_owned()
    };
    let there = quiet("/rollout start db").await;
    assert!(there.starts_with("Started **minimal-db**"), "{there}");
    let other = quiet("/rollout start andromeda-staging 4.4").await;
    assert!(other.starts_with("I can start `minimal` here"), "{other}");
    // It needs nobody else and no time: whoever started it goes through it.
    app.eventually("the end of it", || async {
        for id in ["told", "restarted"] {
            quiet(&format!("/rollout minimal-db done {id}")).await;
        }
        quiet("/rollout minimal-db answer check state=up").await;
        let view = app.get("/api/rollouts/minimal-db").await;
        (view["result"] == "succeeded" && view["status"] == "ended").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_asks_for_what_is_missing() {
    let app = App::start().await;
    let (status, told) =
        app.post(&format!("/api/rooms/{ROOM}/messages"), &json!({ "person": "maria", "text": "/rollout start" }), None).await;
    assert_eq!((status, &told["refused"]), (200, &json!("needs-form")));
    let fields: Vec<_> = told["form"]["fields"].as_array().expect("fields").iter().map(|field| field["name"].clone()).collect();
    assert_eq!(fields, ["version", "completers"]);
    let body =
        json!({ "person": "maria", "text": told["form"]["command"], "fields": { "version": "4.3", "completers": "maria, sam" } });
    let (_, told) = app.post(&format!("/api/rooms/{ROOM}/messages"), &body, None).await;
    assert_eq!(told["rollout"], "andromeda-staging-4.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_in_a_line() {
    let app = App::start().await;
    app.says("maria", "/rollout start 4.3").await;
    assert_eq!(
        app.says("sam", "/rollout who").await,
        "Nobody is awaited in andromeda-staging-4.3. Next by itself: 08:01 EST “Pre-Flight” (in 1h 1m)."
    );
    app.jumps().await;
    app.presses("ana", "Acknowledge").await;
    assert_eq!(
        app.says("sam", "/rollout who").await,
        "Awaited in andromeda-staging-4.3: Ines, Tom, Raj and Li to acknowledge “You know of this promotion and have subscribed to it” (1 of 5 have)."
    );
    assert_eq!(
        app.says("sam", "@tminus status").await,
        "**Promote Changeset v4.3 To Staging** (andromeda-staging-4.3): phase 1 of 9: Pre-Flight, 0 of 21 steps settled. \
         T-0 is Wed 25 Nov 08:01 EST (in 5d). Next by itself: Wed 25 Nov 04:01 EST “Change Preparation”, when “Pre-Flight” is settled (in 4d 20h). \
         Next by a person: Ines, Tom, Raj and Li to acknowledge “You know of this promotion and have subscribed to it”."
    );
    assert!(
        app.says("sam", "/rollout help").await.contains("`/rollout no-go [for PERSON] [REASON]` votes NO-GO; runs stop at once")
    );
    assert_eq!(app.says("sam", "/rollout note the VPN is slow").await, "Noted.");
    assert_eq!(
        app.says("sam", "/rollout hold").await,
        "On hold: nothing new starts by itself. Nothing is running. `/rollout resume` lets it go on."
    );
    assert_eq!(app.says("sam", "/rollout resume").await, "Only Maria can let it go on.");
    assert_eq!(app.says("maria", "/rollout resume").await, "It goes on.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_answer_and_happens_once() {
    let app = App::start().await;
    let path = format!("/api/rooms/{ROOM}/messages");
    let start = json!({ "person": "maria", "text": "/rollout start 4.3" });
    let first = app.post(&path, &start, Some("key-1")).await;
    assert_eq!(app.post(&path, &start, Some("key-1")).await, first);
    assert_eq!(app.get("/api/rollouts").await.as_array().map(Vec::len), Some(1));
    app.jumps().await;
    let (message, button) = app.button("Acknowledge").await;
    let press = json!({ "person": "ana", "button": button });
    let first = app.post(&format!("{path}/{message}/press"), &press, Some("key-2")).await;
    assert!(first.1["answer"].as_str().expect("an answer").starts_with("Thank you, Ana."));
    app.presses("raj", "Acknowledge").await;
    let again = app.post(&format!("{path}/{message}/press"), &press, Some("key-2")).await;
    assert!(again.1["answer"].as_str().expect("an answer").starts_with("Thank you, Ana. You acknowledged"), "{again:?}");
    let view = app.get("/api/rollouts/andromeda-staging-4.3").await;
    assert_eq!(view["phases"][0]["steps"][0]["acknowledged"].as_object().map(serde_json::Map::len), Some(2));
    // The same key of another person is another request.
    let other = app.post(&format!("{path}/{message}/press"), &json!({ "person": "li", "button": button }), Some("key-2")).await;
    assert!(other.1["answer"].as_str().expect("an answer").starts_with("Thank you, Li."), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_problems_and_change_nothing() {
    let app = App::start().await;
    app.says("maria", "/rollout start 4.3").await;
    app.card_says("Promote").await;
    let messages = app.get(&format!("/api/rooms/{ROOM}/messages")).await;
    let room = format!("/api/rooms/{ROOM}/messages");
    let press = format!("{room}/2/press");
    for (path, body, status, part) in [
        ("/api/rooms/nowhere/messages", json!({ "person": "maria", "text": "x" }), 404, "there is no room `nowhere`"),
        (
            "/api/rooms/slack-andromeda-preproduction-watch/messages",
            json!({ "person": "maria", "text": "x" }),
            403,
            "only receives announcements",
        ),
        (room.as_str(), json!({ "text": "x" }), 422, "`person` is missing"),
        (room.as_str(), json!({ "person": "marla", "text": "x" }), 422, "Did you mean `maria`?"),
        (room.as_str(), json!({ "person": "maria", "text": "" }), 422, "`text` has 1 to"),
        (room.as_str(), json!({ "person": "maria", "text": "x".repeat(9000) }), 422, "this has 9000"),
        (room.as_str(), json!({ "person": "maria", "txt": "x" }), 422, "unknown field `txt`"),
        (room.as_str(), json!({ "person": "maria", "text": "x".repeat(400_000) }), 413, "length limit exceeded"),
        (
            "/api/rooms/andromeda-rollouts/messages/999/press",
            json!({ "person": "maria", "button": "x" }),
            404,
            "There is no message 999",
        ),
        (press.as_str(), json!({ "person": "maria" }), 422, "missing field `button`"),
        ("/api/clock/advance", json!({ "by": "4 fortnights" }), 422, "is not a duration"),
        ("/api/clock/advance", json!({}), 422, "Say either"),
        (
            "/api/clock/advance",
            json!({ "by": "1h", "rollout": "andromeda-staging-4.4" }),
            404,
            "Did you mean `andromeda-staging-4.3`?",
        ),
        ("/api/rooms/%ff/messages", json!({ "person": "maria", "text": "x" }), 400, "Invalid UTF-8"),
        ("/api/nothing", json!({}), 404, "There is nothing at this address"),
        ("/api/rooms", json!({}), 405, "does not take this method"),
    ] {
        let (got, problem) = app.post(path, &body, None).await;
        assert_eq!((got, problem["status"].as_u64()), (status, Some(u64::from(status))), "{path} {problem}");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(part), "{path}: {problem}");
    }
    assert_eq!(app.get(&format!("/api/rooms/{ROOM}/messages")).await, messages);
    // A button that is none of ours, or of another time, is answered politely.
    for button in ["", "x", "1.0.ack.9", "1.-.resume.0"] {
        let (status, told) = app.post(&press, &json!({ "person": "maria", "button": button }), None).await;
        assert_eq!(status, 200);
        assert!(told["refused"].is_string(), "{button}: {told}");
    }
    // A button of another rollout is not pressed under this one's card.
    let (status, problem) = app.post(&press, &json!({ "person": "maria", "button": "9.0.ack.1" }), None).await;
    assert_eq!(status, 422);
    assert!(problem["detail"].as_str().unwrap_or_default().contains("does not belong to message"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_one_request() {
    let mut app = App::start().await;
    let path = format!("/api/rooms/{ROOM}/messages");
    let start = json!({ "person": "maria", "text": "/rollout start 4.3" });
    let (_, first) = app.post(&path, &start, Some("k1")).await;
    for _ in 0..2 {
        let (status, again) = app.post(&path, &start, Some("k1")).await;
        assert_eq!((status, &again["answer"]), (200, &first["answer"]), "the same again is answered like the first");
        let (status, other) = app.post(&path, &json!({ "person": "maria", "text": "/rollout hold" }), Some("k1")).await;
        assert_eq!(status, 422, "{other}");
        assert!(other["detail"].as_str().unwrap_or_default().contains("was used for another request"), "{other}");
        app.restart().await;
    }
    // Keys are each person's own.
    let (status, told) = app.post(&path, &json!({ "person": "ana", "text": "/rollout note hello" }), Some("k1")).await;
    assert_eq!((status, &told["answer"]), (200, &json!("Noted.")));
    assert_eq!(app.get("/api/rollouts").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_shown_as_what_they_are() {
    let files = Files::embedded().with(
        "config/runbooks/test.yaml",
        "runbook: test
title: '{{ what }}'
inputs: { what: { positional: true } }
rooms: [andromeda-rollouts]
audiences: { watch: [slack:andromeda-preproduction-watch] }
phases: [{ phase: one, steps: [{ announce: what, to: [watch] }, { task: 'Look at {{ what }}' }] }]
",
    );
    let app = App::start_with(files.with("messages/what.md", "**{{ what }}** it is.\n")).await;
    app.says("maria", "/rollout start test \"<b>@channel</b> *x* [y](javascript:z)\"").await;
    app.card_says("Look at").await;
    assert_eq!(
        app.texts("slack-andromeda-preproduction-watch").await,
        [r"**\<b\>@channel\</b\> \*x\* \[y\](javascript:z)** it is."]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runbook_says_who_may_start_and_abort_it_and_what_is_still_to_be_answered() {
    let files = Files::embedded().with(
        "config/runbooks/test.yaml",
        "runbook: test
people: { owner: maria, ops: [ana, raj] }
rooms: [andromeda-rollouts]
may: { start: [ops, operator], abort: [ops] }
notes: [{ question: Will replicas matter?, who: raj, before: two }]
phases: [{ phase: one, steps: [{ task: Do it, id: it }] }, { phase: two, steps: [{ task: At last, id: last }] }]
",
    );
    let app = App::start_with(files).await;
    assert_eq!(app.says("li", "/rollout start test").await, "Nothing was started. `test` is started by Ana, Raj and Maria.");
    assert_eq!(app.get("/api/rollouts").await, json!([]));
    app.says("ana", "/rollout start test").await;
    app.card_says("Before “Two”: Will replicas matter? (Raj)").await;
    assert_eq!(app.says("maria", "/rollout abort no").await, "Only Ana and Raj can abort it; anyone can `/rollout hold` it.");
    app.says("maria", "/rollout done it").await;
    app.logged("“Two” opened").await;
    app.eventually("the question to go", || async {
        let texts = app.texts(ROOM).await;
        (!texts.iter().any(|text| text.contains("Will replicas matter?"))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_roster_is_shown_as_a_whole_to_who_wants_it() {
    let people = (0..61).map(|n| format!("  p{n:02}: {{ name: Person {n:02} }}\n")).collect::<Vec<_>>().concat();
    let crowd = (0..61).map(|n| format!("p{n:02}")).collect::<Vec<_>>().join(", ");
    let runbook = format!(
        "runbook: roll\nrooms: [andromeda-rollouts]\npeople: {{ owner: maria, crowd: [{crowd}] }}\n\
         phases: [{{ phase: one, steps: [{{ acknowledge: Know, from: [crowd] }}] }}]\n"
    );
    let files = Files::embedded();
    let people = files.text("config/people.yaml").expect("people").replace("people:\n", &format!("people:\n{people}"));
    let app = App::start_with(files.with("config/people.yaml", &people).with("config/runbooks/roll.yaml", &runbook)).await;
    app.says("maria", "/rollout start roll").await;
    app.presses("p07", "Acknowledge").await;
    let card = app.card_says("(1 of 61)").await;
    assert!(card.contains(", and 45 more"), "{card}");
    let all = app.presses("raj", "Show all").await;
    assert!(all.starts_with("“Know”\n\ncrowd (1 of 61): ☐ Person 00  ☐ Person 01"), "{all}");
    assert!(all.contains("☑ Person 07  ☐ Person 08") && all.ends_with("☐ Person 60"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_steps_and_phases_are_explained_on_demand() {
    let runbook = "
runbook: explained
rooms: [andromeda-rollouts]
people: { owner: maria }
inputs: { version: { default: '4_3' } }
phases:
  - phase: prepare
    help: Nothing is changed yet
    steps:
      - { task: Back up, id: backup, help: 'The routine is called {{ version }}.' }
      - { task: Look, id: look }
";
    let app = App::start_with(Files::embedded().with("config/runbooks/explained.yaml", runbook)).await;
    assert_eq!(
        app.says("ana", "/rollout help prepare").await,
        "There is no command, step or phase `prepare`. Did you mean `preview`? `/rollout help` lists the commands."
    );
    app.says("maria", "/rollout start explained").await;
    app.card_says("`/rollout help backup` explains it").await;
    for (about, expected) in [
        (
            "backup",
            "“Back up” (`backup`, in “Prepare”): The routine is called 4\\_3. Possible now: `/rollout done backup`, `/rollout fail backup`.",
        ),
        ("look", "“Look” (`look`, in “Prepare”): Nobody wrote an explanation of it."),
        ("prepare", "“Prepare”: Nothing is changed yet. Its steps: `backup`, `look`."),
        ("skp", "There is no command, step or phase `skp`. Did you mean `skip`? `/rollout help` lists the commands."),
    ] {
        assert_eq!(app.says("ana", &format!("/rollout help {about}")).await, expected);
    }
    assert!(app.says("ana", "/rollout help done").await.starts_with("`/rollout done STEP… [FIELD=VALUE…]`"));
}
