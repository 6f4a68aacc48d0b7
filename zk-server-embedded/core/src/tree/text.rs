//! Paths as ordered text, for finding the ancestors of a path in an ordered set.
//!
//! Everything above a path begins it, and so does everything that sorts between the two. Looking up
//! the greatest entry not beyond the path, and going on with what both have in common, finds every
//! ancestor in the set without asking for each name of the path.

/// The path of the deepest ancestor of `path`, or `path` itself, that is at most `length` bytes
/// long and is not the root.
pub(crate) fn ancestor_within(path: &str, length: usize) -> Option<&str> {
    let is_whole = length >= path.len();
    let is_name_end = path.as_bytes().get(length) == Some(&b'/');
    let end = if is_whole {
        path.len()
    } else if is_name_end {
        length
    } else {
        path.as_bytes().get(..length)?.iter().rposition(|&byte| byte == b'/')?
    };
    path.get(..end).filter(|ancestor| !ancestor.is_empty())
}

/// How many bytes two texts have in common at their beginning.
pub(crate) fn common(left: &str, right: &str) -> usize {
    left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count()
}

/// Whether `ancestor` is `path` or above it; the root is not asked for.
pub(crate) fn is_at_or_above(ancestor: &str, path: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first component of a path below the root: what quotas and other figures are summed up by.
// ZooKeeper: PathUtils.getTopNamespace
pub(crate) fn first_component(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let component = rest.split_once('/').map_or(rest, |(component, _)| component);
    (!component.is_empty()).then_some(component)
}
