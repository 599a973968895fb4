//! The runs as a picture: one row per program, one dot per run, a bar at the median.

use super::sample::Samples;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 34.0;
const TOP: f64 = 40.0;

/// An SVG document. The time axis is logarithmic: the programs differ by more than a factor of ten.
pub(super) fn svg(measured: &[(&str, &Samples)]) -> String {
    let rows: Vec<(&str, &[u64], u64)> = measured
        .iter()
        .map(|(name, samples)| (*name, samples.wall_us.as_slice(), samples.median_wall_us()))
        .collect();
    draw(&rows)
}

/// Draws rows of a name, times in µs and their median.
fn draw(rows: &[(&str, &[u64], u64)]) -> String {
    let all = || rows.iter().flat_map(|(_, times, _)| times.iter().copied());
    let axis = Axis::over(all().min().unwrap_or(1000), all().max().unwrap_or(1000));
    let height = TOP + ROW * rows.len() as f64 + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for us in axis.marks() {
        let x = axis.place(us);
        let ms = us as f64 / 1000.0;
        text.push_str(&format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{height}\" stroke=\"#ddd\"/>\n"
        ));
        text.push_str(&format!("<text x=\"{x:.1}\" y=\"25\" text-anchor=\"middle\">{ms} ms</text>\n"));
    }
    for (row, (name, times, median)) in rows.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        text.push_str(&format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
            LEFT - 15.0,
            y + 4.0
        ));
        for us in *times {
            let x = axis.place(*us);
            text.push_str(&format!(
                "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"3\" fill=\"#36c\" fill-opacity=\"0.35\"/>\n"
            ));
        }
        let (x, up, down) = (axis.place(*median), y - 11.0, y + 11.0);
        text.push_str(&format!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{up}\" y2=\"{down}\" stroke=\"#c30\" stroke-width=\"2\"/>\n"));
    }
    text.push_str("</svg>\n");
    text
}

/// From a little below the least to a little above the greatest time.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn over(least_us: u64, greatest_us: u64) -> Axis {
        Axis { from: (least_us.max(1) as f64 * 0.9).ln(), to: (greatest_us.max(1) as f64 * 1.1).ln() }
    }

    fn place(&self, us: u64) -> f64 {
        let share = ((us.max(1) as f64).ln() - self.from) / (self.to - self.from);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// 1, 2, 5, 10, … ms, as far as they are on the axis.
    fn marks(&self) -> Vec<u64> {
        let decades = (0..7).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power) * 100));
        decades.filter(|us| (self.from..self.to).contains(&(*us as f64).ln())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, draw};

    #[test]
    fn the_axis_holds_every_run_and_has_marks() {
        let axis = Axis::over(3600, 49_000);
        assert!(axis.place(3600) > 150.0 && axis.place(49_000) < 870.0);
        assert_eq!(axis.marks(), [5_000, 10_000, 20_000, 50_000]);
    }

    #[test]
    fn each_run_is_a_dot_and_each_program_a_bar() {
        let text = draw(&[("floor", &[3600, 3700], 3600), ("runc", &[49_000], 49_000)]);
        assert_eq!(text.matches("<circle").count(), 3);
        assert_eq!(text.matches("stroke-width=\"2\"").count(), 2);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
    }
}
