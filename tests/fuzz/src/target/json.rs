//! JSON: read as another reader reads it, but for what is documented to be refused.

use crate::oci::json::{Value, parse};
use serde_json::Value as Theirs;

/// A document.
pub(super) fn run(data: &[u8]) {
    let theirs = serde_json::from_slice::<Theirs>(data);
    match parse(data) {
        Ok(ours) => match theirs {
            Ok(theirs) => compare(&ours, &theirs),
            // A number beyond what floating point holds keeps its text here.
            Err(error) => assert!(error.to_string().starts_with("number out of range"), "accepted: {error}"),
        },
        Err(fault) => {
            assert!(fault.at <= data.len() && fault.in_document(data).starts_with("line "));
            let stricter = fault.what.contains("nested too deep") || fault.what.contains("given before");
            assert!(stricter || theirs.is_err(), "refused: {}", fault.what);
        }
    }
}

fn compare(ours: &Value<'_>, theirs: &Theirs) {
    match theirs {
        Theirs::Null => assert!(ours.text().is_err() && ours.array().is_err() && ours.signed().is_err()),
        Theirs::Bool(_) => assert!(ours.is_boolean()),
        Theirs::Number(number) => {
            assert_eq!(ours.whole(u64::MAX).ok(), number.as_u64());
            // A minus and a zero are a fraction to them.
            assert!(ours.signed().ok() == number.as_i64() || ours.signed() == Ok(0));
        }
        Theirs::String(text) => assert_eq!(ours.text(), Ok(text.as_str())),
        Theirs::Array(elements) => {
            let own = ours.array().expect("an array");
            assert_eq!(own.len(), elements.len());
            own.iter().zip(elements).for_each(|(own, element)| compare(own, element));
        }
        Theirs::Object(members) => {
            assert_eq!(ours.members().len(), members.len());
            for (name, value) in ours.members() {
                compare(value, members.get(name.as_ref()).expect("the same members"));
            }
        }
    }
}
