//! As much of JSON Schema as `switchback schema` writes. A keyword that is not known here fails the test that meets it.

use regex::Regex;
use serde_json::{Map, Value};

/// Says where the value is not what the schema allows; nothing if it is.
pub fn wrong(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Walk { root: schema }.look(schema, value, "", &mut found);
    found
}

struct Walk<'a> {
    root: &'a Value,
}

impl Walk<'_> {
    fn look(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let Value::Object(rules) = schema else {
            assert!(schema.is_boolean(), "a schema is {schema}");
            if schema == &Value::Bool(false) {
                found.push(format!("{at}: nothing is allowed here"));
            }
            return;
        };
        for (rule, wanted) in rules {
            match rule.as_str() {
                "$schema" | "$defs" | "title" | "description" | "examples" | "default" => {}
                "$ref" => self.look(self.resolve(wanted), value, at, found),
                "type" => {
                    let types = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                    if !types.iter().any(|one| is_a(one.as_str().unwrap(), value)) {
                        found.push(format!("{at}: {value} is no {wanted}"));
                    }
                }
                "const" => self.must(value == wanted, format!("{at}: {value} is not {wanted}"), found),
                "enum" => {
                    let known = wanted.as_array().unwrap().contains(value);
                    self.must(known, format!("{at}: {value} is not one of {wanted}"), found);
                }
                "pattern" => {
                    let fits = Regex::new(wanted.as_str().unwrap()).unwrap();
                    let holds = value.as_str().is_none_or(|text| fits.is_match(text));
                    self.must(holds, format!("{at}: {value} does not match {wanted}"), found);
                }
                "minimum" => {
                    let holds = value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap());
                    self.must(holds, format!("{at}: {value} is less than {wanted}"), found);
                }
                "maximum" => {
                    let holds = value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap());
                    self.must(holds, format!("{at}: {value} is more than {wanted}"), found);
                }
                "oneOf" | "anyOf" => self.some(rule, wanted, value, at, found),
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.look(wanted, item, &format!("{at}/{i}"), found);
                    }
                }
                "required" => {
                    for key in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                        let there = value.as_object().is_none_or(|map| map.contains_key(key));
                        self.must(there, format!("{at}: `{key}` is missing"), found);
                    }
                }
                "properties" | "additionalProperties" => {}
                other => panic!("the validator does not know `{other}`"),
            }
        }
        if let Value::Object(map) = value {
            self.keys(rules, map, at, found);
        }
    }

    fn keys(&self, rules: &Map<String, Value>, map: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
        for (key, value) in map {
            let here = format!("{at}/{key}");
            let own = rules.get("properties").and_then(|known| known.get(key));
            match (own, rules.get("additionalProperties")) {
                (Some(schema), _) => self.look(schema, value, &here, found),
                (None, Some(Value::Bool(false))) => found.push(format!("{here}: unknown key")),
                (None, Some(schema)) => self.look(schema, value, &here, found),
                (None, None) => {}
            }
        }
    }

    fn some(&self, rule: &str, wanted: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let tries: Vec<Vec<String>> = wanted
            .as_array()
            .unwrap()
            .iter()
            .map(|schema| {
                let mut found = Vec::new();
                self.look(schema, value, at, &mut found);
                found
            })
            .collect();
        let fit = tries.iter().filter(|found| found.is_empty()).count();
        if fit == 0 {
            // The one that came deepest is the one that was meant.
            let nearest = tries.into_iter().min_by_key(Vec::len).unwrap_or_default();
            found.push(format!("{at}: fits none ({})", nearest.join("; ")));
        } else if rule == "oneOf" && fit > 1 {
            found.push(format!("{at}: fits {fit} where one is wanted"));
        }
    }

    fn must(&self, holds: bool, message: String, found: &mut Vec<String>) {
        if !holds {
            found.push(message);
        }
    }

    fn resolve(&self, reference: &Value) -> &Value {
        let name = reference.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        self.root["$defs"].get(name).unwrap_or_else(|| panic!("the schema has no `{name}`"))
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the validator does not know the type `{other}`"),
    }
}
