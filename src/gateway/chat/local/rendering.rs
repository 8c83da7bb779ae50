//! What is shown in a room of our own: Markdown, and the card's buttons as they are.

use crate::domain::message::card::Card;

/// The card's text.
pub(super) fn card(card: &Card) -> String {
    card.markdown()
}

/// What a person said is shown as they wrote it; control characters, which nobody writes on purpose, are dropped.
pub(super) fn said(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect::<String>().trim().to_owned()
}
