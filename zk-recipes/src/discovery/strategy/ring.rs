//! Points of instances on a ring, where keys fall on the first at or behind them. Pure.

use super::{hash, mix};

/// Parts of the ring for each point, so that most keys fall where there is none and one look is
/// enough.
const SLOTS_PER_POINT: usize = 2;

/// A slot that names an instance: no point lies in its part of the ring. Others name a point.
const IS_OWNER: u32 = 1 << 31;

/// Points on a ring.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Points and whose they are, in order.
    points: Vec<(u64, u32)>,
    /// For each of evenly spaced parts of the ring the first point in it; or whose the next point
    /// is, where there is none in it. Empty for a ring with more points than a slot can name.
    slots: Vec<u32>,
}

impl Ring {
    /// The ring of other instances, from this one of `before`: what stays keeps its points and
    /// their order. Both are names of nodes in order.
    pub(super) fn of<'a>(
        &self,
        before: impl ExactSizeIterator<Item = &'a str>,
        after: impl ExactSizeIterator<Item = &'a str>,
        points_each: u32,
    ) -> Self {
        let mut moved = vec![u32::MAX; before.len()];
        let mut added = Vec::new();
        let mut known = before.enumerate().peekable();
        for (index, node) in (0..).zip(after) {
            while known.next_if(|&(_, other)| other < node).is_some() {}
            if let Some((before, _)) = known.next_if(|&(_, other)| other == node) {
                moved[before] = index;
            } else {
                let id = hash(node.as_bytes());
                added.extend((0..points_each).map(|point| (mix(id ^ mix(point.into())), index)));
            }
        }
        added.sort_unstable();
        let mut points = Vec::with_capacity(self.points.len() + added.len());
        let mut added = added.into_iter().peekable();
        for &(point, owner) in &self.points {
            let owner = moved.get(owner as usize).copied().unwrap_or(u32::MAX);
            if owner != u32::MAX {
                while let Some(new) = added.next_if(|&(new, _)| new < point) {
                    points.push(new);
                }
                points.push((point, owner));
            }
        }
        points.extend(added);
        let slots = slots(&points);
        Self { points, slots }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whose turn it is for a key, and who comes next if those before cannot.
    pub(super) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let first = self.owner(key).map(|owner| owner as usize);
        // Looked for only when the first cannot: most of the time it is not needed.
        let others = std::iter::once_with(move || self.at(key)).flat_map(|at| {
            let (before, from) = self.points.split_at_checked(at).unwrap_or_default();
            from.iter().chain(before).map(|&(_, owner)| owner as usize)
        });
        first.into_iter().chain(others)
    }

    fn owner(&self, key: u64) -> Option<u32> {
        match self.slots.get(slot_of(key, self.slots.len())) {
            Some(slot) if slot & IS_OWNER != 0 => Some(slot & !IS_OWNER),
            Some(_) | None => self.points.get(self.at(key)).map(|&(_, owner)| owner),
        }
    }

    /// The point that a key falls on.
    fn at(&self, key: u64) -> usize {
        let mut at = match self.slots.get(slot_of(key, self.slots.len())) {
            Some(slot) if slot & IS_OWNER == 0 => *slot as usize,
            Some(_) | None => self.points.partition_point(|&(point, _)| point < key),
        };
        while self.points.get(at).is_some_and(|&(point, _)| point < key) {
            at += 1;
        }
        if at == self.points.len() { 0 } else { at }
    }
}

fn slots(points: &[(u64, u32)]) -> Vec<u32> {
    let can_name = |count: usize| u32::try_from(count).is_ok_and(|count| count < IS_OWNER);
    let Some(&(_, first)) = points.first().filter(|_| can_name(points.len())) else {
        return Vec::new();
    };
    let count = points.len().next_power_of_two() * SLOTS_PER_POINT;
    let mut slots = Vec::with_capacity(count);
    for (at, &(point, owner)) in (0..).zip(points) {
        let slot = slot_of(point, count);
        if slots.len() <= slot {
            slots.resize(slot, IS_OWNER | owner);
            slots.push(at);
        }
    }
    // Behind the last point the ring begins again.
    slots.resize(count, IS_OWNER | first);
    slots
}

/// In which of so many parts a point lies.
fn slot_of(point: u64, count: usize) -> usize {
    super::part_of(point, count).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_falls_on_the_first_point_at_or_behind_it() {
        for count in [1, 2, 7, 50] {
            let ring = ring(&names(count));
            let points: Vec<_> = ring.points.iter().map(|&(point, _)| point).collect();
            let near = points.iter().flat_map(|point| [point - 1, *point, point + 1]);
            let keys = (0..1_000).map(mix).chain(near).chain([0, u64::MAX]);
            for key in keys {
                let first = points.partition_point(|&point| point < key) % points.len();
                assert_eq!(ring.at(key), first);
                assert_eq!(ring.owner(key), Some(ring.points[first].1));
                assert_eq!(ring.owners(key).next(), Some(ring.points[first].1 as usize));
                assert_eq!(ring.owners(key).count(), points.len() + 1, "everybody comes");
            }
        }
    }

    #[test]
    fn a_ring_is_the_same_however_it_came_about() {
        let all = names(20);
        let before = ring(&all);
        let fewer: Vec<_> = all.iter().filter(|name| *name != "i07").cloned().collect();
        let after = before.of(strs(&all), strs(&fewer), 40);
        assert_eq!(after.points, ring(&fewer).points);
        assert_eq!(after.slots, ring(&fewer).slots);
        let back = after.of(strs(&fewer), strs(&all), 40);
        assert_eq!(back.points, before.points);
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        let ring = ring(&[]);
        assert!(ring.is_empty());
        assert_eq!(ring.owners(7).next(), None);
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|name| format!("i{name:02}")).collect()
    }

    fn ring(names: &[String]) -> Ring {
        Ring::default().of([].into_iter(), strs(names), 40)
    }

    fn strs(names: &[String]) -> impl ExactSizeIterator<Item = &str> {
        names.iter().map(String::as_str)
    }
}
