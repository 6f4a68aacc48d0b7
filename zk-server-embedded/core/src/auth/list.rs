//! Access control lists: what is stored, what it allows, what of it is shown.

use alloc::{collections::BTreeSet, string::String, sync::Arc, vec::Vec};

use zk_proto::{Acl, AuthId, ErrorCode, Perms, acl::WireAcl, jute::WireStr};

use super::{Identities, with_scheme, world::ANYONE};
use crate::config::PeerConfig;

/// Whether a list lets a caller do what needs the permission `wanted`.
// ZooKeeper: ZooKeeperServer.checkACL
pub fn allowed(config: &PeerConfig, acl: &[Acl], wanted: Perms, caller: &Identities) -> bool {
    if config.skip_acl || acl.is_empty() || caller.is_super() {
        return true;
    }
    acl.iter().any(|entry| entry.perms.overlaps(wanted) && means(config, &entry.id, caller))
}

/// Whether an entry for `entry` means the caller.
fn means(config: &PeerConfig, entry: &AuthId, caller: &Identities) -> bool {
    if entry.scheme == "world" {
        return entry.id == ANYONE;
    }
    caller.iter().filter(|id| id.scheme == entry.scheme).any(|id| {
        with_scheme(config, &entry.scheme, |scheme| scheme.matches(&id.id, &entry.id))
            .unwrap_or(false)
    })
}

/// Turns the list a client sent into the list that is stored: duplicates gone, `auth` replaced by
/// who the caller is, everything else checked.
///
/// # Errors
/// [`ErrorCode::InvalidAcl`] when the list is null, empty, or has an entry that means nobody;
/// [`ErrorCode::MarshallingError`] when an entry lacks the identity its scheme needs.
// ZooKeeper: PrepRequestProcessor.fixupACL
pub fn fix_acl(
    config: &PeerConfig,
    sent: Option<&[WireAcl<'_>]>,
    caller: &Identities,
) -> Result<Arc<[Acl]>, ErrorCode> {
    let sent = sent.filter(|sent| !sent.is_empty()).ok_or(ErrorCode::InvalidAcl)?;
    let mut stored = Vec::with_capacity(sent.len().min(ENTRIES_RESERVED_MAX));
    let mut seen = BTreeSet::new();
    for entry in sent {
        if !seen.insert((entry.perms, entry.scheme.bytes(), entry.id.bytes())) {
            continue;
        }
        let scheme = text(entry.scheme)?.ok_or(ErrorCode::InvalidAcl)?;
        let perms = Perms::new(entry.perms);
        if scheme == "auth" {
            let before = stored.len();
            stored.extend(proven(config, caller).map(|id| Acl::new(perms, id.clone())));
            if stored.len() == before {
                return Err(ErrorCode::InvalidAcl);
            }
            continue;
        }
        let is_valid = |id: &str| with_scheme(config, &scheme, |scheme| scheme.is_valid(id));
        // A scheme that is not on offer is refused before anybody looks at the identity.
        is_valid("").ok_or(ErrorCode::InvalidAcl)?;
        let id = text(entry.id)?.ok_or(ErrorCode::MarshallingError)?;
        if is_valid(&id) != Some(true) {
            return Err(ErrorCode::InvalidAcl);
        }
        stored.push(Acl::new(perms, AuthId { scheme, id }));
    }
    Ok(stored.into())
}

/// A copy of a list with what is secret in it masked, for callers who may read but not
/// administrate.
// ZooKeeper: FinalRequestProcessor (OpCode.getACL)
pub fn redact(acl: &[Acl]) -> Vec<Acl> {
    let masked = |entry: &Acl| {
        let mut entry = entry.clone();
        if entry.id.scheme == "digest"
            && let Some(colon) = entry.id.id.find(':')
        {
            entry.id.id.truncate(colon);
            entry.id.id.push_str(":x");
        }
        entry
    };
    acl.iter().map(masked).collect()
}

/// The caller's identities that stand for the creator of a node.
fn proven<'a>(config: &PeerConfig, caller: &'a Identities) -> impl Iterator<Item = &'a AuthId> {
    caller.iter().filter(|id| {
        with_scheme(config, &id.scheme, |scheme| scheme.is_authenticated()).unwrap_or(false)
    })
}

/// The text of a wire string; `None` for null.
fn text(wire: WireStr<'_>) -> Result<Option<String>, ErrorCode> {
    if wire.is_null() {
        return Ok(None);
    }
    wire.text_of_java().map(Some).ok_or(ErrorCode::InvalidAcl)
}

/// Entries for which room is made ahead, whatever the client sent.
const ENTRIES_RESERVED_MAX: usize = 16;
