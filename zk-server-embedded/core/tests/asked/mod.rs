//! How often a random suite does what it does: as often as the environment says, for long runs.

/// The number the environment gives, or `usual`.
pub(crate) fn asked_for(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}
