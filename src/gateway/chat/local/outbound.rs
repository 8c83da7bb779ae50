//! What T-minus puts into rooms of our own: announcements, cards, logs. Everything is found again by its identity.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::message::card::Button;
use crate::domain::people::{PersonId, ROOM_OF_PERSON};
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::effect::{Delivery, Recipient};
use crate::domain::runbook::model::Venue;
use crate::domain::runbook::model::{Address, Platform};
use crate::engine::ports::{Author, Courier, Found, LogLine, Projection, RoomError, Sent};

use super::transcript::{Post, RoomEvent, Transcript};
use super::{LocalRooms, rendering};

/// The least time between two edits of a card: quick enough to feel live, slow enough for a burst to be a handful.
const EDIT_PAUSE: Duration = Duration::from_millis(150);

/// The room that stands for an address: its own name, or for another platform's address a room named after both.
#[must_use]
pub fn room_of(recipient: &Recipient) -> String {
    match recipient {
        Recipient::Address(address) => room_of_address(address),
        Recipient::Person(person) => room_of_person(person),
    }
}

/// The room in which T-minus writes to one person. No two people differ in capitals alone, and nothing else is named so: the
/// configuration is refused otherwise.
#[must_use]
pub fn room_of_person(person: &PersonId) -> String {
    format!("{ROOM_OF_PERSON}{}", person.as_str().to_lowercase())
}

/// The room of an address.
#[must_use]
pub fn room_of_address(address: &Address) -> String {
    match address.platform {
        Platform::Local => address.name.clone(),
        platform => format!("{}-{}", platform.name(), address.name),
    }
}

#[async_trait]
impl Courier for LocalRooms {
    async fn deliver(&self, delivery: &Delivery) -> Sent {
        let token = delivery.id.token();
        let post = Post {
            text: delivery.text.clone(),
            subject: delivery.subject.clone(),
            rollout: delivery.rollout.clone(),
            buttons: delivery.buttons.clone(),
            effect: Some(token.clone()),
            ..Post::by(Author::Bot)
        };
        let decide = move |transcript: &Transcript| match transcript.delivered(&token) {
            Some(known) => (Vec::new(), known),
            None => (vec![RoomEvent::Posted(post.clone())], transcript.next_id()),
        };
        match self.write(&room_of(&delivery.to), decide).await {
            Ok(message) => Sent::Delivered { reference: message.to_string() },
            Err(error @ (RoomError::Unknown(_) | RoomError::ListensOnly(_))) => Sent::Never { why: error.to_string() },
            Err(error @ RoomError::Unclear(_)) => Sent::Unclear { why: error.to_string() },
            Err(error @ (RoomError::Store(_) | RoomError::Lost(_))) => Sent::TryAgain { after: None, why: error.to_string() },
        }
    }

    async fn find(&self, delivery: &Delivery) -> Found {
        // What is on its way there is neither there nor absent.
        let transcript = match self.enter_after_writing(&room_of(&delivery.to)).await {
            Ok(transcript) => transcript,
            Err(RoomError::Unknown(_)) => return Found::Absent,
            Err(error) => return Found::CannotTell { why: error.to_string() },
        };
        match transcript.find(self.journal(), &delivery.id.token()).await {
            Ok(Some(message)) => Found::There { reference: message.to_string() },
            Ok(None) => Found::Absent,
            Err(error) => Found::CannotTell { why: error.to_string() },
        }
    }

    async fn show(&self, projection: &Projection) -> Result<String, String> {
        let (room, text) = (projection.venue.room.clone(), rendering::card(&projection.card));
        let (rollout, buttons, log) = (projection.rollout.clone(), projection.card.buttons.clone(), projection.log.clone());
        let decide = move |transcript: &Transcript| show(transcript, &rollout, &text, &buttons, &log);
        let card = self.write(&room, decide).await;
        card.map(|card| card.to_string()).map_err(|error| error.to_string())
    }

    async fn log_cursor(&self, rollout: &RolloutId, venue: &Venue) -> Result<u64, String> {
        let transcript = self.enter(&venue.room).await.map_err(|error| error.to_string())?;
        Ok(transcript.log_cursor(rollout))
    }

    fn edit_pause(&self) -> Duration {
        EDIT_PAUSE
    }
}

/// What has to happen in a room so that it shows a rollout; and the message of its card.
fn show(transcript: &Transcript, rollout: &RolloutId, text: &str, buttons: &[Button], log: &[LogLine]) -> (Vec<RoomEvent>, u64) {
    let by_bot = |text: &str| Post { text: text.to_owned(), rollout: Some(rollout.clone()), ..Post::by(Author::Bot) };
    let mut events = Vec::new();
    let card = if let Some(card) = transcript.card(rollout) {
        if !transcript.stands(card, text, buttons) {
            events.push(RoomEvent::Edited { message: card, text: text.to_owned(), buttons: buttons.to_vec() });
        }
        card
    } else {
        events.push(RoomEvent::Posted(Post { buttons: buttons.to_vec(), card: true, ..by_bot(text) }));
        transcript.next_id()
    };
    let cursor = transcript.log_cursor(rollout);
    events.extend(log.iter().filter(|line| line.sequence > cursor).flat_map(|line| {
        let logged = Post { thread_of: Some(card), log_sequence: Some(line.sequence), ..by_bot(&line.text) };
        [Some(logged), line.aloud.as_deref().map(by_bot)].into_iter().flatten().map(RoomEvent::Posted)
    }));
    (events, card)
}
