//! A room: its rollouts' cards, the conversation, the checklist.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Html;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::conversation::button::ButtonToken;
use crate::domain::conversation::voice::Voice;
use crate::domain::message::card::{Button, ButtonStyle, Card, FormField, card};
use crate::domain::people::{Directory, PersonId};
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::event::Choice;
use crate::domain::rollout::state::{State, StepState};
use crate::domain::rollout::view::{RolloutView, view};
use crate::domain::runbook::model::{Outcome, Step, StepKind};
use crate::engine::ports::{Author, ROOM_LOOKED_AT_MAX, RoomInfo, RoomMessage};
use crate::gateway::web::Web;
use crate::gateway::web::problem::Problem;

use super::{ClockLine, Shell, Viewer, person, render, shell, zone_named};

/// How chat is dated: the day always, since a rollout's own clock may be days ahead of the wall's in a demo.
const SAID_TIME_FORMAT: &str = "%a %-d %b %H:%M %Z";
/// How much of a conversation is shown: some rollouts with their logs. Everything is in the API.
const MESSAGES_SHOWN_MAX: u64 = 600;
/// By how much what is shown moves on, so that a page does not change at its top with every message.
const MESSAGES_SHOWN_STEP: u64 = 100;
// So much of a room is at hand: looking on reads nothing.
const _: () = assert!(MESSAGES_SHOWN_MAX + MESSAGES_SHOWN_STEP <= ROOM_LOOKED_AT_MAX as u64);
/// Up to how many open steps are shown in the checklist's own order, whoever looks.
const SECTIONS_IN_ORDER_MAX: usize = 3;
/// How many rollouts that are over are looked at: each is read from the journal.
const ENDED_LOOKED_AT_MAX: usize = 3;

#[derive(Serialize)]
struct RoomPage<'p> {
    shell: Shell,
    room: &'p RoomInfo,
    pinned: Vec<CardView>,
    /// How many messages are not shown.
    earlier: u64,
    items: Vec<Item>,
    rollout: Option<&'p RolloutView>,
    hint: String,
}

/// A card that was posted, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Posted {
    message: u64,
    rollout: RolloutId,
}

/// A rollout of a room, as the registry knows it.
struct Known {
    number: u32,
    is_over: bool,
    id: RolloutId,
}

/// What is read of a room for its page.
struct Read {
    /// How many messages are not shown.
    earlier: u64,
    messages: Vec<RoomMessage>,
    cards: Vec<Posted>,
    /// The card that stays when everything is over.
    last: Option<Posted>,
    seen: BTreeMap<RolloutId, Seen>,
}

/// The page of a room.
pub(super) async fn page(web: &Web, info: &RoomInfo, viewer: &Viewer) -> Result<Html<String>, Problem> {
    let Read { earlier, messages, cards, last, seen } = read(web, info).await?;
    let pinned = pinned(&cards, last.as_ref(), |id| Some(seen.get(id)?.rollout.status == "open"));
    let looking = person(web, viewer);
    let view =
        |card: &&Posted| Some(card_view(&info.id, card.message, seen.get(&card.rollout)?, looking.map(|person| &person.id)));
    let zone = looking.and_then(|person| person.timezone).unwrap_or(Tz::UTC);
    let rollout = pinned.last().and_then(|card| seen.get(&card.rollout)).map(|seen| &seen.rollout);
    let clock = rollout.filter(|_| pinned.len() == 1).and_then(ClockLine::of);
    let mut cards: Vec<CardView> = pinned.iter().filter_map(view).collect();
    // Whoever looks finds first where they are awaited; a checklist stands behind the rollout to which it belongs otherwise.
    cards.sort_by_key(|card| !card.sections.iter().any(|section| section.mine));
    let page = RoomPage {
        shell: shell(web, viewer, &format!("/rooms/{}", info.id), clock).await?,
        room: info,
        earlier,
        items: items(web, &messages, &pinned, &seen, zone),
        pinned: cards,
        rollout,
        hint: hint(web, &info.id),
    };
    render("room.html", &page)
}

/// The end of the conversation, all cards, and the rollouts that are looked at: those that are open and those that ended last.
async fn read(web: &Web, info: &RoomInfo) -> Result<Read, Problem> {
    let earlier = web.rooms.count(&info.id).await?.saturating_sub(MESSAGES_SHOWN_MAX) / MESSAGES_SHOWN_STEP * MESSAGES_SHOWN_STEP;
    let messages = web.rooms.messages(&info.id, earlier).await?;
    let cards = web.rooms.cards(&info.id).await?;
    let cards: Vec<Posted> = cards.into_iter().map(|(message, rollout)| Posted { message, rollout }).collect();
    let mentioned = messages.iter().filter_map(|message| message.rollout.as_ref());
    let here: BTreeSet<&RolloutId> = mentioned.chain(cards.iter().map(|card| &card.rollout)).collect();
    let known: Vec<Known> = web.conductor.with_registry(|registry| {
        let known = |id: &&RolloutId| {
            let rollout = registry.rollouts.get(id)?;
            Some(Known { number: rollout.number, is_over: rollout.closed.is_some(), id: (*id).clone() })
        };
        here.iter().filter_map(known).collect()
    });
    let last = web.conductor.with_registry(|registry| {
        last_of(&cards, |id| registry.rollouts.get(id).and_then(|rollout| rollout.parent.as_ref())).cloned()
    });
    let mut seen = BTreeMap::new();
    for id in looked_at(known, last.as_ref().map(|card| &card.rollout)) {
        if let Some(rollout) = see(web, &id).await? {
            seen.insert(id, rollout);
        }
    }
    Ok(Read { earlier, messages, cards, last, seen })
}

/// Which rollouts are looked at: all that are open, the newest of those that are over, and the one whose card was posted last,
/// since that may be all there is to pin.
fn looked_at(mut known: Vec<Known>, posted_last: Option<&RolloutId>) -> Vec<RolloutId> {
    known.sort_by_key(|rollout| std::cmp::Reverse(rollout.number));
    let mut over_count = 0;
    known.retain(|rollout| {
        over_count += usize::from(rollout.is_over);
        !rollout.is_over || over_count <= ENDED_LOOKED_AT_MAX || Some(&rollout.id) == posted_last
    });
    known.into_iter().map(|rollout| rollout.id).collect()
}

/// The card that stays when everything is over: the last one, or that of the rollout whose checklist it is.
fn last_of<'c, 'r>(cards: &'c [Posted], parent_of: impl Fn(&RolloutId) -> Option<&'r RolloutId>) -> Option<&'c Posted> {
    let mut last = cards.last()?;
    // Its card was posted before, so this ends.
    while let Some(parent) = parent_of(&last.rollout)
        && let Some(card) = cards.iter().rfind(|card| card.rollout == *parent && card.message < last.message)
    {
        last = card;
    }
    Some(last)
}

/// The cards that stay in view: those of open rollouts, or else the last one, until the next rollout begins. What nobody could
/// look at stays where it was posted.
fn pinned<'c>(cards: &'c [Posted], last: Option<&'c Posted>, is_open: impl Fn(&RolloutId) -> Option<bool>) -> Vec<&'c Posted> {
    let open: Vec<&Posted> = cards.iter().filter(|card| is_open(&card.rollout) == Some(true)).collect();
    if open.is_empty() { last.filter(|card| is_open(&card.rollout).is_some()).into_iter().collect() } else { open }
}

/// The card as the page shows it: every button with the step it belongs to.
#[derive(Serialize)]
struct CardView {
    message: String,
    rollout: String,
    title: String,
    status: &'static str,
    result: Option<&'static str>,
    held: bool,
    settled: usize,
    steps: usize,
    headline: Vec<String>,
    sections: Vec<SectionView>,
    newest: Vec<String>,
    next: Vec<String>,
    buttons: Vec<Pressable>,
}

#[derive(Serialize)]
struct SectionView {
    key: usize,
    heading: String,
    lines: Vec<String>,
    /// Whether the one who looks is awaited.
    mine: bool,
    /// Who votes, and what they said so far.
    voters: Vec<VoterView>,
    buttons: Vec<Pressable>,
}

#[derive(Serialize)]
struct VoterView {
    name: String,
    vote: Option<&'static str>,
}

#[derive(Serialize)]
struct Pressable {
    id: String,
    label: String,
    /// What is seen of the label where the rest of it stands right above.
    short: Option<String>,
    style: ButtonStyle,
    /// What the script needs to ask and to send, as JSON.
    ask: String,
}

#[derive(Serialize)]
struct AskView<'b> {
    room: &'b str,
    message: String,
    button: &'b str,
    label: &'b str,
    style: ButtonStyle,
    confirm: Option<&'b str>,
    reason: bool,
    fields: &'b [FormField],
}

impl Pressable {
    fn new(room: &str, message: u64, button: &Button) -> Self {
        let ask = AskView {
            room,
            message: message.to_string(),
            button: &button.id,
            label: &button.label,
            style: button.style,
            confirm: button.confirm.as_deref(),
            reason: button.reason,
            fields: &button.fields,
        };
        Self {
            id: button.id.clone(),
            label: button.label.clone(),
            short: None,
            style: button.style,
            ask: serde_json::to_string(&ask).expect("texts, lists and truth values are JSON"),
        }
    }
}

/// The verb of a button's label that goes on with what its section is headed; nothing where it says something else.
fn short(label: &str, heading: &str) -> Option<String> {
    let (verb, about) = label.split_once(": ")?;
    let heading: String = heading.chars().filter(|c| !matches!(c, '\\' | '*')).collect();
    let about = about.trim_end_matches('…').trim_end();
    (!about.is_empty() && heading.starts_with(about)).then(|| verb.to_owned())
}

/// A rollout as it is at this moment: more recent than the card that was posted, whose edits are paced.
struct Seen {
    rollout: RolloutView,
    card: Card,
    /// The open steps, in the order of the card's sections.
    open: Vec<OpenStep>,
    progress: (usize, usize),
}

struct OpenStep {
    index: usize,
    awaited: Vec<PersonId>,
    voters: Vec<(String, Option<Choice>)>,
}

async fn see(web: &Web, id: &RolloutId) -> Result<Option<Seen>, Problem> {
    let underway = web.conductor.underway(id).await;
    let conductor = web.conductor.clone();
    let look = move |state: &State, people: &Directory, now| {
        let voice = Voice { state, people, now };
        let environment = state.runbook.environment.as_ref().filter(|_| !state.rehearsal);
        let line = environment.and_then(|environment| conductor.with_registry(|registry| registry.line(environment)));
        let mut card = card(state, people, now, &|step| underway.get(&step).cloned());
        card.show_line(&voice, line.as_ref());
        let open_step = |(index, definition, step): (usize, &Step, &StepState)| {
            let is_decision = matches!(definition.kind, StepKind::Decide { .. });
            let voter = |person: &PersonId| (voice.call(person), step.votes.get(person).map(|vote| vote.choice));
            let voters = step.people.iter().filter(|_| is_decision).map(voter).collect();
            OpenStep { index, awaited: voice.awaited(index), voters }
        };
        Seen {
            rollout: view(state, people, now),
            card,
            open: state.open_steps().map(open_step).collect(),
            progress: voice.progress(),
        }
    };
    Ok(web.conductor.look(id, look).await?)
}

fn card_view(room: &str, posted: u64, seen: &Seen, viewer: Option<&PersonId>) -> CardView {
    let card = &seen.card;
    let buttons_of = |step: Option<usize>, heading: &str| {
        let own = card.buttons.iter().filter(|button| ButtonToken::parse(&button.id).is_some_and(|token| token.step == step));
        own.map(|button| Pressable { short: short(&button.label, heading), ..Pressable::new(room, posted, button) }).collect()
    };
    let sections = card.sections.iter().zip(&seen.open).map(|(section, step)| SectionView {
        key: step.index,
        heading: section.heading.clone(),
        lines: section.lines.clone(),
        mine: viewer.is_some_and(|viewer| step.awaited.contains(viewer)),
        voters: step.voters.iter().map(|(name, vote)| VoterView { name: name.clone(), vote: vote.map(Choice::name) }).collect(),
        buttons: buttons_of(Some(step.index), &section.heading),
    });
    let mut sections: Vec<SectionView> = sections.collect();
    // Among many, whoever looks finds their own first.
    if sections.len() > SECTIONS_IN_ORDER_MAX {
        sections.sort_by_key(|section| !section.mine);
    }
    CardView {
        message: posted.to_string(),
        rollout: card.rollout.to_string(),
        title: card.title.clone(),
        status: seen.rollout.status,
        result: seen.rollout.result.map(Outcome::name),
        held: seen.rollout.held,
        settled: seen.progress.0,
        steps: seen.progress.1,
        headline: card.headline.clone(),
        sections,
        newest: card.newest.clone(),
        next: card.next.clone(),
        buttons: buttons_of(None, ""),
    }
}

/// One thing in a conversation.
#[derive(Serialize)]
struct Item {
    /// `said`, `notice`, `log` or `card`.
    kind: &'static str,
    key: u64,
    author_name: String,
    initials: String,
    at: DateTime<Utc>,
    when: String,
    subject: Option<String>,
    text: String,
    lines: Vec<String>,
    rollout: Option<RolloutId>,
    result: Option<&'static str>,
    /// Whether a log is unfolded: that of a pinned card is.
    unfolded: bool,
}

/// The conversation in the order in which it was written. Lines of a log that follow each other are one thread.
fn items(web: &Web, messages: &[RoomMessage], pinned: &[&Posted], seen: &BTreeMap<RolloutId, Seen>, zone: Tz) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for message in messages.iter().filter(|message| !pinned.iter().any(|card| card.message == message.id)) {
        let rollout = message.rollout.as_ref().and_then(|id| seen.get(id));
        let kind = match &message.author {
            Author::Person(_) => "said",
            Author::Bot if message.is_card => "card",
            Author::Bot if message.thread_of.is_some() => "log",
            Author::Bot => "notice",
        };
        if let Some(thread) =
            items.last_mut().filter(|last| kind == "log" && last.kind == "log" && last.rollout == message.rollout)
        {
            thread.lines.push(message.text.clone());
            continue;
        }
        let author_name = match &message.author {
            Author::Bot => "T-minus".to_owned(),
            Author::Person(id) => web.conductor.people().person(id).map_or_else(|| id.to_string(), |person| person.name.clone()),
        };
        let closed = || web.conductor.with_registry(|registry| registry.rollouts.get(message.rollout.as_ref()?)?.closed);
        let result = rollout.and_then(|seen| seen.rollout.result).or_else(|| if kind == "card" { closed() } else { None });
        // An announcement is dated by the clock of its rollout, as its ledger is; chat by the clock on the wall.
        let issued = rollout.filter(|_| kind == "notice").and_then(|seen| {
            let announced = seen.rollout.announcements.iter().find(|a| a.subject == message.subject && a.text == message.text)?;
            Some((announced.issued, zone_named(seen.rollout.timezone).unwrap_or(zone)))
        });
        let (at, zone) = issued.unwrap_or((message.at, zone));
        items.push(Item {
            kind,
            key: message.id,
            initials: author_name.split_whitespace().filter_map(|word| word.chars().next()).take(2).collect(),
            author_name,
            at,
            when: at.with_timezone(&zone).format(SAID_TIME_FORMAT).to_string(),
            subject: message.subject.clone(),
            text: message.text.clone(),
            lines: if kind == "log" { vec![message.text.clone()] } else { Vec::new() },
            rollout: message.rollout.clone(),
            unfolded: pinned.iter().any(|card| Some(&card.rollout) == message.rollout.as_ref()),
            result: result.map(Outcome::name),
        });
    }
    items
}

/// What can be written in a room that knows nothing yet.
fn hint(web: &Web, room: &str) -> String {
    match &web.conductor.runbooks_of(room)[..] {
        [only] => {
            let example = only.inputs.iter().find(|input| input.positional).and_then(|input| input.field.example.as_deref());
            format!("/rollout start {}", example.unwrap_or_default()).trim_end().to_owned()
        }
        _ => "/rollout start".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u32, is_over: bool) -> Known {
        Known { number, is_over, id: RolloutId(number.to_string()) }
    }

    #[test]
    fn the_card_that_is_pinned_is_looked_at_also_when_newer_rollouts_are_over() {
        let posted = |message: u64, rollout: &str| Posted { message, rollout: RolloutId(rollout.to_owned()) };
        // Rollout 1 was announced in this room last, when others that are mentioned here had ended elsewhere.
        let cards = [posted(1, "2"), posted(9, "1")];
        let rollouts =
            || [(1, true), (2, true), (3, true), (4, true), (5, true), (6, false)].map(|(n, over)| known(n, over)).into();
        let seen = looked_at(rollouts(), last_of(&cards, |_| None).map(|card| &card.rollout));
        assert_eq!(seen.iter().map(|id| id.0.as_str()).collect::<Vec<_>>(), ["6", "5", "4", "3", "1"]);
        let seen = looked_at(rollouts(), None);
        assert_eq!(seen.iter().map(|id| id.0.as_str()).collect::<Vec<_>>(), ["6", "5", "4", "3"]);
        assert_eq!(pinned(&cards, cards.last(), |_| Some(false)), [&cards[1]]);
        assert_eq!(pinned(&cards, cards.last(), |id| Some(id.0 == "2")), [&cards[0]]);
        assert!(pinned(&cards, cards.last(), |_| None).is_empty());
        assert!(pinned(&[], None, |_| Some(true)).is_empty());
    }

    #[test]
    fn when_all_is_over_the_rollout_s_own_card_stays_and_not_that_of_its_checklist() {
        let posted = |message: u64, rollout: &str| Posted { message, rollout: RolloutId(rollout.to_owned()) };
        let (root, middle) = (RolloutId("root".to_owned()), RolloutId("middle".to_owned()));
        let parent_of = |id: &RolloutId| match id.0.as_str() {
            "leaf" => Some(&middle),
            "middle" => Some(&root),
            _ => None,
        };
        let cards = [posted(1, "other"), posted(2, "root"), posted(5, "middle"), posted(7, "leaf")];
        assert_eq!(last_of(&cards, parent_of), Some(&cards[1]));
        // Where the rollout itself has no card, the checklist's is all there is.
        assert_eq!(last_of(&cards[3..], parent_of), Some(&cards[3]));
        assert_eq!(last_of(&cards[..1], parent_of), Some(&cards[0]));
        assert_eq!(last_of(&[], parent_of), None);
    }

    #[test]
    fn what_stands_above_a_button_is_not_said_twice() {
        assert_eq!(short("Done: Check the node 1 and…", "Check the node 1 and write"), Some("Done".to_owned()));
        assert_eq!(short("Run: Update a\u{200a}_b", "x"), None);
        assert_eq!(short("Run: 4.3 now", "4\\.3 now"), Some("Run".to_owned()));
        assert_eq!(short("Tick: In backup system", "Kick off the backup"), None);
        assert_eq!(short("Acknowledge", "Acknowledge"), None);
    }
}
