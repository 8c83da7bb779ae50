//! What T-minus puts into rooms of our own: announcements, cards, logs. Everything is found again by its identity.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::people::PersonId;
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::effect::{Delivery, Recipient};
use crate::domain::runbook::model::Venue;
use crate::domain::runbook::model::{Address, Platform};
use crate::engine::ports::{Author, Courier, Found, Projection, RoomError, Sent};

use super::transcript::{Post, RoomEvent};
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

/// The room in which T-minus writes to one person.
#[must_use]
pub fn room_of_person(person: &PersonId) -> String {
    format!("direct-{}", person.as_str().to_lowercase())
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
        let room = match self.room(&room_of(&delivery.to)) {
            Ok(room) => room,
            Err(error) => return Sent::Never { why: error.to_string() },
        };
        let mut transcript = room.transcript.lock().await;
        let token = delivery.id.token();
        if let Some(known) = transcript.delivered(&token) {
            return Sent::Delivered { reference: known.to_string() };
        }
        let post = Post {
            text: delivery.text.clone(),
            subject: delivery.subject.clone(),
            rollout: delivery.rollout.clone(),
            buttons: delivery.buttons.clone(),
            effect: Some(token),
            ..Post::by(Author::Bot)
        };
        let reference = transcript.next_id().to_string();
        match self.record(&mut transcript, vec![RoomEvent::Posted(post)]).await {
            Ok(()) => Sent::Delivered { reference },
            Err(error) => Sent::TryAgain { after: None, why: error.to_string() },
        }
    }

    async fn find(&self, delivery: &Delivery) -> Found {
        let Ok(room) = self.room(&room_of(&delivery.to)) else { return Found::Absent };
        match room.transcript.lock().await.find(self.journal.as_ref(), &delivery.id.token()).await {
            Ok(Some(message)) => Found::There { reference: message.to_string() },
            Ok(None) => Found::Absent,
            Err(error) => Found::CannotTell { why: error.to_string() },
        }
    }

    async fn show(&self, projection: &Projection) -> Result<String, String> {
        let room = self.room(&projection.venue.room).map_err(|error| error.to_string())?;
        let mut transcript = room.transcript.lock().await;
        let (text, buttons) = (rendering::card(&projection.card), &projection.card.buttons);
        let mut events = Vec::new();
        let card = if let Some(card) = transcript.card(&projection.rollout) {
            if !transcript.stands(card, &text, buttons) {
                events.push(RoomEvent::Edited { message: card, text, buttons: buttons.clone() });
            }
            card
        } else {
            events.push(RoomEvent::Posted(Post {
                text,
                buttons: buttons.clone(),
                rollout: Some(projection.rollout.clone()),
                card: true,
                ..Post::by(Author::Bot)
            }));
            transcript.next_id()
        };
        let cursor = transcript.log_cursor(&projection.rollout);
        let lines = projection.log.iter().filter(|line| line.sequence > cursor);
        events.extend(lines.flat_map(|line| {
            let post =
                |text: &str| Post { text: text.to_owned(), rollout: Some(projection.rollout.clone()), ..Post::by(Author::Bot) };
            let logged = Post { thread_of: Some(card), log_sequence: Some(line.sequence), ..post(&line.text) };
            [Some(logged), line.aloud.as_deref().map(post)].into_iter().flatten().map(RoomEvent::Posted)
        }));
        self.record(&mut transcript, events).await.map_err(|error: RoomError| error.to_string())?;
        Ok(card.to_string())
    }

    async fn log_cursor(&self, rollout: &RolloutId, venue: &Venue) -> Result<u64, String> {
        let room = self.room(&venue.room).map_err(|error| error.to_string())?;
        Ok(room.transcript.lock().await.log_cursor(rollout))
    }

    fn edit_pause(&self) -> Duration {
        EDIT_PAUSE
    }
}
