//! What a comparison has measured so far, and the table it ends in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::goals::{Figure, Goal};
use super::server::Subject;
use crate::median::median;
use crate::report::Report;
use crate::table::{Table, thousands};

/// Everything measured.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    figures: BTreeMap<(Figure, Subject), Vec<f64>>,
    reports: Vec<(Subject, Report)>,
    /// What could not be carried out, or was wrong, one line each.
    complaints: Vec<(Subject, String)>,
    pub(crate) notes: Vec<String>,
}

/// Whether a goal was reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Aim,
    Must,
    Missed,
    /// There is no goal, or a side could not be measured.
    None,
}

impl Ledger {
    pub(crate) fn add(&mut self, figure: Figure, subject: Subject, value: f64) {
        self.figures.entry((figure, subject)).or_default().push(value);
    }

    /// Keeps a whole report, and everything that was wrong in it.
    pub(crate) fn add_report(&mut self, subject: Subject, report: Report) {
        for complaint in &report.complaints {
            let load = report.shape.workload;
            self.complaints.push((subject, format!("{load}: {complaint}")));
        }
        self.reports.push((subject, report));
    }

    pub(crate) fn complain(&mut self, subject: Subject, what: String) {
        self.complaints.push((subject, what));
    }

    /// Nothing of ours failed, and no reply of ours was wrong (P24).
    pub(crate) fn is_clean(&self) -> bool {
        self.complaints.iter().all(|(subject, _)| *subject != Subject::Ours)
    }

    /// Every goal that was measured is reached.
    pub(crate) fn reaches_goals(&self, members: u32) -> bool {
        Figure::ALL.into_iter().all(|figure| self.verdict(figure, members) != Verdict::Missed)
    }

    pub(crate) fn render(&self, members: u32) -> String {
        let mut table = Table::new(&[
            "goal",
            "measure",
            "Java 3.9.5",
            "ours",
            "ours ÷ Java",
            "must",
            "aim",
            "verdict",
        ]);
        for figure in Figure::ALL {
            let theirs = self.median(figure, Subject::Apache);
            let ours = self.median(figure, Subject::Ours);
            if theirs.is_none() && ours.is_none() {
                continue;
            }
            let goal = figure.goal(members);
            let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
            table.row(vec![
                goal.map_or("", |goal| goal.name).to_owned(),
                figure.title().to_owned(),
                theirs.map_or_else(dash, thousands),
                ours.map_or_else(dash, thousands),
                ratio.map_or_else(dash, |ratio| format!("{ratio:.3}")),
                goal.map_or_else(String::new, |goal| goal.must.describe()),
                goal.map_or_else(String::new, |goal| goal.aim.describe()),
                self.verdict(figure, members).word().to_owned(),
            ]);
        }
        format!("{}{}", table.render(), self.below())
    }

    pub(crate) fn to_json(&self, members: u32) -> Value {
        let figures: Vec<Value> = Figure::ALL
            .into_iter()
            .map(|figure| {
                json!({
                    "measure": figure.title(),
                    "goal": figure.goal(members).map(|goal| goal.name),
                    "java": self.figures.get(&(figure, Subject::Apache)),
                    "ours": self.figures.get(&(figure, Subject::Ours)),
                    "floor": self.figures.get(&(figure, Subject::Floor)),
                    "java_median": self.median(figure, Subject::Apache),
                    "ours_median": self.median(figure, Subject::Ours),
                    "verdict": self.verdict(figure, members).word(),
                })
            })
            .collect();
        let run = |(subject, report): &(Subject, Report)| {
            let subject = subject.to_string();
            json!({ "subject": subject, "load": report.to_json() })
        };
        let complaint = |(subject, what): &(Subject, String)| format!("{subject}: {what}");
        json!({
            "members": members,
            "figures": figures,
            "runs": self.reports.iter().map(run).collect::<Vec<Value>>(),
            "complaints": self.complaints.iter().map(complaint).collect::<Vec<String>>(),
            "notes": self.notes,
        })
    }

    fn below(&self) -> String {
        let mut lines = vec![String::new()];
        for subject in [Subject::Apache, Subject::Ours] {
            let reports = self.reports.iter().filter(|(whose, _)| *whose == subject);
            let (runs, violations, errors) =
                reports.fold((0_u32, 0, 0), |(runs, violations, errors), (_, report)| {
                    (runs + 1, violations + report.violations, errors + report.errors)
                });
            lines.push(format!(
                "P24 {subject}: {violations} violations and {errors} errors in {runs} runs"
            ));
        }
        for figure in Figure::ALL {
            if let Some(floor) = self.median(figure, Subject::Floor) {
                lines.push(format!("do-nothing server: {}: {floor:.0}", figure.title()));
            }
        }
        let foreign = self.reports.iter().filter_map(|(_, report)| report.foreign_cores).collect();
        if let Some(foreign) = median(foreign) {
            lines.push(format!("foreign load during the runs: {foreign:.2} cores (median)"));
        }
        lines.extend(self.notes.iter().cloned());
        let complaint = |(subject, what): &(Subject, String)| format!("{subject}: {what}");
        lines.extend(self.complaints.iter().map(complaint));
        lines.join("\n")
    }

    fn verdict(&self, figure: Figure, members: u32) -> Verdict {
        let both = self.median(figure, Subject::Ours).zip(self.median(figure, Subject::Apache));
        let (Some(goal), Some((ours, theirs))) = (figure.goal(members), both) else {
            return Verdict::None;
        };
        Verdict::of(goal, ours, theirs, self.median(figure, Subject::Floor))
    }

    fn median(&self, figure: Figure, subject: Subject) -> Option<f64> {
        median(self.figures.get(&(figure, subject))?.clone())
    }
}

impl Verdict {
    fn of(goal: Goal, ours: f64, theirs: f64, floor: Option<f64>) -> Self {
        if goal.must.is_kept(ours, theirs, floor) != Some(true) {
            Self::Missed
        } else if goal.aim.is_kept(ours, theirs, floor) == Some(true) {
            Self::Aim
        } else {
            Self::Must
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Aim => "pass, aim reached",
            Self::Must => "pass",
            Self::Missed => "FAIL",
            Self::None => "",
        }
    }
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_must_fails_and_a_reached_aim_says_so() {
        let mut ledger = Ledger::default();
        ledger.add(Figure::ReadThroughput, Subject::Apache, 100.0);
        ledger.add(Figure::ReadThroughput, Subject::Ours, 900.0);
        assert!(ledger.render(1).contains("pass, aim reached"));
        assert!(ledger.reaches_goals(1));

        ledger.add(Figure::Launch, Subject::Apache, 1_000.0);
        ledger.add(Figure::Launch, Subject::Ours, 51.0);
        assert!(ledger.render(1).contains("FAIL"));
        assert!(!ledger.reaches_goals(1));
    }

    #[test]
    fn only_our_own_faults_make_it_unclean() {
        let mut ledger = Ledger::default();
        ledger.complain(Subject::Apache, "slow".to_owned());
        assert!(ledger.is_clean());

        ledger.complain(Subject::Ours, "lost".to_owned());
        assert!(!ledger.is_clean());
    }

    #[test]
    fn what_one_side_lacks_has_no_verdict() {
        let mut ledger = Ledger::default();
        ledger.add(Figure::Restart, Subject::Ours, 1.0);

        assert_eq!(ledger.verdict(Figure::Restart, 1), Verdict::None);
        assert_eq!(ledger.to_json(1)["figures"][21]["java"], Value::Null);
    }
}
