//! `tminus say` and `tminus token`: the conversation where there is no chat.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

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

/// Whose token.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The person
    person: String,
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
    let text = args.command.trim();
    let is_addressed = text.starts_with("/rollout") || text.starts_with("@tminus");
    let text = if is_addressed { text.to_owned() } else { format!("/rollout {text}") };
    let mut body = json!({ "text": text });
    if let Some(person) = &args.person {
        body["person"] = person.as_str().into();
    }
    let told = api.post(&format!("/api/rooms/{room}/messages"), &body).await?;
    println!("{}", plain(told["answer"].as_str().unwrap_or("It stands in the room.")));
    if let Some(form) = told["form"].as_object() {
        let fields = form.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let needed = fields.iter().map(|field| {
            let (name, label) = (field["name"].as_str().unwrap_or_default(), field["label"].as_str().unwrap_or_default());
            let example = field["example"].as_str().map(|example| format!(", for example {example}")).unwrap_or_default();
            format!("  {name}=…   {label}{example}")
        });
        let command = form.get("command").and_then(Value::as_str).unwrap_or_default();
        println!("Say it with:\n{}\nas in: {command} NAME=VALUE …", needed.collect::<Vec<_>>().join("\n"));
    }
    Ok(if told["refused"].is_null() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

async fn only_room(api: &Api) -> anyhow::Result<String> {
    let rooms: Value = serde_json::from_str(&api.get("/api/rooms").await?).context("the rooms can't be read")?;
    let hosting = rooms.as_array().into_iter().flatten().filter(|room| room["hosts"] == true);
    let names: Vec<&str> = hosting.filter_map(|room| room["id"].as_str()).collect();
    match names[..] {
        [only] => Ok(only.to_owned()),
        [] => bail!("no room hosts rollouts"),
        _ => bail!("in which room? --room takes one of {}", names.join(", ")),
    }
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let api = Api::new(&args.place)?;
    let minted = runtime.block_on(api.post("/api/tokens", &json!({ "person": args.person })))?;
    println!("{}", minted["token"].as_str().context("it answered without a token")?);
    Ok(ExitCode::SUCCESS)
}
