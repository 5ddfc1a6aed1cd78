//! `init`: a commented site file that explains every input.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::shipped;
use std::path::Path;
use switchback_model::playbook::{Input, InputType};

/// Prints the site file.
pub fn run(playbook: &str, output: &Output) -> Result<u8, Complaint> {
    let loaded = shipped::load(playbook, Path::new("."), &switchback_steps::registry())?;
    let mut text = format!(
        "# One installation of {}. Keep this file under version control; `switchback plan` reads it.\nplaybook: {playbook}\ninputs:\n",
        loaded.playbook.playbook.value
    );
    for (key, input) in loaded.playbook.inputs.iter() {
        text.push_str(&entry(&key.text, input));
    }
    output.data(&text);
    Ok(exit::DONE)
}

fn entry(name: &str, input: &Input) -> String {
    let mut text = String::new();
    if let Some(help) = &input.help {
        text.push_str(&format!("\n  # {help}\n"));
    }
    text.push_str(&format!("  # ({}{})\n", input.r#type, requirement(input)));
    if input.r#type == InputType::Secret {
        let comment = if input.optional == Some(true) { "# " } else { "" };
        text.push_str(&format!(
            "  {comment}{name}: {{env: {}}}   # or {{file: PATH}}\n",
            name.to_uppercase()
        ));
        return text;
    }
    let value = input.default.as_ref().or(input.example.as_ref()).cloned().unwrap_or_default();
    let quoted = if value.contains(['#', ':', '"', '\'', '{', '[']) || value.is_empty() {
        format!("{value:?}")
    } else {
        value
    };
    if input.default.is_some() || input.optional == Some(true) || input.instead_of.is_some() {
        text.push_str(&format!("  # {name}: {quoted}\n"));
    } else {
        text.push_str(&format!("  {name}: {quoted}\n"));
    }
    if input.r#type == InputType::Service {
        text.push_str(SERVICE);
    }
    text
}

fn requirement(input: &Input) -> String {
    match (&input.default, input.optional) {
        (Some(default), _) => format!(", default {default}"),
        (None, Some(true)) => ", optional".to_owned(),
        _ if input.instead_of.is_some() => {
            format!(", instead of {}", input.instead_of.as_ref().map_or("", |other| other.value.as_str()))
        }
        _ => ", required".to_owned(),
    }
}

const SERVICE: &str = "  # or, with commands (status: exit code 0 runs, 1 or 3 is stopped):
  # service:
  #   command:
  #     stop: [docker, compose, -f, /srv/app/compose.yaml, down]
  #     start: [docker, compose, -f, /srv/app/compose.new.yaml, up, -d]
  #     start_old: [docker, compose, -f, /srv/app/compose.yaml, up, -d]
  #     status: [sh, -c, 'test -n \"$(docker compose -f /srv/app/compose.yaml ps -q)\"']
  #     rehearse: {argv: [/opt/app-new/bin/app, --config, /srv/app/app.yml]}   # the new program with its config, for a rehearsal
  # or, as a program that switchback starts and stops itself:
  # service:
  #   process:
  #     old: {argv: [/opt/app-old/bin/app], env: {PORT: \"8080\"}}
  #     new: {argv: [/opt/app-new/bin/app], env: {PORT: \"8080\"}}
";
