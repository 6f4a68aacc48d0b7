//! I35, G6: persistent watchers are told of every change, in order, or of a gap; whoever observes a
//! node comes to know its newest state.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zk_proto::{
    Zxid,
    txn::{Txn, TxnRecord},
};
use zk_server_core::tree::Tree;

/// One item of a persistent watcher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// A change, in this transaction.
    Change(Zxid),
    /// Something may be missing.
    Gap,
}

/// A node as an observer saw it: the transaction that set it, or nothing if it is not there.
pub type State = Option<Zxid>;

/// What was told of changes.
#[derive(Debug, Default)]
pub struct Observed {
    /// Watchers of everything below a path.
    watchers: Vec<(String, Vec<Told>)>,
    /// What each application saw last of which node, while it observes.
    states: BTreeMap<(usize, String), State>,
}

impl Observed {
    /// Somebody watches everything below `path`.
    pub fn watch(&mut self, path: &str) -> usize {
        self.watchers.push((path.to_owned(), Vec::new()));
        self.watchers.len() - 1
    }

    /// It is told something.
    pub fn told(&mut self, watcher: usize, told: Told) {
        self.watchers[watcher].1.push(told);
    }

    /// An application sees a node.
    pub fn sees(&mut self, app: usize, path: &str, state: State) {
        self.states.insert((app, path.to_owned()), state);
    }

    /// An application observes a node no more.
    pub fn looks_away(&mut self, app: usize, path: &str) {
        self.states.remove(&(app, path.to_owned()));
    }

    /// A process is gone.
    pub fn killed(&mut self, app: usize) {
        self.states.retain(|(other, _), _| *other != app);
    }

    /// Compares all this with what was applied, and with the tree in the end.
    pub fn judge(&self, log: &BTreeMap<Zxid, Bytes>, tree: &Tree) -> Vec<String> {
        let mut broken = Vec::new();
        for ((app, path), state) in &self.states {
            let there = tree.node(path).map(|node| node.stat().mzxid);
            if there != *state {
                broken.push(format!(
                    "I35: application {app} observes {path} as {state:?}, and it is {there:?}"
                ));
            }
        }
        let paths: BTreeSet<&String> = self.watchers.iter().map(|(path, _)| path).collect();
        for path in paths {
            let changes = changes_below(log, path);
            let ours = self.watchers.iter().filter(|(watched, _)| watched == path);
            broken.extend(ours.filter_map(|(_, told)| complete(told, &changes).err()));
        }
        broken
    }
}

/// What was told between two gaps is everything that happened in between, in order.
fn complete(told: &[Told], changes: &BTreeSet<Zxid>) -> Result<(), String> {
    let mut last: Option<Zxid> = None;
    for item in told {
        let Told::Change(zxid) = *item else {
            last = None;
            continue;
        };
        if !changes.contains(&zxid) {
            return Err(format!("I35: a watcher was told of {zxid}, which changed nothing"));
        }
        if let Some(last) = last {
            if zxid < last {
                return Err(format!("I35: a watcher was told of {zxid} behind {last}"));
            }
            let missed = changes.range(last..zxid).find(|&&change| change > last);
            if let Some(missed) = missed {
                return Err(format!(
                    "I35: a watcher was told of {last} and {zxid}, and not of {missed}"
                ));
            }
        }
        last = Some(zxid);
    }
    Ok(())
}

/// Which transactions changed something below `path`.
fn changes_below(log: &BTreeMap<Zxid, Bytes>, path: &str) -> BTreeSet<Zxid> {
    let mut changes = BTreeSet::new();
    for (&zxid, payload) in log {
        let Ok(TxnRecord { txn, .. }) = TxnRecord::decode(payload, payload.len()) else {
            continue;
        };
        if touches(&txn, path) {
            changes.insert(zxid);
        }
    }
    changes
}

fn touches(txn: &Txn, path: &str) -> bool {
    match txn {
        Txn::Create(create) => is_below(&create.path, path),
        Txn::SetData(set) => is_below(&set.path, path),
        Txn::Delete(node) | Txn::DeleteContainer(node) => is_below(node, path),
        Txn::CloseSession(nodes) => nodes.iter().flatten().any(|node| is_below(node, path)),
        Txn::Multi(parts) => {
            let is_refused = parts.iter().any(|part| matches!(part, Txn::Error(_)));
            !is_refused && parts.iter().any(|part| touches(part, path))
        }
        Txn::CreateSession(_)
        | Txn::Reconfig(_)
        | Txn::SetAcl(_)
        | Txn::Check(..)
        | Txn::Error(_) => false,
    }
}

fn is_below(node: &str, path: &str) -> bool {
    node.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_nobody_was_told_of_is_found_unless_a_gap_says_so() {
        let changes: BTreeSet<Zxid> = [1, 2, 3].map(Zxid::new).into();
        let [one, three] = [1, 3].map(|zxid| Told::Change(Zxid::new(zxid)));
        assert!(complete(&[one, three], &changes).is_err());
        assert!(complete(&[three, one], &changes).is_err());
        assert_eq!(complete(&[one, Told::Gap, three], &changes), Ok(()));
    }
}
