//! Lines for people, without what only the programs may read.

use super::format::ConfigFormat;
use crate::secret::MASK;
use regex::Regex;
use std::sync::LazyLock;

/// Whether the name of a key says that its value is nobody's business.
pub fn looks_secret(key: &str) -> bool {
    const WORDS: [&str; 8] = ["key", "secret", "passw", "pwd", "token", "credential", "private", "salt"];
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// A value that was commented out, and a password inside a URL.
static LEFTOVERS: LazyLock<[Option<Regex>; 2]> = LazyLock::new(|| {
    [
        Regex::new(r"^(?P<keep>\s*#.*?(?P<name>[\w.-]+)\s*[=:]\s*)(?P<hide>\S.*)$").ok(),
        Regex::new(r"(?P<keep>://[^/\s:@]*:)(?P<hide>[^\s@]+)@").ok(),
    ]
});

/// Returns the lines of a config file for people: the values of keys that look secret, passwords in URLs and
/// commented-out secrets are shown as `…`. There are as many as the text has lines.
pub fn masked_lines(format: ConfigFormat, text: &str) -> Vec<String> {
    let secrets = format.editor().secrets(text);
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        let mut shown = String::new();
        let mut at = start;
        for secret in &secrets {
            let (from, to) = (secret.start.max(at), secret.end.min(end));
            if from < to {
                shown.push_str(&text[at..from]);
                shown.push_str(MASK);
                at = to;
            }
        }
        shown.push_str(&text[at..end]);
        lines.push(without_leftovers(shown));
        start += line.len();
    }
    lines
}

fn without_leftovers(line: String) -> String {
    let [commented, url] = &*LEFTOVERS;
    let mut line = line;
    if let Some(found) = commented.as_ref().and_then(|regex| regex.captures(&line))
        && looks_secret(&found["name"])
    {
        line = format!("{}{MASK}", &found["keep"]);
    }
    match url {
        Some(url) => url.replace_all(&line, format!("${{keep}}{MASK}@")).into_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_env_file_are_not_shown() {
        let text = "A=1\nDB_PASSWORD='x\ny' # note\n# OLD_TOKEN=abc\nURL=postgres://me:pw@host/db\n# see the docs: here\n";
        let lines = masked_lines(ConfigFormat::Env, text);
        assert_eq!(
            lines,
            [
                "A=1",
                "DB_PASSWORD=…",
                "… # note",
                "# OLD_TOKEN=…",
                "URL=postgres://me:…@host/db",
                "# see the docs: here"
            ]
        );
    }

    #[test]
    fn secrets_of_a_yaml_file_are_not_shown() {
        let text = "a: 1\ntokenSigning:\n  cert: |\n    line 1\n    line 2\n  x: [p, q]\nenvironment:\n  - API_KEY=abc\n  - MODE=fast\n";
        let lines = masked_lines(ConfigFormat::Yaml, text);
        assert_eq!(
            lines,
            [
                "a: 1",
                "tokenSigning:",
                "  cert: |",
                "    …",
                "…",
                "  x: […, …]",
                "environment:",
                "  - …",
                "  - MODE=fast"
            ]
        );
    }
}
