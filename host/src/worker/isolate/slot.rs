//! Process of a slot: locks itself up, then runs its parent's calls one after the other. Its stdin is the socket of
//! calls, its stdout the socket of stops.

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
};
use fusebox_jail::{Inmate, Plan, Setting, User};
use fusebox_sandbox::{Guest, HostCalls, Sandbox, StopFlag, WaitLimit};
use rustix::process::{Resource, Signal, set_parent_process_death_signal};

use super::messages::{self, FromSlot, Stop, TO_SLOT_BYTES_MAX, ToSlot};

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
    let parent: Arc<dyn HostCalls> = Arc::new(Parent(Mutex::new(calls.try_clone()?)));
    let stops = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let ToSlot::Begin { ceiling } = messages::read(&mut calls, TO_SLOT_BYTES_MAX)? else {
        return Err(io::Error::new(ErrorKind::InvalidData, "its parent begins otherwise"));
    };
    // Created before the jail is entered: it opens a file that tells which pages a run has written.
    let sandbox = Sandbox::bare(ceiling).map_err(io::Error::other)?;
    let report = plan(&ceiling, user).enter(jail).map_err(io::Error::other)?;
    let sandbox = sandbox.start().map_err(io::Error::other)?;
    let current = Arc::new(Current::default());
    let listening = current.clone();
    thread::Builder::new().name("stops".to_owned()).spawn(move || listening.listen(stops))?;
    messages::write(&mut calls, &FromSlot::Begun { holds: report.line(true), lacks: report.line(false) })?;
    let slot = thread::Builder::new().name("slot".to_owned()).stack_size(SLOT_STACK_BYTES);
    let ended = slot.spawn(move || serve(&sandbox, &current, calls, &parent))?.join();
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

fn serve(sandbox: &Sandbox, current: &Current, mut calls: UnixStream, parent: &Arc<dyn HostCalls>) -> io::Result<()> {
    loop {
        let message = match messages::read(&mut calls, TO_SLOT_BYTES_MAX) {
            Ok(message) => message,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let answer = match message {
            ToSlot::Admit { module, code } => {
                FromSlot::Admitted(sandbox.admit(&module, &code).err().map(|error| error.message))
            }
            ToSlot::AdmitFiles { files, archive } => {
                FromSlot::Admitted(sandbox.add_files(&files, &archive).err().map(|error| error.to_string()))
            }
            run => called(sandbox, current, run, parent)?,
        };
        messages::write(&mut calls, &answer)?;
    }
}

fn called(sandbox: &Sandbox, current: &Current, run: ToSlot, parent: &Arc<dyn HostCalls>) -> io::Result<FromSlot> {
    let stop = StopFlag::default();
    let (number, call) = run.into_call(stop.clone(), parent.clone()).ok_or(ErrorKind::InvalidData)?;
    let has_files = sandbox.has_files(call.invocation.files.as_ref()).map_err(io::Error::other)?;
    match sandbox.load(&call.invocation.module).map_err(io::Error::other)? {
        None => Ok(FromSlot::Missing { module: true, files: !has_files }),
        Some(_) if !has_files => Ok(FromSlot::Missing { module: false, files: true }),
        Some(module) => {
            current.begin(number, stop);
            Ok(sandbox.run(&module, call).into())
        }
    }
}

/// Passes host calls to the parent over the socket of calls: the parent waits there for the run's end, the run for the
/// answer.
struct Parent(Mutex<UnixStream>);

impl HostCalls for Parent {
    fn call(&self, _: Guest<'_>, call: HostCall, _: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = messages::write(&mut *calls, &FromSlot::Asks(call));
        match asked.and_then(|()| messages::read(&mut *calls, TO_SLOT_BYTES_MAX)) {
            Ok(ToSlot::Answered(answer)) => answer,
            _ => Err(Refusal::Unavailable),
        }
    }
}

/// Current run, shared with the thread that receives stops.
#[derive(Default)]
struct Current(Mutex<RunState>);

#[derive(Default)]
struct RunState {
    running: Option<(u64, StopFlag)>,
    /// Last stop, which can arrive before its run begins.
    last: Option<Stop>,
}

impl Current {
    fn begin(&self, number: u64, stop: StopFlag) {
        let mut state = self.state();
        if let Some(last) = state.last.filter(|last| last.number == number) {
            stop.raise(last.reason);
        }
        state.running = Some((number, stop));
    }

    fn listen(&self, mut stops: UnixStream) {
        // The longest message takes 11 bytes.
        while let Ok(stop) = messages::read::<Stop>(&mut stops, 64) {
            let mut state = self.state();
            state.last = Some(stop);
            if let Some((_, flag)) = state.running.as_ref().filter(|(number, _)| *number == stop.number) {
                flag.raise(stop.reason);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fusebox_core::outcome::StopReason;

    use super::*;

    #[test]
    fn a_stop_meets_its_own_run_whichever_comes_first() {
        let current = Arc::new(Current::default());
        let (mut parent, stops) = UnixStream::pair().unwrap();
        let listening = current.clone();
        let listener = thread::spawn(move || listening.listen(stops));
        let (first, second, third) = (StopFlag::default(), StopFlag::default(), StopFlag::default());
        current.begin(1, first.clone());
        messages::write(&mut parent, &Stop { number: 1, reason: StopReason::Cancelled }).unwrap();
        messages::write(&mut parent, &Stop { number: 3, reason: StopReason::Interrupted }).unwrap();
        drop(parent);
        listener.join().unwrap();
        current.begin(2, second.clone());
        current.begin(3, third.clone());
        assert_eq!(first.reason(), Some(StopReason::Cancelled));
        assert_eq!(second.reason(), None, "a stop of another run");
        assert_eq!(third.reason(), Some(StopReason::Interrupted), "it came before its run");
    }
}
