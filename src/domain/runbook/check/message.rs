//! Message files: front matter and Markdown.

use crate::domain::problem::{Place, Problem};
use crate::domain::runbook::model::MessageTemplate;
use crate::domain::section::{Report, Section, text_of};
use crate::domain::yaml::{self, Value};

/// Reads a message file: front matter between two lines of `---`, then the Markdown.
///
/// # Errors
/// What is wrong with the front matter.
pub fn read_message(file: &str, text: &str) -> Result<MessageTemplate, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return Ok(MessageTemplate { subject: None, must_know: false, body: text.trim().to_owned() });
    };
    let Some((front, body)) = rest.split_once("\n---") else {
        let place = Place { line: 1, column: 1, chars: 3 };
        return Err(vec![Problem::error(file, place, "the front matter does not end").help("close it with a line of `---`")]);
    };
    // A line is put back in front, so that places are those of the file.
    let node = yaml::parse(file, &format!("#\n{front}\n")).map_err(|problem| vec![problem])?;
    let report = Report::on(file);
    let mut message =
        MessageTemplate { body: body.trim_start_matches(['-', '\r']).trim().to_owned(), ..MessageTemplate::default() };
    if node.value != Value::Empty
        && let Some(mut section) = Section::open(&report, &node, "front matter")
    {
        message.subject = section.take("subject").and_then(|node| text_of(&report, node, "subject")).map(|s| s.text.to_owned());
        message.must_know = section.flag("must-know");
        section.close(&[]);
    }
    if report.is_clean() { Ok(message) } else { Err(report.finish()) }
}
