//! Taking times in turns, so that whatever else the machine does falls on both sides alike.

use std::time::{Duration, Instant};

/// The times of one side.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn none() -> Times {
        Times(Vec::new())
    }

    /// Does it and takes its time.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let clock = Instant::now();
        let done = work();
        self.0.push(clock.elapsed());
        done
    }

    /// The middle one; of two in the middle the later.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).map_or(f64::NAN, Duration::as_secs_f64) * 1000.0
    }

    /// The quickest and the slowest.
    pub fn span(&self) -> (f64, f64) {
        let ms = |time: Option<&Duration>| time.map_or(f64::NAN, Duration::as_secs_f64) * 1000.0;
        (ms(self.0.iter().min()), ms(self.0.iter().max()))
    }

    /// Prints the middle and the ends.
    pub fn say(&self, what: &str) {
        let (least, most) = self.span();
        println!("{what:<58} {:>9.1} ms   ({least:.1} to {most:.1}, {} rounds)", self.median(), self.0.len());
    }
}

/// Prints how many times longer `ours` takes than `theirs`: by the medians, and the middle one of the rounds' own ratios.
pub fn ratio(what: &str, ours: &Times, theirs: &Times, target: f64) {
    let mut each: Vec<f64> = ours
        .0
        .iter()
        .zip(&theirs.0)
        .map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64())
        .collect();
    each.sort_by(f64::total_cmp);
    let middle = each.get(each.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "{what:<58} {:>9.2} ×    (round by round {middle:.2}; wanted ≤ {target})",
        ours.median() / theirs.median()
    );
}
