//! Order of compilations: one per tenant at a time, a bounded number in all, tenants in turn, and first come, first
//! served within a tenant. Pure: it knows tickets, not modules or threads.

use std::collections::VecDeque;

use fusebox_core::name::TenantId;

/// Owner of a ticket: a tenant, or `None` for the host itself, on behalf of workers of all tenants. `None` has a queue
/// of its own that only the total bounds.
pub(super) type Owner = Option<TenantId>;

/// Number of a caller that waits or compiles.
pub(super) type Ticket = u64;

/// Bounds on callers.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Callers that compile at a time.
    pub(super) at_once: usize,
    /// Callers that wait or compile.
    pub(super) all: usize,
    /// Callers of one tenant that wait or compile.
    pub(super) of_one: usize,
}

/// Queues of all owners.
pub(super) struct Turns {
    room: Bounds,
    next: Ticket,
    compiling: Vec<(Ticket, Owner)>,
    /// Waiting callers by owner; the front owner is next. No queue is empty.
    lines: VecDeque<(Owner, VecDeque<Ticket>)>,
}

impl Turns {
    pub(super) fn new(room: Bounds) -> Self {
        Self { room, next: 0, compiling: Vec::new(), lines: VecDeque::new() }
    }

    /// Adds a caller; `None` if a bound is reached.
    pub(super) fn enter(&mut self, whose: Owner) -> Option<Ticket> {
        let waiting = |of: &(Owner, VecDeque<Ticket>)| of.1.len();
        let all = self.compiling.len() + self.lines.iter().map(waiting).sum::<usize>();
        let compiling = self.compiling.iter().filter(|(_, who)| *who == whose).count();
        let own = compiling + self.lines.iter().find(|(who, _)| *who == whose).map_or(0, waiting);
        (all < self.room.all && own < self.room.of_one).then(|| self.enter_accepted(whose))
    }

    /// Adds a caller, whatever the bounds.
    pub(super) fn enter_accepted(&mut self, whose: Owner) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        match self.lines.iter_mut().find(|(who, _)| *who == whose) {
            Some((_, line)) => line.push_back(ticket),
            None => self.lines.push_back((whose, VecDeque::from([ticket]))),
        }
        ticket
    }

    /// Starts the next caller: the first of the next queue whose owner is not compiling. That queue moves to the end,
    /// so that everyone else is served before it is again.
    pub(super) fn start(&mut self) -> Option<Ticket> {
        if self.compiling.len() >= self.room.at_once {
            return None;
        }
        let is_free = |whose: &Owner| whose.is_none() || self.compiling.iter().all(|(_, who)| who != whose);
        let at = self.lines.iter().position(|(whose, _)| is_free(whose))?;
        let (whose, mut line) = self.lines.remove(at)?;
        let ticket = line.pop_front()?;
        if !line.is_empty() {
            self.lines.push_back((whose.clone(), line));
        }
        self.compiling.push((ticket, whose));
        Some(ticket)
    }

    /// Removes a caller that is done or no longer waits.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.compiling.retain(|(other, _)| *other != ticket);
        self.lines.iter_mut().for_each(|(_, line)| line.retain(|other| *other != ticket));
        self.lines.retain(|(_, line)| !line.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Turns {
        Turns::new(Bounds { at_once: 2, all: 8, of_one: 4 })
    }

    fn of(name: &str) -> Owner {
        Some(name.parse().unwrap())
    }

    #[test]
    fn one_of_a_tenant_and_two_in_all_compile_at_a_time() {
        let mut turns = turns();
        let a = [(); 3].map(|()| turns.enter(of("a")).unwrap());
        assert_eq!(turns.start(), Some(a[0]));
        assert_eq!(turns.start(), None, "the tenant's second one waits for its first");
        let (b, c) = (turns.enter(of("b")).unwrap(), turns.enter(of("c")).unwrap());
        assert_eq!(turns.start(), Some(b));
        assert_eq!(turns.start(), None, "two compile");
        turns.leave(b);
        assert_eq!(turns.start(), Some(c), "the tenant whose first still compiles is passed over");
        turns.leave(a[0]);
        assert_eq!(turns.start(), Some(a[1]));
    }

    #[test]
    fn tenants_take_turns_however_much_one_of_them_asks_for() {
        let mut turns = Turns::new(Bounds { at_once: 1, all: 100, of_one: 50 });
        let a: Vec<_> = (0..10).map(|_| turns.enter(of("a")).unwrap()).collect();
        let b: Vec<_> = (0..2).map(|_| turns.enter(of("b")).unwrap()).collect();
        let host = turns.enter(None).unwrap();
        let mut order = Vec::new();
        while let Some(ticket) = turns.start() {
            order.push(ticket);
            turns.leave(ticket);
        }
        assert_eq!(order[..7], [a[0], b[0], host, a[1], b[1], a[2], a[3]]);
        assert_eq!(order.len(), 13);
    }

    #[test]
    fn a_tenant_cannot_fill_the_waiting_room() {
        let mut turns = turns();
        let a: Vec<_> = std::iter::from_fn(|| turns.enter(of("a"))).collect();
        assert_eq!(a.len(), 4);
        assert_eq!(turns.start(), Some(a[0]));
        assert_eq!(turns.enter(of("a")), None, "who compiles counts too");
        let b: Vec<_> = std::iter::from_fn(|| turns.enter(of("b"))).collect();
        assert_eq!(b.len(), 4);
        assert_eq!(turns.enter(of("c")), None, "the room is full");
        turns.leave(b[3]);
        assert!(turns.enter(of("c")).is_some(), "who goes away makes room");
    }

    #[test]
    fn the_host_itself_is_bounded_by_the_sum_alone() {
        let mut turns = turns();
        let host = [(); 3].map(|()| turns.enter(None).unwrap());
        assert_eq!((turns.start(), turns.start(), turns.start()), (Some(host[0]), Some(host[1]), None));
        turns.leave(host[1]);
        turns.leave(host[1]);
        assert_eq!(turns.start(), Some(host[2]), "leaving twice is leaving once");
    }
}
