//! `schema`: the JSON Schemas, generated from the types that read the files.

use crate::cli::SchemaOf;
use crate::complaint::{Complaint, exit};
use crate::output::Output;
use switchback_model::decode::json_schema;
use switchback_model::playbook::Playbook;
use switchback_model::site_file::SiteFile;

/// Prints one.
pub fn run(of: SchemaOf, output: &Output) -> Result<u8, Complaint> {
    let schema = match of {
        SchemaOf::Site => json_schema::<SiteFile>("switchback site file"),
        SchemaOf::Playbook => {
            let mut schema = json_schema::<Playbook>("switchback playbook");
            let mut cx = switchback_model::decode::Schemas::default();
            let step = switchback_steps::registry().schema(&mut cx);
            if let Some(defs) = schema.get_mut("$defs").and_then(serde_json::Value::as_object_mut) {
                defs.extend(cx.into_defs());
                defs.insert("Step".to_owned(), step);
            }
            schema
        }
    };
    output.data(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    Ok(exit::DONE)
}
