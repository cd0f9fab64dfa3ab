//! Health of a jailed worker: the worker can accept no connections, so its helper has the listener and requests each
//! answer from it. For each request the helper creates a pair of sockets and sends one end with the request's letter;
//! the worker writes its answer there as a frame. A compromised worker can misreport only its own health.

use std::{io, net::TcpListener, os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::Semaphore};

use super::{client::Helper, passing};
use crate::{
    frames,
    telemetry::vitals::{Probe, ProbeResult, Unhealthy, Vitals},
};

/// Longest time for an answer. A healthy worker answers in milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Longest answer. Metrics are about 20 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Number of requests at a time; each uses a thread.
const QUESTIONS_MAX: usize = 4;
/// Byte sent with the listener.
const LISTENER: u8 = b'l';

/// The worker's side: channel on which requests arrive.
pub struct Questions(UnixStream);

impl Questions {
    /// Passes the listener to the helper. Must be called before the worker locks itself up.
    ///
    /// # Errors
    /// Fails if the helper is gone.
    pub fn hand_over(helper: &Helper, listener: &TcpListener) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        helper.keep_vitals(&theirs)?;
        passing::send(&ours, LISTENER, Some(listener))?;
        Ok(Self(ours))
    }

    /// Answers requests for as long as the helper runs. Reads them on a thread, but computes the answers on the
    /// runtime, so that a runtime that hangs does not report good health.
    ///
    /// # Errors
    /// Fails if the system cannot start a thread.
    pub fn answer(self, vitals: Arc<dyn Vitals>) -> io::Result<()> {
        let runtime = Handle::current();
        let answer = move || {
            while let Ok(Some((letter, asker))) = passing::receive(&self.0) {
                let (Some(asked), Some(asker)) = (Probe::of(letter), asker) else { continue };
                let vitals = vitals.clone();
                // If the runtime ends first, the requester sees its connection closed.
                runtime.spawn(async move {
                    let told = vitals.tell(asked).await;
                    // Blocks only if the answer exceeds the socket's buffer and the requester does not read.
                    let _ = tokio::task::spawn_blocking(move || reply(UnixStream::from(asker), &told)).await;
                });
            }
        };
        thread::Builder::new().name("vitals".to_owned()).spawn(answer).map(drop)
    }
}

fn reply(mut asker: UnixStream, told: &ProbeResult) -> io::Result<()> {
    asker.set_write_timeout(Some(ANSWER_TIME))?;
    frames::write(&mut asker, &postcard::to_allocvec(told).map_err(io::Error::other)?)
}

/// The helper's side.
pub struct Worker {
    channel: Arc<UnixStream>,
    room: Semaphore,
}

impl Worker {
    /// Receives the listener from the worker.
    ///
    /// # Errors
    /// Fails if the worker does not send one.
    pub fn take(channel: UnixStream) -> io::Result<(TcpListener, Self)> {
        let taken = passing::receive(&channel)?.filter(|(letter, _)| *letter == LISTENER).and_then(|(_, found)| found);
        let listener = TcpListener::from(taken.ok_or(io::ErrorKind::InvalidData)?);
        channel.set_write_timeout(Some(ANSWER_TIME))?;
        Ok((listener, Self { channel: Arc::new(channel), room: Semaphore::new(QUESTIONS_MAX) }))
    }
}

#[async_trait]
impl Vitals for Worker {
    async fn tell(&self, asked: Probe) -> ProbeResult {
        let silent = |_| Unhealthy("the worker does not answer its helper".to_owned());
        let Ok(_room) = self.room.acquire().await else { return Err(silent(())) };
        let channel = self.channel.clone();
        let told = tokio::task::spawn_blocking(move || ask(&channel, asked)).await;
        told.map_err(|_| silent(()))?.map_err(|_| silent(()))?
    }
}

fn ask(channel: &UnixStream, asked: Probe) -> io::Result<ProbeResult> {
    let (mut ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(ANSWER_TIME))?;
    passing::send(channel, asked.byte(), Some(&theirs))?;
    drop(theirs);
    postcard::from_bytes(&frames::read(&mut ours, ANSWER_BYTES_MAX)?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named;

    #[async_trait]
    impl Vitals for Named {
        async fn tell(&self, asked: Probe) -> ProbeResult {
            match asked {
                Probe::Ready => Err(Unhealthy("it drains".to_owned())),
                asked => Ok(format!("{asked:?}")),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_answers_through_its_helper_and_one_that_is_gone_is_not_well() {
        let (control, beside) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let questions = Questions::hand_over(&Helper::over(control, Vec::new()), &listener).unwrap();
        let (_, channel) = passing::receive(&beside).unwrap().unwrap();
        let (taken, worker) = Worker::take(channel.unwrap().into()).unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);
        questions.answer(Arc::new(Named)).unwrap();
        assert_eq!(worker.tell(Probe::Alive).await, Ok("Alive".to_owned()));
        assert_eq!(worker.tell(Probe::Ready).await, Err(Unhealthy("it drains".to_owned())));
        assert_eq!(worker.tell(Probe::Metrics).await, Ok("Metrics".to_owned()));
        let (channel, gone) = UnixStream::pair().unwrap();
        drop(gone);
        let gone = Worker { channel: Arc::new(channel), room: Semaphore::new(1) };
        assert!(gone.tell(Probe::Alive).await.is_err());
    }
}
