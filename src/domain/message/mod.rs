//! Platform-neutral messages: templates that become text, and the card.

pub mod card;
pub mod defaults;
pub mod template;
pub mod uses;
