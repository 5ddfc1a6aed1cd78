//! Every scalar value of a file, with the key that leads to it.

use super::super::format::Leaf;
use super::parse::{Kind, Node};
use super::path::written;

/// Returns the scalars in and below a node, in the order of the file.
pub(super) fn leaves(root: &Node) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(root, &mut (String::new(), Vec::new()), &mut found);
    found
}

fn walk(node: &Node, way: &mut (String, Vec<String>), found: &mut Vec<Leaf>) {
    match &node.kind {
        Kind::Scalar { text, .. } => {
            found.push(Leaf { key: way.0.clone(), names: way.1.clone(), value: text.clone() });
        }
        // What it stands for is found where the anchor is.
        Kind::Alias { .. } => {}
        Kind::List { items, .. } => {
            for (at, item) in items.iter().enumerate() {
                let outer = way.0.len();
                way.0.push_str(&format!("[{at}]"));
                walk(item, way, found);
                way.0.truncate(outer);
            }
        }
        Kind::Map { entries, .. } => {
            for entry in entries {
                // A key that is no text has no name; what is in it is a value like any other.
                let Some(name) = entry.name() else {
                    walk(&entry.key, way, found);
                    walk(&entry.value, way, found);
                    continue;
                };
                let outer = way.0.len();
                if outer > 0 {
                    way.0.push('.');
                }
                way.0.push_str(&written(name));
                way.1.push(name.to_owned());
                walk(&entry.value, way, found);
                way.1.pop();
                way.0.truncate(outer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::format::ConfigFormat;

    #[test]
    fn every_scalar_is_there_by_the_key_that_an_edit_takes() {
        let text = "a: &x {b.c: 1, d: ['/p', {e: two}]}\nf: *x\ng:\n  - - |\n      long\n      text\nh:\n";
        let editor = ConfigFormat::Yaml.editor();
        let leaves = editor.leaves(text).unwrap();
        let shown: Vec<_> = leaves.iter().map(|leaf| format!("{}={}", leaf.key, leaf.value)).collect();
        assert_eq!(shown, [r"a.b\.c=1", "a.d[0]=/p", "a.d[1].e=two", "g[0][0]=long\ntext\n", "h=~"]);
        for leaf in leaves.iter().filter(|leaf| leaf.value != "~") {
            assert_eq!(editor.get(text, &leaf.key).unwrap().unwrap(), leaf.value, "{}", leaf.key);
        }
        assert_eq!(leaves[2].names, ["a", "d", "e"]);
    }

    #[test]
    fn variables_are_leaves_as_they_are_read() {
        let leaves = ConfigFormat::Env.editor().leaves("A=1\nexport B=\"x y\"\n#C=2\n").unwrap();
        let shown: Vec<_> = leaves.iter().map(|leaf| format!("{}={}", leaf.key, leaf.value)).collect();
        assert_eq!(shown, ["A=1", "B=x y"]);
    }
}
