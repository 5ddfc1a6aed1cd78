//! For how long maintenance was on: the same words for the report and the status.

use jiff::Timestamp;
use serde_json::{Value, json};
use switchback_model::maintenance::{Ended, Spell};
use switchback_model::words;

/// For machines: one entry for each time that an endpoint was in maintenance.
pub fn json(spells: &[Spell]) -> Value {
    let entry = |spell: &Spell| {
        let (until, ended) = spell.until.clone().unzip();
        json!({
            "target": spell.target, "reached": spell.reached, "since": spell.since, "until": until, "ended": ended,
            "took_ms": took_ms(spell),
        })
    };
    spells.iter().map(entry).collect()
}

/// For people: a line of its own.
pub fn line(spell: &Spell) -> String {
    let (target, since) = (&spell.target, second(&spell.since));
    let Some((until, how)) = &spell.until else {
        return match spell.reached {
            true => format!("maintenance of {target} is on since {since}"),
            false => format!("maintenance of {target} was asked for at {since}, and may be on"),
        };
    };
    let took = took_ms(spell).map_or_else(String::new, |ms| format!(" ({})", words::duration(ms)));
    let was = if spell.reached { "was on" } else { "was asked for, and not reached," };
    let how = match how {
        Ended::Left => "",
        Ended::TakenBack => ", taken back",
        Ended::Stopped => ", when its service was stopped",
    };
    format!("maintenance of {target} {was} from {since} to {}{took}{how}", second(until))
}

/// Milliseconds by the wall clock: the pauses between lives are part of it.
fn took_ms(spell: &Spell) -> Option<u64> {
    let at = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    u64::try_from(at(&spell.until.as_ref()?.0)? - at(&spell.since)?).ok()
}

/// A time to the second.
fn second(text: &str) -> String {
    let at = text.parse::<Timestamp>();
    at.map_or_else(|_| text.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
