//! What was found, beside what is to be reached.

use crate::table::{Table, thousands};

/// Figures with their goals, in the order they were found.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    found: Option<f64>,
    goal: Goal,
}

/// What a figure should come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goals {
    /// Adds a figure; one that the system does not tell is not reached.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        found: Option<f64>,
        goal: Goal,
    ) {
        self.rows.push(Row { what: what.into(), unit, found, goal });
    }

    pub(crate) fn are_reached(&self) -> bool {
        self.rows.iter().all(Row::is_reached)
    }

    pub(crate) fn render(&self) -> String {
        let mut table = Table::new(&["figure", "found", "unit", "goal", "reached"]);
        for row in &self.rows {
            let found = row.found.map_or_else(|| "–".to_owned(), thousands);
            let goal = match row.goal {
                Goal::AtMost(most) => format!("≤ {}", thousands(most)),
                Goal::AtLeast(least) => format!("≥ {}", thousands(least)),
            };
            let reached = if row.is_reached() { "yes" } else { "MISSED" };
            let (what, unit) = (row.what.clone(), row.unit.to_owned());
            table.row(vec![what, found, unit, goal, reached.to_owned()]);
        }
        table.render()
    }
}

impl Row {
    fn is_reached(&self) -> bool {
        self.found.is_some_and(|found| match self.goal {
            Goal::AtMost(most) => found <= most,
            Goal::AtLeast(least) => found >= least,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_by_a_figure_on_the_wrong_side_and_by_none() {
        let mut goals = Goals::default();
        goals.add("a", "ms", Some(1.0), Goal::AtMost(1.0));
        goals.add("b", "/s", Some(1.0), Goal::AtLeast(1.0));
        assert!(goals.are_reached());
        for (found, goal) in [
            (Some(1.1), Goal::AtMost(1.0)),
            (Some(0.9), Goal::AtLeast(1.0)),
            (None, Goal::AtMost(1.0)),
        ] {
            let mut goals = Goals::default();
            goals.add("c", "ms", found, goal);
            assert!(!goals.are_reached(), "{found:?}");
            assert!(goals.render().contains("MISSED"));
        }
    }
}
