//! Process of a slot: locks itself up, then runs its parent's calls one after the other. Its stdin is the socket of
//! calls, its stdout the socket of words aside.

use std::{
    io::{self, ErrorKind},
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
    limits::{LOADED_BYTES_MAX, LOADED_FILES_BYTES_MAX, SLOT_STACK_BYTES},
    outcome::StopReason,
};
use fusebox_jail::{Inmate, Plan, Setting, User};
use fusebox_sandbox::{Guest, HostCalls, Sandbox, StopFlag, WaitLimit};
use rustix::process::{Resource, Signal, set_parent_process_death_signal};

use super::{
    bodies::{Sending, ToParent, Words},
    messages::{self, ASIDE_BYTES_MAX, Aside, FromSlot, TO_SLOT_BYTES_MAX, ToSlot, Word},
};

/// Open descriptors of a slot: a memory image per loaded module, and a few more.
const DESCRIPTORS_MAX: u64 = 2_048;
/// Writable memory in addition to the guest's and the modules': output, log, messages, and a margin.
const MEMORY_BYTES: u64 = 1 << 30;

/// Entry point of a slot's process. Returns when its parent ends. Must be called before any thread starts.
///
/// # Errors
/// Fails if it cannot lock itself up, or if its parent violates the protocol.
pub fn run(jail: Setting, user: User) -> io::Result<()> {
    fusebox_jail::close_inherited();
    fusebox_jail::ignore_hangup();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut calls = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let line = ToParent::new(calls.try_clone()?);
    let parent: Arc<dyn HostCalls> = Arc::new(Parent { line: line.clone(), answers: Mutex::new(calls.try_clone()?) });
    let asides = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let ToSlot::Begin { ceiling } = messages::read(&mut calls, TO_SLOT_BYTES_MAX)? else {
        return Err(io::Error::new(ErrorKind::InvalidData, "its parent begins otherwise"));
    };
    // Created before the jail is entered: it opens a file that tells which pages a run has written.
    let sandbox = Sandbox::bare(ceiling).map_err(io::Error::other)?;
    let report = plan(&ceiling, user).enter(jail).map_err(io::Error::other)?;
    let sandbox = sandbox.start().map_err(io::Error::other)?;
    let current = Arc::new(Current::default());
    let listening = current.clone();
    thread::Builder::new().name("asides".to_owned()).spawn(move || listening.listen(asides))?;
    let sending = Sending::start(line.clone())?;
    line.send(&FromSlot::Begun { holds: report.line(true), lacks: report.line(false) })?;
    let slot = thread::Builder::new().name("slot".to_owned()).stack_size(SLOT_STACK_BYTES);
    let served = Served { sandbox, current, line, sending, parent };
    let ended = slot.spawn(move || served.serve(calls))?.join();
    ended.map_err(|_| io::Error::other("the slot's thread panicked"))?
}

/// Returns the jail of a slot's process.
#[must_use]
pub fn plan(ceiling: &RunLimits, user: User) -> Plan {
    // File size is not limited: the kernel counts the memory images of modules as files, and the process has no others.
    let limits = vec![
        (Resource::Core, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Data, ceiling.memory_bytes + LOADED_BYTES_MAX + LOADED_FILES_BYTES_MAX + MEMORY_BYTES),
    ];
    Plan { inmate: Inmate::Slot, user, limits }
}

/// Everything that runs need.
struct Served {
    sandbox: Sandbox,
    current: Arc<Current>,
    line: ToParent,
    sending: Sending,
    parent: Arc<dyn HostCalls>,
}

impl Served {
    fn serve(&self, mut calls: UnixStream) -> io::Result<()> {
        loop {
            let message = match messages::read(&mut calls, TO_SLOT_BYTES_MAX) {
                Ok(message) => message,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            let answer = match message {
                ToSlot::Admit { module, code } => {
                    FromSlot::Admitted(self.sandbox.admit(&module, &code).err().map(|error| error.message))
                }
                ToSlot::AdmitFiles { files, archive } => {
                    FromSlot::Admitted(self.sandbox.add_files(&files, &archive).err().map(|error| error.to_string()))
                }
                run => self.called(run)?,
            };
            self.line.send(&answer)?;
        }
    }

    fn called(&self, run: ToSlot) -> io::Result<FromSlot> {
        let stop = StopFlag::default();
        let called = run.into_call(stop.clone(), self.parent.clone());
        let (mut call, number, exchange) = called.ok_or(ErrorKind::InvalidData)?;
        let has_files = self.sandbox.has_files(call.invocation.files.as_ref()).map_err(io::Error::other)?;
        match self.sandbox.load(&call.invocation.module).map_err(io::Error::other)? {
            None => Ok(FromSlot::Missing { module: true, files: !has_files }),
            Some(_) if !has_files => Ok(FromSlot::Missing { module: false, files: true }),
            Some(module) => {
                let (opened, words) = exchange.map(|has_body| self.sending.open(has_body)).unzip();
                self.current.begin(number, stop, words);
                call.exchange = opened.as_ref().map(|opened| opened.exchange.clone());
                let run = self.sandbox.run(&module, call);
                if let Some(opened) = opened {
                    opened.close();
                }
                Ok(run.into())
            }
        }
    }
}

/// Passes host calls to the parent over the socket of calls: the parent waits there for the run's end, the run for the
/// answer.
struct Parent {
    line: ToParent,
    answers: Mutex<UnixStream>,
}

impl HostCalls for Parent {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.line.send(&FromSlot::Asks(call));
        match asked.and_then(|()| messages::read(&mut *answers, TO_SLOT_BYTES_MAX)) {
            Ok(ToSlot::Answered(answer)) => answer,
            _ => Err(Refusal::Unavailable),
        }
    }
}

/// Current run, shared with the thread that receives words aside.
#[derive(Default)]
pub(super) struct Current(Mutex<RunState>);

#[derive(Default)]
struct RunState {
    running: Option<Running>,
    /// Last stop and its run, which may begin later.
    last: Option<(u64, StopReason)>,
}

struct Running {
    number: u64,
    stop: StopFlag,
    /// Of a run with an exchange.
    words: Option<Words>,
}

impl Current {
    pub(super) fn begin(&self, number: u64, stop: StopFlag, words: Option<Words>) {
        let mut state = self.state();
        if let Some((_, reason)) = state.last.filter(|(stopped, _)| *stopped == number) {
            stop.raise(reason);
        }
        state.running = Some(Running { number, stop, words });
    }

    pub(super) fn listen(&self, mut asides: UnixStream) {
        while let Ok(Aside { number, word }) = messages::read(&mut asides, ASIDE_BYTES_MAX) {
            let mut state = self.state();
            if let Word::Stop(reason) = word {
                state.last = Some((number, reason));
            }
            let Some(running) = state.running.as_ref().filter(|running| running.number == number) else { continue };
            match (word, &running.words) {
                (Word::Stop(reason), _) => running.stop.raise(reason),
                (word, Some(words)) => words.say(word),
                (_, None) => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a word to a run.
    fn say(parent: &mut UnixStream, number: u64, word: Word) {
        messages::write(parent, &Aside { number, word }).unwrap();
    }

    #[test]
    fn a_stop_meets_its_own_run_whichever_comes_first() {
        let current = Arc::new(Current::default());
        let (mut parent, stops) = UnixStream::pair().unwrap();
        let listening = current.clone();
        let listener = thread::spawn(move || listening.listen(stops));
        let (first, second, third) = (StopFlag::default(), StopFlag::default(), StopFlag::default());
        current.begin(1, first.clone(), None);
        say(&mut parent, 1, Word::Stop(StopReason::Cancelled));
        say(&mut parent, 1, Word::Taken);
        say(&mut parent, 3, Word::Stop(StopReason::Interrupted));
        drop(parent);
        listener.join().unwrap();
        current.begin(2, second.clone(), None);
        current.begin(3, third.clone(), None);
        assert_eq!(first.reason(), Some(StopReason::Cancelled));
        assert_eq!(second.reason(), None, "a stop of another run");
        assert_eq!(third.reason(), Some(StopReason::Interrupted), "it came before its run");
    }
}
