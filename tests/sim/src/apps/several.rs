//! Locks held together, and locks locked again by who has them.

use zk_recipes::{HolderError, MultiLock, Mutex};

use super::holding::Worker;
use crate::check::holds::Sort;

/// Locks that are held together, some of them at a time.
const LOCKS: [(&str, &str); 3] =
    [("/r/multi-a", "multi-a"), ("/r/multi-b", "multi-b"), ("/r/multi-c", "multi-c")];

impl Worker {
    /// Two of three locks, named in any order, or one of them by itself.
    pub(super) async fn several(&self) -> Option<()> {
        let first = self.site.draw(LOCKS.len());
        let (one, other) = (LOCKS[first], LOCKS[(first + 1 + self.site.draw(2)) % LOCKS.len()]);
        if self.site.draw(4) == 0 {
            let guard = Mutex::new(&self.client, one.0).ok()?.lock().await.ok()?;
            self.hold((one.1, Sort::Alone), &guard).await;
            return guard.release().await.ok();
        }
        let locks = MultiLock::builder(&self.client, [one.0, other.0]).data("us").build().ok()?;
        let guard = match self.site.draw(4) {
            0 => locks.try_lock().await.ok()??,
            _ => locks.lock().await.ok()?,
        };
        // In the order of their paths, which is that of their names.
        let (low, high) = (one.1.min(other.1), one.1.max(other.1));
        let [low_guard, high_guard] = guard.guards() else {
            let text = format!("I38: two locks are {} guards", guard.guards().len());
            self.site.ledger().broken(text);
            return None;
        };
        let low_one = self.hold((low, Sort::Alone), low_guard);
        let high_one = self.hold((high, Sort::Alone), high_guard);
        futures::future::join(low_one, high_one).await;
        if self.site.draw(3) > 0 { guard.release().await.ok() } else { Some(()) }
    }

    /// A lock that its holder locks again: the same hold, until the last guard goes.
    pub(super) async fn again(&self) -> Option<()> {
        let mutex = Mutex::builder(&self.client, "/r/holder").data("us").build().ok()?;
        let mut holder = mutex.holder();
        let outer = holder.lock().await.ok()?;
        let inner = match holder.lock().await {
            Ok(inner) => inner,
            Err(HolderError::Lost(_)) if !outer.is_held() => return None,
            Err(_) => return outer.release().await.ok(),
        };
        if inner.token() != outer.token() || holder.depth() != 2 {
            let text = format!("I38: locked again as {inner:?}, not {outer:?}");
            self.site.ledger().broken(text);
        }
        // Whichever goes first, the other still holds.
        let (first, last) = if self.site.draw(2) == 0 { (outer, inner) } else { (inner, outer) };
        first.release().await.ok()?;
        self.hold(("holder", Sort::Alone), &last).await;
        if self.site.draw(3) > 0 { last.release().await.ok() } else { Some(()) }
    }
}
