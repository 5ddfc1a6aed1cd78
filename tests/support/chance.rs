//! Random numbers that can be had again.

#![allow(dead_code)]

use std::time::{Duration, SystemTime};

/// Says which numbers to draw; without it they are others each time.
const SEED: &str = "SWITCHBACK_SEED";
/// Asks for so many cases where CI has few.
const SOAK: &str = "SWITCHBACK_SOAK";

/// A stream of numbers (SplitMix64, from Steele, Lea and Flood 2014).
#[derive(Debug, Clone, Copy)]
pub struct Chance(u64);

impl Chance {
    /// The stream of one case: the same for the same seed and number, whatever other cases draw.
    pub fn of(seed: u64, case: u64) -> Chance {
        let mut chance = Chance(seed ^ case.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        chance.next();
        chance
    }

    /// Draws a number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Draws a moment within `span`.
    pub fn moment(&mut self, span: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(span.as_micros()).unwrap()))
    }
}

/// The seed of this run of the tests, said aloud so that a failure can be had again.
#[allow(clippy::print_stdout)]
pub fn seed(of: &str) -> u64 {
    let given = std::env::var(SEED).ok().map(|text| text.parse().expect("SWITCHBACK_SEED is a number"));
    let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = given.unwrap_or_else(fresh);
    println!("crash: {of}: SWITCHBACK_SEED={seed}");
    seed
}

/// How many cases to run: `usual`, or what was asked for.
pub fn cases(usual: u64) -> u64 {
    soak().unwrap_or(usual)
}

/// How many cases were asked for.
pub fn soak() -> Option<u64> {
    std::env::var(SOAK).ok().map(|text| text.parse().expect("SWITCHBACK_SOAK is a number"))
}
