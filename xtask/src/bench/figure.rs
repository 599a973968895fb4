//! What a part found: its tables for people, and the few figures that a promise was made about.

use std::fmt::Write as _;

/// What one part of the bench has to say.
#[derive(Default)]
pub(super) struct Findings {
    /// Tables, with a heading.
    pub(super) text: String,
    /// An SVG document, where there is something to draw.
    pub(super) picture: Option<String>,
    pub(super) figures: Vec<Figure>,
}

/// One figure beside its bar. It fails nothing: a busy machine is no defect of the program.
pub(super) struct Figure {
    /// What was measured, in what unit.
    pub(super) what: &'static str,
    pub(super) seen: f64,
    pub(super) bar: Bar,
}

/// What was promised of a figure.
#[derive(Clone, Copy)]
pub(super) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing.
    None,
}

impl Figure {
    fn row(&self) -> String {
        let (bar, kept) = match self.bar {
            Bar::AtMost(most) => (format!("at most {}", number(most)), self.seen <= most),
            Bar::AtLeast(least) => (format!("at least {}", number(least)), self.seen >= least),
            Bar::None => (String::new(), true),
        };
        let verdict = match (self.bar, kept) {
            (Bar::None, _) => "",
            (_, true) => "kept",
            (_, false) => "MISSED",
        };
        format!("| {} | {} | {bar} | {verdict} |\n", self.what, number(self.seen))
    }
}

/// Three digits are all that a measurement on a shared machine can tell.
fn number(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// All figures as one table; nothing when there are none.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    if figures.is_empty() {
        return text;
    }
    // Writing to a text cannot fail.
    writeln!(text, "# Figures\n\n| figure | seen | bar | |\n|---|---:|---:|---|").unwrap_or(());
    figures.iter().for_each(|figure| text.push_str(&figure.row()));
    text
}

#[cfg(test)]
mod tests {
    use super::{Bar, Figure, table};

    #[test]
    fn a_figure_stands_beside_its_bar() {
        let figure = |seen, bar| Figure { what: "x", seen, bar };
        let text = table(&[
            figure(1.254, Bar::AtMost(1.25)),
            figure(232.0, Bar::None),
            figure(60000.0, Bar::AtLeast(50000.0)),
            figure(0.5, Bar::AtLeast(0.97)),
        ]);
        assert!(text.contains("| x | 1.25 | at most 1.25 | MISSED |"), "{text}");
        assert!(text.contains("| x | 60000 | at least 50000 | kept |"), "{text}");
        assert!(text.contains("| x | 232 |  |  |"), "{text}");
        assert!(text.contains("| x | 0.50 | at least 0.97 | MISSED |"), "{text}");
        assert_eq!(table(&[]), "");
    }
}
