//! `tminus say`: the conversation where there is no chat.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::domain::conversation::grammar::addressed;
use crate::domain::message::card::FormField;

use super::client::{Api, Where};
use super::plain;

/// What is refused ends with this code: nothing changed. Not to be reached, or used wrongly, is 2.
const REFUSED: u8 = 1;
/// It could not be asked.
const NOT_ASKED: u8 = 2;

/// What is said, where, and by whom.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command, as in chat: `done backup backup_id=4711`
    command: String,
    /// The room; the only one that hosts rollouts, unless told
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// As whom, in the demo, which asks for no token
    #[arg(long = "as", value_name = "PERSON")]
    person: Option<String>,
    #[command(flatten)]
    place: Where,
}

pub(super) fn say(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(say_it(args)));
    match said {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(NOT_ASKED)
        }
    }
}

async fn say_it(args: &Args) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.place)?;
    if args.person.is_none() && !api.has_token() {
        bail!("who are you? Set TMINUS_TOKEN or name a --token-file; in the demo --as PERSON is enough");
    }
    let room = match &args.room {
        Some(room) => room.clone(),
        None => only_room(&api).await?,
    };
    let text = match addressed(&args.command) {
        Some(_) => args.command.trim().to_owned(),
        None => format!("/rollout {}", args.command.trim()),
    };
    let mut body = json!({ "text": text });
    if let Some(person) = &args.person {
        body["person"] = person.as_str().into();
    }
    let told = api.post(&["api", "rooms", &room, "messages"], &body).await?;
    println!("{}", plain(told["answer"].as_str().unwrap_or("It stands in the room.")));
    // What is asked only after it was done, the answer says how to say.
    if !told["form"].is_null() && !told["refused"].is_null() {
        let form: Form = serde_json::from_value(told["form"].clone()).context("the form can't be read")?;
        let problems: Option<BTreeMap<_, _>> =
            serde_json::from_value(told["problems"].clone()).context("what is wrong with the form can't be read")?;
        print!("{}", Form { problems: problems.unwrap_or_default(), ..form }.in_words());
    }
    Ok(if told["refused"].is_null() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// What has to be filled in, as the API tells it.
#[derive(serde::Deserialize)]
struct Form {
    command: String,
    fields: Vec<FormField>,
    /// What is wrong with some of them, by name; told beside the form.
    #[serde(skip)]
    problems: BTreeMap<String, String>,
}

impl Form {
    /// The fields, and the command that answers them.
    fn in_words(&self) -> String {
        let mut text = "Fields:\n".to_owned();
        let mut command = self.command.trim_start_matches("/rollout ").to_owned();
        for field in &self.fields {
            let mut about = vec![field.label.clone()];
            if !field.options.is_empty() {
                about.push(format!("one of {}", field.options.join(", ")));
            }
            about.extend(field.example.as_ref().map(|example| format!("for example {example}")));
            about.extend(field.value.as_ref().map(|value| format!("now {value}")));
            if !field.required {
                about.push("may be left out".to_owned());
            }
            text.push_str(&format!("  {}: {}\n", field.name, about.join(", ")));
            // What was right stays as it is.
            let value = field.value.as_deref().filter(|_| !self.problems.contains_key(&field.name));
            if field.required || value.is_some() {
                let example = || field.example.as_deref().or(field.options.first().map(String::as_str));
                let value = value.or_else(example).filter(|value| !value.contains(['\'', '"', '\n'])).unwrap_or("…");
                let quotes = if value.contains(char::is_whitespace) { "\"" } else { "" };
                command.push_str(&format!(" {}={quotes}{value}{quotes}", field.name));
            }
        }
        text.push_str(&format!("Say it with them: tminus say '{command}'\n"));
        text
    }
}

async fn only_room(api: &Api) -> anyhow::Result<String> {
    let rooms: Value = serde_json::from_str(&api.get(&["api", "rooms"], &[]).await?).context("the rooms can't be read")?;
    let hosting = rooms.as_array().into_iter().flatten().filter(|room| room["hosts"] == true);
    let names: Vec<&str> = hosting.filter_map(|room| room["id"].as_str()).collect();
    match names[..] {
        [only] => Ok(only.to_owned()),
        [] => bail!("no room hosts rollouts"),
        _ => bail!("in which room? --room takes one of {}", names.join(", ")),
    }
}
