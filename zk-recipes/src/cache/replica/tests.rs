//! A replica against a model of a server, in every order in which news and answers can come.

use std::collections::{BTreeMap, VecDeque};

use super::*;

const ROOT: &str = "/r";

/// What the ensemble holds, and what is on its way to us. News and answers leave in one order, but
/// reach the replica through two queues, each of which may lag behind the other.
struct World {
    tree: BTreeMap<String, Stat>,
    zxid: i64,
    news: VecDeque<News>,
    answers: VecDeque<Answer>,
    dice: u64,
    tells_zxid: bool,
}

type News = (EventKind, String, Option<Zxid>);

enum Answer {
    Got(Arc<str>, Option<(Bytes, Stat)>),
    Listed(Arc<str>, Option<Vec<String>>),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut tree = BTreeMap::new();
        tree.insert(String::from("/"), Stat::default());
        let (news, answers) = (VecDeque::new(), VecDeque::new());
        Self { tree, zxid: 1, news, answers, dice: seed, tells_zxid: !seed.is_multiple_of(4) }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.dice >> 33) % sides
    }

    /// One write of somebody, if it is possible.
    fn write(&mut self) {
        let names = ["/r", "/r/a", "/r/a-1", "/r/a/x", "/r/a/y", "/r/b", "/r/b/z", "/r/a/x/deep"];
        let path = names[usize::try_from(self.roll(8)).expect("small")].to_owned();
        let parent = parent_of(&path).to_owned();
        let zxid = Zxid::new(self.zxid + 1);
        let has_children = self.tree.keys().any(|other| parent_of(other) == path);
        let (wish, has_parent) = (self.roll(3), self.tree.contains_key(&parent));
        let kind = match (self.tree.get_mut(&path), wish) {
            (None, _) if !has_parent => return,
            (None, _) => {
                let stat = Stat { czxid: zxid, mzxid: zxid, pzxid: zxid, ..Stat::default() };
                self.tree.insert(path.clone(), stat);
                EventKind::Created
            }
            (Some(_), 0) if has_children => return,
            (Some(_), 0) => {
                self.tree.remove(&path);
                EventKind::Deleted
            }
            (Some(stat), _) => {
                stat.mzxid = zxid;
                EventKind::DataChanged
            }
        };
        self.zxid += 1;
        if kind != EventKind::DataChanged
            && let Some(parent) = self.tree.get_mut(&parent)
        {
            parent.pzxid = zxid;
            parent.num_children += if kind == EventKind::Created { 1 } else { -1 };
        }
        self.news.push_back((kind, path, self.tells_zxid.then_some(zxid)));
    }

    fn answer(&mut self, ask: Ask) {
        let answer = match ask {
            Ask::Get(path) => {
                let stat = self.tree.get(&*path).copied();
                Answer::Got(path, stat.map(node))
            }
            Ask::List(path) => {
                let names = self.tree.keys().filter(|other| parent_of(other) == &*path);
                let names = names.filter(|name| name.len() > 1);
                let names = names.map(|name| name.rsplit('/').next().unwrap_or("").to_owned());
                let names: Vec<_> = names.collect();
                let is_there = self.tree.contains_key(&*path);
                Answer::Listed(path, is_there.then_some(names))
            }
        };
        self.answers.push_back(answer);
    }

    /// What a replica of these depths should hold.
    fn shown(&self, depths: Depths) -> Vec<(String, i64)> {
        let below = self.tree.iter().filter(|(path, _)| {
            let depth = path.matches('/').count();
            (path.starts_with("/r/") || *path == ROOT)
                && (depths.min + 1..=depths.max.saturating_add(1)).contains(&depth)
        });
        below.map(|(path, stat)| (path.clone(), stat.mzxid.get())).collect()
    }
}

#[test]
fn it_comes_to_what_the_ensemble_holds_in_whatever_order_it_hears_of_it() {
    let scopes = [(0, usize::MAX), (0, 2), (1, 1), (0, 0)];
    for seed in 0..4_000 {
        let (min, max) = scopes[usize::try_from(seed % 4).expect("small")];
        follow(seed / 4 + seed % 4 * 100_000, Depths { min, max });
    }
}

fn follow(seed: u64, depths: Depths) {
    let mut world = World::new(seed);
    let mut replica = Replica::new(ZnodePath::new(ROOT).expect("a path"), depths);
    for _ in 0..world.roll(20) {
        world.write();
    }
    world.news.clear();
    replica.load();
    for _ in 0..200 {
        match world.roll(20) {
            0..=5 => world.write(),
            6..=10 => step_news(&mut world, &mut replica),
            11..=14 => step_answers(&mut world, &mut replica),
            15..=17 => ask(&mut world, &mut replica),
            18 => fail_last(&mut world, &mut replica),
            _ if world.roll(8) == 0 => {
                // The connection broke: what was on its way is lost.
                world.news.clear();
                world.answers.clear();
                replica.load();
            }
            _ => {}
        }
    }
    let mut steps = 0;
    while !world.news.is_empty() || !world.answers.is_empty() || !is_idle(&mut world, &mut replica)
    {
        step_news(&mut world, &mut replica);
        step_answers(&mut world, &mut replica);
        steps += 1;
        assert!(steps < 10_000, "seed {seed}: it reads for ever");
    }
    assert!(replica.is_loaded() && replica.is_settled(replica.ticket()), "seed {seed}");
    assert!(replica.flights.is_empty(), "seed {seed}: {:?}", replica.flights);
    let held = replica.snapshot().iter().map(|node| (node.path.to_string(), mzxid(node)));
    assert_eq!(held.collect::<Vec<_>>(), world.shown(depths), "seed {seed}");
}

fn is_idle(world: &mut World, replica: &mut Replica) -> bool {
    ask(world, replica);
    world.answers.is_empty()
}

fn ask(world: &mut World, replica: &mut Replica) {
    for _ in 0..=world.roll(3) {
        if let Some(ask) = replica.next_ask() {
            world.answer(ask);
        }
    }
}

fn step_news(world: &mut World, replica: &mut Replica) {
    if let Some((kind, path, zxid)) = world.news.pop_front() {
        let ticket = replica.ticket();
        replica.happened(kind, &path, zxid);
        assert!(replica.ticket() - ticket <= 1);
    }
}

fn step_answers(world: &mut World, replica: &mut Replica) {
    match world.answers.pop_front() {
        Some(Answer::Got(path, node)) => replica.got(&path, node),
        Some(Answer::Listed(path, children)) => replica.listed(&path, children),
        None => {}
    }
}

/// The server throttles what was asked first.
fn fail_last(world: &mut World, replica: &mut Replica) {
    match world.answers.pop_front() {
        Some(Answer::Got(path, _)) => replica.ask_again(Ask::Get(path)),
        Some(Answer::Listed(path, _)) => replica.ask_again(Ask::List(path)),
        None => {}
    }
}

#[test]
fn pitfall_29_an_answer_from_before_the_deletion_does_not_bring_the_node_back() {
    let mut replica = loaded();
    replica.happened(EventKind::Created, "/r/a", Some(Zxid::new(5)));
    let Some(Ask::Get(path)) = replica.next_ask() else { panic!("it is read") };
    replica.happened(EventKind::Deleted, "/r/a", Some(Zxid::new(6)));
    replica.got(&path, Some(node(stat(5, 5))));
    assert!(replica.snapshot().get("/r/a").is_none());
    assert_eq!(replica.next_ask(), None, "it is known to be gone");
}

#[test]
fn what_an_answer_has_shown_already_is_not_read_again() {
    let mut replica = loaded();
    replica.happened(EventKind::Created, "/r/a", Some(Zxid::new(5)));
    let Some(Ask::Get(path)) = replica.next_ask() else { panic!("it is read") };
    replica.happened(EventKind::DataChanged, "/r/a", Some(Zxid::new(6)));
    let ticket = replica.ticket();
    assert!(!replica.is_settled(ticket));
    replica.got(&path, Some(node(stat(5, 7))));
    replica.happened(EventKind::DataChanged, "/r/a", Some(Zxid::new(7)));
    assert_eq!(replica.next_ask(), None);
    assert!(replica.is_settled(ticket));
}

#[test]
fn what_has_changed_is_read_before_the_rest_is_loaded() {
    let mut replica = Replica::new(ZnodePath::new(ROOT).expect("a path"), ALL);
    replica.load();
    let Some(Ask::Get(root)) = replica.next_ask() else { panic!("the root first") };
    replica.got(&root, Some(node(Stat { num_children: 3, ..stat(1, 1) })));
    let Some(Ask::List(root)) = replica.next_ask() else { panic!("then its children") };
    let names = ["b", "a", "c"].map(String::from).to_vec();
    replica.listed(&root, Some(names));
    assert_eq!(replica.next_ask(), Some(Ask::Get("/r/a".into())));
    replica.happened(EventKind::DataChanged, "/r/c", Some(Zxid::new(9)));
    assert_eq!(replica.next_ask(), Some(Ask::Get("/r/c".into())));
    assert_eq!(replica.next_ask(), Some(Ask::Get("/r/b".into())));
    assert_eq!(replica.next_ask(), None, "and no path twice");
    assert!(!replica.is_loaded());
}

#[test]
fn a_node_that_cannot_be_read_is_left_out_and_stops_nothing() {
    let mut replica = loaded();
    replica.happened(EventKind::Created, "/r/secret", Some(Zxid::new(5)));
    let Some(Ask::Get(path)) = replica.next_ask() else { panic!("it is read") };
    replica.got(&path, None);
    assert!(replica.snapshot().get("/r/secret").is_none());
    assert!(replica.is_settled(replica.ticket()));
}

#[test]
fn a_deletion_takes_along_what_was_below() {
    let mut replica = loaded();
    for path in ["/r/a", "/r/a/x"] {
        replica.happened(EventKind::Created, path, Some(Zxid::new(5)));
        let Some(Ask::Get(path)) = replica.next_ask() else { panic!("it is read") };
        replica.got(&path, Some(node(stat(5, 5))));
    }
    replica.happened(EventKind::Deleted, "/r/a", Some(Zxid::new(6)));
    assert_eq!(replica.snapshot().len(), 1, "only the root is left");
}

#[test]
fn what_lies_elsewhere_or_too_deep_is_none_of_its_business() {
    let mut replica = Replica::new(ZnodePath::new(ROOT).expect("a path"), CHILDREN);
    for path in ["/", "/r", "/rx", "/rx/y", "/r/a/b", "/other"] {
        replica.happened(EventKind::Created, path, Some(Zxid::new(5)));
    }
    assert_eq!(replica.next_ask(), None);
}

const ALL: Depths = Depths { min: 0, max: usize::MAX };
const CHILDREN: Depths = Depths { min: 1, max: 1 };

/// A replica of a root without children.
fn loaded() -> Replica {
    let mut replica = Replica::new(ZnodePath::new(ROOT).expect("a path"), ALL);
    replica.load();
    let Some(Ask::Get(root)) = replica.next_ask() else { panic!("the root first") };
    replica.got(&root, Some(node(stat(1, 1))));
    assert!(replica.is_loaded());
    replica
}

fn stat(czxid: i64, mzxid: i64) -> Stat {
    Stat { czxid: Zxid::new(czxid), mzxid: Zxid::new(mzxid), ..Stat::default() }
}

fn node(stat: Stat) -> (Bytes, Stat) {
    (Bytes::new(), stat)
}

fn mzxid(node: &CachedNode) -> i64 {
    node.stat.mzxid.get()
}

fn parent_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}
