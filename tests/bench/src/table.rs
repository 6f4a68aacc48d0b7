//! A table for people: a line of headings, numbers flush right, words flush left.

/// Rows of cells below headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "every row has a cell under each heading");
        self.rows.push(cells);
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - width(cell));
                let is_right = column > 0 && self.is_numeric(column);
                let (before, after) =
                    if is_right { (gap.as_str(), "") } else { ("", gap.as_str()) };
                line.push_str(before);
                line.push_str(cell);
                line.push_str(after);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
            if number == 0 {
                let whole = widths.iter().sum::<usize>() + 2 * (columns - 1);
                text.push_str(&"─".repeat(whole));
                text.push('\n');
            }
        }
        text
    }

    /// A column of figures: every cell below the heading begins with a digit or says nothing.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows[1..].iter().all(|row| {
            row[column].chars().next().is_none_or(|first| first.is_ascii_digit() || first == '–')
        })
    }
}

/// A figure with its thousands apart, and as many decimals as its size deserves.
pub(crate) fn thousands(figure: f64) -> String {
    let decimals = if figure.abs() < 10.0 { 2 } else { usize::from(figure.abs() < 100.0) };
    let text = format!("{figure:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{grouped}.{rest}"),
        None => grouped,
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_flush_right_and_words_flush_left() {
        let mut table = Table::new(&["load", "ops/s", "goal"]);
        table.row(vec!["read".into(), "1 000".into(), "≥ 5".into()]);
        table.row(vec!["write1k".into(), "7".into(), String::new()]);

        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "load     ops/s  goal");
        assert_eq!(lines[2], "read     1 000  ≥ 5");
        assert_eq!(lines[3], "write1k      7");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(1_234_567.0), "1 234 567");
        assert_eq!(thousands(123.4), "123");
        assert_eq!(thousands(12.34), "12.3");
        assert_eq!(thousands(0.724), "0.72");
    }
}
