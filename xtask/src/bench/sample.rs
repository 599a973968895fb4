//! What a program's runs took, and what is said about many of them: medians and deciles, never means.

/// The runs of one program, in no order.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) wall_us: Vec<u64>,
    /// User and system time together: the kernel's split of so short a time is a guess.
    cpu_us: Vec<u64>,
    peak_kib: Vec<u64>,
    /// Runs that did not end with status 0.
    failures: usize,
}

impl Samples {
    /// Takes one line of the stopwatch, its first field (the place) left out.
    ///
    /// `None` when it is not five numbers.
    pub(super) fn push(&mut self, fields: &[u64]) -> Option<()> {
        let [wall_ns, user_us, system_us, peak_kib, status] = *fields else { return None };
        self.wall_us.push(wall_ns / 1000);
        self.cpu_us.push(user_us + system_us);
        self.peak_kib.push(peak_kib);
        self.failures += usize::from(status != 0);
        Some(())
    }

    pub(super) fn median_wall_us(&self) -> u64 {
        percentile(&self.wall_us, 50)
    }

    /// The wall time columns of the table.
    pub(super) fn wall(&self) -> String {
        let [low, middle, high] = [10, 50, 90].map(|percent| ms(percentile(&self.wall_us, percent)));
        let failed = if self.failures == 0 { String::new() } else { format!(", {} failed", self.failures) };
        format!("{middle} | {low} to {high}{failed}")
    }

    /// The columns of CPU time and memory.
    pub(super) fn rest(&self) -> String {
        format!("{} | {}", ms(percentile(&self.cpu_us, 50)), percentile(&self.peak_kib, 50))
    }
}

/// The value below which `percent` of all lie (nearest rank); 0 for none at all.
pub(super) fn percentile(values: &[u64], percent: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(0)
}

fn ms(us: u64) -> String {
    format!("{:.2}", us as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::{Samples, percentile};

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [5, 1, 4, 2, 3, 10, 9, 8, 7, 6];
        assert_eq!([10, 50, 90, 100].map(|percent| percentile(&values, percent)), [1, 5, 9, 10]);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn a_line_of_the_stopwatch_is_one_sample() {
        let mut samples = Samples::default();
        assert_eq!(samples.push(&[3_600_000, 700, 900, 812, 0]), Some(()));
        assert_eq!(samples.push(&[3_600_000, 700, 900, 812, 125]), Some(()));
        assert_eq!(samples.push(&[1, 2]), None);
        assert_eq!(samples.wall(), "3.60 | 3.60 to 3.60, 1 failed");
        assert_eq!(samples.rest(), "1.60 | 812");
    }
}
