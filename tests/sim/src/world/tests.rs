use std::cmp::Reverse;

use super::{Event, World};
use crate::{
    apps::Apps,
    net::Port,
    swarm::{Plan, SECOND},
    trace::Trace,
};

#[test]
fn whoever_stands_still_goes_on_when_all_faults_end() {
    let apps = Apps { count: 1, ..Apps::default() };
    let plan = Plan { clients: 1, apps, ..Plan::new(3, 60) };
    let mut world = World::new(plan, Trace::new(false, false));
    world.carry_out(Event::Start(0));
    world.due.clear();
    let later = 20 * SECOND;
    world.hosts[0].paused_until = later;
    world.clients[0].frozen_until = later;
    world.apps[0].frozen_until = later;
    world.apps[0].is_up = true;
    let life = world.hosts[0].life;
    let events = [
        Event::Wake(0, life),
        Event::Stored(0, life, Vec::new()),
        Event::Dialled { from: 0, life, to: 1, port: Port::Election },
        Event::Client(0, 0),
        Event::App(0, 0),
    ];
    let count = events.len();

    for event in events {
        world.carry_out(event);
    }
    assert_eq!((due_at(&world, world.now), due_at(&world, later)), (0, count), "they stand still");

    world.carry_out(Event::Calm);
    assert_eq!((due_at(&world, world.now), due_at(&world, later)), (count, 0));
}

/// How much of what befell those who stand still is to happen at a moment, in nanoseconds.
fn due_at(world: &World, at: u64) -> usize {
    let is_theirs = |event: &Event| {
        matches!(
            event,
            Event::Wake(..)
                | Event::Stored(..)
                | Event::Dialled { .. }
                | Event::Client(..)
                | Event::App(..)
        )
    };
    world.due.iter().filter(|Reverse(due)| due.at == at && is_theirs(&due.event)).count()
}
