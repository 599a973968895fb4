//! What happens to containers, for whoever listens: JSON lines in `events` of the run directory.

use super::json::Json;
use crate::store::{Container, now_ns, time};

/// Begins an event of `kind` about `container`; [`publish`] ends it.
pub(super) fn begin(kind: &str, container: &Container) -> Json {
    let mut json = Json::default();
    json.open(b'{').key(b"time").string(&time::stamp(now_ns()));
    json.key(b"type").string(kind.as_bytes());
    json.key(b"id").string(container.id.as_str().as_bytes());
    json.key(b"name").string(container.record.name.as_bytes());
    json.key(b"image").string(container.record.image.as_encoded_bytes());
    json
}

/// Makes it known. Best effort: what happens does not depend on who hears of it.
pub(super) fn publish(container: &Container, mut event: Json) {
    event.close(b'}');
    let mut line = event.into_text();
    line.push(b'\n');
    container.store().tell(&line).unwrap_or(());
}
