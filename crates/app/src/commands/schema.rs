//! `schema`: the JSON Schemas, generated from the types that read the files.

use crate::cli::SchemaOf;
use crate::complaint::{Complaint, exit};
use crate::output::Output;
use switchback_model::decode::{Schemas, json_schema, json_schema_with};
use switchback_model::playbook::Playbook;
use switchback_model::site_file::SiteFile;

/// Prints one.
pub fn run(of: SchemaOf, output: &Output) -> Result<u8, Complaint> {
    let schema = match of {
        SchemaOf::Site => json_schema::<SiteFile>("switchback site file"),
        SchemaOf::Playbook => {
            let mut cx = Schemas::default();
            let step = switchback_steps::registry().schema(&mut cx);
            cx.name("Step", step);
            json_schema_with::<Playbook>("switchback playbook", cx)
        }
    };
    output.data(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    Ok(exit::DONE)
}
