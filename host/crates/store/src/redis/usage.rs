//! Space of Redis, as its masters report it.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::{RedisStore, answers, caller::Caller, counted, server};
use crate::{Result, Room, Usage};

#[async_trait]
impl Usage for RedisStore {
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64> {
        let amounts = counted::amounts(&self.caller, &[tenant]).await?;
        Ok(amounts.first().map_or(0, |amounts| amounts.bytes))
    }

    async fn room(&self) -> Result<Room> {
        room(&self.caller).await
    }
}

async fn room(caller: &Caller) -> Result<Room> {
    let mut room = Room { total_bytes: 0, free_bytes: 0 };
    for info in server::infos(caller, Some("memory")).await?.into_iter().flat_map(|(_, infos)| infos) {
        let of = room_in(&info).ok_or_else(|| answers::unexpected("the memory of a server"))?;
        room.total_bytes = room.total_bytes.saturating_add(of.total_bytes);
        room.free_bytes = room.free_bytes.saturating_add(of.free_bytes);
    }
    Ok(room)
}

/// Reads the section `memory` of a server's information.
fn room_in(info: &str) -> Option<Room> {
    let number = |name: &str| server::field(info, name)?.parse::<u64>().ok();
    let total_bytes = number("maxmemory").filter(|max| *max > 0).or_else(|| number("total_system_memory"))?;
    Some(Room { total_bytes, free_bytes: total_bytes.saturating_sub(number("used_memory")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_room_is_its_bound_or_else_the_machines_memory() {
        let info = |max: u64| format!("# Memory\r\nused_memory:10\r\ntotal_system_memory:500\r\nmaxmemory:{max}\r\n");
        assert_eq!(room_in(&info(64)), Some(Room { total_bytes: 64, free_bytes: 54 }));
        assert_eq!(room_in(&info(0)), Some(Room { total_bytes: 500, free_bytes: 490 }));
        assert_eq!(room_in(&info(9)), Some(Room { total_bytes: 9, free_bytes: 0 }));
        assert_eq!(room_in("maxmemory:64"), None);
        assert_eq!(room_in("used_memory:64\r\nmaxmemory:0"), None);
    }
}
