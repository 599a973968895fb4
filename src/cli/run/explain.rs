//! `--dry-run`: the plan as text or as JSON.

use super::request::Request;
use crate::cli::Outcome;
use crate::cli::json::Json;
use crate::cli::report;
use crate::cli::text::Text;
use pipkin::plan::{Description, Plan, Value};

/// Prints `plan` in words.
pub(super) fn in_words(plan: &Plan<'_>) -> Outcome {
    let mut text = Text::default();
    // Infallible: the text grows as needed.
    plan.write(&mut text).unwrap_or(());
    report::write(text.0.as_bytes())
}

/// Prints `plan` as one object: id, image, and two arrays of steps, each with its name and its fields.
pub(super) fn as_json(plan: &Plan<'_>, request: &Request<'_>) -> Outcome {
    let mut json = Json::default();
    json.open(b'{').key(b"id").string(request.spec.id.as_str().as_bytes());
    json.key(b"image").string(request.image.as_encoded_bytes());
    json.key(b"host").open(b'[');
    plan.host.iter().for_each(|step| write_step(&step.describe(), &mut json));
    json.close(b']').key(b"child").open(b'[');
    plan.child.iter().for_each(|step| write_step(&step.describe(), &mut json));
    json.close(b']').close(b'}');
    let mut text = json.into_text();
    text.push(b'\n');
    report::write(&text)
}

fn write_step(description: &Description<'_>, json: &mut Json) {
    json.open(b'{').key(b"step").string(description.name.as_bytes());
    for (name, value) in &description.fields {
        json.key(name.as_bytes());
        write_value(value, json);
    }
    json.close(b'}');
}

fn write_value(value: &Value<'_>, json: &mut Json) {
    match *value {
        Value::Bytes(bytes) => json.string(bytes),
        Value::Number(number) => json.literal(&number.to_string()),
        Value::Signed(number) => json.number(number),
        Value::Yes(yes) => json.boolean(yes),
        Value::Capabilities(set) => list(set.names().map(str::as_bytes), json),
        Value::Paths(paths) => list(paths.iter().map(|path| path.to_bytes()), json),
        _ => {
            let mut text = Text::default();
            // Infallible: the text grows as needed.
            value.write(&mut text).unwrap_or(());
            json.string(text.0.as_bytes())
        }
    };
}

fn list<'a, 'j>(items: impl Iterator<Item = &'a [u8]>, json: &'j mut Json) -> &'j mut Json {
    json.open(b'[');
    for item in items {
        json.string(item);
    }
    json.close(b']')
}
