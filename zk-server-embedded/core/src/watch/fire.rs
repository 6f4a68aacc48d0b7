//! Which change concerns whom.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use zk_proto::{Acl, client::EventType, path};

use super::{Fired, Modes, WatchTable};
use crate::tree::{Change, ChangeKind};

impl WatchTable {
    /// Adds the events of one change in the order in which they are to be sent, and uses up the
    /// watches that are good for one event only.
    ///
    /// They are used up whether or not the ACL lets the event through.
    // client-protocol 10.3
    pub fn fire(&mut self, change: &Change, out: &mut Vec<Fired>) {
        if self.is_empty() {
            return;
        }
        let (event, modes) = match change.kind {
            ChangeKind::Created => (EventType::NodeCreated, Modes::DATA),
            // A connection that watches both the data and the children hears of it once.
            ChangeKind::Deleted => (EventType::NodeDeleted, Modes::DATA.with(Modes::CHILD)),
            ChangeKind::DataChanged => (EventType::NodeDataChanged, Modes::DATA),
        };
        self.trigger(event, modes, &change.path, &change.acl, out);
        if let Some(acl) = &change.parent_acl {
            let parent = match path::split(&change.path) {
                Some(("", _)) | None => "/",
                Some((parent, _)) => parent,
            };
            self.trigger(EventType::NodeChildrenChanged, Modes::CHILD, parent, acl, out);
        }
    }

    fn trigger(
        &mut self,
        event: EventType,
        modes: Modes,
        path: &str,
        acl: &Arc<[Acl]>,
        out: &mut Vec<Fired>,
    ) {
        let mut conns = Vec::new();
        self.table.begin();
        self.table.take(path, modes, &mut conns);
        if modes.overlaps(Modes::RECURSIVE) {
            self.table.take_above(path, &mut conns);
        }
        if !conns.is_empty() {
            out.push(Fired { event, path: Box::from(path), acl: Arc::clone(acl), conns });
        }
    }
}
