//! Space of Redis, as its masters report it.

use async_trait::async_trait;
use fusebox_core::name::TenantId;

use super::{RedisStore, answers, counted, server};
use crate::{Holdings, Result, Room, Usage};

/// Largest number of tenants in a call.
const TENANTS_MAX: usize = 1_000;

#[async_trait]
impl Usage for RedisStore {
    async fn stored_bytes(&self, tenant: &TenantId) -> Result<u64> {
        let amounts = counted::amounts(&self.caller, &[tenant]).await?;
        Ok(amounts.first().map_or(0, |amounts| amounts.bytes))
    }

    async fn holdings(&self, tenants: &[TenantId]) -> Result<Holdings> {
        let mut holdings = Holdings::default();
        for tenants in tenants.chunks(TENANTS_MAX) {
            let tenants: Vec<_> = tenants.iter().collect();
            counted::amounts(&self.caller, &tenants).await?.into_iter().for_each(|amounts| holdings.add(amounts.bytes));
        }
        Ok(holdings)
    }

    async fn room(&self) -> Result<Vec<Room>> {
        let infos = server::infos(&self.caller, Some("memory")).await?;
        let rooms = infos
            .iter()
            .flat_map(|(_, infos)| infos)
            .map(|info| room_in(info).ok_or_else(|| answers::unexpected("the memory of a server")));
        rooms.collect()
    }
}

/// Reads the section `memory` of a server's information. Redis does not count some buffers towards `maxmemory`.
fn room_in(info: &str) -> Option<Room> {
    let number = |name: &str| server::field(info, name)?.parse::<u64>().ok();
    let total_bytes = number("maxmemory").filter(|max| *max > 0).or_else(|| number("total_system_memory"))?;
    let uncounted = number("mem_not_counted_for_evict").unwrap_or(0);
    Some(Room { total_bytes, used_bytes: number("used_memory")?.saturating_sub(uncounted) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_room_is_its_bound_or_else_the_machines_memory() {
        let info = |max: u64| format!("# Memory\r\nused_memory:10\r\ntotal_system_memory:500\r\nmaxmemory:{max}\r\n");
        assert_eq!(room_in(&info(64)), Some(Room { total_bytes: 64, used_bytes: 10 }));
        assert_eq!(room_in(&info(0)), Some(Room { total_bytes: 500, used_bytes: 10 }));
        let with_buffers = format!("{}mem_not_counted_for_evict:4\r\n", info(9));
        assert_eq!(room_in(&with_buffers), Some(Room { total_bytes: 9, used_bytes: 6 }));
        assert_eq!(room_in("maxmemory:64"), None);
        assert_eq!(room_in("used_memory:64\r\nmaxmemory:0"), None);
    }
}
