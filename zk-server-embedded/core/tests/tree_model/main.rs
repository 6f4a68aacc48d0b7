//! The tree against a naive one, over random histories: applied once, applied again over a later
//! state, and applied over a snapshot that was taken while they went on.

#[path = "../asked/mod.rs"]
mod asked;
mod generate;
mod model;
mod random;

use std::{collections::BTreeSet, sync::Arc};

use zk_proto::{
    Acl, SessionId, WallMillis,
    txn::{Txn, TxnHeader},
};
use zk_server_core::tree::{StatPersisted, Tree, TreeConfig, TreeLoader, Walk};

use self::{asked::asked_for, generate::Generator, model::Model};

const CONFIG: TreeConfig = TreeConfig { extended_types: true, digest: true, hash_seed: 3 };
/// Histories tried; `TREE_SEEDS=1000` asks for more.
const SEEDS: u64 = 30;
const TXNS: usize = 300;

fn seeds() -> u64 {
    asked_for("TREE_SEEDS", SEEDS)
}

// reliability I20, I22 to I26, I28
#[test]
fn random_transactions_lead_where_the_naive_tree_is() {
    for seed in 0..seeds() {
        let mut generator = Generator::new(seed);
        let mut tree = Tree::new(CONFIG);
        for step in 0..TXNS {
            let (header, txn) = generator.next();
            let applied = tree.apply(&header, txn);
            assert_eq!((applied.zxid, tree.last_zxid()), (header.zxid, header.zxid));
            if step % 20 == 0 {
                generator.model.assert_is(&tree, &format!("seed {seed}, {}", header.zxid));
                tree.check();
            }
        }
        generator.model.assert_is(&tree, &format!("seed {seed}"));
    }
}

// reliability I23
#[test]
fn indexes_answer_what_a_scan_answers() {
    for seed in 0..seeds() {
        let mut generator = Generator::new(seed);
        let mut tree = Tree::new(CONFIG);
        for step in 0..TXNS {
            let (header, txn) = generator.next();
            tree.apply(&header, txn);
            if step % 5 == 0 {
                assert_indexes(&tree, &generator.model, header.time);
            }
        }
    }
}

fn assert_indexes(tree: &Tree, model: &Model, now: WallMillis) {
    let mut count = 0;
    for session in [0x100, 0x200, 0x300, 0x400].map(SessionId::new) {
        let owned: BTreeSet<&str> = tree.ephemerals(session).collect();
        let scanned = model.ephemerals(session);
        assert!(owned.iter().eq(&scanned));
        assert_eq!(tree.ephemerals_of(session), scanned.len());
        assert_eq!(tree.ephemeral_sessions().any(|one| one == session), !scanned.is_empty());
        count += scanned.len();
    }
    assert_eq!(tree.ephemeral_count(), count);
    let due: BTreeSet<Box<str>> = tree.due(now, 0).into_iter().collect();
    assert!(due.iter().map(|path| &**path).eq(model.due(now).iter()));
    for (target, stats) in model.quotas() {
        let over = tree.quota_over(&format!("{target}/some/where")).expect("a quota");
        assert_eq!(over.path, target);
        assert_eq!((over.limits.count, over.limits.bytes_hard), (3, -1));
        assert_eq!(over.usage.is_some(), model.0.contains_key(&stats));
        if let Some(usage) = over.usage {
            let (count, bytes) = model.usage(&target);
            assert_eq!(
                (usage.count.cast_unsigned(), usage.bytes.cast_unsigned()),
                (count as u64, bytes as u64,)
            );
        }
    }
}

// reliability I21, rule 12
#[test]
fn a_stretch_of_the_log_applied_again_changes_nothing() {
    for seed in 0..seeds() {
        let (history, model) = history(seed);
        let mut tree = Tree::new(CONFIG);
        apply(&mut tree, &history);
        for from in (0..history.len()).step_by(37) {
            apply(&mut tree, &history[from..]);
            tree.check();
            model.assert_settled(&tree, &format!("seed {seed} from {from}"));
        }
    }
}

// reliability I21
#[test]
fn a_snapshot_taken_meanwhile_and_the_log_lead_to_the_same_tree() {
    for seed in seeds_with_lists() {
        let (history, model) = history(seed);
        for start in (0..history.len()).step_by(61) {
            let (snapshot, _) = fuzzy(&history, start, seed);
            let mut tree = snapshot;
            apply(&mut tree, &history[start..]);
            tree.check();
            assert_eq!(tree.acls_missing(), 0);
            model.assert_settled(&tree, &format!("seed {seed} from {start}"));
        }
    }
}

// reliability I21
#[test]
fn a_snapshot_that_also_holds_later_nodes_leads_to_the_same_tree() {
    let mut missing = 0;
    for seed in seeds_with_lists() {
        let (history, model) = history(seed);
        for start in (0..history.len()).step_by(61) {
            let mut tree = fuzzy_by_name(&history, start, seed);
            missing += tree.acls_missing();
            apply(&mut tree, &history[start..]);
            tree.check();
            assert_eq!(tree.acls_missing(), 0);
            model.assert_settled(&tree, &format!("seed {seed} from {start}"));
        }
    }
    assert!(missing > 0, "some snapshot lacked a list");
}

#[test]
fn a_walk_shows_whatever_stays_and_nothing_twice() {
    for seed in 0..seeds() {
        let (history, _) = history(seed);
        for start in (0..history.len()).step_by(61) {
            let mut before = Tree::new(CONFIG);
            apply(&mut before, &history[..start]);
            let (_, Walked { shown, after }) = fuzzy(&history, start, seed);
            let paths: BTreeSet<&String> = shown.iter().collect();
            assert_eq!(paths.len(), shown.len(), "nothing twice");
            let mut all = before.walk();
            while let Some(node) = all.next(&before) {
                let stays = after
                    .node(node.path())
                    .is_some_and(|later| later.stat().czxid == node.stat().czxid);
                let path = node.path().to_owned();
                assert!(!stays || paths.contains(&path), "seed {seed} from {start}: {path}");
            }
        }
    }
}

#[test]
fn a_walk_without_changes_shows_every_node_after_its_parent() {
    let (history, model) = history(1);
    let mut tree = Tree::new(CONFIG);
    apply(&mut tree, &history);
    let mut walk = tree.walk();
    let mut shown = BTreeSet::new();
    while let Some(node) = walk.next(&tree) {
        let path = node.path().trim_end_matches('/').to_owned();
        assert!(path.is_empty() || shown.contains(model::parent(&path)), "{path} is no orphan");
        shown.insert(path);
    }
    assert!(shown.iter().eq(model.0.keys()));
    assert!(walk.next(&tree).is_none(), "the end stays the end");
}

/// A session that ends without listing its nodes leaves no trace of those that a snapshot missed;
/// their parents' numbers cannot be known then. That is what the lists are for.
fn seeds_with_lists() -> impl Iterator<Item = u64> {
    (0..seeds()).filter(|&seed| generate::lists_paths(seed))
}

fn history(seed: u64) -> (Vec<(TxnHeader, Txn)>, Model) {
    let mut generator = Generator::new(seed);
    let history = (0..TXNS).map(|_| generator.next()).collect();
    (history, generator.model)
}

fn apply(tree: &mut Tree, history: &[(TxnHeader, Txn)]) {
    for (header, txn) in history {
        tree.apply(header, txn.clone());
    }
}

struct Walked {
    shown: Vec<String>,
    /// The tree when the walk was over.
    after: Tree,
}

/// A tree loaded from what a walk showed that began before transaction `start` and went on between
/// the following ones. Lists of ACLs are those of the beginning.
fn fuzzy(history: &[(TxnHeader, Txn)], start: usize, seed: u64) -> (Tree, Walked) {
    let mut tree = Tree::new(CONFIG);
    apply(&mut tree, &history[..start]);
    let mut loader = TreeLoader::new(CONFIG);
    let lists: Vec<(i64, Arc<[Acl]>)> =
        tree.acl_entries().map(|(id, acl)| (id, Arc::clone(acl))).collect();
    for (id, acl) in lists {
        loader.acl(id, acl.to_vec()).expect("each number once");
    }
    let zxid = tree.last_zxid();
    let mut walk = tree.walk();
    let mut random = random::Random::new(seed ^ start as u64);
    let mut rest = history[start..].iter();
    let mut shown = Vec::new();
    while let Some((path, data, acl, stat)) = step(&mut walk, &tree) {
        loader.node(path.trim_end_matches('/'), data.as_deref(), acl, stat).expect("parents first");
        shown.push(path);
        for (header, txn) in rest.by_ref().take(random.below(4)) {
            tree.apply(header, txn.clone());
        }
    }
    assert_eq!(walk.started(), zxid);
    (loader.finish(zxid), Walked { shown, after: tree })
}

/// As [`fuzzy`], in the way of Apache `ZooKeeper`: going by the names that a node's children had
/// when it was shown, whatever bears them when its turn comes.
fn fuzzy_by_name(history: &[(TxnHeader, Txn)], start: usize, seed: u64) -> Tree {
    let mut tree = Tree::new(CONFIG);
    apply(&mut tree, &history[..start]);
    let mut loader = TreeLoader::new(CONFIG);
    let lists: Vec<(i64, Arc<[Acl]>)> =
        tree.acl_entries().map(|(id, acl)| (id, Arc::clone(acl))).collect();
    for (id, acl) in lists {
        loader.acl(id, acl.to_vec()).expect("each number once");
    }
    let zxid = tree.last_zxid();
    let mut random = random::Random::new(seed ^ start as u64);
    let mut rest = history[start..].iter();
    let mut pending = vec![String::new()];
    while let Some(path) = pending.pop() {
        if let Some(node) = tree.node(&path) {
            loader.node(&path, node.data(), node.acl_id(), *node.persisted()).expect("in place");
            pending.extend(node.children().map(|name| format!("{path}/{name}")));
        }
        for (header, txn) in rest.by_ref().take(random.below(4)) {
            tree.apply(header, txn.clone());
        }
    }
    loader.finish(zxid)
}

type Shown = (String, Option<Vec<u8>>, i64, StatPersisted);

fn step(walk: &mut Walk, tree: &Tree) -> Option<Shown> {
    let node = walk.next(tree)?;
    let data = node.data().map(<[u8]>::to_vec);
    Some((node.path().to_owned(), data, node.acl_id(), *node.persisted()))
}

#[test]
fn a_tree_without_digests_is_the_same_tree() {
    let (history, model) = history(5);
    let mut tree = Tree::new(TreeConfig { digest: false, ..CONFIG });
    apply(&mut tree, &history);
    tree.check();
    assert_eq!((tree.digest(), tree.node_count()), (0, model.0.len()));
    assert_eq!(Some(tree.last_zxid()), history.last().map(|(header, _)| header.zxid));
}
