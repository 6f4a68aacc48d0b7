//! Which paths are legal, and how they are taken apart.

use alloc::{borrow::ToOwned, boxed::Box, string::String};
use core::{fmt, ops::Deref};

/// Why a path is not legal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is nothing.
    #[error("path is empty")]
    Empty,
    /// The first character is not a slash.
    #[error("path does not start with '/'")]
    Relative,
    /// The last character is a slash.
    #[error("path ends with '/'")]
    TrailingSlash,
    /// Two slashes with nothing between them.
    #[error("empty name at byte {0}")]
    EmptyName(usize),
    /// A component `.` or `..`.
    #[error("relative name at byte {0}")]
    RelativeName(usize),
    /// A character that no path may contain.
    #[error("forbidden character at byte {0}")]
    Character(usize),
}

/// A legal absolute path.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ZnodePath(Box<str>);

impl ZnodePath {
    /// Takes a path if it is legal.
    ///
    /// # Errors
    /// [`PathError`] says what is wrong and where.
    pub fn new(path: &str) -> Result<Self, PathError> {
        check(path)?;
        Ok(Self(path.into()))
    }

    /// `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its last name; `None` for `/`.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let (parent, _) = split(self)?;
        Some(Self(if parent.is_empty() { "/" } else { parent }.into()))
    }

    /// The last name; empty for `/`.
    pub fn name(&self) -> &str {
        split(self).map_or("", |(_, name)| name)
    }

    /// The path of a child.
    ///
    /// # Errors
    /// [`PathError`] when the name is not a legal one.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        let base = if self.is_root() { "" } else { self };
        let mut path = String::with_capacity(base.len() + 1 + name.len());
        path.push_str(base);
        path.push('/');
        path.push_str(name);
        check(&path)?;
        Ok(Self(path.into()))
    }

    /// Whether `other` lies below this path (a path does not lie below itself).
    pub fn is_above(&self, other: &str) -> bool {
        let base = if self.is_root() { "" } else { self.as_str() };
        other.strip_prefix(base).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
    }
}

impl Deref for ZnodePath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ZnodePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for ZnodePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

/// Whether `path` is legal.
///
/// # Errors
/// [`PathError`] says what is wrong and where.
// ZooKeeper: PathUtils.validatePath
pub fn check(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(if path.is_empty() { PathError::Empty } else { PathError::Relative });
    };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    let mut offset = 1;
    for name in rest.split('/') {
        match name {
            "" => return Err(PathError::EmptyName(offset)),
            "." | ".." => return Err(PathError::RelativeName(offset)),
            _ => {}
        }
        if let Some((at, _)) = name.char_indices().find(|&(_, character)| is_forbidden(character)) {
            return Err(PathError::Character(offset + at));
        }
        offset += name.len() + 1;
    }
    Ok(())
}

/// Whether `path` is legal once the server has appended a sequence number, so that it may end with
/// a slash.
///
/// # Errors
/// [`PathError`] says what is wrong and where.
pub fn check_sequential(path: &str) -> Result<(), PathError> {
    match path.strip_suffix('/') {
        Some("") => Ok(()),
        Some(parent) => check(parent),
        None => check(path),
    }
}

// ZooKeeper: PathUtils.validatePath works on UTF-16 units, where every character beyond U+FFFF is a
// pair of surrogates and so forbidden.
const fn is_forbidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{fff0}'..='\u{10ffff}'
    )
}

/// Splits at the last slash: what stands before it and the name behind it. `None` without a slash.
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
}

/// The number behind a sequential node's name: at least ten characters wide, zeros in front. After
/// 2³¹−1 it turns negative, and the sign counts as one of the ten.
///
/// A single dash in front of ten digits is taken for the end of the name (`lock-` and 7, not `lock`
/// and −7), as every recipe's names end with one.
// ZooKeeper: PrepRequestProcessor appends String.format("%010d", counter)
pub fn sequence_of(name: &str) -> Option<i32> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(10)?)?;
    let digits = tail.strip_prefix('-').unwrap_or(tail);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = tail.parse().ok()?;
    let is_negative = head.ends_with("--") || (head.ends_with('-') && number > i32::MAX.into());
    i32::try_from(if is_negative { number.checked_neg()? } else { number }).ok()
}

/// A sub-tree that a client takes for the whole tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chroot(Box<str>);

impl Chroot {
    /// The whole tree.
    pub fn none() -> Self {
        Self("".into())
    }

    /// The sub-tree at `path`; `/` is the whole tree.
    pub fn new(path: &ZnodePath) -> Self {
        Self(if path.is_root() { "" } else { path.as_str() }.into())
    }

    /// Whether this is the whole tree.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The server's path for the client's `path`.
    pub fn join(&self, path: &str) -> String {
        if self.is_none() {
            return path.to_owned();
        }
        let tail = if path == "/" { "" } else { path };
        let mut joined = String::with_capacity(self.0.len() + tail.len());
        joined.push_str(&self.0);
        joined.push_str(tail);
        joined
    }

    /// The client's path for the server's `path`; `None` when it lies outside.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&*self.0)? {
            "" if self.is_none() => None,
            "" => Some("/"),
            rest if rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_paths_pass() {
        for path in
            ["/", "/a", "/a/b", "/...", "/a.b/.c", "/\u{a0}", "/\u{d7ff}", "/\u{f900}\u{ffef}"]
        {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn illegal_paths_are_refused_with_the_place() {
        use PathError::{Character, Empty, EmptyName, Relative, RelativeName, TrailingSlash};
        let cases = [
            ("", Empty),
            ("a", Relative),
            ("/a/", TrailingSlash),
            ("//a", EmptyName(1)),
            ("/a//b", EmptyName(3)),
            ("/a/./b", RelativeName(3)),
            ("/..", RelativeName(1)),
            ("/a\0", Character(2)),
            ("/a/\u{1f}", Character(3)),
            ("/\u{7f}", Character(1)),
            ("/\u{9f}", Character(1)),
            ("/\u{e000}", Character(1)),
            ("/\u{fff0}", Character(1)),
            ("/\u{1f600}", Character(1)),
        ];
        for (path, error) in cases {
            assert_eq!(check(path), Err(error), "{path:?}");
        }
    }

    #[test]
    fn a_sequential_path_may_end_with_a_slash() {
        assert_eq!(check_sequential("/a/"), Ok(()));
        assert_eq!(check_sequential("/"), Ok(()));
        assert_eq!(check_sequential("/a//"), Err(PathError::TrailingSlash));
    }

    #[test]
    fn parents_and_children_are_inverse() {
        let path = ZnodePath::new("/a/b").expect("legal");
        assert_eq!(path.name(), "b");
        let parent = path.parent().expect("not the root");
        assert_eq!(parent.as_str(), "/a");
        assert_eq!(parent.child("b"), Ok(path));
        assert_eq!(parent.parent(), Some(ZnodePath::root()));
        assert_eq!(ZnodePath::root().parent(), None);
        assert_eq!(ZnodePath::root().child("x").expect("legal").as_str(), "/x");
    }

    #[test]
    fn above_means_strictly_above() {
        let path = ZnodePath::new("/a").expect("legal");
        assert!(path.is_above("/a/b"));
        assert!(!path.is_above("/a"));
        assert!(!path.is_above("/ab"));
        assert!(ZnodePath::root().is_above("/a"));
        assert!(!ZnodePath::root().is_above("/"));
    }

    #[test]
    fn sequence_numbers_are_ten_digits_and_may_be_negative() {
        assert_eq!(sequence_of("lock-0000000007"), Some(7));
        assert_eq!(sequence_of("0000000007"), Some(7));
        assert_eq!(sequence_of("lock--2147483648"), Some(i32::MIN));
        assert_eq!(sequence_of("lock-2147483647"), Some(i32::MAX), "the dash belongs to the name");
        assert_eq!(sequence_of("lock--000000005"), Some(-5));
        assert_eq!(sequence_of("lock"), None);
        assert_eq!(sequence_of("lock-00000000x7"), None);
    }

    #[test]
    fn a_chroot_joins_and_strips() {
        let chroot = Chroot::new(&ZnodePath::new("/app").expect("legal"));
        assert_eq!(chroot.join("/"), "/app");
        assert_eq!(chroot.join("/a"), "/app/a");
        assert_eq!(chroot.strip("/app"), Some("/"));
        assert_eq!(chroot.strip("/app/a"), Some("/a"));
        assert_eq!(chroot.strip("/apple"), None);
        assert_eq!(Chroot::none().join("/a"), "/a");
        assert_eq!(Chroot::none().strip("/a"), Some("/a"));
    }
}
