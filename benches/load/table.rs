//! The figures of all rounds, and how they are shown.

use crate::proxy::Kind;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// What is counted; where it is a time that a proxy adds, the endpoint's own is taken off.
    pub(crate) added: bool,
}

/// What was read, in the order it came.
#[derive(Debug, Default)]
pub(crate) struct Readings(Vec<(Figure, Kind, usize, f64)>);

impl Readings {
    pub(crate) fn note(&mut self, figure: Figure, kind: Kind, round: usize, value: f64) {
        self.0.push((figure, kind, round, value));
    }

    /// The figures, as they first came.
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (figure, ..) in &self.0 {
            if !figures.contains(figure) {
                figures.push(*figure);
            }
        }
        figures
    }

    fn value(&self, figure: Figure, kind: Kind, round: usize) -> Option<f64> {
        let of = |kind: Kind| {
            let found = self.0.iter().find(|(f, k, r, _)| (*f, *k, *r) == (figure, kind, round));
            found.map(|(.., value)| *value)
        };
        let own = if figure.added && kind != Kind::Direct { of(Kind::Direct)? } else { 0.0 };
        of(kind).map(|value| value - own)
    }

    fn rounds(&self) -> usize {
        self.0.iter().map(|(_, _, round, _)| round + 1).max().unwrap_or(0)
    }

    /// The median over the rounds.
    fn median(&self, of: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = (0..self.rounds()).filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// A Markdown table: what each came to, and qcc's part of the others' within a round.
    pub(crate) fn show(&self) -> String {
        let mut text = String::from("| |");
        for kind in Kind::ALL {
            text.extend([" ", kind.name(), " |"]);
        }
        text += " qcc / nginx | qcc / HAProxy |\n|---|---:|---:|---:|---:|---:|---:|---:|\n";
        for figure in self.figures() {
            text.extend(["| ", figure.name, " |"]);
            for kind in Kind::ALL {
                text += &cell(self.median(|round| self.value(figure, kind, round)));
            }
            for other in [Kind::Nginx, Kind::HaProxy] {
                let ratio = |round| Some(self.value(figure, Kind::Qcc, round)? / self.value(figure, other, round)?);
                text += &self.median(ratio).map_or(" - |".to_owned(), |ratio| format!(" {ratio:.2} |"));
            }
            text.push('\n');
        }
        text
    }
}

fn cell(value: Option<f64>) -> String {
    match value {
        None => " - |".to_owned(),
        Some(value) if value.abs() < 100.0 => format!(" {value:.1} |"),
        Some(value) => format!(" {value:.0} |"),
    }
}
