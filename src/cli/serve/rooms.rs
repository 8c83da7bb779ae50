//! Which rooms there are, and who brings what where.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::people::Directory;
use crate::domain::runbook::model::{Address, Platform, Venue};
use crate::engine::outbox::{Route, Routes};
use crate::engine::ports::{Courier, Executor, HouseRooms, RoomInfo};
use crate::gateway::chat::local::LocalRooms;
use crate::gateway::chat::local::outbound::{room_of_address, room_of_person};
use crate::settings::Settings;

use super::Manner;

/// The rooms that T-minus keeps itself: those that host, one for every address that is announced to, one for every person. In a
/// demo they stand for all platforms, otherwise for what is configured as local.
#[must_use]
pub fn room_infos(settings: &Settings, people: &Directory, manner: Manner) -> Vec<RoomInfo> {
    let hosts = |name: &str| RoomInfo { id: name.to_owned(), title: name.to_owned(), hosts: true, person: None };
    let is_ours = |platform: Platform| manner == Manner::Demo || platform == Platform::Local;
    let hosting = settings.rooms.iter().filter(|(_, places)| manner == Manner::Demo || places.local);
    let mut rooms: Vec<RoomInfo> = hosting.map(|(name, _)| hosts(name)).collect();
    if rooms.is_empty() && manner == Manner::Demo {
        rooms.push(hosts("rollouts"));
    }
    for address in settings.announced_to().into_iter().filter(|address| is_ours(address.platform)) {
        let id = room_of_address(&address);
        if !rooms.iter().any(|room| room.id == id) {
            let title = match address.platform {
                Platform::Local => address.name.clone(),
                platform => format!("{}: {}", platform.title(), address.name),
            };
            rooms.push(RoomInfo { id, title, hosts: false, person: None });
        }
    }
    for person in people.people() {
        let id = room_of_person(&person.id);
        let title = format!("To {}", person.name);
        rooms.push(RoomInfo { id, title, hosts: false, person: Some(person.id.clone()) });
    }
    rooms
}

/// What is configured and not reached, a sentence each.
pub(super) fn unreached(settings: &Settings) -> Vec<String> {
    let rooms = settings.rooms.iter().filter(|(_, places)| !places.local);
    let rooms =
        rooms.map(|(name, _)| format!("The room {name} is not `local`, and no other platform is connected; it hosts nothing"));
    let halves = settings.rooms.iter().filter(|(_, places)| places.local).filter_map(|(name, places)| {
        let platforms: Vec<&str> = places.platforms().filter(|one| *one != Platform::Local).map(Platform::title).collect();
        let others = platforms.join(" and ");
        let says = || format!("The room {name} is hosted here alone; not connected: {others}. Who is there sees nothing of it");
        (!others.is_empty()).then(says)
    });
    let is_off = |address: &Address| address.platform != Platform::Local;
    let addresses = settings.announced_to().into_iter().filter(is_off);
    let addresses = addresses.map(|address| {
        format!(
            "{address} can't be reached: {} is not connected. What is announced there waits for somebody to waive it",
            address.platform.title()
        )
    });
    rooms.chain(halves).chain(addresses).collect()
}

const fn local(room: String) -> Venue {
    Venue { platform: Platform::Local, room }
}

/// Who brings what to the rooms that T-minus keeps itself, and has systems do something.
pub(super) fn routes(
    settings: &Settings,
    rooms: &Arc<LocalRooms>,
    executors: BTreeMap<String, Arc<dyn Executor>>,
    rehearsals: BTreeMap<String, Arc<dyn Executor>>,
) -> Routes {
    let courier: Arc<dyn Courier> = rooms.clone();
    let route = || Route { lane: "local".to_owned(), courier: courier.clone() };
    let infos = HouseRooms::rooms(rooms.as_ref());
    let is_here = |address: &Address| infos.iter().any(|room| room.id == room_of_address(address));
    let addresses = settings.announced_to().into_iter().filter(is_here);
    let addresses = addresses.map(|address| ((address.platform, address.name), route())).collect();
    let venues = infos.iter().map(|room| (local(room.id.clone()), route())).collect();
    Routes { addresses, people: Some(route()), venues, executors, rehearsals }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Files;

    #[test]
    fn what_is_not_connected_is_said_of_each_room() {
        let yaml = "rooms: { here: { local: true }, both: { local: true, slack: C1, telegram: -100 }, away: { slack: C2 } }\n";
        let settings = Files::of([("config/tminus.yaml".to_owned(), yaml.to_owned())]).settings().unwrap();
        assert_eq!(
            unreached(&settings),
            [
                "The room away is not `local`, and no other platform is connected; it hosts nothing",
                "The room both is hosted here alone; not connected: Slack and Telegram. Who is there sees nothing of it",
            ]
        );
    }
}
