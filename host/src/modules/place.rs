//! Places of callers in a queue of [`Turns`]: each waits for its turn, and gives it up when it is dropped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use fusebox_core::{error::ErrorCode, name::TenantId};
use fusebox_sandbox::ModuleError;
use tokio::sync::oneshot;

use super::turns::{Bounds, Ticket, Turns};

/// Queue of waiting callers, with the channels that notify them of their turn. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<Waiting>>);

struct Waiting {
    turns: Turns,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Waiting {
    /// Notifies all callers whose turn has come.
    fn advance(&mut self) {
        while let Some(ticket) = self.turns.start() {
            // A caller that is gone drops its ticket, which notifies the next one.
            if let Some(tell) = self.waiting.remove(&ticket) {
                let _ = tell.send(());
            }
        }
    }
}

/// Place in the queue, then a turn; given up when dropped, also when its client goes away.
pub struct Place {
    turn: Turn,
    told: oneshot::Receiver<()>,
}

/// Turn, which ends when it is dropped.
pub struct Turn {
    queue: Queue,
    ticket: Ticket,
}

impl Queue {
    /// Creates an empty queue.
    pub(super) fn new(room: Bounds) -> Self {
        Self(Arc::new(Mutex::new(Waiting { turns: Turns::new(room), waiting: HashMap::new() })))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] if too many wait.
    pub(super) fn enter(&self, tenant: Option<TenantId>) -> Result<Place, ModuleError> {
        let place = self.place(|turns| turns.enter(tenant));
        place.ok_or_else(|| busy("too many modules wait to be compiled: try again in a moment"))
    }

    /// Takes a place for work that was accepted before, which is bounded elsewhere.
    pub(super) fn enter_accepted(&self, tenant: TenantId) -> Option<Place> {
        self.place(|turns| Some(turns.enter_accepted(Some(tenant))))
    }

    fn place(&self, enter: impl FnOnce(&mut Turns) -> Option<Ticket>) -> Option<Place> {
        let (tell, told) = oneshot::channel();
        let mut locked = self.locked();
        let ticket = enter(&mut locked.turns)?;
        locked.waiting.insert(ticket, tell);
        locked.advance();
        Some(Place { turn: Turn { queue: self.clone(), ticket }, told })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // The queue is consistent wherever a holder could panic, so poisoning can be ignored.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for the turn.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] if the host is shutting down.
    pub(crate) async fn turn(self) -> Result<Turn, ModuleError> {
        self.told.await.map_err(|_| busy("the host is shutting down"))?;
        Ok(self.turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.queue.locked();
        queue.waiting.remove(&self.ticket);
        queue.turns.leave(self.ticket);
        queue.advance();
    }
}

fn busy(message: &str) -> ModuleError {
    ModuleError { code: ErrorCode::Overloaded, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use fusebox_core::limits::{COMPILE_WAITERS_MAX, COMPILE_WAITERS_PER_TENANT_MAX};

    use super::*;

    fn queue() -> Queue {
        Queue::new(Bounds { at_once: 2, all: COMPILE_WAITERS_MAX, of_one: COMPILE_WAITERS_PER_TENANT_MAX })
    }

    async fn wait(queue: &Queue, tenant: Option<TenantId>) -> Result<Turn, ModuleError> {
        queue.enter(tenant)?.turn().await
    }

    fn tenant(name: &str) -> Option<TenantId> {
        Some(name.parse().unwrap())
    }

    async fn is_ready<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut future = Some(future);
        std::future::poll_fn(|context| match future.take().map(|future| future.poll(context)) {
            Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
            _ => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn who_waits_is_told_when_it_is_its_turn() {
        let queue = queue();
        let first = wait(&queue, tenant("a")).await.unwrap();
        let mut second = pin!(wait(&queue, tenant("a")));
        assert!(is_ready(second.as_mut()).await.is_none());
        let other = wait(&queue, tenant("b")).await.unwrap();
        drop(first);
        let second = is_ready(second.as_mut()).await.unwrap().unwrap();
        drop((second, other));
        assert!(queue.locked().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_holds_nobody_up() {
        let queue = queue();
        let running = [wait(&queue, tenant("a")).await.unwrap(), wait(&queue, tenant("b")).await.unwrap()];
        let mut last = pin!(wait(&queue, tenant("d")));
        {
            let mut gone = pin!(wait(&queue, tenant("c")));
            assert!(is_ready(gone.as_mut()).await.is_none());
            assert!(is_ready(last.as_mut()).await.is_none());
        }
        drop(running);
        assert!(is_ready(last.as_mut()).await.unwrap().is_ok());
        let _running = wait(&queue, tenant("e")).await.unwrap();
        let mut full: Vec<_> =
            (0..COMPILE_WAITERS_PER_TENANT_MAX).map(|_| Box::pin(wait(&queue, tenant("e")))).collect();
        for waiting in &mut full {
            is_ready(waiting.as_mut()).await;
        }
        let refused = wait(&queue, tenant("e")).await.err().unwrap();
        assert_eq!(refused.code, ErrorCode::Overloaded);
    }
}
