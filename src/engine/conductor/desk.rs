//! The desk: where what people say and press, on any platform, becomes a request to the right rollout.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use tokio::sync::{mpsc, oneshot};

use crate::domain::conversation::answer::{self, Answer};
use crate::domain::conversation::button::{ButtonToken, Verb};
use crate::domain::conversation::grammar::{self, Ask};
use crate::domain::people::{Directory, PersonId};
use crate::domain::registry::Registered;
use crate::domain::rollout::command::{Actor, CommandBody, CommandId, Refusal, RefusalKind, RolloutId, StepRef};
use crate::domain::rollout::event::{Choice, ClockKind, Fate};
use crate::domain::rollout::state::{RECENT_HOURS_MAX, State};
use crate::domain::time::parse_duration;

use super::start::{Starting, choose, read_values, runbooks_of};
use super::{Advance, Conductor, Rejected, Request, registry};

/// Among how many of the room's closed rollouts a command that arrives again is looked for: a rollout and its checklists fit.
const CLOSED_SEARCHED_MAX: usize = 8;

/// Something a person said in a room.
#[derive(Clone, Debug)]
pub struct Said {
    /// The id of the message, as the platform has it.
    pub id: CommandId,
    /// Who.
    pub person: PersonId,
    /// Where.
    pub room: String,
    /// What, after the bot's name.
    pub text: String,
    /// Fields of a form that was filled in with it.
    pub fields: BTreeMap<String, String>,
}

/// A button that a person pressed.
#[derive(Clone, Debug)]
pub struct Press {
    /// The id of the press, as the platform has it.
    pub id: CommandId,
    /// Who.
    pub person: PersonId,
    /// Where.
    pub room: String,
    /// What the button says.
    pub button: String,
    /// The reason, where one was asked.
    pub reason: Option<String>,
    /// What was filled in with it.
    pub fields: BTreeMap<String, String>,
}

impl Conductor {
    /// Hears what a person said to the bot, and answers.
    ///
    /// # Errors
    /// See [`Rejected`]; nothing changed then.
    pub async fn hear(&self, said: Said) -> Result<Answer, Rejected> {
        let actor = self.actor(&said.person)?;
        let understood = {
            let registry = self.shared.registry();
            grammar::parse(&said.text, &|word| registry.rollouts.contains_key(&RolloutId(word.to_owned())))?
        };
        let named = understood.rollout.clone();
        let heard = self.answer_to(said, actor, understood).await;
        // Whoever had to name the rollout has to name it again.
        match named {
            Some(id) => in_its_name(heard, &id),
            None => heard,
        }
    }

    async fn answer_to(&self, said: Said, actor: Actor, understood: grammar::Said) -> Result<Answer, Rejected> {
        match understood.ask {
            Ask::Start { words, mut typed, at, rehearsal } => {
                typed.extend(said.fields.clone());
                self.start(&said, actor, &words, typed, at, rehearsal).await
            }
            Ask::List => {
                // The zone of the runbook as it is now: none has to be woken for it.
                let runbook_of = |rollout: &Registered| self.shared.plan.runbooks.get(&rollout.runbook);
                let zone_of = |rollout: &Registered| runbook_of(rollout).map_or(Tz::UTC, |runbook| runbook.timezone);
                Ok(answer::list(&self.shared.registry(), &zone_of))
            }
            Ask::Help { about } => self.help(understood.rollout, &said.room, about).await,
            Ask::Status => {
                let id = self.meant(understood.rollout, &said.room, true)?;
                let lines = self.registry();
                let status = move |state: &State, people: &Directory, now| {
                    let environment = state.runbook.environment.as_ref().filter(|_| !state.rehearsal);
                    let line = environment.and_then(|environment| lines.line(environment));
                    answer::status(state, people, now, line.as_ref())
                };
                self.look(&id, status).await?.ok_or_else(|| no_such(&id))
            }
            Ask::Who => {
                let id = self.meant(understood.rollout, &said.room, true)?;
                self.look(&id, answer::who).await?.ok_or_else(|| no_such(&id))
            }
            Ask::Advance { by } => {
                let id = self.meant(understood.rollout, &said.room, false)?;
                self.rehearse(&id, &said, actor, by.as_deref()).await
            }
            Ask::Mine => self.mine(&said.person).await,
            Ask::Report => {
                let id = self.meant(understood.rollout, &said.room, true)?;
                let (report, zone) = self.report(&id).await?.ok_or_else(|| no_such(&id))?;
                Ok(answer::report(&report, zone))
            }
            Ask::Preview { step } => {
                let id = self.meant(understood.rollout, &said.room, false)?;
                let preview = move |state: &State, people: &Directory, now| answer::preview(state, people, now, &step);
                Ok(self.look(&id, preview).await?.ok_or_else(|| no_such(&id))??)
            }
            Ask::Do(bodies) => {
                let known = if understood.rollout.is_none() { self.already_with(&said).await? } else { None };
                let named = understood.rollout.is_some();
                let id = known.map_or_else(|| self.meant(understood.rollout, &said.room, false), Ok)?;
                let id = if named { id } else { self.with_step(id, &bodies).await? };
                self.act(&id, &said, actor, bodies).await
            }
        }
    }

    /// Explains commands; and steps and phases of the rollout that is meant, and of its checklists.
    async fn help(&self, named: Option<String>, room: &str, about: Option<String>) -> Result<Answer, Rejected> {
        let Some(about) = about.clone().filter(|about| !grammar::is_command(about)) else {
            return Ok(answer::help(about.as_deref()));
        };
        let Ok(id) = self.meant(named, room, true) else { return Ok(answer::no_help(&about)) };
        for member in self.family(&id) {
            let about = about.clone();
            let explain = move |state: &State, people: &Directory, now| answer::explain(state, people, now, &about);
            if let Some(explained) = self.look(&member, explain).await?.flatten() {
                return Ok(explained);
            }
        }
        Ok(answer::no_help(&about))
    }

    /// A rollout, and its checklists that are open.
    fn family(&self, id: &RolloutId) -> Vec<RolloutId> {
        let registry = self.shared.registry();
        let children = registry.open().filter(|(_, rollout)| rollout.parent.as_ref() == Some(id));
        [id.clone()].into_iter().chain(children.map(|(id, _)| id.clone())).collect()
    }

    /// Moves the clock of a rehearsal, and of nothing else.
    async fn rehearse(&self, id: &RolloutId, said: &Said, actor: Actor, by: Option<&str>) -> Result<Answer, Rejected> {
        let rehearses = self.look(id, |state, _, _| state.rehearsal).await?.ok_or_else(|| no_such(id))?;
        if !rehearses {
            let help = match self.shared.plan.clock {
                ClockKind::Shifted => {
                    " The page of this demo moves it, with **Jump to next**, and so does `POST /api/clock/advance`."
                }
                ClockKind::Real => "",
            };
            let says = format!("{id} is no rehearsal: its clock is not moved from a room.{help}");
            return Err(Refusal::new(RefusalKind::NotAllowed, says).into());
        }
        let advance = match by {
            None => Advance::ToNext,
            Some(text) => Advance::By(parse_duration(text).map_err(|problem| Refusal::new(RefusalKind::Invalid, problem))?),
        };
        self.advance(id, said.id.clone(), actor, advance).await
    }

    /// Takes a press of a button, and answers.
    ///
    /// # Errors
    /// See [`Rejected`]; nothing changed then.
    pub async fn press(&self, press: Press) -> Result<Answer, Rejected> {
        let actor = self.actor(&press.person)?;
        let unknown =
            || Refusal::new(RefusalKind::Stale, "This button belongs to nothing here. The card shows what is possible now.");
        let token = ButtonToken::parse(&press.button).ok_or_else(unknown)?;
        let id = self.shared.registry().numbered(token.rollout).cloned().ok_or_else(unknown)?;
        let step = || StepRef::Button { index: token.step.unwrap_or(usize::MAX), generation: token.generation };
        let typed = press.fields;
        let body = match token.verb {
            Verb::Ack => CommandBody::Acknowledge { step: step() },
            Verb::Done => CommandBody::CompleteStep { step: step(), typed },
            Verb::Item(item) => CommandBody::TickItem { step: step(), item },
            Verb::Answer => CommandBody::AnswerStep { step: step(), typed },
            Verb::Go => CommandBody::CastVote { step: step(), choice: Choice::Go, reason: press.reason, instead_of: None },
            Verb::NoGo => CommandBody::CastVote { step: step(), choice: Choice::NoGo, reason: press.reason, instead_of: None },
            Verb::Run => CommandBody::RunStep { step: step() },
            Verb::Confirm => CommandBody::ConfirmStep { step: step() },
            Verb::Fail => CommandBody::FailStep { step: step(), reason: press.reason.unwrap_or_default() },
            Verb::Cancel => CommandBody::CancelStep { step: step() },
            Verb::Skip => CommandBody::SkipStep { step: step(), reason: press.reason.unwrap_or_default() },
            Verb::Ran => CommandBody::SayFate { step: step(), fate: Fate::Ran },
            Verb::Rerun => CommandBody::SayFate { step: step(), fate: Fate::Rerun },
            Verb::Look => CommandBody::SayFate { step: step(), fate: Fate::Look },
            Verb::Unclear => CommandBody::SayFate { step: step(), fate: Fate::Hold },
            Verb::Open(phase) => {
                let name = move |state: &State, _: &Directory, _| state.runbook.phases.get(phase).map(|phase| phase.id.clone());
                CommandBody::OpenPhase { phase: self.look(&id, name).await?.flatten() }
            }
            Verb::BackOff => CommandBody::BackOff { generation: Some(token.generation) },
            // It only looks.
            Verb::All => {
                let everybody = move |state: &State, people: &Directory, now| {
                    token.step.and_then(|step| answer::everybody(state, people, now, step))
                };
                return Ok(self.look(&id, everybody).await?.flatten().ok_or_else(unknown)?);
            }
            Verb::Agree => CommandBody::AgreeToAmendment { generation: Some(token.generation) },
            Verb::Hold => CommandBody::Hold,
            Verb::Resume => CommandBody::Resume { generation: Some(token.generation) },
            Verb::Abort => CommandBody::Abort { reason: press.reason.unwrap_or_default(), generation: Some(token.generation) },
        };
        self.submit(&id, Request { id: press.id, actor, room: Some(press.room), body }).await
    }

    fn actor(&self, person: &PersonId) -> Result<Actor, Rejected> {
        if let Some(known) = self.people().person(person) {
            Ok(Actor::Person { id: known.id.clone(), roles: known.roles.clone() })
        } else {
            let says =
                format!("I don't know `{}`. People are listed in `config/people.yaml`.", person.as_str().replace('`', "'"));
            Err(Refusal::new(RefusalKind::NotAllowed, says).into())
        }
    }

    /// The rollout of this room that has this command already. What arrives again means what it meant the first time, also
    /// when another rollout is the open one by now; one that closed since is looked for among the room's last ones.
    async fn already_with(&self, said: &Said) -> Result<Option<RolloutId>, Rejected> {
        let candidates: Vec<RolloutId> = {
            let registry = self.shared.registry();
            let here = || registry.rollouts.iter().filter(|(_, r)| r.rooms.contains(&said.room));
            let remembered_since = self.now() - TimeDelta::hours(RECENT_HOURS_MAX);
            let mut closed: Vec<_> = here().filter(|(_, r)| r.closed_at.is_some_and(|at| at >= remembered_since)).collect();
            closed.sort_by_key(|(_, r)| Reverse(r.number));
            closed.truncate(CLOSED_SEARCHED_MAX);
            here().filter(|(_, r)| r.closed.is_none()).chain(closed).map(|(id, _)| id.clone()).collect()
        };
        for id in candidates {
            // Any part may be the one that was done: the others may have been refused.
            let parts = (0..said.text.split_whitespace().count()).map(|index| part_of(&said.id, index));
            let ids: Vec<CommandId> = parts.chain([said.id.clone()]).collect();
            let knows = move |state: &State, _: &Directory, _| ids.iter().any(|id| state.events_of(id).is_some());
            if self.look(&id, knows).await? == Some(true) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The rollout that is meant: the one named, or the room's only open one; to look at, also its last one.
    fn meant(&self, named: Option<String>, room: &str, also_over: bool) -> Result<RolloutId, Rejected> {
        if let Some(named) = named {
            return Ok(RolloutId(named));
        }
        let registry = self.shared.registry();
        // A checklist is meant by its id, or by its steps' names; without either, the rollout that it belongs to is. One that
        // goes on after that rollout is meant when there is nothing else to be done.
        let is_here = |r: &Registered| r.rooms.iter().any(|known| known == room);
        let is_open = |id: &RolloutId| registry.rollouts.get(id).is_some_and(|rollout| rollout.closed.is_none());
        let open = || registry.open().filter(|(_, r)| is_here(r));
        let mut here: Vec<&RolloutId> = open().filter(|(_, r)| r.parent.is_none()).map(|(id, _)| id).collect();
        if here.is_empty() && !also_over {
            here = open().filter(|(_, r)| !r.parent.as_ref().is_some_and(is_open)).map(|(id, _)| id).collect();
        }
        match here[..] {
            [only] => Ok(only.clone()),
            [] => {
                let in_room = registry.rollouts.iter().filter(|(_, r)| is_here(r));
                // One that stands alone before a checklist, and then the one that ended last.
                let last = in_room.max_by_key(|(_, r)| (r.parent.is_none(), r.closed_at, r.number)).map(|(id, _)| id.clone());
                last.filter(|_| also_over).ok_or_else(|| {
                    Refusal::new(
                        RefusalKind::NotNow,
                        "No rollout is open in this room. `/rollout start` begins one, `/rollout list` shows all.",
                    )
                    .into()
                })
            }
            _ => {
                let ids: Vec<String> = here.iter().map(|id| format!("`{id}`")).collect();
                let says =
                    format!("Which rollout? Open here: {}. Put its id first: `/rollout {} status`.", ids.join(", "), here[0]);
                Err(Refusal::new(RefusalKind::Ambiguous, says).into())
            }
        }
    }

    /// The rollout itself, or the one of its open checklists that has the step that is named.
    async fn with_step(&self, id: RolloutId, bodies: &[CommandBody]) -> Result<RolloutId, Rejected> {
        let Some(step) = bodies.iter().find_map(CommandBody::names_step) else { return Ok(id) };
        let mut holders = Vec::new();
        for member in self.family(&id) {
            let step = step.to_owned();
            let has = self.look(&member, move |state, _, _| state.runbook.step_index(&step).is_some()).await?;
            if has == Some(true) {
                holders.push(member);
            }
        }
        match &holders[..] {
            [only] => Ok(only.clone()),
            // What is in several, the rollout itself among them, is meant of the rollout itself.
            [first, ..] if *first == id => Ok(id),
            [] => Ok(id),
            several => {
                let ids: Vec<String> = several.iter().map(|id| format!("`{id}`")).collect();
                let says = format!("Several checklists have a step `{step}`: {}. Put the id first.", ids.join(", "));
                Err(Refusal::new(RefusalKind::Ambiguous, says).into())
            }
        }
    }

    /// What waits for a person, in every open rollout.
    async fn mine(&self, person: &PersonId) -> Result<Answer, Rejected> {
        let open: Vec<RolloutId> = self.shared.registry().open().map(|(id, _)| id.clone()).collect();
        let mut lines = Vec::new();
        for id in open {
            let who = person.clone();
            let waiting = self.look(&id, move |state, people, now| answer::waiting_for(state, people, now, &who)).await?;
            lines.extend(waiting.unwrap_or_default());
        }
        Ok(answer::mine(&lines))
    }

    async fn act(&self, id: &RolloutId, said: &Said, actor: Actor, mut bodies: Vec<CommandBody>) -> Result<Answer, Rejected> {
        for body in &mut bodies {
            if let CommandBody::CompleteStep { typed, .. } | CommandBody::AnswerStep { typed, .. } = body {
                typed.extend(said.fields.clone());
            }
            if let CommandBody::CastVote { reason: reason @ None, .. } = body {
                *reason = said.fields.get(answer::REASON).filter(|reason| !reason.trim().is_empty()).cloned();
            }
        }
        let several = bodies.len() > 1;
        let (mut answers, mut asks) = (Vec::<String>::new(), None);
        for (index, body) in bodies.into_iter().enumerate() {
            let id_of = if several { part_of(&said.id, index) } else { said.id.clone() };
            let request = Request { id: id_of, actor: actor.clone(), room: Some(said.room.clone()), body };
            match self.submit(id, request).await {
                Ok(answer) => {
                    answers.push(answer.text);
                    asks = answer.asks.or(asks);
                }
                // What was done stays done, and is said together with what was not.
                Err(Rejected::Refused(refusal)) if several => answers.push(refusal.says),
                Err(rejected) => return Err(rejected),
            }
        }
        Ok(Answer { asks, ..Answer::of(answers.join("\n\n"), Some(id.clone())) })
    }

    async fn start(
        &self,
        said: &Said,
        actor: Actor,
        words: &[String],
        typed: BTreeMap<String, String>,
        at: Option<String>,
        rehearsal: bool,
    ) -> Result<Answer, Rejected> {
        if let Some(why) = self.stopped() {
            return Err(Rejected::NotRecorded(why));
        }
        if self.is_closing() {
            return Err(Rejected::Stopping);
        }
        let request = Request { id: said.id.clone(), actor, room: Some(said.room.clone()), body: CommandBody::Wake };
        let known = self.shared.registry().started_by(&said.id).cloned();
        let id = if let Some(id) = known {
            id
        } else {
            let (runbook, words) = choose(runbooks_of(&self.shared.plan.runbooks, &said.room), words)?;
            let now = self.shared.clock.now();
            let values = read_values(&self.shared, &runbook, &words, typed, at, now).map_err(|why| still_a(rehearsal, why))?;
            let rooms = vec![said.room.clone()];
            let starting = Box::new(Starting { request: request.clone(), runbook, rooms, values, parent: None, rehearsal });
            let (reply, started) = oneshot::channel();
            match self.shared.registry_inbox.try_send(registry::Message::Start { starting, reply }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Rejected::Busy("The registry".to_owned())),
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Rejected::Stopping),
            }
            // Without an answer the registry broke while it was at it, or the process ends.
            let lost = || {
                let broke = Rejected::FateUnknown("something went wrong inside the registry".to_owned());
                if self.is_closing() { Rejected::Stopping } else { broke }
            };
            started.await.map_err(|_| lost())??
        };
        // The rollout itself recognises the command, and answers from what it became: the first time like any other.
        self.submit(&id, request).await
    }
}

/// An answer whose commands name the rollout.
fn in_its_name(heard: Result<Answer, Rejected>, id: &str) -> Result<Answer, Rejected> {
    match heard {
        Ok(answer) => Ok(Answer { text: answer::naming(&answer.text, id), ..answer }),
        Err(Rejected::Refused(refusal)) => Err(Rejected::Refused(Refusal { says: answer::naming(&refusal.says, id), ..refusal })),
        Err(other) => Err(other),
    }
}

/// A form that asks for what is missing starts what was meant.
fn still_a(rehearsal: bool, why: Rejected) -> Rejected {
    match why {
        Rejected::NeedsForm { says, command, fields, problems } if rehearsal => {
            Rejected::NeedsForm { says, command: format!("{command} rehearsal"), fields, problems }
        }
        other => other,
    }
}

/// The id of one of several commands that were given in one message. No platform's own id has a space in it.
fn part_of(id: &CommandId, index: usize) -> CommandId {
    CommandId(format!("{id} part {index}"))
}

fn no_such(id: &RolloutId) -> Rejected {
    Refusal::new(RefusalKind::Unknown, format!("There is no rollout `{id}`.")).into()
}
