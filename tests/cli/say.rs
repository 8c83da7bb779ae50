//! `tminus say`, `token`, `print` and `report`: the conversation and the checklist where there is no chat.

use crate::{demo, tminus};

#[test]
fn say_print_and_report_work_when_chat_is_down() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let url = demo.url.clone();
    let say = |args: &[&str]| tminus(dir.path(), &[&["say", "--url", &url], args].concat());
    let (code, said, _) = say(&["start 4.3", "--as", "maria"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("Started andromeda-staging-4.3: Promote Changeset v4.3 To Staging."), "{said}");
    // What is refused changes nothing, and says so by its code; what is missing is asked for.
    let (code, said, _) = say(&["ack", "--as", "ana"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said, _) = say(&["start", "--as", "maria"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("  version: Changeset version, for example 4.3\n"), "{said}");
    assert!(said.ends_with("Say it with them: tminus say 'start andromeda-staging version=4.3 completers=maria'\n"), "{said}");
    // What cannot be asked is said at once, and names lead nowhere else.
    for (args, expected) in [
        (&["mine", "--as", "maria", "--room", "../../people"][..], "there is no room `../../people`"),
        (&["mine", "--as", "maria", "--room", ".."], "`..` is not a name"),
        (&["mine", "--as", "maria", "--token-file", "nothing"], "nothing can't be read"),
        (&["mine", "--as", "maria", "--token-file", "empty"], "empty holds no token"),
        (&["mine", "--as", "nobody"], "There is no person `nobody`"),
    ] {
        std::fs::write(dir.path().join("empty"), "\n").expect("written");
        let (code, said, error) = say(args);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{args:?}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let (code, _, error) = tminus(dir.path(), &["say", "mine", "--as", "maria", "--url", "localhost:8080"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("`localhost:8080` is not an address like http://127.0.0.1:8080"), "{error}");
    let (code, _, error) = say(&["mine"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("who are you?"), "{error}");

    // With a token nobody says who they are.
    let (_, token, _) = tminus(dir.path(), &["token", "ana", "--data", "data"]);
    std::fs::write(dir.path().join("token"), &token).expect("written");
    let (code, said, error) = say(&["note seen it", "--token-file", "token"]);
    assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"), "{error}");
    let (code, _, error) = say(&["note seen it", "--token-file", "token", "--as", "maria"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("This is ana's log-in."), "{error}");
    std::fs::write(dir.path().join("token"), "0123").expect("written");
    let (code, _, error) = say(&["mine", "--token-file", "token"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("This token is not known, or it has expired."), "{error}");
    // The page's own figures count it.
    let figures = reqwest::blocking::get(format!("{url}/metrics")).and_then(reqwest::blocking::Response::text).expect("figures");
    assert!(figures.contains("tminus_http_refused_total{why=\"token\"} 1"), "{figures}");

    let (code, over_api, _) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--url", &url]);
    assert_eq!(code, Some(0));
    for line in [
        "Owner: Maria Keller",
        "  [ ] Kick off special pre-change backup",
        "      Ana Silva: GO / NO-GO",
        "      Backup job ID: ______________________",
    ] {
        assert!(over_api.lines().any(|said| said == line), "{line}\n{over_api}");
    }
    assert!(over_api.lines().all(|line| line.chars().count() <= 100), "{over_api}");
    let (code, _, error) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--data", "data"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("ask that one: --url"), "{error}");
    let (code, _, error) = tminus(dir.path(), &["print", "../people", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(error.contains("There is no rollout"), "{error}");
    let (_, report, _) = tminus(dir.path(), &["report", "andromeda-staging-4.3", "--url", &url]);
    assert!(report.contains("seen it (Ana Silva"), "{report}");

    // Nothing runs any more: the folder is read.
    drop(demo);
    let (code, from_folder, error) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--data", "data"]);
    assert_eq!(code, Some(0), "{error}");
    let without_time = |text: &str| text.lines().filter(|line| !line.contains("as of")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_time(&from_folder), without_time(&over_api));
    let (code, _, error) = say(&["mine", "--as", "ana"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("does not answer; --url says where T-minus runs"), "{error}");
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let mut keys = Vec::new();
        for answer in ["nothing", "busy", "noted"] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).expect("a header") > 2 {
                let header = line.to_lowercase();
                if let Some(key) = header.strip_prefix("idempotency-key:") {
                    keys.push(key.trim().to_owned());
                }
                if let Some(said) = header.strip_prefix("content-length:") {
                    length = said.trim().parse().expect("a number");
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).expect("the body");
            let answer = match answer {
                // It is heard, and the answer is lost.
                "nothing" => continue,
                "busy" => "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                _ => {
                    "HTTP/1.1 200 OK\r\ncontent-length: 35\r\nconnection: close\r\n\r\n{\"answer\":\"Noted.\", \"refused\":null}"
                }
            };
            stream.write_all(answer.as_bytes()).expect("sent");
        }
        keys
    });
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said, error) = tminus(dir.path(), &["say", "note x", "--as", "ana", "--room", "r", "--url", &url]);
    assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"), "{error}");
    let keys = server.join().expect("the server ends");
    assert!(keys.len() == 3 && keys.iter().all(|key| *key == keys[0] && !key.is_empty()), "{keys:?}");
}

#[test]
fn what_may_have_happened_is_said() {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().expect("a connection");
            assert_ne!(stream.read(&mut [0; 4096]).expect("a request"), 0);
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    let said = |url: &str| tminus(dir.path(), &["say", "note x", "--as", "ana", "--room", "r", "--url", url]);
    let (code, _, error) = said(&url);
    assert_eq!(code, Some(2));
    assert!(error.contains("what was asked may have happened"), "{error}");
    server.join().expect("the server ends");
    // Where nobody listens, nothing can have happened.
    let (code, _, error) = said(&url);
    assert_eq!(code, Some(2));
    assert!(error.contains("does not answer; --url") && !error.contains("may have happened"), "{error}");
}

#[test]
fn a_proxy_gets_no_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    proxy.set_nonblocking(true).expect("it can look without waiting");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tminus"))
        .args(["say", "help", "--as", "ana", "--url", &demo.url])
        .envs([("HTTP_PROXY", &address), ("http_proxy", &address), ("ALL_PROXY", &address)])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(proxy.accept().is_err(), "nothing came by the proxy");
}
