//! Tests of the names in Redis.

use super::*;

#[test]
fn a_node_has_the_names_of_the_python_platform() {
    let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
    assert_eq!(
        Layout::whole(Prefix::default()).of(id.parse().unwrap()).task(id.parse().unwrap()),
        format!("task:{id}")
    );
    assert_eq!(Layout::whole(Prefix::default()).shared().function(id.parse().unwrap()), format!("function:{id}"));
}

#[test]
fn a_prefix_stands_before_every_name_and_changes_no_slot() {
    let prefix = "acme".parse().unwrap();
    let task = TaskId::from_bytes([7; 16]);
    for (bare, prefixed) in [
        (Layout::whole(Prefix::default()), Layout::whole(prefix)),
        (Layout::partitioned(Prefix::default()), Layout::partitioned(prefix)),
    ] {
        let names = |layout: Layout| [layout.of(task).task(task), layout.shared().store(), layout.named(READY_CHANNEL)];
        assert_eq!(names(prefixed), names(bare).map(|name| format!("acme:{name}")));
        assert_eq!(prefixed.of(task).tag(), bare.of(task).tag());
    }
}

#[test]
fn the_low_bits_of_a_tasks_id_choose_its_partition() {
    let mut bytes = [0; 16];
    for partition in 0..16 {
        bytes[15] = 0xa0 | partition;
        let task = TaskId::from_bytes(bytes);
        assert_eq!(Layout::partitioned(Prefix::default()).partition(task), usize::from(partition));
        let place = Layout::partitioned(Prefix::default()).of(task);
        assert_eq!(place.tag(), TAGS[usize::from(partition)]);
        assert!(place.task(task).starts_with(&format!("task{}:", place.tag())));
    }
}

#[test]
fn shards_have_the_partitions_of_a_cluster_in_turn() {
    let (cluster, shards) = (Layout::partitioned(Prefix::default()), Layout::sharded(Prefix::default(), 3));
    let servers: Vec<_> = shards.places().map(Place::server).collect();
    assert_eq!(servers, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    assert!(cluster.all().map(Place::tag).eq(shards.all().map(Place::tag)));
    assert_eq!((shards.shared().server(), shards.servers(), cluster.servers()), (0, 3, 1));
}
