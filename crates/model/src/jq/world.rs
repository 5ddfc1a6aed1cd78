//! What a program that is run over the records of a stream can ask for beside its record.

use jaq_core::data::HasLut;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{DataT, Error, Lut, ValR};
use jaq_json::Val;

/// What a program over records knows beyond its record. It must answer the same whenever it is asked.
pub trait World {
    /// Returns the place of a key in an index, from 0; `None` when it is not in it. An error says what is wrong with the index.
    fn rank(&self, index: &str, key: &str) -> Result<Option<u64>, String>;
    /// Returns what goes with a key in an index, as JSON text; `None` when the key is not in it.
    fn lookup(&self, index: &str, key: &str) -> Result<Option<String>, String>;
    /// Returns what `uuid` hashes names together with: different in each run, and the same in each life of a run.
    fn seed(&self) -> &[u8];
}

/// The kind of data that our natives see.
pub(super) struct Data;

/// A program's table of terms, and the world around it if there is one.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) lut: &'a Lut<Data>,
    pub(super) world: Option<&'a dyn World>,
}

impl DataT for Data {
    type V<'a> = Val;
    type Data<'a> = Around<'a>;
}

impl<'a> HasLut<'a, Data> for Around<'a> {
    fn lut(&self) -> &'a Lut<Data> {
        self.lut
    }
}

/// Definitions that go with [`funs`].
pub(super) const DEFS: &str = r#"
def known($index; $key): rank($index; $key) != null;
"#;

/// The functions of a program over records.
pub(super) fn funs() -> Vec<Fun<Data>> {
    vec![
        run(("uuid", v(1), |mut cv| {
            let name = cv.0.pop_var();
            bome(world(cv.0.data()).and_then(|world| uuid(world.seed(), super::natives::text(&name)?)))
        })),
        run(("rank", v(2), |mut cv| {
            let key = cv.0.pop_var();
            let index = cv.0.pop_var();
            bome(world(cv.0.data()).and_then(|world| rank(world, &index, &key)))
        })),
        run(("lookup", v(2), |mut cv| {
            let key = cv.0.pop_var();
            let index = cv.0.pop_var();
            bome(world(cv.0.data()).and_then(|world| lookup(world, &index, &key)))
        })),
    ]
}

fn world<'a>(around: &Around<'a>) -> Result<&'a dyn World, Error<Val>> {
    around
        .world
        .ok_or_else(|| Error::str("`uuid`, `rank`, `known` and `lookup` are for programs over records"))
}

fn rank(world: &dyn World, index: &Val, key: &Val) -> ValR<Val> {
    let rank = world.rank(super::natives::text(index)?, super::natives::text(key)?).map_err(Error::str)?;
    let rank = rank.map(isize::try_from).transpose().map_err(Error::str)?;
    Ok(rank.map_or(Val::Null, Val::from))
}

fn lookup(world: &dyn World, index: &Val, key: &Val) -> ValR<Val> {
    let (index, key) = (super::natives::text(index)?, super::natives::text(key)?);
    match world.lookup(index, key).map_err(Error::str)? {
        Some(json) => super::natives::from_json(&bytes::Bytes::from(json)),
        None => Ok(Val::Null),
    }
}

/// A UUID of version 8 (RFC 9562, section 5.8): a hash of the seed and the name, in which only version and variant are set.
fn uuid(seed: &[u8], name: &str) -> ValR<Val> {
    let mut hasher = blake3::Hasher::new_derive_key("switchback 2026 uuid of a name in a run");
    hasher.update(&(seed.len() as u64).to_le_bytes()).update(seed).update(name.as_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 0x0f)]);
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        text.extend(matches!(at, 4 | 6 | 8 | 10).then_some('-'));
        text.extend([digit(byte >> 4), digit(*byte)]);
    }
    Ok(Val::from(text))
}
