//! Grants: what lets somebody in. An invite is a personal link that works once, a session is what a browser gets for it, a
//! token is for programs.
//!
//! Each is a file of its own in a folder that only its owner can read, named by the hash of its secret; the secret itself is
//! kept nowhere. So the command line can give out and take back while the server runs, and both see the same at once: whoever
//! may write to the data folder may let people in. None of it is a fact of a rollout: losing a file costs a log-in.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::people::PersonId;
use crate::engine::files::{self, Readers};
use crate::engine::journal::chain::hex;

/// How many random bytes a secret has: nobody guesses one.
const SECRET_BYTES: usize = 32;
/// How many grants there may be at once: a few for each of some hundred people. More is a mistake or a flood.
pub const GRANTS_MAX: usize = 10_000;
/// How many sessions one person has: a laptop, a phone, some browsers. The oldest makes room.
pub const SESSIONS_PER_PERSON_MAX: usize = 20;
/// How many screens on walls there are at once. None makes room for another: nobody would see which one goes dark.
pub const SCREENS_MAX: usize = 100;
/// The largest file that is read as a grant, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// How a file ends while it is written.
const UNFINISHED: &str = ".part";

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// A personal link, which works once.
    Invite,
    /// A browser that logged in.
    Session,
    /// A program that acts for a person.
    Token,
}

impl GrantKind {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// How its secrets begin, so that whoever finds one somewhere knows what it opens.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Invite => "tmi_",
            Self::Session => "tms_",
            Self::Token => "tmt_",
        }
    }

    /// How long one lasts, unless told otherwise: a link for a day, a browser for two weeks, a program for a night and the morning
    /// after.
    #[must_use]
    pub const fn lasts(self) -> TimeDelta {
        match self {
            Self::Invite => TimeDelta::days(1),
            Self::Session => TimeDelta::days(14),
            Self::Token => TimeDelta::hours(16),
        }
    }

    /// How long one lasts at most.
    #[must_use]
    pub const fn lasts_max(self) -> TimeDelta {
        match self {
            Self::Invite => TimeDelta::days(30),
            Self::Session => TimeDelta::days(90),
            Self::Token => TimeDelta::days(366),
        }
    }
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A person, with whatever they may do.
    Person(PersonId),
    /// A screen on a wall: it sees how rollouts stand, and can do nothing.
    Wall,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(id) => id.fmt(f),
            Self::Wall => f.write_str("(wall)"),
        }
    }
}

/// What somebody was given. Its secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What it is for.
    pub kind: GrantKind,
    /// Who is let in.
    pub holder: Holder,
    /// When it was given.
    pub issued_at: DateTime<Utc>,
    /// From when on it is worth nothing.
    pub expires_at: DateTime<Utc>,
    /// Who gave it out: a person's id, or where somebody typed it. Of a session, who gave out its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<String>,
    /// The one thing that it is good for; everything that its holder may do, if nothing is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
}

/// What a token may be good for alone, so that whoever finds it can do nothing else with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Taking the journal along.
    Export,
}

/// A grant as it is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is for.
    pub kind: GrantKind,
    /// Who is let in.
    pub holder: Holder,
    /// How long.
    pub lasts: TimeDelta,
    /// See [`Grant::issued_by`].
    pub issued_by: Option<String>,
    /// See [`Grant::only`].
    pub only: Option<Only>,
}

/// A grant with its secret, as its owner gets it, once.
#[derive(Debug)]
pub struct Issued {
    /// The secret.
    pub secret: String,
    /// What it is worth.
    pub grant: Grant,
}

/// Why a grant could not be given or looked up.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There are [`GRANTS_MAX`].
    #[error("there are {GRANTS_MAX} links, log-ins and tokens already; `tminus access revoke` makes room")]
    Full,
    /// There are [`SCREENS_MAX`].
    #[error("there are {SCREENS_MAX} screens on walls already; `tminus access revoke --wall` takes all of them back")]
    Screens,
    /// The machine has no chance to give.
    #[error("there are no random numbers: {0}")]
    NoChance(getrandom::Error),
    /// The folder could not be used.
    #[error(
        "log-ins can't be read or written: {0}. Their folder, `access` in the data folder, has to be T-minus' own, on a disk that has room"
    )]
    Store(io::Error),
}

impl From<io::Error> for GrantError {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}

/// The grants in a folder.
#[derive(Clone, Debug)]
pub struct Grants {
    dir: Arc<Path>,
}

impl Grants {
    /// The grants in a folder, which is made, for its owner alone, when it is not there.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        files::make_private_all(dir)?;
        Ok(Self { dir: dir.into() })
    }

    /// Gives out a new grant.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn issue(&self, kind: GrantKind, holder: Holder, lasts: TimeDelta, now: DateTime<Utc>) -> Result<Issued, GrantError> {
        self.issue_as(Wanted { kind, holder, lasts, issued_by: None, only: None }, now)
    }

    /// Gives out a new grant, and logs who gave whom what: with it, one acts as its holder.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn issue_as(&self, wanted: Wanted, now: DateTime<Utc>) -> Result<Issued, GrantError> {
        let Wanted { kind, holder, lasts, issued_by, only } = wanted;
        let mut held = self.worth(now)?;
        if held.len() >= GRANTS_MAX {
            return Err(GrantError::Full);
        }
        if kind == GrantKind::Session {
            if holder == Holder::Wall {
                check_screens(&held)?;
            } else {
                held.retain(|(_, grant)| grant.kind == kind && grant.holder == holder);
                held.sort_by_key(|(_, grant)| std::cmp::Reverse(grant.issued_at));
                for (path, _) in held.into_iter().skip(SESSIONS_PER_PERSON_MAX - 1) {
                    remove(&path)?;
                }
            }
        }
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(GrantError::NoChance)?;
        let secret = format!("{}{}", kind.prefix(), hex(bytes));
        let grant = Grant { kind, holder, issued_at: now, expires_at: now + lasts.min(kind.lasts_max()), issued_by, only };
        write(&self.path(kind, &secret), &grant)?;
        let by = grant.issued_by.as_deref().unwrap_or("nobody who is named");
        tracing::info!(
            kind = kind.name(), holder = %grant.holder, issued_by = by, expires_at = %grant.expires_at.to_rfc3339(),
            "A new {} for {}, given out by {by}", kind.name(), grant.holder
        );
        Ok(Issued { secret, grant })
    }

    /// What a secret is worth now. It is looked up by its hash, so how long that takes says nothing about the secrets there are.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn find(&self, kind: GrantKind, secret: &str, now: DateTime<Utc>) -> Result<Option<Grant>, GrantError> {
        let grant = read(&self.path(kind, secret))?;
        Ok(grant.filter(|grant| grant.kind == kind && grant.expires_at > now))
    }

    /// Takes a grant back by its secret, and says what it was worth. Of several who come at once, one hears so.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn redeem(&self, kind: GrantKind, secret: &str, now: DateTime<Utc>) -> Result<Option<Grant>, GrantError> {
        let Some(grant) = self.find(kind, secret, now)? else { return Ok(None) };
        let was_there = remove(&self.path(kind, secret))?;
        Ok(was_there.then_some(grant))
    }

    /// Takes back everything that somebody holds, logs who did it, and says how much that was.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn revoke(&self, holder: &Holder, by: Option<&str>) -> Result<usize, GrantError> {
        let count = self.remove_where(|grant| grant.holder == *holder)?;
        if count == 0 {
            return Ok(0);
        }
        let by = by.unwrap_or("nobody who is named");
        tracing::info!(%holder, count, revoked_by = by, "All that lets {holder} in was taken back by {by}: {count}");
        Ok(count)
    }

    /// Removes what has expired, and says how much that was.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn sweep(&self, now: DateTime<Utc>) -> Result<usize, GrantError> {
        self.remove_where(|grant| grant.expires_at <= now)
    }

    /// Everything that is worth something now, by holder and age.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn list(&self, now: DateTime<Utc>) -> Result<Vec<Grant>, GrantError> {
        let mut grants: Vec<Grant> = self.worth(now)?.into_iter().map(|(_, grant)| grant).collect();
        grants.sort_by_key(|grant| (grant.holder.to_string(), grant.issued_at));
        Ok(grants)
    }

    fn remove_where(&self, is_gone: impl Fn(&Grant) -> bool) -> Result<usize, GrantError> {
        let mut count = 0;
        for (path, grant) in self.all()? {
            if is_gone(&grant) && remove(&path)? {
                count += 1;
            }
        }
        // What was taken back stays taken back, also when the power goes.
        files::sync_names(&self.dir)?;
        Ok(count)
    }

    /// What is worth something now: what has expired and is not removed yet takes nobody's room.
    fn worth(&self, now: DateTime<Utc>) -> io::Result<Vec<(PathBuf, Grant)>> {
        let mut grants = self.all()?;
        grants.retain(|(_, grant)| grant.expires_at > now);
        Ok(grants)
    }

    /// Everything in the folder. What is no grant, half of one, or can't be read lets nobody in, and is in nobody's way.
    fn all(&self) -> io::Result<Vec<(PathBuf, Grant)>> {
        let mut grants = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match read(&path) {
                    Ok(grant) => grants.extend(grant.map(|grant| (path, grant))),
                    Err(error) => tracing::warn!("{} can't be read, and lets nobody in: {error}", path.display()),
                }
            }
        }
        Ok(grants)
    }

    fn path(&self, kind: GrantKind, secret: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.json", kind.name(), hex(Sha256::digest(secret.as_bytes()))))
    }
}

fn check_screens(held: &[(PathBuf, Grant)]) -> Result<(), GrantError> {
    let is_screen = |(_, grant): &&(PathBuf, Grant)| grant.kind == GrantKind::Session && grant.holder == Holder::Wall;
    if held.iter().filter(is_screen).count() >= SCREENS_MAX { Err(GrantError::Screens) } else { Ok(()) }
}

/// Writes a grant whole or not at all: a reader never sees half of one.
fn write(path: &Path, grant: &Grant) -> io::Result<()> {
    let unfinished = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
    files::replace(path, &unfinished, &serde_json::to_vec(grant)?, Readers::Owner)
}

/// Removes a file, and says whether there was one.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Option<Grant>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let grant = serde_json::from_slice(&text);
    Ok(grant.inspect_err(|error| tracing::warn!("{} is no grant, and lets nobody in: {error}", path.display())).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn maria() -> Holder {
        Holder::Person(PersonId::new("maria"))
    }

    fn folder() -> (tempfile::TempDir, Grants) {
        let dir = tempfile::tempdir().unwrap();
        let grants = Grants::open(&dir.path().join("access")).unwrap();
        (dir, grants)
    }

    #[test]
    fn a_secret_is_worth_something_until_it_expires_and_stands_nowhere() {
        let (_dir, grants) = folder();
        let Issued { secret, grant } = grants.issue(GrantKind::Token, maria(), GrantKind::Token.lasts(), now()).unwrap();
        assert_eq!(secret.len(), 4 + 2 * SECRET_BYTES);
        assert_eq!(grants.find(GrantKind::Token, &secret, now()).unwrap(), Some(grant.clone()));
        assert_eq!(grants.find(GrantKind::Token, &secret, grant.expires_at).unwrap(), None);
        for (kind, wrong) in [(GrantKind::Session, secret.as_str()), (GrantKind::Token, "tmt_"), (GrantKind::Token, "../x")] {
            assert_eq!(grants.find(kind, wrong, now()).unwrap(), None, "{wrong}");
        }
        for entry in fs::read_dir(&grants.dir).unwrap() {
            let path = entry.unwrap().path();
            let kept = format!("{} {}", path.display(), fs::read_to_string(&path).unwrap());
            assert!(!kept.contains(&secret[4..]), "{kept}");
        }
        assert_ne!(grants.issue(GrantKind::Token, maria(), TimeDelta::hours(1), now()).unwrap().secret, secret);
    }

    #[test]
    fn a_link_works_once() {
        let (_dir, grants) = folder();
        let secret = grants.issue(GrantKind::Invite, maria(), TimeDelta::hours(1), now()).unwrap().secret;
        let redeemed: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| grants.redeem(GrantKind::Invite, &secret, now()).unwrap())).collect();
            all.into_iter().filter_map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(redeemed.len(), 1);
    }

    #[test]
    fn what_is_taken_back_or_expired_is_gone() {
        let (_dir, grants) = folder();
        let sam = Holder::Person(PersonId::new("sam"));
        let short = grants.issue(GrantKind::Token, maria(), TimeDelta::hours(1), now()).unwrap();
        let long = grants.issue(GrantKind::Session, maria(), TimeDelta::days(1), now()).unwrap();
        let sams = grants.issue(GrantKind::Session, sam.clone(), TimeDelta::days(1), now()).unwrap();
        grants.issue(GrantKind::Invite, Holder::Wall, TimeDelta::days(1), now()).unwrap();
        assert_eq!(grants.sweep(short.grant.expires_at).unwrap(), 1);
        assert_eq!(grants.list(now()).unwrap().len(), 3);
        assert_eq!(grants.revoke(&maria(), None).unwrap(), 1);
        assert_eq!(grants.find(GrantKind::Session, &long.secret, now()).unwrap(), None);
        assert_eq!(grants.find(GrantKind::Session, &sams.secret, now()).unwrap().map(|grant| grant.holder), Some(sam));
    }

    #[test]
    fn the_oldest_log_in_makes_room_and_nothing_lasts_for_ever() {
        let (_dir, grants) = folder();
        let first = grants.issue(GrantKind::Session, maria(), TimeDelta::days(1), now()).unwrap();
        for minute in 1..=i64::try_from(SESSIONS_PER_PERSON_MAX).unwrap() {
            let at = now() + TimeDelta::minutes(minute);
            grants.issue(GrantKind::Session, maria(), TimeDelta::days(9999), at).unwrap();
        }
        let kept = grants.list(now()).unwrap();
        assert_eq!(kept.len(), SESSIONS_PER_PERSON_MAX);
        assert_eq!(grants.find(GrantKind::Session, &first.secret, now()).unwrap(), None);
        assert!(kept.iter().all(|grant| grant.expires_at - grant.issued_at <= GrantKind::Session.lasts_max()));
    }

    #[test]
    fn screens_on_walls_do_not_push_each_other_out_and_are_refused_when_there_are_too_many() {
        let (_dir, grants) = folder();
        let put_up = |at| grants.issue(GrantKind::Session, Holder::Wall, TimeDelta::days(1), at);
        let first = put_up(now()).unwrap();
        for minute in 1..i64::try_from(SCREENS_MAX).unwrap() {
            put_up(now() + TimeDelta::minutes(minute)).unwrap();
        }
        assert!(grants.find(GrantKind::Session, &first.secret, now()).unwrap().is_some(), "it still shows");
        let says = put_up(now()).unwrap_err().to_string();
        assert!(says.contains("there are 100 screens on walls already"), "{says}");
        grants.issue(GrantKind::Session, maria(), TimeDelta::days(1), now()).unwrap();
        // What has expired takes no room, also while nobody has removed it.
        put_up(first.grant.expires_at).unwrap();
        assert_eq!(grants.all().unwrap().len(), SCREENS_MAX + 2);
    }

    #[test]
    fn half_a_file_lets_nobody_in() {
        let (_dir, grants) = folder();
        let secret = grants.issue(GrantKind::Token, maria(), TimeDelta::hours(1), now()).unwrap().secret;
        let path = grants.path(GrantKind::Token, &secret);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(grants.find(GrantKind::Token, &secret, now()).unwrap(), None);
        assert_eq!(grants.list(now()).unwrap(), []);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_in_nobodys_way() {
        let (_dir, grants) = folder();
        let secret = grants.issue(GrantKind::Token, maria(), TimeDelta::hours(1), now()).unwrap().secret;
        // A folder can be read as a file by nobody, whatever they may do otherwise.
        fs::create_dir(grants.dir.join("session-0.json")).unwrap();
        assert!(read(&grants.dir.join("session-0.json")).is_err());
        assert!(grants.issue(GrantKind::Session, maria(), TimeDelta::hours(1), now()).is_ok());
        assert_eq!(grants.list(now()).unwrap().len(), 2);
        assert_eq!(grants.sweep(now()).unwrap(), 0);
        assert_eq!(grants.revoke(&maria(), None).unwrap(), 2);
        assert_eq!(grants.find(GrantKind::Token, &secret, now()).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, grants) = folder();
        let secret = grants.issue(GrantKind::Token, maria(), TimeDelta::hours(1), now()).unwrap().secret;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&grants.dir), mode(&grants.path(GrantKind::Token, &secret))), (0o700, 0o600));
    }
}
