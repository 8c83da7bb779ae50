//! `tminus invite`, `tminus token` and `tminus access`: who may come in. They work on the data folder, whether T-minus runs or
//! not: whoever may write there may let people in.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::people::PersonId;
use crate::domain::problem::did_you_mean;
use crate::domain::time::parse_duration;
use crate::engine::clock::SystemClock;
use crate::engine::ports::Clock as _;
use crate::gateway::web::access::api::{check_lasts, link};
use crate::gateway::web::access::grants::{GrantKind, Grants, Holder, Only, Wanted};
use crate::settings::Files;
use crate::telemetry;

use super::serve::{ACCESS_DIR, URL_FILE};
use super::{demo, folder, say_out};

/// Whose access, and where it is remembered.
#[derive(Debug, clap::Args)]
struct Place {
    /// The data folder of the T-minus that is meant
    #[arg(long, global = true, value_name = "DIR", env = "TMINUS_DATA", default_value = demo::DATA_DEFAULT)]
    data: PathBuf,
    /// A folder with config/ to read people from, instead of what is built in
    #[arg(long, global = true, value_name = "DIR", env = "TMINUS_CONFIG")]
    config: Option<PathBuf>,
}

/// Who is invited.
#[derive(Debug, clap::Args)]
pub(super) struct InviteArgs {
    /// The person, as config/people.yaml names them
    #[arg(required_unless_present = "wall")]
    person: Option<String>,
    /// A screen on a wall instead: it shows how rollouts stand, and can do nothing
    #[arg(long, conflicts_with = "person")]
    wall: bool,
    /// How long the link works; it works once in any case
    #[arg(long = "for", value_name = "TIME", default_value = "1d")]
    lasts: String,
    #[command(flatten)]
    place: Place,
}

/// Whose token.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The person, as config/people.yaml names them
    person: String,
    /// How long it works
    #[arg(long = "for", value_name = "TIME", default_value = "16h")]
    lasts: String,
    /// The one thing it is good for: `export` takes the journal along, for backups by an operator's token, and does nothing else
    #[arg(long, value_name = "WHAT", value_parser = ["export"])]
    only: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// What is done about access.
#[derive(Debug, clap::Args)]
pub(super) struct AccessArgs {
    #[command(subcommand)]
    command: Option<AccessCommand>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Subcommand)]
enum AccessCommand {
    /// Takes back every link, log-in and token of somebody
    Revoke {
        /// The person, also one who is not configured any more
        #[arg(required_unless_present = "wall")]
        person: Option<String>,
        /// The screens on walls instead
        #[arg(long, conflicts_with = "person")]
        wall: bool,
    },
}

pub(super) fn invite(args: &InviteArgs) -> anyhow::Result<ExitCode> {
    let holder = match &args.person {
        Some(person) => Holder::Person(args.place.person(person)?),
        None => Holder::Wall,
    };
    args.place.is_usable()?;
    let url = args.place.url()?;
    let (secret, expires_at) = args.place.issue(GrantKind::Invite, holder, &args.lasts, None)?;
    say_out(&link(&url, &secret))?;
    eprintln!("It works once, until {}. Give it to nobody else.", expires_at.format("%Y-%m-%d %H:%M UTC"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let holder = Holder::Person(args.place.person(&args.person)?);
    let (secret, expires_at) =
        args.place.issue(GrantKind::Token, holder, &args.lasts, args.only.as_ref().map(|_| Only::Export))?;
    say_out(&secret)?;
    eprintln!("It works until {}. It is kept nowhere: put it into a secret store.", expires_at.format("%Y-%m-%d %H:%M UTC"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn access(args: &AccessArgs) -> anyhow::Result<ExitCode> {
    let grants = args.place.grants()?;
    match &args.command {
        None => {
            let listed = grants.list(SystemClock.now())?;
            for grant in &listed {
                let until = grant.expires_at.format("%Y-%m-%d %H:%M UTC");
                let only = if grant.only == Some(Only::Export) { ", for exports alone" } else { "" };
                let by = grant.issued_by.as_ref().map(|by| format!(", given out by {by}")).unwrap_or_default();
                say_out(&format!("{:<24} {:<8} until {until}{only}{by}", grant.holder.to_string(), grant.kind.name()))?;
            }
            if listed.is_empty() {
                eprintln!("Nobody has a link, a log-in or a token. `tminus invite PERSON` gives out a link.");
            }
        }
        Some(AccessCommand::Revoke { person, .. }) => {
            let holder = person.as_ref().map_or(Holder::Wall, |person| Holder::Person(PersonId::new(person)));
            telemetry::start_logging()?;
            match grants.revoke(&holder, Some(&typed_by()))? {
                0 => bail!("{holder} has no link, log-in or token; `tminus access` lists who has"),
                count => println!("{count} taken back. Whoever is logged in by it is out with the next click."),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Who types, as the machine knows them.
#[cfg(unix)]
fn typed_by() -> String {
    format!("user {} at the command line", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn typed_by() -> String {
    "somebody at the command line".to_owned()
}

impl Place {
    fn grants(&self) -> anyhow::Result<Grants> {
        self.is_usable()?;
        let dir = self.data.join(ACCESS_DIR);
        Grants::open(&dir).with_context(|| format!("{} can't be used", dir.display()))
    }

    fn is_usable(&self) -> anyhow::Result<()> {
        if !self.data.is_dir() {
            bail!("there is no data folder {}; name the one of the T-minus that is meant with --data DIR", self.data.display());
        }
        folder::is_own(&self.data)
    }

    fn files(&self) -> anyhow::Result<Files> {
        self.config.as_deref().map_or_else(|| Ok(Files::embedded()), Files::read)
    }

    /// Somebody who is configured. Whatever else may be wrong with the configuration is no matter here.
    fn person(&self, named: &str) -> anyhow::Result<PersonId> {
        let people = self.files()?.check().settings.people;
        if let Some(person) = people.find(named) {
            return Ok(person.id.clone());
        }
        let near = did_you_mean(named, people.people().map(|person| person.id.as_str()));
        let help = match (near, &self.config) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(_)) => "config/people.yaml names everybody".to_owned(),
            (None, None) => "these are the people that are built in; name your folder with --config DIR".to_owned(),
        };
        bail!("there is no person `{named}`; {help}")
    }

    /// Where the page is reached: as the last process said, or else the configuration.
    fn url(&self) -> anyhow::Result<String> {
        let configured = self.files()?.check().settings.web.public_url;
        if let Some(url) = configured {
            return Ok(url.as_str().to_owned());
        }
        let file = self.data.join(URL_FILE);
        let url = std::fs::read_to_string(&file);
        let says = || format!("nobody knows where the page is reached: T-minus never ran on {}", self.data.display());
        Ok(url.with_context(says)?.trim().to_owned())
    }

    fn issue(&self, kind: GrantKind, holder: Holder, lasts: &str, only: Option<Only>) -> anyhow::Result<(String, DateTime<Utc>)> {
        let lasts: TimeDelta =
            parse_duration(lasts).and_then(|seconds| check_lasts(seconds, kind)).map_err(anyhow::Error::msg)?;
        telemetry::start_logging()?;
        let wanted = Wanted { kind, holder, lasts, issued_by: Some(typed_by()), only };
        let issued = self.grants()?.issue_as(wanted, SystemClock.now())?;
        Ok((issued.secret, issued.grant.expires_at))
    }
}
