//! JSON Schemas for editors, from the same declarations as the decoders (draft 2020-12).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::Decode;
use super::fields::plain_key;

/// Returns the schema of a whole file that holds a `T`.
pub fn json_schema<T: Decode>(title: &str) -> Json {
    json_schema_with::<T>(title, Schemas::default())
}

/// Returns the schema of a whole file that holds a `T`, with definitions that were met before. One set of names for
/// all of them keeps two types of one name apart.
pub fn json_schema_with<T: Decode>(title: &str, mut cx: Schemas) -> Json {
    let root = T::schema(&mut cx);
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(title));
    if let Json::Object(root) = root {
        schema.extend(root);
    }
    if !cx.definitions.is_empty() {
        schema.insert("$defs".to_owned(), Json::Object(cx.definitions.into_iter().collect()));
    }
    Json::Object(schema)
}

/// The named schemas that were met so far.
#[derive(Debug, Default)]
pub struct Schemas {
    definitions: BTreeMap<String, Json>,
    /// From the full path of a type to the name of its definition.
    names: BTreeMap<&'static str, String>,
}

impl Schemas {
    /// Defines the schema of a type once, and returns a reference to it; a type may refer to itself.
    ///
    /// `path` is the type's full path; two types of one name in different modules get different names.
    pub fn define(&mut self, path: &'static str, schema: impl FnOnce(&mut Self) -> Json) -> Json {
        let name = match self.names.get(path) {
            Some(name) => name.clone(),
            None => {
                let name = self.free_name(path);
                self.names.insert(path, name.clone());
                // The placeholder keeps the name while the type's own fields are looked at.
                self.definitions.insert(name.clone(), Json::Bool(true));
                let schema = schema(self);
                self.definitions.insert(name.clone(), schema);
                name
            }
        };
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// Defines a schema under a name of its own, for those who refer to it by that name.
    pub fn name(&mut self, name: &str, schema: Json) {
        self.definitions.insert(name.to_owned(), schema);
    }

    /// Returns what a reference made by [`Schemas::define`] stands for; any other schema stands for itself.
    pub fn resolved(&self, schema: &Json) -> Json {
        let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema).clone()
    }

    fn free_name(&self, path: &str) -> String {
        let short = path.rsplit("::").next().unwrap_or(path);
        let mut name = short.to_owned();
        let mut count = 2;
        while self.definitions.contains_key(&name) {
            name = format!("{short}{count}");
            count += 1;
        }
        name
    }
}

/// One field of a record, as its schema needs it.
#[doc(hidden)]
#[derive(Debug)]
pub struct FieldSchema {
    pub name: &'static str,
    pub required: bool,
    pub docs: &'static [&'static str],
    pub schema: Json,
}

impl FieldSchema {
    /// Returns the schema of a map with exactly these keys.
    pub fn object(docs: &[&str], fields: Vec<Self>) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let key = plain_key(field.name);
            if field.required {
                required.push(key);
            }
            properties.insert(key.to_owned(), described(field.schema, field.docs));
        }
        let mut object = described(json!({ "type": "object", "additionalProperties": false }), docs);
        object["properties"] = Json::Object(properties);
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }
}

/// Returns the schema of one word of a few.
#[doc(hidden)]
pub fn choice_schema(docs: &[&str], words: &[(&str, &[&str])]) -> Json {
    let words: Vec<Json> =
        words.iter().map(|(word, docs)| described(json!({ "const": word }), docs)).collect();
    described(json!({ "oneOf": words }), docs)
}

fn described(mut schema: Json, docs: &[&str]) -> Json {
    let text = prose(docs);
    if let (Json::Object(map), false) = (&mut schema, text.is_empty()) {
        map.insert("description".to_owned(), Json::String(text));
    }
    schema
}

/// Joins the lines of a doc comment into paragraphs.
#[doc(hidden)]
pub fn prose(docs: &[&str]) -> String {
    let mut text = String::new();
    for line in docs.iter().map(|line| line.trim()) {
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim().to_owned()
}
