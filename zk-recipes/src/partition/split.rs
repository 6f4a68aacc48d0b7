//! Who gets what: pure.

use crate::party::shallow_name;

/// The members of a party in order, by the names of their nodes: those who do not know each other
/// all come to the same order.
pub(super) fn ranks(mut nodes: Vec<String>) -> Vec<String> {
    nodes.retain(|node| shallow_name(node).is_some());
    // Two members by the same name are told apart by their nodes.
    nodes.sort_by(|one, other| {
        shallow_name(one).cmp(&shallow_name(other)).then_with(|| one.cmp(other))
    });
    nodes
}

/// The items for the member at `rank` of `count`: every `count`th.
// kazoo: SetPartitioner._partitioner
pub(super) fn every_nth<'a>(
    rank: usize,
    count: usize,
    items: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    items.skip(rank).step_by(count.max(1)).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[test]
    fn members_are_ordered_by_what_follows_the_first_dash() {
        let nodes = ["2-b-1", "1-c", "3-a", "no member"].map(String::from).to_vec();
        assert_eq!(ranks(nodes), ["3-a", "2-b-1", "1-c"]);
    }

    #[test]
    fn two_members_by_one_name_are_two() {
        let nodes = ["2-a", "1-a"].map(String::from).to_vec();
        assert_eq!(ranks(nodes), ["1-a", "2-a"]);
    }

    #[test]
    fn every_item_is_somebodys_and_only_one_members() {
        for count in 1..8 {
            let mut all: Vec<_> =
                (0..count).flat_map(|rank| every_nth(rank, count, ITEMS.into_iter())).collect();
            all.sort();
            assert_eq!(all, ITEMS, "{count}");
        }
    }

    #[test]
    fn shares_are_those_of_kazoo() {
        assert_eq!(every_nth(0, 2, ITEMS.into_iter()), ["a", "c", "e"]);
        assert_eq!(every_nth(1, 2, ITEMS.into_iter()), ["b", "d"]);
        assert_eq!(every_nth(6, 7, ITEMS.into_iter()), [""; 0]);
    }
}
