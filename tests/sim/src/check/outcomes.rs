//! I36, G12, G2: what a write's error says became of it is what became of it.
//!
//! Every write of an application writes a value that nobody else writes. What was acknowledged is
//! in the history, at its zxid and nowhere else; what was refused or never sent is not; what is
//! unknown, or was dropped, is there once or not at all. Writes of one client are there in the
//! order in which they were called.

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_client::Outcome;
use zk_proto::{
    Zxid,
    txn::{Txn, TxnRecord},
};

/// What begins every value written here.
pub const MARK: &str = "a-";

/// What is known of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Nobody waits for the answer any more, or it has not come yet.
    Dropped,
    /// It was acknowledged, in this transaction if it is known.
    Done(Option<Zxid>),
    /// It did not happen.
    Not(Outcome),
    /// Nobody knows.
    Unknown,
}

#[derive(Debug)]
struct Attempt {
    client: u64,
    /// Its place among the client's calls, if it took one.
    order: Option<u64>,
    value: String,
    fate: Fate,
}

/// All writes of applications, and what their answers showed.
#[derive(Debug, Default)]
pub struct Outcomes {
    attempts: Vec<Attempt>,
    /// By client and session: at which state each call was answered.
    answered: BTreeMap<(u64, u64), BTreeMap<u64, Zxid>>,
}

impl Outcomes {
    /// A client is about to write; `order` is its place among the client's calls, if it has one.
    pub fn asked(&mut self, client: u64, order: Option<u64>, value: &str) -> usize {
        let value = value.to_owned();
        self.attempts.push(Attempt { client, order, value, fate: Fate::Dropped });
        self.attempts.len() - 1
    }

    /// It was acknowledged.
    pub fn done(&mut self, attempt: usize, zxid: Option<Zxid>) {
        self.attempts[attempt].fate = Fate::Done(zxid);
    }

    /// It failed.
    pub fn failed(&mut self, attempt: usize, outcome: Outcome) {
        self.attempts[attempt].fate = match outcome {
            Outcome::Unknown => Fate::Unknown,
            Outcome::NotSent | Outcome::Rejected => Fate::Not(outcome),
        };
    }

    /// A call was answered, in a session, at a state.
    pub fn answered(&mut self, client: u64, session: u64, order: u64, zxid: Zxid) {
        if zxid > Zxid::ZERO {
            self.answered.entry((client, session)).or_default().insert(order, zxid);
        }
    }

    /// Compares all this with what was applied.
    pub fn judge(&self, log: &BTreeMap<Zxid, Bytes>) -> Vec<String> {
        let mut written: BTreeMap<String, Vec<Zxid>> = BTreeMap::new();
        for (&zxid, payload) in log {
            if let Ok(TxnRecord { txn, .. }) = TxnRecord::decode(payload, payload.len()) {
                for value in values(&txn) {
                    written.entry(value).or_default().push(zxid);
                }
            }
        }
        let mut broken = Vec::new();
        let mut orders: BTreeMap<u64, Vec<(u64, Zxid)>> = BTreeMap::new();
        for attempt in &self.attempts {
            let found = written.get(&attempt.value).map_or(&[][..], Vec::as_slice);
            let is_so = match (attempt.fate, found) {
                (Fate::Done(Some(zxid)), &[at]) => at == zxid,
                (Fate::Done(None), &[_]) => true,
                (Fate::Done(_), _) => false,
                (Fate::Not(_), found) => found.is_empty(),
                (Fate::Unknown | Fate::Dropped, found) => found.len() <= 1,
            };
            if !is_so {
                broken.push(format!("I36: {attempt:?} and it happened at {found:?}"));
            }
            if let (Some(order), Some(&at)) = (attempt.order, found.first()) {
                orders.entry(attempt.client).or_default().push((order, at));
            }
        }
        for (client, mut calls) in orders {
            calls.sort_unstable();
            if let Some(pair) = calls.windows(2).find(|pair| pair[0].1 >= pair[1].1) {
                broken.push(format!("G2: client {client} wrote in another order: {pair:?}"));
            }
        }
        for ((client, session), calls) in &self.answered {
            let mut newest = Zxid::ZERO;
            for (order, &zxid) in calls {
                if zxid < newest {
                    broken.push(format!(
                        "I31: call {order} of client {client} in its session {session} was \
                         answered at {zxid}, behind {newest}"
                    ));
                }
                newest = newest.max(zxid);
            }
        }
        broken
    }
}

/// What a transaction writes of ours.
fn values(txn: &Txn) -> Vec<String> {
    let ours = |data: Option<&[u8]>| {
        let text = String::from_utf8_lossy(data?).into_owned();
        text.starts_with(MARK).then_some(text)
    };
    match txn {
        Txn::Create(create) => ours(create.data.as_deref()).into_iter().collect(),
        Txn::SetData(set) => ours(set.data.as_deref()).into_iter().collect(),
        Txn::Multi(parts) if parts.iter().any(|part| matches!(part, Txn::Error(_))) => Vec::new(),
        Txn::Multi(parts) => {
            // One value may stand at several places of one transaction.
            let all: std::collections::BTreeSet<String> = parts.iter().flat_map(values).collect();
            all.into_iter().collect()
        }
        Txn::CreateSession(_)
        | Txn::CloseSession(_)
        | Txn::Delete(_)
        | Txn::DeleteContainer(_)
        | Txn::Reconfig(_)
        | Txn::SetAcl(_)
        | Txn::Check(..)
        | Txn::Error(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_write_that_is_not_there_and_a_refused_one_that_is_are_found() {
        let mut outcomes = Outcomes::default();
        let lost = outcomes.asked(1, Some(1), "a-1");
        outcomes.done(lost, Some(Zxid::new(5)));
        let unknown = outcomes.asked(1, Some(2), "a-2");
        outcomes.failed(unknown, Outcome::Unknown);
        let refused = outcomes.asked(1, Some(3), "a-3");
        outcomes.failed(refused, Outcome::Rejected);
        let broken = outcomes.judge(&BTreeMap::new());
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].contains("a-1"), "{broken:?}");
    }

    #[test]
    fn answers_of_one_session_that_go_back_are_found() {
        let mut outcomes = Outcomes::default();
        outcomes.answered(1, 1, 1, Zxid::new(9));
        outcomes.answered(1, 1, 2, Zxid::new(8));
        outcomes.answered(1, 2, 3, Zxid::new(1));
        let broken = outcomes.judge(&BTreeMap::new());
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].starts_with("I31"), "{broken:?}");
    }
}
