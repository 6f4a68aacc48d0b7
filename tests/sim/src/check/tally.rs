//! I36 for counters and queues: every change of a counter happens once or is unknown; an item of a
//! queue goes to one taker, and none that was put in and acknowledged is lost unless a taker says
//! that it may be; a received item stays until it is acknowledged and does not come again behind
//! that.

use std::collections::{BTreeMap, BTreeSet};

use zk_client::Outcome;
use zk_server_core::tree::Tree;

/// Where the counter is.
pub const COUNTER: &str = "/r/counter";
/// A queue whose items are taken.
pub const TAKEN: &str = "/r/taken";
/// A queue whose items are received and acknowledged.
pub const RECEIVED: &str = "/r/received";

/// What is known of a counter.
#[derive(Debug, Default)]
pub struct Counted {
    asked: u64,
    done: u64,
    not: u64,
    numbers: BTreeSet<i64>,
}

impl Counted {
    /// Somebody is about to add one; the largest number that anybody had been told of.
    pub fn asked(&mut self) -> i64 {
        self.asked += 1;
        self.numbers.last().copied().unwrap_or(0)
    }

    /// It was done, and this came out; `before` as it was told when it was asked for.
    ///
    /// # Errors
    /// What does not hold.
    pub fn done(&mut self, before: i64, number: i64) -> Result<(), String> {
        self.done += 1;
        if number <= before || !self.numbers.insert(number) {
            return Err(format!("I36: the counter gave {number}, and {before} or this before"));
        }
        Ok(())
    }

    /// It failed.
    pub fn failed(&mut self, outcome: Outcome) {
        self.not += u64::from(outcome != Outcome::Unknown);
    }

    fn judge(&self, tree: &Tree) -> Option<String> {
        let data = tree.node(COUNTER).and_then(|node| Some(node.data()?.to_vec()));
        let bytes = data.unwrap_or_default();
        let number = <[u8; 8]>::try_from(&bytes[..]).map_or(0, u64::from_be_bytes);
        let most = self.asked - self.not;
        (number < self.done || number > most)
            .then(|| format!("I36: the counter is {number}, not from {} to {most}", self.done))
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Item {
    /// Acknowledged when it was put in.
    is_in: bool,
    /// Certainly not put in.
    is_not: bool,
    /// How often it was taken out.
    outs: u32,
    /// Somebody does not know whether it took it out.
    may_be_out: bool,
}

/// What is known of a queue.
#[derive(Debug, Default)]
pub struct Queued {
    items: BTreeMap<String, Item>,
    /// Takers that know nothing of what they took, if anything.
    lossy: usize,
}

impl Queued {
    /// An item is about to be put in.
    pub fn puts(&mut self, item: &str) {
        self.items.insert(item.to_owned(), Item::default());
    }

    /// What came of that.
    pub fn put(&mut self, item: &str, outcome: Result<(), Outcome>) {
        let item = self.items.entry(item.to_owned()).or_default();
        item.is_in = outcome.is_ok();
        item.is_not = outcome.is_err_and(|outcome| outcome != Outcome::Unknown);
    }

    /// Somebody begins to take something.
    pub const fn takes(&mut self) {
        self.lossy += 1;
    }

    /// It knows what it took: these, or for certain nothing.
    ///
    /// # Errors
    /// What does not hold.
    pub fn took(&mut self, items: &[String]) -> Result<(), String> {
        self.lossy -= 1;
        items.iter().try_for_each(|item| self.out(item))
    }

    /// Somebody received an item.
    ///
    /// # Errors
    /// What does not hold.
    pub fn receives(&self, item: &str) -> Result<(), String> {
        match self.items.get(item) {
            Some(found) if found.outs == 0 && !found.is_not => Ok(()),
            found => Err(format!("I36: {item} is received, and it is {found:?}")),
        }
    }

    /// Somebody is about to acknowledge it.
    pub fn acks(&mut self, item: &str) {
        self.items.entry(item.to_owned()).or_default().may_be_out = true;
    }

    /// It was acknowledged.
    ///
    /// # Errors
    /// What does not hold.
    pub fn acked(&mut self, item: &str) -> Result<(), String> {
        self.out(item)
    }

    fn out(&mut self, item: &str) -> Result<(), String> {
        let found = self.items.entry(item.to_owned()).or_default();
        found.outs += 1;
        if found.outs > 1 || found.is_not {
            return Err(format!("I36: {item} is taken, and it is {found:?}"));
        }
        Ok(())
    }

    fn judge(&self, tree: &Tree, path: &str) -> Option<String> {
        let left: BTreeSet<String> = tree
            .children(path)
            .into_iter()
            .flatten()
            .filter_map(|name| tree.node(&format!("{path}/{name}"))?.data().map(<[u8]>::to_vec))
            .map(|data| String::from_utf8_lossy(&data).into_owned())
            .collect();
        let is_lost = |(name, item): &(&String, &Item)| {
            item.is_in && item.outs == 0 && !item.may_be_out && !left.contains(*name)
        };
        let lost: Vec<_> = self.items.iter().filter(is_lost).map(|(name, _)| name).collect();
        (lost.len() > self.lossy)
            .then(|| format!("I36: {lost:?} are lost from {path}, at most {} may be", self.lossy))
    }
}

/// Counters and queues.
#[derive(Debug, Default)]
pub struct Tally {
    /// The counter.
    pub counted: Counted,
    /// The queue whose items are taken.
    pub taken: Queued,
    /// The queue whose items are received.
    pub received: Queued,
}

impl Tally {
    /// Compares all this with the tree in the end.
    pub fn judge(&self, tree: &Tree) -> Vec<String> {
        let counted = self.counted.judge(tree);
        let taken = self.taken.judge(tree, TAKEN);
        let received = self.received.judge(tree, RECEIVED);
        counted.into_iter().chain(taken).chain(received).collect()
    }
}

#[cfg(test)]
mod tests {
    use zk_server_core::tree::TreeConfig;

    use super::*;

    #[test]
    fn lost_and_doubled_changes_are_found() {
        let tree = Tree::new(TreeConfig::default());
        let mut counted = Counted::default();
        let before = counted.asked();
        assert_eq!(counted.done(before, 1), Ok(()));
        assert!(counted.judge(&tree).is_some(), "the counter is still 0");
        assert!(counted.done(before, 1).is_err(), "nobody else may get a 1");
    }

    #[test]
    fn an_item_that_is_lost_or_comes_twice_is_found() {
        let tree = Tree::new(TreeConfig::default());
        let mut queued = Queued::default();
        queued.puts("one");
        queued.put("one", Ok(()));
        assert!(queued.judge(&tree, TAKEN).is_some());
        queued.takes();
        assert_eq!(queued.judge(&tree, TAKEN), None, "somebody may have taken it");
        assert_eq!(queued.took(&["one".to_owned()]), Ok(()));
        assert!(queued.acked("one").is_err());
    }
}
