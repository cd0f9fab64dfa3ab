//! HTTP requests to functions, in the form that each ABI knows: commands get CGI, functions of bytes the body alone, and
//! functions that export `fusebox_http`, and components of `wasi:http`, the message itself.

use bytes::Bytes;
use fusebox_core::{
    function::{Abi, RunLimits},
    http::{
        MessageError, Request, Response,
        cgi::{self, CgiRequest},
    },
    outcome::{Outcome, Receipt, Traces},
};

use crate::{
    Call, Exchange, LoadedModule, Run,
    loaded::{Entry, Program},
};

/// Form in which a function handles HTTP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Messages in and out.
    Message,
    /// CGI: environment, arguments and stdin in, headers and body on stdout.
    Cgi,
    /// Body in and out; the host adds the status and a content type.
    Body,
}

/// Content type of text that a function of bytes returned.
const TEXT: &str = "text/plain; charset=utf-8";
/// Content type of its other results.
const BYTES: &str = "application/octet-stream";

/// Variable with the size of a request's body.
const CONTENT_LENGTH: &str = "CONTENT_LENGTH";

impl Form {
    fn of(program: &Program) -> Self {
        match program {
            Program::Module(module) => match module.entry {
                Entry::Core { is_http: true, .. } => Self::Message,
                Entry::Core { .. } | Entry::Named { .. } => Self::Body,
                Entry::Command { .. } => Self::Cgi,
            },
            Program::Component(program) => match program.abi() {
                Abi::Http => Self::Message,
                Abi::Command => Self::Cgi,
                _ => Self::Body,
            },
            Program::Refused(_) => Self::Body,
        }
    }
}

/// Returns whether runs of a module read requests as they arrive, and have their responses passed on as they are written.
pub(crate) fn streams(module: &LoadedModule) -> bool {
    match &module.0.program {
        Program::Module(module) => matches!(module.entry, Entry::Command { .. }),
        Program::Component(program) => program.abi() == Abi::Http,
        Program::Refused(_) => false,
    }
}

/// Runs a call. If its input is an HTTP request, returns its response as the output, or none if it was passed on in
/// pieces.
pub(crate) fn run(module: &LoadedModule, mut call: Call, ceiling: &RunLimits, run: impl FnOnce(Call) -> Run) -> Run {
    let exchange = call.exchange.take().filter(|_| call.invocation.is_http && streams(module));
    if !call.invocation.is_http {
        return run(call);
    }
    call.exchange.clone_from(&exchange);
    let form = Form::of(&module.0.program);
    let output_bytes_max = call.limits(ceiling).output_bytes;
    match enter(form, &mut call) {
        Ok(()) => {
            let run = run(call);
            match exchange.as_ref().and_then(|exchange| exchange.status().zip(exchange.passed())) {
                Some((status, output_bytes)) => {
                    let receipt = Receipt { output_bytes, ..run.receipt };
                    Run { outcome: passed_on(run.outcome, status), receipt, ..run }
                }
                None => leave(form, run, output_bytes_max),
            }
        }
        Err(outcome) => Run { outcome, traces: Traces::default(), receipt: Receipt::default(), log: Bytes::new() },
    }
}

/// Puts a request into its form.
///
/// # Errors
/// Fails if the input is not a request.
fn enter(form: Form, call: &mut Call) -> Result<(), Outcome> {
    let invocation = &mut call.invocation;
    // Parsed in any case, so that no function gets what is not a request.
    let request =
        Request::parse(&invocation.input).map_err(|fault| refused("the input is not an HTTP request", fault))?;
    match form {
        Form::Message => {}
        Form::Body => invocation.input = request.body,
        Form::Cgi => {
            let stated = request.header("content-length").and_then(|length| String::from_utf8(length.to_vec()).ok());
            let CgiRequest { args, mut env, stdin } = request.into();
            if call.exchange.as_ref().is_some_and(Exchange::has_body) {
                // The length of the body is what its sender says, if anything.
                env.retain(|(name, _)| name != CONTENT_LENGTH);
                env.extend(stated.map(|length| (CONTENT_LENGTH.to_owned(), length)));
            }
            // A variable of the version does not pass for one of the request.
            invocation.env.retain(|(name, _)| env.iter().all(|(own, _)| own != name));
            invocation.env.extend(env);
            invocation.args.extend(args);
            invocation.input = stdin;
        }
    }
    Ok(())
}

/// Turns the output of a run into a response. One of status 500 or above is an error of the function.
fn leave(form: Form, run: Run, output_bytes_max: u64) -> Run {
    let Outcome::Returned(output) = run.outcome else { return run };
    let response = match form {
        Form::Message => Response::parse(&output),
        Form::Cgi => cgi::response(&output),
        Form::Body => Ok(Response::of(if std::str::from_utf8(&output).is_ok() { TEXT } else { BYTES }, output.clone())),
    };
    let written = response.and_then(|response| {
        let bytes = if form == Form::Message { output } else { response.to_bytes()? };
        Ok((response.is_fault(), bytes))
    });
    let outcome = match written {
        Err(fault) => refused("the function's output is not an HTTP response", fault),
        Ok((_, bytes)) if bytes.len() as u64 > output_bytes_max => {
            Outcome::OutputTooLarge { bytes: bytes.len() as u64, limit: output_bytes_max }
        }
        Ok((true, error)) => Outcome::GuestError { error, exit_code: None },
        Ok((false, bytes)) => Outcome::Returned(bytes),
    };
    Run { outcome, ..run }
}

/// Returns the outcome of a run that has passed its response on. A status of 500 or above is an error of the function
/// there too, whose response without headers and body stands for it.
fn passed_on(outcome: Outcome, status: u16) -> Outcome {
    let response = Response { status, ..Response::of_trailers(Vec::new()) };
    match outcome {
        Outcome::Returned(_) if response.is_fault() => match response.to_bytes() {
            Ok(error) => Outcome::GuestError { error, exit_code: None },
            Err(fault) => refused("the function's output is not an HTTP response", fault),
        },
        outcome => outcome,
    }
}

fn refused(what: &str, fault: MessageError) -> Outcome {
    Outcome::GuestError { error: Bytes::from(format!("{what}: {fault}")), exit_code: None }
}
