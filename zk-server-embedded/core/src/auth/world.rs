//! Everybody.

use super::{AuthRefused, AuthScheme, Identities};

/// The scheme `world`, whose only identity is `anyone`.
#[derive(Clone, Copy, Debug)]
pub(super) struct World;

/// The only identity of the scheme `world`.
pub(super) const ANYONE: &str = "anyone";

impl AuthScheme for World {
    /// Nobody proves to be everybody.
    fn authenticate(&self, _: Option<&[u8]>, _: &mut Identities) -> Result<(), AuthRefused> {
        Err(AuthRefused)
    }

    fn matches(&self, _: &str, entry: &str) -> bool {
        entry == ANYONE
    }

    fn is_valid(&self, id: &str) -> bool {
        id == ANYONE
    }

    fn is_authenticated(&self) -> bool {
        false
    }
}
