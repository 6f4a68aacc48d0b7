//! I35: who watches a node hears of its next change before he sees it, and of nothing else.

use zk_client_core::Event;
use zk_proto::{Zxid, txn::Txn};

use super::Checks;

impl Checks {
    /// Notes which nodes a transaction changes, for those who watch their data.
    pub(super) fn note_changes(&mut self, zxid: Zxid, txn: &Txn) {
        match txn {
            Txn::SetData(set) => self.note_change(zxid, &set.path),
            Txn::Delete(path) => self.note_change(zxid, path),
            Txn::Multi(parts) => {
                let is_refused = parts.iter().any(|part| matches!(part, Txn::Error(_)));
                for part in parts.iter().filter(|_| !is_refused) {
                    self.note_changes(zxid, part);
                }
            }
            Txn::CreateSession(_)
            | Txn::CloseSession(_)
            | Txn::Create(_)
            | Txn::DeleteContainer(_)
            | Txn::Reconfig(_)
            | Txn::SetAcl(_)
            | Txn::Check(..)
            | Txn::Error(_) => {}
        }
    }

    fn note_change(&mut self, zxid: Zxid, path: &str) {
        match self.changed.get_mut(path) {
            Some(zxids) => drop(zxids.insert(zxid)),
            None => drop(self.changed.insert(path.to_owned(), [zxid].into())),
        }
    }

    /// A client that watches `path` since it saw it at `since` sees the state at `zxid`: it must
    /// have been told of a change in between.
    pub fn told_before(&mut self, client: usize, path: &str, since: Zxid, zxid: Zxid) {
        let Some(zxids) = self.changed.get(path) else { return };
        if since < zxid
            && let Some(change) = zxids.range(since..=zxid).find(|&&change| change > since)
        {
            let text = format!(
                "I35: client {client} sees {zxid} and was not told of {change} on {path}, \
                 watched since {since}"
            );
            self.broken(text);
        }
    }

    /// A client that watches `path` since it saw it at `since` is told of this.
    pub fn event_holds(&mut self, client: usize, path: &str, since: Zxid, event: &Event) {
        let is_known = |zxid| self.changed.get(path).is_some_and(|zxids| zxids.contains(&zxid));
        // What is made up after a reconnect names no transaction.
        let is_right = event.zxid.is_none_or(|zxid| zxid > since && is_known(zxid));
        if !is_right || event.path != path {
            let text =
                format!("I35: client {client} is told {event:?} of {path}, watched since {since}");
            self.broken(text);
        }
    }
}
