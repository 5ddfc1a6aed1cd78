//! Names that are legal in the application and hostile to whoever cuts, quotes or compares them carelessly.

/// Machine names in the order in which they are given out. The first five are those of the small lab:
/// a name and the same name with a `:` behind it, quotes, unicode, and the first name once more.
const MACHINES: [&str; 12] = [
    "attic",
    "attic:nas",
    "O'Brien \"lab\"; DROP TABLE machines;--",
    "Büro Süd „Lager” 倉庫 🗄️",
    "attic",
    "{machine_name} ${name} %41 \\u0041",
    "../up/../down?x=1#y & z",
    "line one\nline two\ttab",
    "nul\0inside",
    "e\u{301}toile / \u{e9}toile \u{202e}rtl",
    "00123",
    ":",
];

/// Job names of each of the first five machines. With the names above the setting `attic:nas:Files` means two pairs.
const JOBS: [&[&str]; 5] = [
    &["Files", "nas:Files"],
    &["Files", "C: drive"],
    &["Files", "Bob's \"docs\""],
    &["Fotos 写真 📷", " padded "],
    &["Files", "Databases"],
];

/// Returns the name of machine `index`, counted from 0.
pub fn machine(index: u32) -> String {
    match MACHINES.get(index as usize) {
        Some(name) => (*name).to_owned(),
        None => format!("host-{index:04}"),
    }
}

/// Returns the jobs of machine `index`, counted from 0.
pub fn jobs(index: u32) -> &'static [&'static str] {
    JOBS[index as usize % JOBS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_five_machines_share_a_name_and_hide_a_colon() {
        let five: Vec<String> = (0..5).map(machine).collect();
        assert_eq!(five[0], five[4]);
        assert!(five.iter().any(|name| name.contains(':')));
        assert!(
            jobs(0).iter().any(|job| format!("{}:{job}", five[0]) == format!("{}:{}", five[1], jobs(1)[0]))
        );
    }
}
