//! I23, I41: of applications that have come to an end nothing is left: no task, no session, no node
//! that was somebody's.

use zk_proto::SessionId;
use zk_server_core::tree::Tree;

use crate::{check::holds::Holds, world::World};

/// Nodes of applications that stay.
const KEPT: [&str; 2] = ["/w", "/r"];

/// Leftovers named in one report.
const NAMED_MAX: usize = 5;

impl World {
    /// The end of a run, for applications.
    pub(crate) fn judge_apps(&mut self) {
        if self.apps.is_empty() {
            return;
        }
        for app in &self.apps {
            let tasks = app.executor.tasks();
            if app.is_up && tasks > 0 {
                let text = format!("I41: {tasks} tasks of application {} go on", app.number);
                self.checks.violations.push(text);
            }
        }
        let Some(peer) = self.hosts.iter().filter_map(|host| host.peer()).find(|peer| peer.leads())
        else {
            return;
        };
        let tree = peer.tree();
        let left = self.orphans(tree);
        let mut ledger = self.ledger.lock();
        let log = &self.checks.log;
        let mut broken = ledger.history.replay(log);
        broken.extend(ledger.outcomes.judge(log));
        broken.extend(ledger.observed.judge(log, tree));
        broken.extend(ledger.herd.judge(log));
        broken.extend(Holds::judge(log));
        broken.extend(ledger.tally.judge(tree));
        broken.extend(ledger.presence.judge(log, tree, &crate::apps::copied()));
        broken.extend(ledger.settings.judge(tree));
        drop(ledger);
        broken.extend(left);
        broken.truncate(2 * NAMED_MAX);
        self.checks.violations.extend(broken);
    }

    /// Ephemeral nodes of sessions that nobody has any more.
    fn orphans(&self, tree: &Tree) -> Vec<String> {
        let clients: Vec<SessionId> =
            self.clients.iter().filter_map(crate::client::Client::session_id).collect();
        let mut left = Vec::new();
        for session in tree.ephemeral_sessions() {
            for node in tree.ephemerals(session) {
                let is_of_apps = KEPT.iter().any(|kept| node.starts_with(kept));
                if is_of_apps && !clients.contains(&session) && left.len() < NAMED_MAX {
                    left.push(format!("I23: {node} of {session} is left"));
                }
            }
        }
        left
    }
}
