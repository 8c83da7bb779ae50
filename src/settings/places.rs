//! Where rooms, addresses and people are on platforms: ids as each platform has them, checked for their form. Whether they are
//! there, only the platform knows.

use std::collections::BTreeMap;

use crate::domain::runbook::model::Platform;
use crate::domain::section::{Located, Report, Section};

/// How many mail addresses one address of ours may have: more is what mailing lists are for.
pub const MAILBOXES_MAX: usize = 50;
/// The longest mail address (RFC 5321, 4.5.3.1.3).
const MAILBOX_CHARS_MAX: usize = 254;
/// The longest id of Slack's that is taken: they have eleven characters or so.
const SLACK_ID_CHARS_MAX: usize = 24;

/// Where a room is that hosts rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomPlaces {
    /// The id of a channel: `C0123ABCD`.
    pub slack: Option<String>,
    /// The id of a chat: `-1001234567890`.
    pub telegram: Option<i64>,
    /// Whether it is a room of T-minus itself.
    pub local: bool,
}

impl RoomPlaces {
    /// The platforms that it is on.
    pub fn platforms(&self) -> impl Iterator<Item = Platform> {
        let there = [
            (self.slack.is_some(), Platform::Slack),
            (self.telegram.is_some(), Platform::Telegram),
            (self.local, Platform::Local),
        ];
        there.into_iter().filter_map(|(is_there, platform)| is_there.then_some(platform))
    }
}

/// Where an address of announcements is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPlaces {
    /// The id of a channel.
    pub slack: Option<String>,
    /// A chat.
    pub telegram: Option<TelegramChat>,
    /// Mail addresses: each gets it.
    pub email: Vec<String>,
    /// Whether it is a room of T-minus itself.
    pub local: bool,
}

impl AddressPlaces {
    /// The platforms that it is on.
    pub fn platforms(&self) -> impl Iterator<Item = Platform> {
        let there = [
            (self.slack.is_some(), Platform::Slack),
            (self.telegram.is_some(), Platform::Telegram),
            (!self.email.is_empty(), Platform::Email),
            (self.local, Platform::Local),
        ];
        there.into_iter().filter_map(|(is_there, platform)| is_there.then_some(platform))
    }
}

/// A chat of Telegram's, as its API takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TelegramChat {
    /// By its id.
    Id(i64),
    /// A public channel or group by its name, with the `@`.
    Name(String),
}

/// How one person is reached and known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handles {
    /// Their member id in Slack.
    pub slack: Option<SlackMember>,
    /// Their user id in Telegram.
    pub telegram: Option<i64>,
    /// Their mail address.
    pub email: Option<String>,
}

/// Somebody in Slack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlackMember {
    /// The workspace or enterprise, where it is not the bot's own.
    pub team: Option<String>,
    /// The id there: `U0123ABCD`.
    pub user: String,
}

/// Who is known by what on a platform, as far as was read: what comes from there has to mean one of them.
#[derive(Default)]
pub(super) struct Taken<'n> {
    by: BTreeMap<(Platform, String), &'n str>,
}

impl<'n> Taken<'n> {
    /// Notes that something is whose it is, unless it is another's already.
    fn take(&mut self, report: &Report, platform: Platform, id: Located<'_>, whose: &'n str, why: &str) {
        let first = *self.by.entry((platform, id.text.to_lowercase())).or_insert(whose);
        if first != whose {
            report.error_help(id.place, format!("`{}` is {first}'s already", id.text), why);
        }
    }
}

/// Reads the places of a room.
pub(super) fn read_room<'n>(report: &Report, name: &'n str, room: &mut Section<'n, '_>, taken: &mut Taken<'n>) -> RoomPlaces {
    const WHY: &str = "what is said there is meant for one room";
    let slack = room.text("slack").and_then(|id| {
        taken.take(report, Platform::Slack, id, name, WHY);
        channel(report, id)
    });
    let telegram = room.text("telegram").and_then(|id| {
        taken.take(report, Platform::Telegram, id, name, WHY);
        chat_id(report, id)
    });
    RoomPlaces { slack, telegram, local: room.flag("local") }
}

/// Reads the places of an address.
pub(super) fn read_address(report: &Report, address: &mut Section<'_, '_>) -> AddressPlaces {
    let slack = one(report, address.texts("slack"), "channel").and_then(|id| channel(report, id));
    let telegram = one(report, address.texts("telegram"), "chat").and_then(|id| chat(report, id));
    let written = address.texts("email");
    if let Some(one_more) = written.get(MAILBOXES_MAX) {
        let what = format!("an address has at most {MAILBOXES_MAX} mail addresses");
        report.error_help(one_more.place, what, "let your mail server keep the list, and name its one address");
    }
    let mut email: Vec<String> = Vec::new();
    for located in written {
        let Some(mailbox) = mailbox(report, located) else { continue };
        if email.iter().any(|known| known.eq_ignore_ascii_case(&mailbox)) {
            report.error(located.place, format!("`{mailbox}` stands twice"));
        }
        email.push(mailbox);
    }
    AddressPlaces { slack, telegram, email, local: address.flag("local") }
}

/// Reads how one person is reached and known. Several may share a mail address: nobody is known by it alone.
pub(super) fn read_handles<'n>(report: &Report, name: &'n str, person: &mut Section<'n, '_>, taken: &mut Taken<'n>) -> Handles {
    const WHY: &str = "whoever has it there would be both of them";
    let email = person.text("email").and_then(|email| mailbox(report, email));
    let slack = person.text("slack").and_then(|id| {
        taken.take(report, Platform::Slack, id, name, WHY);
        member(report, id)
    });
    let telegram = person.text("telegram").and_then(|id| {
        taken.take(report, Platform::Telegram, id, name, WHY);
        user_id(report, id)
    });
    Handles { slack, telegram, email }
}

/// An announcement is one message with one receipt, so that each destination can fail, be waived and be retried by itself.
fn one<'n>(report: &Report, places: Vec<Located<'n>>, what: &str) -> Option<Located<'n>> {
    if let [_, second, ..] = places[..] {
        let what = format!("an address is one {what} on a platform");
        report.error_help(second.place, what, "give the others addresses of their own, and name those in the audience too");
    }
    places.into_iter().next()
}

fn is_slack_id(text: &str, kinds: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|kind| kinds.contains(kind))
        && (2..=SLACK_ID_CHARS_MAX).contains(&text.len())
        && letters.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// The id of a channel in Slack.
///
/// # Errors
/// How it is written.
pub fn slack_channel(text: &str) -> Result<String, &'static str> {
    let help =
        "its id, like `C0123ABCD`: it stands at the end of the channel's details in Slack, and stays when the channel is renamed";
    if is_slack_id(text, "CG") { Ok(text.to_owned()) } else { Err(help) }
}

/// The id of a group in Telegram.
///
/// # Errors
/// How it is written.
pub fn telegram_group(text: &str) -> Result<i64, &'static str> {
    let help = "a negative number, like `-1001234567890`";
    text.parse::<i64>().ok().filter(|id| *id < 0).ok_or(help)
}

fn channel(report: &Report, id: Located<'_>) -> Option<String> {
    let no = |help| report.error_help(id.place, format!("`{}` is not the id of a channel in Slack", id.text), help);
    slack_channel(id.text).map_err(no).ok()
}

fn member(report: &Report, id: Located<'_>) -> Option<SlackMember> {
    let (team, user) = match id.text.split_once('/') {
        Some((team, user)) => (Some(team), user),
        None => (None, id.text),
    };
    if is_slack_id(user, "UW") && team.is_none_or(|team| is_slack_id(team, "TE")) {
        return Some(SlackMember { team: team.map(str::to_owned), user: user.to_owned() });
    }
    let help = "like `U0123ABCD`: “Copy member ID” in the profile; `T0123ABCD/U0123ABCD` for somebody of another workspace";
    report.error_help(id.place, format!("`{}` is not the id of a member in Slack", id.text), help);
    None
}

fn chat_id(report: &Report, id: Located<'_>) -> Option<i64> {
    let no = |help| report.error_help(id.place, format!("`{}` is not the id of a group in Telegram", id.text), help);
    telegram_group(id.text).map_err(no).ok()
}

fn chat(report: &Report, id: Located<'_>) -> Option<TelegramChat> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && (4..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match id.text.strip_prefix('@') {
        Some(name) if is_name(name) => Some(TelegramChat::Name(id.text.to_owned())),
        Some(_) => {
            let help = "letters, digits and underscores, like `@andromeda_rollouts`";
            report.error_help(id.place, format!("`{}` is not the name of a channel in Telegram", id.text), help);
            None
        }
        None => chat_id(report, id).map(TelegramChat::Id),
    }
}

fn user_id(report: &Report, id: Located<'_>) -> Option<i64> {
    let parsed = id.text.parse::<i64>().ok().filter(|id| *id > 0);
    if parsed.is_none() {
        let help = "a number, like `1234567`; names can change hands, so they are not taken";
        report.error_help(id.place, format!("`{}` is not the id of somebody in Telegram", id.text), help);
    }
    parsed
}

/// One mail address, without a name. Mail servers decide the rest; what is refused here would break a header or is a slip.
fn mailbox(report: &Report, email: Located<'_>) -> Option<String> {
    if is_mailbox(email.text) {
        return Some(email.text.to_owned());
    }
    let help = "the address alone, like `maria@example.com`";
    report.error_help(email.place, format!("`{}` is not a mail address", email.text), help);
    None
}

fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAILBOX_CHARS_MAX
        && (1..=64).contains(&local.len())
        && local.chars().all(is_local)
        && !(local.starts_with('.') || local.ends_with('.') || local.contains(".."))
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_are_what_mail_servers_take() {
        for good in ["maria@example.com", "a.b+c@x-y.example", "root@localhost", "o'hara@example.com"] {
            assert!(is_mailbox(good), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "maria",
            "@example.com",
            "maria@",
            "a b@example.com",
            "a@b@c",
            "a..b@c",
            ".a@c",
            "a@-c",
            "a@c..d",
            "a\r\nX: y@c",
            "<a@c>",
        ] {
            assert!(!is_mailbox(bad), "{bad}");
        }
        assert!(!is_mailbox(&long));
    }

    #[test]
    fn ids_of_slack_are_told_apart_by_their_first_letter() {
        assert!(is_slack_id("C0123ABCD", "CG"));
        for bad in ["", "C", "D0123ABCD", "c0123abcd", "#general", "C0123-ABC"] {
            assert!(!is_slack_id(bad, "CG"), "{bad}");
        }
        assert!(!is_slack_id(&format!("C{}", "A".repeat(SLACK_ID_CHARS_MAX)), "CG"));
    }
}
