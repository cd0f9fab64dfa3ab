//! Parent's side of a slot's process: sends it calls, watches it, and ends it in time. Whatever the process does, it
//! blocks the parent's thread no longer than the run's wall time and a margin.

use std::{
    io::{self, ErrorKind, Read},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    function::RunLimits,
    name::TenantId,
    outcome::{Outcome, Receipt, StopReason, Traces},
};
use fusebox_sandbox::{Call, Exchange, Run, Sandbox, SandboxError, StopFlag, WaitLimit};

use super::{
    NotRun, Start,
    messages::{self, Aside, FROM_SLOT_BYTES_MAX, FromSlot, ToSlot, Word},
    relay::{self, Lines},
};

/// Interval at which a waiting parent checks the stop flag and the clock.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Longest time for the start of a process, also on a busy machine.
const START_TIME: Duration = Duration::from_secs(10);
/// Longest time for loading compiled code.
pub(super) const LOAD_TIME: Duration = Duration::from_secs(10);
/// Longest time after its wall time or its stop flag in which a run must end; one bulk operation takes up to 0.3 s.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// Process of a slot. Dropping it kills the process.
pub(super) struct GuestProcess {
    process: Child,
    calls: UnixStream,
    asides: UnixStream,
    tenant: TenantId,
    runs: u64,
    report: (String, String),
    /// True once a run was overdue, or the process is gone or misbehaves: it must be killed.
    is_spent: bool,
}

impl GuestProcess {
    /// Starts a process and waits until it is locked up.
    pub(super) fn start(start: &Start, tenant: TenantId) -> io::Result<Self> {
        let (calls, their_calls) = UnixStream::pair()?;
        let (asides, their_asides) = UnixStream::pair()?;
        calls.set_read_timeout(Some(TICK))?;
        calls.set_write_timeout(Some(LOAD_TIME))?;
        asides.set_write_timeout(Some(MARGIN))?;
        let mut command = Command::new(&start.program);
        command.args(&start.arguments).env_clear();
        command.stdin(OwnedFd::from(their_calls)).stdout(OwnedFd::from(their_asides));
        let process = command.spawn()?;
        // The command holds copies of the child's ends; they must be closed here to detect the child's end.
        drop(command);
        let report = (String::new(), String::new());
        let mut process = Self { process, calls, asides, tenant, runs: 0, report, is_spent: false };
        messages::write(&mut process.calls, &ToSlot::Begin { ceiling: start.ceiling })?;
        match process.answer(Instant::now() + START_TIME, None)? {
            Some(FromSlot::Begun { holds, lacks }) => {
                process.report = (holds, lacks);
                Ok(process)
            }
            Some(_) => Err(ErrorKind::InvalidData.into()),
            None => Err(io::Error::new(ErrorKind::TimedOut, "it does not start in time")),
        }
    }

    /// Returns the parts of its jail that hold, and those that this kernel lacks.
    pub(super) fn report(&self) -> (&str, &str) {
        (&self.report.0, &self.report.1)
    }

    /// Returns the tenant of the process.
    pub(super) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Returns true if it can run another call.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_spent
    }

    /// Runs a call, and sends module and files first if the process lacks them.
    pub(super) fn run(&mut self, sandbox: &Sandbox, ceiling: &RunLimits, call: &Call) -> Result<Run, NotRun<()>> {
        let ran = self.try_run(sandbox, ceiling, call);
        self.is_spent |= matches!(ran, Err(NotRun::Lost(_)));
        ran
    }

    fn try_run(&mut self, sandbox: &Sandbox, ceiling: &RunLimits, call: &Call) -> Result<Run, NotRun<()>> {
        let begun = Instant::now();
        let limits = call.invocation.limits.capped(ceiling);
        let (lacks_module, lacks_files) = match self.call(call, &limits)? {
            Some(FromSlot::Missing { module, files }) => (module, files),
            answer => return self.ended(answer, call, &limits, begun, 0),
        };
        let (module, files) = (call.invocation.module, call.invocation.files.filter(|_| lacks_files));
        if lacks_module {
            let refused = sandbox.refusal(&module).map_err(|error| NotRun::Broken(error.to_string()))?;
            if let Some(run) = refused {
                return Ok(run);
            }
            let code = held(sandbox.code(&module))?;
            self.admit(&ToSlot::Admit { module, code: code.into() })?;
        }
        if let Some(files) = files {
            let archive = held(sandbox.files(&files))?;
            self.admit(&ToSlot::AdmitFiles { files, archive })?;
        }
        let load_us = micros(begun.elapsed());
        let begun = Instant::now();
        let answer = self.call(call, &limits)?;
        self.ended(answer, call, &limits, begun, load_us)
    }

    /// Sends a module or files, and waits until they are loaded.
    fn admit(&mut self, message: &ToSlot) -> Result<(), NotRun<()>> {
        messages::write(&mut self.calls, message)?;
        match self.answer(Instant::now() + LOAD_TIME, None)? {
            Some(FromSlot::Admitted(None)) => Ok(()),
            Some(FromSlot::Admitted(Some(reason))) => Err(NotRun::Broken(reason)),
            _ => Err(NotRun::Lost("the process of the run does not load its module or its files".to_owned())),
        }
    }

    /// Sends a call and waits for its result; `None` if it is late.
    fn call(&mut self, call: &Call, limits: &RunLimits) -> io::Result<Option<FromSlot>> {
        self.runs += 1;
        messages::write(&mut self.calls, &ToSlot::run(self.runs, call))?;
        let until = Instant::now() + Duration::from_millis(limits.wall_ms.into());
        if let Some(exchange) = &call.exchange {
            let lines = Lines { calls: &self.calls, asides: &self.asides, number: self.runs };
            let ended = relay::run(&lines, (call, exchange), limits, until, |question| ask(call, question, until));
            return ended.map_err(|error| self.why(error));
        }
        loop {
            match self.answer(until + MARGIN, Some(&call.stop))? {
                Some(FromSlot::Asks(question)) => {
                    let told = ask(call, question, until);
                    messages::write(&mut self.calls, &ToSlot::Answered(told))?;
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Returns the next message; `None` if it is late. Passes on a stop flag that is raised meanwhile.
    fn answer(&mut self, until: Instant, stop: Option<&StopFlag>) -> io::Result<Option<FromSlot>> {
        let mut patient = Patient { process: self, until, stop, told: None };
        match messages::read(&mut patient, FROM_SLOT_BYTES_MAX) {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(self.why(error)),
        }
    }

    /// Returns the run that an answer reports; without an answer it did not end in time. The times to load the module are
    /// the parent's own.
    fn ended(
        &mut self,
        answer: Option<FromSlot>,
        call: &Call,
        limits: &RunLimits,
        begun: Instant,
        load_us: u64,
    ) -> Result<Run, NotRun<()>> {
        let passed = call.exchange.as_ref().and_then(Exchange::passed);
        match answer {
            Some(FromSlot::Ended { outcome, traces, receipt, log })
                if messages::is_possible(&outcome, &traces, &log, &limits.whole(), passed.is_some()) =>
            {
                let receipt = Receipt { load_us, output_bytes: passed.unwrap_or_default(), ..receipt };
                Ok(Run { outcome, traces, receipt, log })
            }
            Some(_) => Err(NotRun::Lost("the process of the run violates its protocol".to_owned())),
            None => {
                self.is_spent = true;
                let outcome = Outcome::DeadlineExceeded { limit_ms: limits.wall_ms };
                let output_bytes = passed.unwrap_or_default();
                let receipt = Receipt { wall_us: micros(begun.elapsed()), output_bytes, ..Receipt::default() };
                Ok(Run { outcome, traces: Traces::default(), receipt, log: Bytes::new() })
            }
        }
    }

    /// Adds the process's exit status to an error, if it has ended.
    fn why(&mut self, error: io::Error) -> io::Error {
        match self.process.try_wait() {
            Ok(Some(status)) => io::Error::other(format!("{error}: {status}")),
            _ => error,
        }
    }
}

impl Drop for GuestProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl From<io::Error> for NotRun<()> {
    fn from(error: io::Error) -> Self {
        Self::Lost(format!("the process of the run is gone: {error}"))
    }
}

/// Returns what the cache of the parent holds.
fn held<T>(held: Result<Option<T>, SandboxError>) -> Result<T, NotRun<()>> {
    match held {
        Ok(Some(held)) => Ok(held),
        Ok(None) => Err(NotRun::ModuleMissing(Box::new(()))),
        Err(error) => Err(NotRun::Broken(error.to_string())),
    }
}

/// Reads from the process, and checks the stop flag and the clock while nothing arrives.
struct Patient<'a> {
    process: &'a mut GuestProcess,
    until: Instant,
    stop: Option<&'a StopFlag>,
    told: Option<StopReason>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.process.calls.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.look()?,
                done => return done,
            }
        }
    }
}

impl Patient<'_> {
    fn look(&mut self) -> io::Result<()> {
        if self.told.is_none() {
            self.told = self.stop.and_then(StopFlag::reason);
            if let Some(reason) = self.told {
                self.until = self.until.min(Instant::now() + MARGIN);
                let stop = Aside { number: self.process.runs, word: Word::Stop(reason) };
                messages::write(&mut self.process.asides, &stop)?;
            }
        }
        match Instant::now() >= self.until {
            true => Err(ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

/// Performs a host call of the run, within its grants. A process that requests more is compromised.
fn ask(call: &Call, question: HostCall, until: Instant) -> Result<HostAnswer, Refusal> {
    match &call.host_calls {
        Some(host_calls) if call.invocation.grants.allow(&question) => {
            host_calls.call(call.guest(), question, &WaitLimit::new(until, call.stop.clone()))
        }
        Some(_) => Err(Refusal::Refused),
        None => Err(Refusal::Unavailable),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
