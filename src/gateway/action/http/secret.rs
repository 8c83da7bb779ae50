//! Headers whose values stand in no file of ours. They are read at every request, so that a secret that was renewed counts
//! at once, and what comes back is told without them: a server may repeat what it was sent.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::domain::rollout::event::ActionOutcome;

use super::OWN_HEADERS;

/// The longest secret, in bytes: most servers refuse longer headers.
pub const SECRET_BYTES_MAX: usize = 8 * 1024;
/// The shortest word of a secret that is looked for by itself in what comes back (`Bearer WORD`), in bytes: shorter ones are
/// found in every text.
const WORD_BYTES_MIN: usize = 8;
/// What stands in place of a secret.
const INSTEAD: &str = "[secret]";

/// Where a secret stands. This may be shown; the secret may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable.
    Env(String),
    /// In a file, with or without a line break at its end.
    File(PathBuf),
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl Secret {
    /// The secret as it is now.
    fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("{self} is not set"),
                // The value is not repeated.
                std::env::VarError::NotUnicode(_) => format!("{self} is not a text"),
            })?,
            Self::File(path) => {
                let problem = |error: std::io::Error| format!("{self} can't be read: {error}");
                // A pipe or a device might never end.
                if !path.metadata().map_err(problem)?.is_file() {
                    return Err(format!("{self} is not a plain file"));
                }
                let mut bytes = Vec::new();
                let limit = SECRET_BYTES_MAX as u64 + 2;
                File::open(path).map_err(problem)?.take(limit).read_to_end(&mut bytes).map_err(problem)?;
                String::from_utf8(bytes).map_err(|_| format!("{self} is not a text"))?
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{self} is empty"));
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(format!("{self} has more than {SECRET_BYTES_MAX} bytes"));
        }
        Ok(text.to_owned())
    }
}

/// A header whose value is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHeader {
    name: HeaderName,
    from: Secret,
}

impl SecretHeader {
    /// A header of this name, and where its value stands.
    ///
    /// # Errors
    /// A sentence, when it can't be the name of a header that lets somebody in.
    pub fn new(name: &str, from: Secret) -> Result<Self, String> {
        let known = HeaderName::try_from(name).map_err(|_| format!("`{name}` can't be the name of a header"))?;
        if OWN_HEADERS.contains(&known.as_str()) {
            return Err(format!("the header `{name}` is T-minus's own business"));
        }
        // These go along when a redirect leaves for another host.
        if [ACCEPT, CONTENT_TYPE].contains(&known) {
            return Err(format!("the header `{name}` is no place for a secret; a runbook says it"));
        }
        Ok(Self { name: known, from })
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }
}

/// Reads the secrets and puts them among the headers of a request; answers what must not be told afterwards.
pub(super) fn insert(from: &[SecretHeader], headers: &mut HeaderMap) -> Result<Untold, String> {
    let mut untold = Vec::new();
    for SecretHeader { name, from } in from {
        let text = from.read().map_err(|why| format!("the header `{name}`: {why}"))?;
        let mut value = HeaderValue::try_from(&text)
            .map_err(|_| format!("the header `{name}`: {from} holds something that can't be sent in a header"))?;
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
        untold.extend(text.split_whitespace().filter(|word| word.len() >= WORD_BYTES_MIN).map(str::to_owned));
        untold.push(text);
    }
    // As it would stand in an answer in JSON.
    let escaped: Vec<String> = untold.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
    untold.extend(escaped.iter().map(|text| text[1..text.len() - 1].to_owned()));
    // What contains another one goes first.
    untold.sort_by_key(|text| std::cmp::Reverse(text.len()));
    untold.dedup();
    Ok(Untold(untold))
}

/// What was sent and must not be told. It has no form for logs on purpose.
#[derive(Clone, Default)]
pub(super) struct Untold(Vec<String>);

impl Untold {
    /// A text without it.
    pub fn left_out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, INSTEAD))
    }

    /// The same of a text that was cut: its end may be the beginning of a secret.
    pub fn left_out_of_cut(&self, text: &str) -> String {
        let mut text = self.left_out_of(text);
        // Half a character, too.
        text.truncate(text.trim_end_matches('\u{fffd}').len());
        let begun = |secret: &String| {
            let beginnings = secret.char_indices().map(|(end, _)| &secret[..end]).filter(|beginning| !beginning.is_empty());
            beginnings.filter(|beginning| text.ends_with(beginning)).map(str::len).max().unwrap_or(0)
        };
        let begun = self.0.iter().map(begun).max().unwrap_or(0);
        text.truncate(text.len() - begun);
        text
    }

    /// An end without it.
    pub fn left_out_of_end(&self, outcome: ActionOutcome) -> ActionOutcome {
        match outcome {
            ActionOutcome::Succeeded { outputs } => {
                let told = outputs.into_iter().map(|(name, output)| match output {
                    Value::String(text) => (name, Value::from(self.left_out_of(&text))),
                    other => (name, other),
                });
                ActionOutcome::Succeeded { outputs: told.collect() }
            }
            ActionOutcome::Failed { reason } => ActionOutcome::Failed { reason: self.left_out_of(&reason) },
            ActionOutcome::Unknown { reason } => ActionOutcome::Unknown { reason: self.left_out_of(&reason) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untold(secret: &str) -> Untold {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        let header = SecretHeader::new("Authorization", Secret::File(path)).unwrap();
        let mut headers = HeaderMap::new();
        let untold = insert(&[header], &mut headers).unwrap();
        assert!(!format!("{headers:?}").contains("hunter2"), "{headers:?}");
        untold
    }

    #[test]
    fn a_secret_is_left_out_whole_in_words_and_escaped() {
        let untold = untold("Bearer hunter2-\"and\"-more\n");
        for told in [
            "Bearer hunter2-\"and\"-more",
            "hunter2-\"and\"-more",
            r#"{"authorization":"Bearer hunter2-\"and\"-more"}"#,
            r#"["hunter2-\"and\"-more"]"#,
        ] {
            let left = untold.left_out_of(told);
            assert!(!left.contains("hunter2") && left.contains(INSTEAD), "{left}");
        }
        assert_eq!(untold.left_out_of("Bearer of bad news"), "Bearer of bad news");
    }

    #[test]
    fn a_text_that_was_cut_does_not_end_within_a_secret() {
        let untold = untold("hunter2hunter2-ünd");
        for (cut, left) in [
            ("x hunter2hunter2-ünd", "x [secret]"),
            ("x hunter2hunter2-", "x "),
            ("x hunter2hunter2-\u{fffd}", "x "),
            ("x hunter2", "x "),
            ("x h", "x "),
            ("x", "x"),
        ] {
            assert_eq!(untold.left_out_of_cut(cut), left, "{cut}");
        }
    }

    #[test]
    fn what_can_not_be_a_secret_is_said_without_saying_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("secret");
        let read = |secret: &Secret| {
            let header = SecretHeader::new("X-Token", secret.clone()).unwrap();
            insert(&[header], &mut HeaderMap::new()).map(|_| ()).unwrap_err()
        };
        let file = Secret::File(path.clone());
        assert!(read(&file).contains("can't be read"), "{}", read(&file));
        for (content, problem) in [
            (b" \n".to_vec(), "is empty"),
            (b"hunter2\nhunter2".to_vec(), "can't be sent in a header"),
            (b"hunter2\xff".to_vec(), "is not a text"),
            (b"hunter2".repeat(SECRET_BYTES_MAX), "has more than"),
        ] {
            std::fs::write(&path, content).unwrap();
            let said = read(&file);
            assert!(said.contains(problem) && said.contains("x-token") && !said.contains("hunter2"), "{said}");
        }
        assert!(read(&Secret::File(folder.path().to_owned())).contains("not a plain file"));
        assert!(read(&Secret::Env("TMINUS_TEST_IS_NOT_SET".into())).contains("TMINUS_TEST_IS_NOT_SET is not set"));
        for (name, problem) in [("Host", "own business"), ("Accept", "no place for a secret"), ("a b", "can't be the name")] {
            assert!(SecretHeader::new(name, file.clone()).unwrap_err().contains(problem), "{name}");
        }
    }
}
