//! Message files: front matter and Markdown.

use crate::domain::message::uses::{self, Form};
use crate::domain::problem::{Place, Problem};
use crate::domain::runbook::model::MessageTemplate;
use crate::domain::section::{Report, Section, text_of};
use crate::domain::yaml::{self, Value};

/// A message, and where its texts stand in its file.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// What is announced.
    pub template: MessageTemplate,
    /// Its subject in the file.
    pub subject: Option<Stand>,
    /// Its body in the file.
    pub body: Option<Stand>,
}

impl From<MessageTemplate> for Message {
    /// A message that stands in no file.
    fn from(template: MessageTemplate) -> Self {
        Self { template, subject: None, body: None }
    }
}

/// Where a text begins in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    file: String,
    place: Place,
    /// Whether every character of the text stands in the file as it is, so that a part of it can be pointed at.
    is_verbatim: bool,
}

impl Stand {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place of a part of the text, given in bytes; of all of it where that is unknown.
    #[must_use]
    pub fn place(&self, text: &str, part: Option<std::ops::Range<usize>>) -> Place {
        let Some(part) = part.filter(|_| self.is_verbatim) else { return self.place };
        let before = text.get(..part.start).unwrap_or_default();
        let chars = text.get(part).unwrap_or_default().chars().count().max(1);
        match before.rsplit_once('\n') {
            None => Place { column: self.place.column + before.chars().count(), chars, ..self.place },
            Some((above, line)) => {
                Place { line: self.place.line + above.matches('\n').count() + 1, column: line.chars().count() + 1, chars }
            }
        }
    }
}

/// Reads a message file: front matter between two lines of `---`, then the Markdown. What can be read of it is there also when
/// there are problems, so that who announces it has none.
#[must_use]
pub fn read_message(file: &str, text: &str) -> (Message, Vec<Problem>) {
    let mut message = Message::default();
    let problems = read(file, text, &mut message).unwrap_or_else(|problem| vec![problem]);
    if !problems.is_empty() {
        return (message, problems);
    }
    // Also when nobody announces it, it is a template.
    let template = &message.template;
    let texts = [(template.subject.as_ref(), &message.subject), (Some(&template.body), &message.body)]
        .into_iter()
        .filter_map(|(text, stand)| text.zip(stand.as_ref()));
    let problems = texts
        .filter_map(|(text, stand)| {
            let problem = uses::uses(text, Form::Template).err()?;
            let place = stand.place(text, uses::broken_line(text));
            Some(Problem::error(file, place, format!("the text does not compile: {problem}")))
        })
        .collect();
    (message, problems)
}

fn read(file: &str, text: &str, message: &mut Message) -> Result<Vec<Problem>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body_from = |body: &str| {
        let before = &text[..text.len() - body.trim_start().len()];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let chars = body.trim_start().lines().next().unwrap_or_default().trim_end().chars().count().max(1);
        Some(Stand { file: file.to_owned(), place: Place { line, column, chars }, is_verbatim: true })
    };
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        text.trim().clone_into(&mut message.template.body);
        message.body = body_from(text);
        return Ok(Vec::new());
    };
    let Some((front, body)) = rest.split_once("\n---") else {
        let place = Place { line: 1, column: 1, chars: 3 };
        return Err(Problem::error(file, place, "the front matter does not end").help("close it with a line of `---`"));
    };
    let body = body.trim_start_matches(['-', '\r']);
    body.trim().clone_into(&mut message.template.body);
    message.body = body_from(body);
    // A line is put back in front, so that places are those of the file.
    let node = yaml::parse(file, &format!("#\n{front}\n"))?;
    let report = Report::on(file);
    if node.value != Value::Empty
        && let Some(mut section) = Section::open(&report, &node, "front matter")
    {
        let subject = section.take("subject").and_then(|node| text_of(&report, node, "subject"));
        message.template.must_know = section.flag("must-know");
        section.close(&[]);
        if let Some(subject) = subject {
            let line = text.lines().nth(subject.place.line - 1).unwrap_or_default();
            let from = line.chars().take(subject.place.column - 1).map(char::len_utf8).sum::<usize>();
            let is_quoted = line[from..].starts_with(['\'', '"']);
            let place = Place { column: subject.place.column + usize::from(is_quoted), ..subject.place };
            let is_verbatim = line[from + usize::from(is_quoted)..].starts_with(subject.text);
            let place = if is_verbatim { place } else { subject.place };
            message.subject = Some(Stand { file: file.to_owned(), place, is_verbatim });
            message.template.subject = Some(subject.text.to_owned());
        }
    }
    Ok(report.finish())
}
