//! TLS by files: what browsers keep, and that nothing passes unencrypted.

use reqwest::Certificate;
use reqwest::blocking::Client;
use reqwest::header::SET_COOKIE;

use crate::{Browser, House};

/// A certificate for `localhost` that nobody signed but itself.
fn certificate(house: &House) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(house.path().join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(house.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate")
}

#[test]
fn with_a_certificate_everything_is_encrypted_and_the_cookie_is_bound_to_it() {
    let house = House::new();
    let known = certificate(&house);
    let files = ["cert.pem", "key.pem"].map(|name| house.path().join(name).display().to_string());
    let settings =
        format!("rooms: {{ rollouts: {{ local: true }} }}\nweb: {{ tls: {{ certificate: {}, key: {} }} }}\n", files[0], files[1]);
    house.write("config/tminus.yaml", &settings);
    let serving = house.serve();
    assert!(serving.url.starts_with("https://127.0.0.1:"), "{}", serving.url);
    let mut ana = Browser::with(&serving.url, Client::builder().add_root_certificate(known));
    let answer = ana.log_in(&house.given(&["invite", "ana"]));
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cookie.starts_with("__Host-tminus=tms_") && cookie.contains("Secure"), "{cookie}");
    assert!(answer.headers()["strict-transport-security"].to_str().is_ok_and(|value| value.contains("max-age")));
    assert_eq!(ana.get("/api/me").status(), 200);
    // Whoever does not know the certificate is not talked to, and in clear there is nothing to hear.
    let stranger = Client::builder().no_proxy().build().expect("a client");
    assert!(stranger.get(format!("{}/healthz", serving.url)).send().is_err());
    let in_clear = stranger.get(format!("{}/healthz", serving.url.replace("https", "http"))).send();
    assert!(in_clear.is_err());
    // Nor does the command line, which says why.
    for args in [&["say", "status", "--as", "ana"][..], &["report", "hello"], &["journal", "export"]] {
        let (code, _, error) = house.tminus(&[args, &["--url", &serving.url]].concat());
        assert!(code != Some(0) && !error.contains("does not answer"), "{args:?}: {error}");
        assert!(error.contains("its certificate is not trusted: this machine does not know who signed it"), "{args:?}: {error}");
        assert!(error.contains("SSL_CERT_FILE"), "{args:?}: {error}");
    }
}
