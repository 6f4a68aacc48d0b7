//! Who stands in line, in which order. Pure: names in, order out.

use std::cmp::Ordering;

/// How nodes of a line are named. What one party calls itself decides whom the others see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Naming {
    /// Before the id that makes a name one of a kind.
    pub(crate) head: &'static str,
    /// Whether the id is written with dashes.
    pub(crate) is_dashed: bool,
    /// Between the id and the mark.
    pub(crate) joint: &'static str,
    /// What the kinds of contenders carry before their number.
    pub(crate) marks: &'static [&'static str],
}

impl Naming {
    /// `_c_<uuid>-<mark><number>`: Curator's, which go-zookeeper contends with as well.
    // Curator: ProtectedUtils.getProtectedPrefix
    pub(crate) const fn curator(marks: &'static [&'static str]) -> Self {
        Self { head: "_c_", is_dashed: true, joint: "-", marks }
    }

    /// `<32 hex digits><mark><number>`: kazoo's.
    pub(crate) const fn kazoo(marks: &'static [&'static str]) -> Self {
        Self { head: "", is_dashed: false, joint: "", marks }
    }

    /// The start of a name that nobody else has, made of 128 random bits (a version 4 UUID).
    pub(crate) fn own(&self, random: u128) -> String {
        let version_4 = (random & !(0xf << 76)) | (0x4 << 76);
        let id = (version_4 & !(0x3 << 62)) | (0x2 << 62);
        let hex = format!("{id:032x}");
        if !self.is_dashed {
            return format!("{}{hex}{}", self.head, self.joint);
        }
        let (time, mid, version) = (&hex[..8], &hex[8..12], &hex[12..16]);
        let (variant, node) = (&hex[16..20], &hex[20..]);
        format!("{}{time}-{mid}-{version}-{variant}-{node}{}", self.head, self.joint)
    }
}

/// A line at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Queue {
    /// First come first.
    pub(crate) line: Vec<Contender>,
    /// Children that carry none of the marks. They do not contend, and should not be there.
    pub(crate) foreign: Vec<String>,
}

/// Somebody in line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Contender {
    pub(crate) name: String,
    /// Which of the marks it carries.
    pub(crate) mark: usize,
    /// Where the sort key starts.
    key_at: usize,
}

/// Decides from a line whose turn it is.
pub(crate) trait Rule: std::fmt::Debug + Send + Sync {
    /// Whether it is the turn of the contender at index `me`.
    fn turn(&self, queue: &Queue, me: usize) -> Turn;
}

/// Whether it is somebody's turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// It is.
    Mine,
    /// Not before the contender at this index has gone.
    Behind(usize),
    /// Not before anybody has come or gone.
    #[cfg_attr(not(test), expect(dead_code, reason = "for rules that count, as semaphores do"))]
    Crowded,
}

/// One at a time, first come first served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exclusive;

impl Rule for Exclusive {
    fn turn(&self, _: &Queue, me: usize) -> Turn {
        // Only the one right before is watched, so that a release wakes one.
        me.checked_sub(1).map_or(Turn::Mine, Turn::Behind)
    }
}

impl Queue {
    /// Puts a parent's children in order.
    pub(crate) fn new(names: Vec<String>, naming: &Naming) -> Self {
        let mut queue = Self::default();
        for name in names {
            match mark_in(&name, naming.marks) {
                Some((mark, key_at)) => queue.line.push(Contender { name, mark, key_at }),
                None => queue.foreign.push(name),
            }
        }
        queue.line.sort_by(Contender::order);
        queue.foreign.sort();
        queue
    }

    /// Where a node stands, if it still does.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.line.iter().position(|contender| contender.name == name)
    }
}

impl Contender {
    /// What contenders are sorted by: as text, digits or not, because everybody else does.
    // Curator: LockInternals.getSortedChildren
    fn key(&self) -> &str {
        &self.name[self.key_at..]
    }

    // A downgraded reader carries the number of its writer, so that keys can be equal.
    fn order(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key()).then_with(|| self.name.cmp(&other.name))
    }
}

/// Which mark a name carries, and where it ends. The last one counts.
// Curator: StandardLockInternalsDriver.standardFixForSorting
fn mark_in(name: &str, marks: &[&str]) -> Option<(usize, usize)> {
    let found = marks.iter().enumerate().filter_map(|(index, mark)| {
        let at = name.rfind(mark)?;
        Some((index, at + mark.len()))
    });
    found.max_by_key(|&(_, end)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Naming = Naming::curator(&["lock-"]);
    const READ_WRITE: Naming = Naming::curator(&["__READ__", "__WRIT__"]);
    const ID: &str = "ea664e36-9992-4cac-ac23-d4a8e4209de2";

    #[test]
    fn a_curator_name_holds_a_version_4_uuid_with_dashes() {
        let own = LOCK.own(u128::MAX);
        assert_eq!(own, "_c_ffffffff-ffff-4fff-bfff-ffffffffffff-");
        assert_eq!(LOCK.own(0), "_c_00000000-0000-4000-8000-000000000000-");
        assert_eq!(Naming::kazoo(&["__lock__"]).own(0), "00000000000040008000000000000000");
    }

    #[test]
    fn the_order_is_that_of_the_numbers_whatever_stands_before_them() {
        let queue = queue(&["_c_f-lock-0000000001", "_c_a-lock-0000000003", "x-lock-0000000002"]);
        assert_eq!(numbers(&queue), ["0000000001", "0000000002", "0000000003"]);
    }

    #[test]
    fn the_last_mark_in_a_name_counts() {
        let queue = queue(&["_c_lock-9-lock-0000000001", "_c_a-lock-0000000000"]);
        assert_eq!(numbers(&queue), ["0000000000", "0000000001"]);
    }

    #[test]
    fn go_zookeepers_ids_without_dashes_contend() {
        let go = "_c_ea664e3699924cacac23d4a8e4209de2-lock-0000000000";
        let queue = queue(&[&format!("_c_{ID}-lock-0000000001"), go]);
        assert_eq!(queue.index_of(go), Some(0));
    }

    #[test]
    fn equal_keys_are_ordered_by_name() {
        let names = ["_c_b-__READ__0000000000", "_c_a-__WRIT__0000000000"];
        let queue = Queue::new(names.map(Into::into).to_vec(), &READ_WRITE);
        assert_eq!(queue.line[0].name, names[1]);
        assert_eq!((queue.line[0].mark, queue.line[1].mark), (1, 0));
    }

    #[test]
    fn a_child_without_the_mark_does_not_contend_and_is_told_of() {
        let queue = queue(&["config", "_c_a-lock-0000000001", "_c_b-latch-0000000000"]);
        assert_eq!(queue.line.len(), 1);
        assert_eq!(queue.foreign, ["_c_b-latch-0000000000", "config"]);
    }

    #[test]
    fn names_without_digits_are_ordered_as_curator_orders_them() {
        let queue = queue(&["_c_a-lock-x", "_c_b-lock-", "_c_c-lock-0000000001"]);
        assert_eq!(numbers(&queue), ["", "0000000001", "x"]);
    }

    #[test]
    fn pitfall_15_only_the_one_right_before_is_watched() {
        let queue = queue(&["a-lock-0", "a-lock-1", "a-lock-2"]);
        assert_eq!(Exclusive.turn(&queue, 2), Turn::Behind(1));
        assert_eq!(Exclusive.turn(&queue, 0), Turn::Mine);
    }

    #[test]
    fn pitfall_18_a_node_that_vanished_has_no_place() {
        assert_eq!(queue(&["a-lock-0"]).index_of("a-lock-1"), None);
    }

    fn queue(names: &[&str]) -> Queue {
        Queue::new(names.iter().map(|&name| name.to_owned()).collect(), &LOCK)
    }

    fn numbers(queue: &Queue) -> Vec<&str> {
        queue.line.iter().map(Contender::key).collect()
    }
}
