//! Tests of the use of a store's space.

use super::Subject;

pub(crate) async fn a_store_has_room(subject: &dyn Subject) {
    let room = subject.store().room().await.unwrap();
    assert!(room.total_bytes > 0 && room.free_bytes <= room.total_bytes, "{room:?}");
}
