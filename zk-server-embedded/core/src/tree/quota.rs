//! Quotas: which node has one, what its text says, and what a change is charged to.
//!
//! The quota of `/a/b` is the text of `/zookeeper/quota/a/b/zookeeper_limits`; what is used, the
//! text of `zookeeper_stats` beside it, which the server keeps. A change is charged to the deepest
//! node at or above it that has limits, and to that one only.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::{fmt::Write, ops::Bound};

use super::{
    Tree, rooted,
    text::{ancestor_within, common, first_component, is_at_or_above},
};

// ZooKeeper: Quotas
const BASE: &str = "/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// What a quota allows; −1 for no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Nodes; exceeding it is only logged.
    pub count: i64,
    /// Bytes of data; exceeding it is only logged.
    pub bytes: i64,
    /// Nodes; exceeding it is refused.
    pub count_hard: i64,
    /// Bytes of data; exceeding it is refused.
    pub bytes_hard: i64,
}

/// What is used of a quota; −1 where the text does not say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usage {
    /// Nodes at and below the node that has the quota.
    pub count: i64,
    /// Bytes of their data.
    pub bytes: i64,
}

/// One quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QuotaView<'a> {
    /// The node that has it.
    pub path: &'a str,
    /// What it allows.
    pub limits: Limits,
    /// What is used; `None` where nobody created the node that says so.
    pub usage: Option<Usage>,
}

/// What all quotas below one first component of the path allow and use together: nodes and bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuotaTotal {
    /// The component, without slash.
    pub namespace: String,
    /// What is allowed, hard limits before others, −1 for no limit; `None` where nothing says.
    pub limits: Option<[i64; 2]>,
    /// What is used; `None` where nothing says.
    pub usage: Option<[i64; 2]>,
}

/// The paths that have limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(BTreeSet<Box<str>>);

/// What a node below the quota directory is to the node it stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role<'a> {
    Limits(&'a str),
    Stats(&'a str),
}

impl<'a> Role<'a> {
    /// The role of the node at `path`, if it has one. The root cannot have a quota.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(BASE)?;
        let role = match rest.strip_suffix(LIMITS) {
            Some(target) => Self::Limits(target),
            None => Self::Stats(rest.strip_suffix(STATS)?),
        };
        role.target().starts_with('/').then_some(role)
    }

    const fn target(self) -> &'a str {
        match self {
            Self::Limits(target) | Self::Stats(target) => target,
        }
    }
}

impl Quotas {
    pub(super) fn insert(&mut self, path: &str) {
        self.0.insert(path.into());
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|path| &**path)
    }

    /// The longest path at or above `path`. Costs a few steps in an ordered set, not one for each
    /// name in a path that may have half a million.
    pub(super) fn deepest(&self, path: &str) -> Option<&str> {
        let mut probe = path;
        loop {
            let range = (Bound::Unbounded, Bound::Included(probe));
            let found: &str = self.0.range::<str, _>(range).next_back()?;
            if is_at_or_above(found, path) {
                return Some(found);
            }
            // Whatever lies above `path` sorts before `found` and so begins both it and `probe`.
            probe = ancestor_within(probe, common(found, probe))?;
        }
    }
}

/// See [`Tree::quota_over`].
pub(super) fn view<'a>(tree: &'a Tree, path: &str) -> Option<QuotaView<'a>> {
    let path = tree.quotas.deepest(rooted(path))?;
    let limits = Text::read(text_of(tree, path, LIMITS)?);
    let usage = text_of(tree, path, STATS).map(|text| {
        let text = Text::read(text);
        Usage { count: text.get(COUNT), bytes: text.get(BYTES) }
    });
    let limits = Limits {
        count: limits.get(COUNT),
        bytes: limits.get(BYTES),
        count_hard: limits.get(COUNT_HARD),
        bytes_hard: limits.get(BYTES_HARD),
    };
    Some(QuotaView { path, limits, usage })
}

impl Tree {
    /// Charges a change at `path` to its quota, if it has one whose usage is kept.
    pub(super) fn charge(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(target) = self.quotas.deepest(path) else {
            return;
        };
        let Some(slot) = self.arena.find(&quota_path(target, STATS)) else {
            return;
        };
        let mut text = Text::read(self.arena.node(slot).data.as_deref().unwrap_or_default());
        text.add(COUNT, count);
        text.add(BYTES, bytes);
        let text = text.write();
        self.rewrite(slot, Some(text), |_| ());
    }

    /// What all quotas allow and use, by the first component of their paths. Takes time in
    /// proportion to the number of quotas.
    // ZooKeeper: QuotaMetricsUtils.getQuotaLimitOrUsage
    pub fn quota_totals(&self) -> Vec<QuotaTotal> {
        let mut totals: BTreeMap<&str, [Option<[i64; 2]>; 2]> = BTreeMap::new();
        let Some(top) = self.arena.find(BASE) else { return Vec::new() };
        for slot in self.arena.below(top) {
            let node = self.arena.node(slot);
            let (Some(role), Some(data)) = (Role::of(&node.path), node.data.as_deref()) else {
                continue;
            };
            let Some(namespace) = first_component(role.target()) else { continue };
            let text = Text::read(data);
            let hard_or = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
            let [limits, usage] = totals.entry(namespace).or_default();
            let (total, [count, bytes]) = match role {
                Role::Stats(_) => (usage, [text.get(COUNT), text.get(BYTES)]),
                Role::Limits(_) => {
                    let count = hard_or(text.get(COUNT_HARD), text.get(COUNT));
                    (limits, [count, hard_or(text.get(BYTES_HARD), text.get(BYTES))])
                }
            };
            let [counted, weighed] = total.unwrap_or_default();
            *total = Some([counted.saturating_add(count), weighed.saturating_add(bytes)]);
        }
        let mut listed = Vec::with_capacity(totals.len());
        for (namespace, [limits, usage]) in totals {
            listed.push(QuotaTotal { namespace: namespace.into(), limits, usage });
        }
        listed
    }

    /// Counts anew what is used at and below `target`, if that is kept.
    pub(super) fn recount(&mut self, target: &str) {
        let Some(slot) = self.arena.find(&quota_path(target, STATS)) else {
            return;
        };
        let usage = self.usage_of(target);
        let text = Text([(COUNT, usage.count), (BYTES, usage.bytes)].into()).write();
        self.rewrite(slot, Some(text), |_| ());
    }

    pub(super) fn usage_of(&self, target: &str) -> Usage {
        let Some(top) = self.arena.find(target) else {
            return Usage { count: 0, bytes: 0 };
        };
        let (mut count, mut bytes) = (0_i64, 0_i64);
        for slot in core::iter::once(top).chain(self.arena.below(top)) {
            let length = self.arena.node(slot).data_length();
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
        }
        Usage { count, bytes }
    }
}

pub(super) fn quota_path(target: &str, name: &str) -> String {
    let mut path = String::with_capacity(BASE.len() + target.len() + name.len());
    path.push_str(BASE);
    path.push_str(target);
    path.push_str(name);
    path
}

fn text_of<'a>(tree: &'a Tree, target: &str, name: &str) -> Option<&'a [u8]> {
    let slot = tree.arena.find(&quota_path(target, name))?;
    Some(tree.arena.node(slot).data.as_deref().unwrap_or_default())
}

const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD: &str = "countHardLimit";
const BYTES_HARD: &str = "byteHardLimit";

/// The text of a limits or stats node, taken apart. What cannot be read counts as not said.
// ZooKeeper: StatsTrack
#[derive(Debug, Default)]
struct Text<'a>(BTreeMap<&'a str, i64>);

impl<'a> Text<'a> {
    fn read(text: &'a [u8]) -> Self {
        let text = core::str::from_utf8(text).unwrap_or_default();
        let pairs = text.split([',', ';']).filter(|pair| !pair.is_empty());
        let values = pairs.filter_map(|pair| {
            let mut parts = pair.split('=');
            let key = parts.next().filter(|key| !key.is_empty())?;
            Some((key, parts.next().and_then(|value| value.parse().ok()).unwrap_or(-1)))
        });
        Self(values.collect())
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    // reliability M58
    fn add(&mut self, key: &'a str, value: i64) {
        let sum = self.get(key).saturating_add(value);
        self.0.insert(key, sum);
    }

    /// Count and bytes first, then a mark that makes old readers stop, then the rest in order.
    fn write(&self) -> Box<[u8]> {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{COUNT}={},{BYTES}={}", self.get(COUNT), self.get(BYTES));
        let mut separator = "=;";
        for (key, value) in self.0.iter().filter(|(key, _)| ![COUNT, BYTES].contains(key)) {
            let _ = write!(text, "{separator}{key}={value}");
            separator = ";";
        }
        text.into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        String::from_utf8(Text::read(text.as_bytes()).write().into()).expect("text")
    }

    #[test]
    fn a_text_survives_in_its_usual_form() {
        for text in [
            "count=1,bytes=2",
            "count=-1,bytes=-1",
            "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4",
        ] {
            assert_eq!(rewritten(text), text);
        }
        assert_eq!(rewritten(""), "count=-1,bytes=-1");
        assert_eq!(rewritten("bytes=2;;count=1"), "count=1,bytes=2");
    }

    #[test]
    fn what_cannot_be_read_is_not_said() {
        for text in ["count", "count=", "count=x", "=7", "\u{fffd}=", "count=99999999999999999999"]
        {
            assert_eq!(Text::read(text.as_bytes()).get(COUNT), -1, "{text:?}");
        }
        assert_eq!(Text::read(&[0xff]).get(COUNT), -1);
    }

    #[test]
    fn counters_saturate() {
        let mut text = Text::read(b"count=9223372036854775807,bytes=-9223372036854775808");
        text.add(COUNT, 1);
        text.add(BYTES, -1);
        assert_eq!((text.get(COUNT), text.get(BYTES)), (i64::MAX, i64::MIN));
    }

    #[test]
    fn the_deepest_path_at_or_above_wins() {
        let mut quotas = Quotas::default();
        for path in ["/a", "/a/b", "/a/b!", "/a-b", "/a/b/c/d/e", "/z"] {
            quotas.insert(path);
        }
        for (path, deepest) in [
            ("/a", Some("/a")),
            ("/a/x", Some("/a")),
            ("/a/b/c/d", Some("/a/b")),
            ("/a/b/c/d/e/f", Some("/a/b/c/d/e")),
            ("/a/bc", Some("/a")),
            ("/a-b/c", Some("/a-b")),
            ("/a-bc", None),
            ("/b", None),
            ("", None),
        ] {
            assert_eq!(quotas.deepest(path), deepest, "{path}");
        }
    }

    #[test]
    fn only_limits_and_stats_of_a_real_path_have_a_role() {
        assert_eq!(Role::of("/zookeeper/quota/a/zookeeper_limits"), Some(Role::Limits("/a")));
        assert_eq!(Role::of("/zookeeper/quota/a/b/zookeeper_stats"), Some(Role::Stats("/a/b")));
        for path in [
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quotas/a/zookeeper_limits",
            "/zookeeper/quota/a/xzookeeper_limits",
            "/a/zookeeper_limits",
            "/zookeeper/quota/a",
        ] {
            assert_eq!(Role::of(path), None, "{path}");
        }
    }
}
