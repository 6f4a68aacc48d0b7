//! The table of one ensemble: figures, what they are compared with, and their goals.

use super::figures::{Figure, Figures};
use crate::compare::server::Subject;
use crate::median::median;
use crate::table::{Table, thousands};

/// What a figure should come to.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// At most so many times what it is compared with.
    TimesAtMost(f64),
    /// At least so many times.
    TimesAtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// None of its own.
    Told,
}

/// What a row shows.
#[derive(Clone, Copy, Debug)]
struct Line {
    what: &'static str,
    unit: &'static str,
    figure: Figure,
    /// What it is compared with, and what that is called.
    beside: Option<(Figure, &'static str)>,
    goal: Goal,
}

const LINES: [Line; 18] = {
    use Figure as F;
    use Goal::{AtMost, TimesAtLeast, TimesAtMost, Told};
    [
        line("lock and release, p50", "µs", F::Turn).beside(
            F::Operations,
            "its operations",
            TimesAtMost(1.15),
        ),
        line("one lock at a time", "/s", F::One).beside(F::OneTheirs, "Curator", TimesAtLeast(1.2)),
        line("… processor of the client", "µs", F::OneCost).beside(
            F::OneCostTheirs,
            "Curator",
            Told,
        ),
        line("64 locks at a time", "/s", F::Many).beside(
            F::ManyTheirs,
            "Curator",
            TimesAtLeast(3.0),
        ),
        line("… processor of the client", "µs", F::ManyCost).beside(
            F::ManyCostTheirs,
            "Curator",
            Told,
        ),
        line("hand-over, p50", "µs", F::HandOver).beside(
            F::HandOverTheirs,
            "Curator",
            TimesAtMost(0.85),
        ),
        line("… beside Curator on Apache's", "µs", F::HandOver).beside(
            F::HandOverOnApache,
            "Curator",
            TimesAtMost(0.6),
        ),
        line("hand-over among 1 000 waiters", "µs", F::Queue),
        line("leader's session ends, p50", "µs", F::Lead).beside(
            F::Watched,
            "watch, listing",
            TimesAtMost(1.1),
        ),
        line("pick of 10 000, round robin", "ns", F::RoundRobin).goal(AtMost(100.0)),
        line("… at random", "ns", F::Random).goal(AtMost(100.0)),
        line("… sticky", "ns", F::Sticky).goal(AtMost(100.0)),
        line("… least busy of two", "ns", F::LeastBusy).goal(AtMost(100.0)),
        line("… by hash ring", "ns", F::HashRing).goal(AtMost(100.0)),
        line("… by weight", "ns", F::Weighted).goal(AtMost(100.0)),
        line("change shown, p50", "µs", F::Changed).goal(AtMost(1_000.0)),
        line("publish 1 000 keys, p50", "ms", F::Published).goal(AtMost(20.0)),
        line("… and read by others, p50", "ms", F::Read),
    ]
};

const fn line(what: &'static str, unit: &'static str, figure: Figure) -> Line {
    Line { what, unit, figure, beside: None, goal: Goal::Told }
}

impl Line {
    const fn beside(mut self, figure: Figure, name: &'static str, goal: Goal) -> Self {
        self.beside = Some((figure, name));
        self.goal = goal;
        self
    }

    const fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// Whether it is worth a row on these servers.
    fn is_for(&self, subject: Option<Subject>) -> bool {
        match self.beside {
            Some((Figure::HandOverOnApache, _)) => subject == Some(Subject::Ours),
            Some(_) | None => true,
        }
    }
}

/// The rows of one table.
#[derive(Debug)]
pub(super) struct Rows(Vec<Row>);

#[derive(Debug)]
struct Row {
    line: Line,
    ours: f64,
    /// What it is compared with: its median, and the ratios of the rounds.
    other: Option<(f64, Vec<f64>)>,
    goal: Goal,
}

impl Rows {
    /// What was measured on these servers.
    pub(super) fn of(subject: Option<Subject>, figures: &Figures) -> Self {
        let lines = LINES.iter().filter(|line| line.is_for(subject));
        Self(lines.filter_map(|line| Row::of(*line, subject, figures)).collect())
    }

    /// Whether no goal is missed.
    pub(super) fn are_reached(&self) -> bool {
        self.0.iter().all(Row::is_reached)
    }

    pub(super) fn render(&self) -> String {
        let headings = ["recipe", "unit", "ours", "other", "ratio", "spread", "beside", "goal"];
        let mut table = Table::new(&headings);
        for row in &self.0 {
            table.row(row.cells());
        }
        table.render()
    }
}

impl Row {
    fn of(line: Line, subject: Option<Subject>, figures: &Figures) -> Option<Self> {
        let rounds = figures.of(line.figure);
        let ours = median(rounds.to_vec())?;
        let other = line.beside.and_then(|(figure, _)| {
            let others = figures.of(figure);
            let ratios = rounds.iter().zip(others).map(|(ours, other)| ours / other);
            Some((median(others.to_vec())?, ratios.collect::<Vec<_>>()))
        });
        // Our servers give both an equal start: what counts there is Curator on Apache's.
        let is_told_elsewhere = subject == Some(Subject::Ours)
            && matches!(line.beside, Some((Figure::HandOverTheirs, _)));
        let goal = match line.goal {
            // Without anything to compare with there is nothing to reach.
            Goal::TimesAtMost(_) | Goal::TimesAtLeast(_) if other.is_none() => Goal::Told,
            Goal::TimesAtMost(_) if is_told_elsewhere => Goal::Told,
            Goal::TimesAtMost(_) | Goal::TimesAtLeast(_) | Goal::AtMost(_) | Goal::Told => {
                line.goal
            }
        };
        Some(Self { line, ours, other, goal })
    }

    fn ratio(&self) -> Option<f64> {
        median(self.other.as_ref()?.1.clone())
    }

    fn is_reached(&self) -> bool {
        match self.goal {
            Goal::TimesAtMost(most) => self.ratio().is_none_or(|ratio| ratio <= most),
            Goal::TimesAtLeast(least) => self.ratio().is_none_or(|ratio| ratio >= least),
            Goal::AtMost(most) => self.ours <= most,
            Goal::Told => true,
        }
    }

    fn cells(&self) -> Vec<String> {
        let nothing = || "–".to_owned();
        let (other, spread) = match &self.other {
            None => (nothing(), nothing()),
            Some((other, ratios)) => (thousands(*other), spread(ratios)),
        };
        let ratio = self.ratio().map_or_else(nothing, |ratio| format!("{ratio:.2}"));
        let mut goal = self.goal.to_text();
        if !self.is_reached() {
            goal.push_str("  MISSED");
        }
        let (what, unit) = (self.line.what.to_owned(), self.line.unit.to_owned());
        let beside = self.line.beside.filter(|_| self.other.is_some());
        let beside = beside.map_or(String::new(), |(_, name)| name.to_owned());
        vec![what, unit, thousands(self.ours), other, ratio, spread, beside, goal]
    }
}

impl Goal {
    fn to_text(self) -> String {
        match self {
            Self::TimesAtMost(most) => format!("≤ {most} ×"),
            Self::TimesAtLeast(least) => format!("≥ {least} ×"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Told => String::new(),
        }
    }
}

/// The least and the greatest.
fn spread(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = ratios.iter().copied().fold(0.0, f64::max);
    format!("{least:.2}–{greatest:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_beside_what_it_is_compared_with_only() {
        let mut figures = Figures::default();
        for _ in 0..3 {
            figures.add(Figure::Turn, 2.0);
            figures.add(Figure::Operations, 1.0);
            figures.add(Figure::Many, 2.0);
            figures.add(Figure::RoundRobin, 200.0);
        }
        let rows = Rows::of(None, &figures);
        let reached: Vec<_> = rows.0.iter().map(Row::is_reached).collect();
        assert_eq!(reached, [false, true, false]);
        assert!(!rows.are_reached());
        assert!(rows.render().contains("MISSED"));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_own() {
        let mut figures = Figures::default();
        for (ours, theirs) in [(1.0, 1.0), (10.0, 2.0), (3.0, 1.0)] {
            figures.add(Figure::Many, ours);
            figures.add(Figure::ManyTheirs, theirs);
        }
        let rows = Rows::of(None, &figures);
        assert_eq!(rows.0[0].ratio(), Some(3.0));
        assert!(rows.are_reached());
        assert!(rows.render().contains("1.00–5.00"));
    }

    #[test]
    fn on_our_servers_a_hand_over_is_held_against_curators_on_apaches() {
        let mut figures = Figures::default();
        figures.add(Figure::HandOver, 0.9);
        figures.add(Figure::HandOverTheirs, 1.0);
        figures.add(Figure::HandOverOnApache, 2.0);
        assert!(Rows::of(Some(Subject::Ours), &figures).are_reached());
        assert!(!Rows::of(Some(Subject::Apache), &figures).are_reached());
    }
}
