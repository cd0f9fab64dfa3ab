//! `fusebox schema`: the JSON Schema of `fusebox.toml`, by which editors complete and check it.

use clap::Args;
use fusebox_ui as ui;
use serde_json::{Value, json};
use utoipa::PartialSchema as _;

use super::manifest::Manifest;

/// Arguments of `fusebox schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Projects made by `fusebox new` have it in .fusebox.schema.json, and their fusebox.toml names it in its first line, where
editors with a TOML language server find it:

  #:schema ./.fusebox.schema.json")]
pub struct SchemaArgs {}

/// Prints the schema.
///
/// # Errors
/// Fails if stdout is closed.
pub fn run(_: &SchemaArgs) -> anyhow::Result<()> {
    ui::json(&schema()?)
}

/// Returns the JSON Schema of the file.
///
/// # Errors
/// Fails if the types cannot be written as JSON, which a test rules out.
pub(crate) fn schema() -> serde_json::Result<Value> {
    let mut schema = serde_json::to_value(Manifest::schema())?;
    flatten(&mut schema);
    if let Value::Object(keys) = &mut schema {
        keys.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        keys.insert("title".to_owned(), json!("fusebox.toml"));
    }
    for place in ["input", "output"] {
        if let Some(schema) = schema.pointer_mut(&format!("/properties/schema/properties/{place}")) {
            let description = format!("JSON Schema of the {place}: the path of a file, or the schema itself.");
            *schema = json!({"type": ["string", "object", "boolean"], "description": description});
        }
    }
    Ok(schema)
}

/// Joins the parts of each table, which the derived schema has apart: the type's, and the description of its key.
fn flatten(schema: &mut Value) {
    let Value::Object(keys) = schema else { return };
    if let Some(Value::Array(parts)) = keys.remove("allOf") {
        keys.extend(
            parts
                .into_iter()
                .filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None })
                .flatten(),
        );
    }
    keys.values_mut().for_each(flatten);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_stands_alone_and_refuses_unknown_keys() {
        let schema = schema().unwrap();
        insta::assert_json_snapshot!("schema", schema);
        let text = schema.to_string();
        assert!(!text.contains("$ref"), "it stands alone: {text}");
        for closed in ["", "/properties/build", "/properties/limits", "/properties/schema"] {
            assert_eq!(schema.pointer(&format!("{closed}/additionalProperties")), Some(&json!(false)), "{closed}");
        }
        assert_eq!(schema["required"], json!(["name"]));
    }
}
