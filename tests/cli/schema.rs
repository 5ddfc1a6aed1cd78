//! `schema`

use crate::support::Place;

#[test]
fn schema_prints_json_schemas_of_both_files() {
    for (args, title) in [
        (&["schema"][..], "switchback playbook"),
        (&["schema", "playbook"], "switchback playbook"),
        (&["schema", "site"], "switchback site file"),
    ] {
        let value = Place::empty().run(args).json();
        assert_eq!(value["title"], title);
        assert_eq!(value["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}
