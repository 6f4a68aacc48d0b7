//! I38, G11: what is believed to be held is held by one, or by as many as may; tokens rise; a store
//! that checks them never goes back; who may still act was shut out before another leads.
//!
//! A holder believes as long as its guard says so, and at most as long as its session is proven to
//! live. Nobody else is granted what it believes to hold, and nobody acts behind a newer holder.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zk_proto::{
    Zxid,
    txn::{Txn, TxnRecord},
};

/// Below this stands for each resource the token of whoever wrote last.
pub const STORE: &str = "/r/store-";

/// How something is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sort {
    /// By one.
    Alone,
    /// By any number, but not while somebody has it alone.
    Shared,
    /// By so many at most.
    Among(usize),
}

#[derive(Clone, Debug)]
struct Grant {
    id: usize,
    app: usize,
    resource: &'static str,
    sort: Sort,
    token: i64,
    /// Until when its holder believes, in nanoseconds.
    until: u64,
}

/// Who holds what, and who held it.
#[derive(Debug, Default)]
pub struct Holds {
    granted: usize,
    /// Those whose holders have not stopped.
    open: Vec<Grant>,
    /// The newest grant of each resource, alone and of any sort: place and token.
    newest_alone: BTreeMap<&'static str, (usize, i64)>,
    newest: BTreeMap<&'static str, i64>,
    /// Leaders that have to be shut out, by what they call themselves, and those that were.
    may_act: BTreeSet<String>,
    shut_out: BTreeSet<String>,
}

impl Holds {
    /// Something was granted, and is believed to be held at `now` and up to `until`.
    ///
    /// # Errors
    /// What does not hold.
    pub fn granted(
        &mut self,
        app: usize,
        (resource, sort): (&'static str, Sort),
        token: i64,
        (now, until): (u64, u64),
    ) -> Result<usize, String> {
        self.granted += 1;
        let id = self.granted;
        let grant = Grant { id, app, resource, sort, token, until };
        let believed = |other: &&Grant| other.resource == resource && other.until > now;
        let others: Vec<Grant> = self.open.iter().filter(believed).cloned().collect();
        let is_too_many = match sort {
            Sort::Alone => !others.is_empty(),
            Sort::Shared => others.iter().any(|other| other.sort == Sort::Alone),
            Sort::Among(permits) => others.len() >= permits,
        };
        self.open.push(grant.clone());
        let before = match sort {
            Sort::Alone => self.newest.get(resource).map(|token| token + 1),
            // A writer that goes on as a reader keeps its token.
            Sort::Shared => self.newest_alone.get(resource).map(|(_, token)| *token),
            Sort::Among(_) => None,
        };
        if sort == Sort::Alone {
            self.newest_alone.insert(resource, (id, token));
        }
        let newest = self.newest.entry(resource).or_default();
        *newest = token.max(*newest);
        if is_too_many {
            return Err(format!("I38: at {now} {grant:?} beside {others:?}"));
        }
        if before.is_some_and(|before| token < before) {
            return Err(format!("I38: {grant:?} has no larger token than {before:?}"));
        }
        Ok(id)
    }

    /// A holder acts on what it believes, and goes on to believe it up to `until`.
    ///
    /// # Errors
    /// What does not hold.
    pub fn acts(&mut self, id: usize, now: u64, until: u64) -> Result<(), String> {
        let Some(grant) = self.open.iter_mut().find(|grant| grant.id == id) else {
            return Ok(());
        };
        grant.until = until;
        let grant = grant.clone();
        let newer = match grant.sort {
            Sort::Alone => self.newest.get(grant.resource).copied(),
            Sort::Shared => self.newest_alone.get(grant.resource).map(|(_, token)| *token),
            Sort::Among(_) => None,
        };
        if newer.is_some_and(|newer| newer > grant.token) {
            return Err(format!("I38: at {now} {grant:?} acts behind the holder of {newer:?}"));
        }
        if let Sort::Among(permits) = grant.sort {
            let believed = |other: &&Grant| other.resource == grant.resource && other.until > now;
            let count = self.open.iter().filter(believed).count();
            if count > permits {
                return Err(format!("I38: at {now} {count} hold {grant:?}"));
            }
        }
        Ok(())
    }

    /// The ensemble has said that something is held, to a question asked when `before` grants had
    /// been made.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verified(&self, id: usize, before: usize) -> Result<(), String> {
        let Some(grant) = self.open.iter().find(|grant| grant.id == id) else { return Ok(()) };
        let newer = self.newest_alone.get(grant.resource);
        if let Some(newer) = newer.filter(|(other, token)| *other <= before && *token > grant.token)
        {
            return Err(format!("I38: {grant:?} is verified behind {newer:?}"));
        }
        Ok(())
    }

    /// How many grants there were.
    pub const fn count(&self) -> usize {
        self.granted
    }

    /// A holder has stopped, or knows that it has lost.
    pub fn over(&mut self, id: usize) {
        self.open.retain(|grant| grant.id != id);
    }

    /// A process is gone, and with it what it believed.
    pub fn killed(&mut self, app: usize) {
        self.open.retain(|grant| grant.app != app);
    }

    /// Somebody leads and has to be shut out unless it resigns.
    ///
    /// # Errors
    /// Who else may still act.
    pub fn leads(&mut self, name: &str) -> Result<(), String> {
        let others: Vec<String> =
            self.may_act.difference(&self.shut_out).map(String::to_owned).collect();
        self.may_act.insert(name.to_owned());
        if others.is_empty() {
            return Ok(());
        }
        Err(format!("I38: {name} leads, and {others:?} were not shut out"))
    }

    /// Somebody was shut out.
    pub fn shut_out(&mut self, name: &str) {
        self.shut_out.insert(name.to_owned());
    }

    /// Whether somebody was shut out.
    pub fn is_shut_out(&self, name: &str) -> bool {
        self.shut_out.contains(name)
    }

    /// Somebody does not act any more.
    pub fn resigns(&mut self, name: &str) {
        self.may_act.remove(name);
    }

    /// The tokens that were written to the store, in the order of their transactions, do not fall.
    pub fn judge(log: &BTreeMap<Zxid, Bytes>) -> Vec<String> {
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        let mut broken = Vec::new();
        for (zxid, payload) in log {
            let Ok(TxnRecord { txn: Txn::Multi(parts), .. }) =
                TxnRecord::decode(payload, payload.len())
            else {
                continue;
            };
            if parts.iter().any(|part| matches!(part, Txn::Error(_))) {
                continue;
            }
            for part in &parts {
                let Txn::SetData(set) = part else { continue };
                let text = set.data.as_deref().map(String::from_utf8_lossy);
                let token = text.and_then(|text| text.parse::<i64>().ok());
                let (true, Some(token)) = (set.path.starts_with(STORE), token) else { continue };
                let before = newest.entry(set.path.to_string()).or_default();
                if token < *before {
                    broken.push(format!(
                        "I38: {} goes back from {before} to {token} at {zxid}",
                        set.path
                    ));
                }
                *before = token;
            }
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: (&str, Sort) = ("lock", Sort::Alone);

    #[test]
    fn who_is_granted_what_another_believes_to_hold_is_found() {
        let mut holds = Holds::default();
        let first = holds.granted(0, LOCK, 5, (10, 20)).expect("nobody has it");
        assert!(holds.granted(1, LOCK, 6, (15, 30)).is_err());
        assert!(holds.acts(first, 18, 25).is_err(), "there is a newer one");
        holds.over(first);
        assert!(holds.granted(2, LOCK, 6, (40, 50)).is_err(), "the token does not rise");
    }

    #[test]
    fn readers_are_together_and_writers_are_not() {
        let mut holds = Holds::default();
        let shared = ("lock", Sort::Shared);
        let one = holds.granted(0, shared, 5, (10, 20)).expect("nobody has it");
        let other = holds.granted(1, shared, 6, (11, 20)).expect("readers only");
        holds.over(one);
        assert!(holds.granted(2, LOCK, 7, (12, 20)).is_err());
        holds.over(other);
    }

    #[test]
    fn no_more_than_the_permits() {
        let mut holds = Holds::default();
        let two = ("lock", Sort::Among(2));
        assert!(holds.granted(0, two, 5, (10, 20)).is_ok());
        assert!(holds.granted(1, two, 6, (10, 20)).is_ok());
        assert!(holds.granted(2, two, 7, (10, 20)).is_err());
    }

    #[test]
    fn a_leader_that_was_not_shut_out_is_found() {
        let mut holds = Holds::default();
        assert!(holds.leads("one").is_ok());
        holds.shut_out("one");
        assert!(holds.leads("two").is_ok());
        assert!(holds.leads("three").is_err());
    }
}
