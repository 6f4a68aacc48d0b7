//! A draw in proportion to weights, at the same cost for any number of them. Pure.
//!
//! Every instance has a column, all of the same height. A column that the weight of its own does
//! not fill is filled up by one other, so that a draw looks at one column only (the alias method).

/// Weights, prepared to draw by them.
#[derive(Debug, Default)]
pub(super) struct Weights {
    each: Vec<u32>,
    /// As many; none when all weights are zero.
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// How much of the column is its own, in 2^64ths.
    own: u64,
    /// Whose the rest is.
    other: u32,
}

impl Weights {
    pub(super) fn new(each: Vec<u32>) -> Self {
        let columns = columns(&each);
        Self { each, columns }
    }

    /// Whose turn it is by a number drawn from all numbers; `None` when nobody weighs anything.
    pub(super) fn drawn(&self, number: u64) -> Option<usize> {
        let (at, height) = part_of(number, self.columns.len());
        let column = self.columns.get(at)?;
        Some(if height < column.own { at } else { column.other as usize })
    }

    /// Everybody's weight.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, u32)> {
        self.each.iter().copied().enumerate()
    }
}

/// In which of so many equal parts of all numbers a number lies, and where in it, stretched to all
/// numbers again.
pub(super) fn part_of(number: u64, parts: usize) -> (usize, u64) {
    let product = u128::from(number) * parts as u128;
    let (part, rest) = (product >> 64, product & u128::from(u64::MAX));
    (usize::try_from(part).unwrap_or(0), u64::try_from(rest).unwrap_or(u64::MAX))
}

fn columns(each: &[u32]) -> Vec<Column> {
    let height: u64 = each.iter().map(|&weight| u64::from(weight)).sum();
    if height == 0 {
        return Vec::new();
    }
    let count = each.len() as u64;
    // Together as much as all columns hold: what is still to be put somewhere.
    let mut left: Vec<u64> = each.iter().map(|&weight| u64::from(weight) * count).collect();
    let (mut low, mut high): (Vec<u32>, Vec<u32>) =
        (0..).take(each.len()).partition(|&at| left[at as usize] < height);
    let mut columns: Vec<_> =
        (0..).take(each.len()).map(|other| Column { own: u64::MAX, other }).collect();
    while let (Some(at), Some(&other)) = (low.pop(), high.last()) {
        let own = left[at as usize];
        let share = (u128::from(own) << 64) / u128::from(height);
        let own_share = u64::try_from(share).unwrap_or(u64::MAX);
        columns[at as usize] = Column { own: own_share, other };
        let rest = &mut left[other as usize];
        *rest -= height - own;
        if *rest < height {
            high.pop();
            low.push(other);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_keeps_the_weights_exactly() {
        for weights in [vec![1], vec![0, 1, 2, 3], vec![7; 5], vec![u32::MAX, 1, 0], vec![0, 0, 9]]
        {
            let prepared = Weights::new(weights.clone());
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            let mut shares = vec![0_u128; weights.len()];
            for (at, column) in prepared.columns.iter().enumerate() {
                shares[at] += u128::from(column.own);
                shares[column.other as usize] += u128::from(u64::MAX - column.own);
            }
            let whole = u128::from(u64::MAX) * weights.len() as u128;
            for (share, &weight) in shares.iter().zip(&weights) {
                let expected = whole * u128::from(weight) / u128::from(total);
                let off = share.abs_diff(expected);
                assert!(off <= whole >> 50, "{weights:?}: {share} for {weight}, not {expected}");
                assert!(weight > 0 || *share == 0, "{weights:?}");
            }
        }
    }

    #[test]
    fn where_nobody_weighs_anything_nobody_is_drawn() {
        assert_eq!(Weights::new(vec![0, 0]).drawn(7), None);
        assert_eq!(Weights::default().drawn(u64::MAX), None);
    }

    #[test]
    fn parts_are_equal_and_cover_everything() {
        assert_eq!(part_of(0, 4), (0, 0));
        assert_eq!(part_of(u64::MAX, 4).0, 3);
        assert_eq!(part_of(1 << 62, 4), (1, 0));
        assert_eq!(part_of(1 << 61, 4), (0, 1 << 63));
    }
}
