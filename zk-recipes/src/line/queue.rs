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
    pub(crate) marks: Marks,
    /// Whether a number follows the mark.
    pub(crate) is_numbered: bool,
}

/// What the kinds of contenders carry before their number: one kind or two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marks {
    One(&'static str),
    Two([&'static str; 2]),
}

impl Marks {
    pub(crate) fn all(&self) -> &[&'static str] {
        match self {
            Self::One(mark) => std::slice::from_ref(mark),
            Self::Two(marks) => marks,
        }
    }
}

impl Naming {
    /// `_c_<uuid>-<mark><number>`: Curator's, which go-zookeeper contends with as well.
    // Curator: ProtectedUtils.getProtectedPrefix
    pub(crate) const fn curator(marks: Marks) -> Self {
        Self { head: "_c_", is_dashed: true, joint: "-", marks, is_numbered: true }
    }

    /// `<32 hex digits><mark><number>`: kazoo's.
    pub(crate) const fn kazoo(marks: Marks) -> Self {
        Self { head: "", is_dashed: false, joint: "", marks, is_numbered: true }
    }

    /// `x-<32 hex digits>-<number>`: read by the lock that `ZooKeeper` itself ships for Java, which
    /// takes what follows the last dash for the number.
    // ZooKeeper: ZNodeName
    pub(crate) const fn zk_java() -> Self {
        Self { head: "x-", is_dashed: false, joint: "", marks: Marks::One("-"), is_numbered: true }
    }

    /// `<head><uuid><mark><number>`.
    pub(crate) const fn custom(head: &'static str, mark: &'static str) -> Self {
        Self { head, is_dashed: true, joint: "", marks: Marks::One(mark), is_numbered: true }
    }

    /// The same without a number: nodes that have an owner and no order.
    pub(crate) const fn without_number(mut self) -> Self {
        self.is_numbered = false;
        self
    }

    /// The number in a name, as text.
    pub(crate) fn number<'a>(&self, name: &'a str) -> Option<&'a str> {
        mark_in(name, self.marks.all()).map(|(_, at)| &name[at..])
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

/// Everybody at once: for looking only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together;

impl Rule for Together {
    fn turn(&self, _: &Queue, _: usize) -> Turn {
        Turn::Mine
    }
}

/// Readers together, writers alone, both in the order in which they came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadWrite;

impl ReadWrite {
    /// The mark of readers.
    pub(crate) const READ: usize = 0;
    /// The mark of writers.
    pub(crate) const WRITE: usize = 1;
}

impl Rule for ReadWrite {
    fn turn(&self, queue: &Queue, me: usize) -> Turn {
        let before = &queue.line[..me];
        if queue.line[me].mark == Self::WRITE {
            return Exclusive.turn(queue, me);
        }
        // The last of the writers before a reader is the last to go, so that it wakes once. Readers
        // do not wait for readers.
        let writer = before.iter().rposition(|other| other.mark == Self::WRITE);
        writer.map_or(Turn::Mine, Turn::Behind)
    }
}

impl Queue {
    /// Puts a parent's children in order.
    pub(crate) fn new(names: Vec<String>, naming: &Naming) -> Self {
        let mut queue = Self::default();
        for name in names {
            match mark_in(&name, naming.marks.all()) {
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

    const LOCK: Naming = Naming::curator(Marks::One("lock-"));
    const READ_WRITE: Naming = Naming::curator(Marks::Two(["__READ__", "__WRIT__"]));
    const ID: &str = "ea664e36-9992-4cac-ac23-d4a8e4209de2";

    #[test]
    fn a_curator_name_holds_a_version_4_uuid_with_dashes() {
        let own = LOCK.own(u128::MAX);
        assert_eq!(own, "_c_ffffffff-ffff-4fff-bfff-ffffffffffff-");
        assert_eq!(LOCK.own(0), "_c_00000000-0000-4000-8000-000000000000-");
        assert_eq!(
            Naming::kazoo(Marks::One("__lock__")).own(0),
            "00000000000040008000000000000000"
        );
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

    #[test]
    fn pitfall_19_a_reader_waits_for_the_nearest_writer_not_the_nearest_node() {
        let names = ["a-__WRIT__0", "b-__READ__1", "c-__WRIT__2", "d-__READ__3", "e-__READ__4"];
        let line = Queue::new(names.map(Into::into).to_vec(), &READ_WRITE);
        let turns: Vec<_> = (0..5).map(|me| ReadWrite.turn(&line, me)).collect();
        let behind = Turn::Behind;
        assert_eq!(turns, [Turn::Mine, behind(0), behind(1), behind(2), behind(2)]);
    }

    #[test]
    fn pitfall_15_readers_before_the_first_writer_do_not_wait() {
        let names = ["a-__READ__0", "b-__READ__1", "c-__WRIT__2"];
        let line = Queue::new(names.map(Into::into).to_vec(), &READ_WRITE);
        assert_eq!(ReadWrite.turn(&line, 1), Turn::Mine);
        assert_eq!(ReadWrite.turn(&line, 2), Turn::Behind(1));
    }

    #[test]
    fn a_name_for_zookeepers_own_java_lock_has_its_number_behind_the_last_dash() {
        let naming = Naming::zk_java();
        let own = naming.own(0) + naming.marks.all()[0];
        assert_eq!(own, "x-00000000000040008000000000000000-");
        assert_eq!(naming.number("x-72057594037927936-0000000007"), Some("0000000007"));
    }

    fn queue(names: &[&str]) -> Queue {
        Queue::new(names.iter().map(|&name| name.to_owned()).collect(), &LOCK)
    }

    fn numbers(queue: &Queue) -> Vec<&str> {
        queue.line.iter().map(Contender::key).collect()
    }
}
