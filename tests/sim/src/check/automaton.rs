//! I39: a client's session takes only the ways there are from one state to the next.

use zk_client_core::SessionState;

use super::Checks;

impl Checks {
    /// A client's session was in one state and is in the other.
    pub(crate) fn way_holds(&mut self, client: usize, from: &SessionState, to: &SessionState) {
        if !is_a_way(from, to) {
            self.broken(format!("I39: client {client} goes from {from:?} to {to:?}"));
        }
    }
}

fn is_a_way(from: &SessionState, to: &SessionState) -> bool {
    use SessionState::{
        AuthFailed, Closed, Connected, Connecting, Expired, MaybeExpired, ReadOnly, Suspended,
    };
    // One session follows another only where a client is told to go on, and here nobody is.
    let next = if let Expired(ended) = to { Some(*ended) } else { to.epoch() };
    let is_same = from.epoch().is_none_or(|epoch| next.is_none_or(|next| next == epoch));
    is_same
        && matches!(
            (from, to),
            (
                Connecting | Suspended { .. } | MaybeExpired { .. },
                Connected(_) | ReadOnly(_) | AuthFailed | Closed
            ) | (Connected(_) | ReadOnly(_), Suspended { .. } | AuthFailed | Closed)
                | (Suspended { .. }, MaybeExpired { .. })
                | (Connected(_) | ReadOnly(_) | Suspended { .. } | MaybeExpired { .. }, Expired(_))
        )
}
