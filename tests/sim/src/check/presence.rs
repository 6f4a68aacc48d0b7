//! What is to be present is present in the end, says what it was last told to say, and never
//! flickers: it is deleted by itself only when its owner gave it up.

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_proto::{
    Zxid,
    txn::{Txn, TxnRecord},
};
use zk_server_core::tree::Tree;

/// Nodes that somebody keeps present, and copies that somebody keeps.
#[derive(Debug, Default)]
pub struct Presence {
    /// How often each was given up.
    given_up: BTreeMap<String, usize>,
    /// What caches held in the end: which transaction set which node.
    copies: Vec<BTreeMap<String, Zxid>>,
}

impl Presence {
    /// Somebody keeps a node present.
    pub fn keeps(&mut self, path: &str) {
        self.given_up.entry(path.to_owned()).or_default();
    }

    /// Its owner gives it up.
    pub fn gives_up(&mut self, path: &str) {
        *self.given_up.entry(path.to_owned()).or_default() += 1;
    }

    /// A cache holds this in the end.
    pub fn copy(&mut self, copy: BTreeMap<String, Zxid>) {
        self.copies.push(copy);
    }

    /// Compares all this with what was applied, and with the tree in the end, in which `there` are
    /// the nodes that caches copy.
    pub fn judge(&self, log: &BTreeMap<Zxid, Bytes>, tree: &Tree, there: &[String]) -> Vec<String> {
        let mut deleted: BTreeMap<&str, usize> = BTreeMap::new();
        for payload in log.values() {
            // One that is replaced goes and comes in one transaction.
            if let Ok(TxnRecord { txn: Txn::Delete(path), .. }) =
                TxnRecord::decode(payload, payload.len())
                && let Some((path, _)) = self.given_up.get_key_value(&*path)
            {
                *deleted.entry(path).or_default() += 1;
            }
        }
        let mut broken = Vec::new();
        for (path, count) in deleted {
            let given_up = self.given_up.get(path).copied().unwrap_or(0);
            if count > given_up {
                broken.push(format!("flicker: {path} was deleted {count} times, not {given_up}"));
            }
        }
        let mut newest = BTreeMap::new();
        for path in there {
            if let Some(node) = tree.node(path) {
                newest.insert(path.clone(), node.stat().mzxid);
            }
        }
        for copy in self.copies.iter().filter(|copy| **copy != newest) {
            broken.push(format!("I35: a cache holds {copy:?} in the end, and it is {newest:?}"));
        }
        broken
    }
}
