//! Fencing tokens: what makes a lock safe at the resource it protects.

use std::fmt;

use zk_client::Zxid;

/// A number that rises with every grant under one path.
///
/// It is the transaction in which the holder's node was created (`czxid`), so it survives what the
/// ten digits of a sequential node's name do not: a counter that wraps, and a parent that was
/// deleted and made anew. Holders that use Curator or kazoo have one too: their node's `czxid`.
///
/// Hand the token along with every request to what the lock protects, and let that refuse a token
/// smaller than the largest it has seen. Nothing else keeps out a holder that was paused and does
/// not know that its time is over.
///
/// Tokens of different ensembles cannot be compared, nor those before and after an ensemble was set
/// up from scratch.
///
/// # Examples
/// ```
/// use zk_recipes::FencingToken;
///
/// /// Accepts a write unless somebody with a larger token was here before.
/// fn accept(newest: &mut i64, token: FencingToken) -> bool {
///     let is_fresh = token.get() >= *newest;
///     *newest = token.get().max(*newest);
///     is_fresh
/// }
///
/// let (earlier, later) = (FencingToken::from(7), FencingToken::from(9));
/// let mut newest = 0;
/// assert!(accept(&mut newest, earlier));
/// assert!(accept(&mut newest, later));
/// assert!(!accept(&mut newest, earlier), "the paused holder wakes up and is refused");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FencingToken(Zxid);

impl FencingToken {
    /// The token of whoever owns a node created in this transaction.
    pub const fn new(czxid: Zxid) -> Self {
        Self(czxid)
    }

    /// As a plain number, for a column or a header.
    pub const fn get(self) -> i64 {
        self.0.get()
    }

    /// The transaction.
    pub const fn zxid(self) -> Zxid {
        self.0
    }
}

impl From<i64> for FencingToken {
    fn from(token: i64) -> Self {
        Self(Zxid::new(token))
    }
}

/// Decimal, as [`FencingToken::get`].
impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}
