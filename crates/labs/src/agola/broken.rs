//! The inputs that the vendor's tool was tried with (systems/agola.md §5.6), made from an export.

/// Returns every broken input that can be made of an export, by name: the records are those of [`split`].
pub fn broken_inputs(export: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let records = split(export);
    let joined = |records: &[&[u8]]| records.concat();
    let reversed: Vec<&[u8]> = records.iter().rev().copied().collect();
    let half = records.len() / 2;
    let middle: usize = records[..half].iter().map(|record| record.len()).sum();
    // The types of an export change where `data_type` does; the last types first is runconfigs before runs.
    let kind = |record: &[u8]| {
        let text = String::from_utf8_lossy(record).into_owned();
        text.split("\"data_type\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default()
            .to_owned()
    };
    let first = records.first().map(|record| kind(record)).unwrap_or_default();
    let (of_first, others): (Vec<&[u8]>, Vec<&[u8]>) =
        records.iter().copied().partition(|record| kind(record) == first);
    vec![
        ("dup", [export, records.first().copied().unwrap_or_default()].concat()),
        ("empty", Vec::new()),
        ("null-record", b"null".to_vec()),
        ("rcfirst", [joined(&others), joined(&of_first)].concat()),
        ("reversed", joined(&reversed)),
        ("trunc-bound", export[..middle].to_vec()),
        ("trunc-mid", export[..middle + records.get(half).map_or(0, |record| record.len() / 2)].to_vec()),
    ]
}

/// Cuts an export into its records, which have nothing between them.
pub fn split(export: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    let (mut begun, mut depth, mut quoted, mut escaped) = (0, 0, false, false);
    for (at, byte) in export.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    records.push(&export[begun..=at]);
                    begun = at + 1;
                }
            }
            _ => {}
        }
    }
    records
}
