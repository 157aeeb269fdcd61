//! One run of a program.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::LazyLock,
};

use rquickjs::{
    Context, Ctx, Error, Exception, Function, IntoJs as _, Object, Promise, Runtime, TypedArray,
    Value, function::Rest, promise::PromiseState,
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use crate::{
    Host, Program, Response,
    bytecode::{NAME, compile_prelude},
    web::{self, Answer},
};

static PRELUDE: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("prelude.js")));
static TOOLS: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("tools.js")));
static WEB: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("web.js")));

/// What a run may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that all its values may take.
    pub memory: usize,
    /// Bytes of the stack.
    pub stack: usize,
    /// Bytes that it may write to its log.
    pub log: usize,
    /// Lines that it may write to its log.
    pub lines: usize,
    /// Bytes of the answer's body.
    pub body: usize,
    /// Bytes of its value, and of its variables.
    pub value: usize,
    /// Bytes that it may hand to its host at once.
    pub argument: usize,
    /// Things that it has begun and that may go on at once.
    pub begun: usize,
    /// Promises that may be rejected while nobody listens to them.
    pub rejections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 16 << 20,
            stack: 256 << 10,
            log: 64 << 10,
            lines: 1000,
            body: 1 << 20,
            value: 64 << 10,
            argument: 4 << 20,
            begun: 64,
            rejections: 1000,
        }
    }
}

/// What a run begins with. Kept as text: nobody but the script looks into it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presets(Box<RawValue>);

impl Presets {
    /// The global objects `request` and `variables`, and what `startparam(1)`, `startparam(2)`, … give. A
    /// request with a `text` and no `body` has the value of that JSON as its body.
    /// Without `params` those are the parts of the request, as a hook's script has them.
    pub fn new(
        request: &serde_json::Value,
        params: Option<&[serde_json::Value]>,
        variables: &serde_json::Value,
    ) -> Self {
        // The body of a request that has none is read out of its text.
        let is_json = request.get("text").is_some() && request.get("body").is_none();
        let presets = json!({
            "request": request, "params": params, "variables": variables, "json": is_json,
        });
        Self(RawValue::from_string(presets.to_string()).unwrap_or_default())
    }
}

impl Default for Presets {
    fn default() -> Self {
        Self::new(&json!({}), Some(&[]), &json!({}))
    }
}

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it wrote to its log.
    pub log: Vec<String>,
    /// What it answered last.
    pub response: Option<Response>,
    /// Its completion value as JSON, awaited when it is a promise. Nothing when JSON has no such value.
    pub value: Option<String>,
    /// Its `variables` as JSON.
    pub variables: Option<String>,
    /// Why it has failed.
    pub failure: Option<Failure>,
}

/// Why a run has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For people: one line.
    pub message: String,
    /// Line and column of the script, from 1.
    pub place: Option<(u32, u32)>,
    /// Whether it was stopped because its time was over.
    pub stopped: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            stopped: false,
        }
    }

    /// Its time is over.
    pub fn stopped() -> Self {
        Self {
            stopped: true,
            ..Self::new("the script was stopped: its time is over")
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some((line, column)) => write!(f, " in line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

/// The longest text that a script may give to a function of ours, in bytes: the longest body, each byte of
/// which may take two.
const GIVEN: usize = 9 << 20;

/// The record of a run, which the prelude's functions write. All of it is outside of the memory that the engine counts, so all of
/// it has an end.
#[derive(Default)]
struct Record {
    log: Vec<String>,
    written: usize,
    is_full: bool,
    response: Option<Response>,
    /// Why the run has failed although the script may go on.
    failed: Option<String>,
    /// Promises that were rejected and that nobody has listened to.
    rejected: Vec<Failure>,
    /// Why the run is stopped before its time.
    halted: Option<String>,
    /// How many things were begun that have not ended.
    open: usize,
}

impl Record {
    /// Notes a promise that was rejected, or that somebody listens to after all.
    fn reject(&mut self, limits: &Limits, failure: Failure, is_handled: bool) {
        if is_handled {
            let known = self.rejected.iter().rposition(|one| *one == failure);
            if let Some(at) = known {
                self.rejected.swap_remove(at);
            }
        } else if self.rejected.len() < limits.rejections {
            self.rejected.push(failure);
        } else {
            let most = limits.rejections;
            let why = format!("more than {most} promises were rejected that nobody listens to");
            self.halted = Some(why);
        }
    }

    fn write(&mut self, limits: &Limits, line: &str) {
        if self.is_full {
            return;
        }
        let left = limits.log.saturating_sub(self.written);
        if self.log.len() == limits.lines || left == 0 {
            self.is_full = true;
            self.log.push("… the log is full".to_owned());
            return;
        }
        let end = line.floor_char_boundary(left);
        self.written += end + 1;
        self.log.push(line[..end].to_owned());
    }
}

/// Runs a program to its end: until its promises are settled, it fails, or `is_over` says so.
///
/// `is_over` is asked again and again while the script works, so it must be quick.
pub fn run(
    program: &Program,
    presets: &Presets,
    limits: Limits,
    is_over: impl Fn() -> bool + 'static,
    host: impl Host,
) -> Outcome {
    let record = Rc::new(RefCell::new(Record::default()));
    let over = Rc::new(Cell::new(false));
    let done = enter(program, presets, limits, is_over, host, &record, &over);
    let mut record = record.borrow_mut();
    let (value, variables, mut failure) = match done {
        Ok((value, variables)) => (value, variables, None),
        Err(failure) => (None, None, Some(failure)),
    };
    if over.get() {
        let halted = record.halted.take().map(Failure::new);
        failure = Some(halted.unwrap_or_else(Failure::stopped));
    }
    if failure.is_none() {
        let failed = record.failed.take().map(Failure::new);
        failure = failed.or_else(|| record.rejected.pop());
    }
    Outcome {
        log: std::mem::take(&mut record.log),
        response: record.response.take(),
        value,
        variables,
        failure,
    }
}

type Values = (Option<String>, Option<String>);

fn enter(
    program: &Program,
    presets: &Presets,
    limits: Limits,
    is_over: impl Fn() -> bool + 'static,
    host: impl Host,
    record: &Rc<RefCell<Record>>,
    over: &Rc<Cell<bool>>,
) -> Result<Values, Failure> {
    let begin = || {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits.memory);
        runtime.set_max_stack_size(limits.stack);
        let context = Context::full(&runtime)?;
        Ok::<_, Error>((runtime, context))
    };
    let (runtime, context) = begin().map_err(|error| Failure::new(error.to_string()))?;
    let noted = over.clone();
    runtime.set_interrupt_handler(Some(Box::new(move || {
        if !noted.get() {
            noted.set(is_over());
        }
        noted.get()
    })));
    let (noted, stop) = (record.clone(), over.clone());
    runtime.set_host_promise_rejection_tracker(Some(Box::new(
        move |ctx, _promise, reason, is_handled| {
            if stop.get() {
                return;
            }
            let mut failure = describe(&ctx, &reason);
            failure.message.insert_str(0, "a promise was rejected: ");
            if let Ok(mut record) = noted.try_borrow_mut() {
                record.reject(&limits, failure, is_handled);
                if record.halted.is_some() {
                    stop.set(true);
                }
            }
        },
    )));
    let host = Rc::new(RefCell::new(host));
    let done = context.with(|ctx| {
        let work = Work {
            ctx: &ctx,
            limits,
            record,
            over,
        };
        let caught = |error| match error {
            Error::Exception => describe(&ctx, &ctx.catch()),
            error => Failure::new(error.to_string()),
        };
        let tools = work.prepare(presets, &host).map_err(caught)?;
        let top = program.evaluate(&ctx).map_err(caught)?;
        work.finish(&tools, &host, top)
    });
    // Nothing of the script is left that could call it.
    runtime.set_interrupt_handler(None);
    runtime.set_host_promise_rejection_tracker(None);
    done
}

/// One context at work.
struct Work<'a, 'js> {
    ctx: &'a Ctx<'js>,
    limits: Limits,
    record: &'a Rc<RefCell<Record>>,
    over: &'a Rc<Cell<bool>>,
}

impl<'js> Work<'_, 'js> {
    /// Runs the prelude. What it returns is ours, not the script's.
    fn prepare<H: Host>(
        &self,
        presets: &Presets,
        host: &Rc<RefCell<H>>,
    ) -> rquickjs::Result<Object<'js>> {
        let native = self.native(host)?;
        let prelude: Function<'js> = PRELUDE.evaluate(self.ctx)?.get()?;
        let text = presets.0.get();
        let presets = if may_lose_digits(text) {
            // The prelude reads it so that nothing is lost, which needs more room.
            text.into_js(self.ctx)?
        } else {
            self.ctx.json_parse(text)?
        };
        prelude.call((native, presets))
    }

    /// The function that the prelude is built on: a name, and what goes with it.
    fn native<H: Host>(&self, host: &Rc<RefCell<H>>) -> rquickjs::Result<Function<'js>> {
        let (host, record, limits) = (host.clone(), self.record.clone(), self.limits);
        let native = move |ctx: Ctx<'js>, name: String, given: Rest<Value<'js>>| {
            let text = |n: usize| -> rquickjs::Result<String> {
                let given = given.0.get(n).cloned();
                let text: String = given
                    .unwrap_or_else(|| Value::new_undefined(ctx.clone()))
                    .get()?;
                bounded(&ctx, text, GIVEN)
            };
            let argument = |n: usize| bounded(&ctx, text(n)?, limits.argument);
            let done = || Answer::Text(String::new());
            let answer: Result<Answer, String> = match name.as_str() {
                "log" => {
                    record.borrow_mut().write(&limits, &text(0)?);
                    Ok(done())
                }
                "respond" => Response::read(&text(0)?, limits.body).map(|response| {
                    record.borrow_mut().response = Some(response);
                    done()
                }),
                "fail" => {
                    record.borrow_mut().failed.get_or_insert(text(0)?);
                    Ok(done())
                }
                "load" => {
                    let file = if text(0)? == "web" { &WEB } else { &TOOLS };
                    return file.evaluate(&ctx);
                }
                "ask" => host
                    .borrow_mut()
                    .ask(&text(0)?, &argument(1)?)
                    .map(Answer::Text),
                "begin" if record.borrow().open >= limits.begun => {
                    Err(format!("at most {} things go on at once", limits.begun))
                }
                "begin" => {
                    let id = text(0)?.parse().map_err(|_| Error::Unknown)?;
                    host.borrow_mut().begin(id, &text(1)?, &argument(2)?);
                    record.borrow_mut().open += 1;
                    Ok(done())
                }
                name => {
                    let given: Vec<String> =
                        (0..given.0.len()).map(text).collect::<Result<_, _>>()?;
                    let answer = web::answer(name, &given);
                    answer.unwrap_or_else(|| Err(format!("there is no {name}")))
                }
            };
            match answer {
                Ok(Answer::Text(text)) => text.into_js(&ctx),
                Ok(Answer::Truth(truth)) => Ok(Value::new_bool(ctx, truth)),
                Ok(Answer::Bytes(bytes)) => {
                    Ok(TypedArray::<u8>::new_copy(ctx, bytes)?.into_value())
                }
                Err(message) => Err(Exception::throw_message(&ctx, &message)),
            }
        };
        Function::new(self.ctx.clone(), native)
    }

    /// Runs what waits, and waits for what was begun, until nothing is left.
    fn finish<H: Host>(
        &self,
        tools: &Object<'js>,
        host: &Rc<RefCell<H>>,
        top: Value<'js>,
    ) -> Result<Values, Failure> {
        let caught = |error| match error {
            Error::Exception => describe(self.ctx, &self.ctx.catch()),
            error => Failure::new(error.to_string()),
        };
        loop {
            while !self.over.get() && self.ctx.execute_pending_job() {}
            if self.over.get() || self.record.borrow().open == 0 {
                break;
            }
            let ended = host.borrow_mut().wait();
            let Some((id, answer)) = ended else {
                self.over.set(true);
                break;
            };
            self.record.borrow_mut().open -= 1;
            let settle: Function<'js> = tools.get("settle").map_err(caught)?;
            let (worked, answer) = match answer {
                Ok(answer) => (true, answer),
                Err(message) => (false, message),
            };
            settle.call::<_, ()>((id, worked, answer)).map_err(caught)?;
        }
        if self.over.get() {
            return Err(Failure::stopped());
        }
        // A script with `await` at its top is a promise of `{value}`.
        let top = self.settled(top)?;
        let value = top.as_object().map(|top| top.get::<_, Value<'js>>("value"));
        let value = match value {
            Some(value) => self.settled(value.map_err(caught)?)?,
            None => top,
        };
        let value = self.to_json(value);
        let variables: Function<'js> = tools.get("variables").map_err(caught)?;
        let variables = variables.call::<_, String>(()).ok();
        self.ctx.catch();
        let variables = variables.filter(|text| text.len() <= self.limits.value);
        Ok((value, variables))
    }

    /// What a promise has come to; any other value is itself.
    fn settled(&self, value: Value<'js>) -> Result<Value<'js>, Failure> {
        let Some(promise) = value.clone().into_promise() else {
            return Ok(value);
        };
        match promise.state() {
            PromiseState::Pending => Err(Failure::new(
                "the script waits for a promise that nothing settles",
            )),
            PromiseState::Resolved => Ok(result(&promise, self.ctx)),
            PromiseState::Rejected => {
                let _ = promise.result::<Value<'js>>();
                Err(describe(self.ctx, &self.ctx.catch()))
            }
        }
    }

    /// A value as JSON. What has no such form is said in the log, and is nothing.
    fn to_json(&self, value: Value<'js>) -> Option<String> {
        let text = self.ctx.json_stringify(value);
        let text = text.and_then(|text| text.map(|text| text.to_string()).transpose());
        let why = match text {
            Ok(Some(text)) if text.len() <= self.limits.value => return Some(text),
            Ok(None) => return None,
            Ok(Some(_)) => "it is too long".to_owned(),
            Err(Error::Exception) => describe(self.ctx, &self.ctx.catch()).message,
            Err(error) => error.to_string(),
        };
        let line = format!("the value of the script is not kept: {why}");
        self.record.borrow_mut().write(&self.limits, &line);
        None
    }
}

/// A text that is no longer than that.
fn bounded(ctx: &Ctx<'_>, text: String, most: usize) -> rquickjs::Result<String> {
    if text.len() <= most {
        return Ok(text);
    }
    let why = format!("what is handed over is longer than {most} bytes");
    Err(Exception::throw_range(ctx, &why))
}

/// Looks for numbers in a JSON text that may be others as doubles.
fn may_lose_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut run = 0;
    bytes.iter().enumerate().any(|(at, byte)| match byte {
        b'e' | b'E' if std::mem::take(&mut run) > 0 => {
            let exponent = &bytes[at + 1..];
            let signed = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+"));
            let digits = signed.unwrap_or(exponent).iter().take(3);
            digits.filter(|byte| byte.is_ascii_digit()).count() == 3
        }
        b'0'..=b'9' | b'.' => {
            run += 1;
            run > 15
        }
        _ => {
            run = 0;
            false
        }
    })
}

fn result<'js>(promise: &Promise<'js>, ctx: &Ctx<'js>) -> Value<'js> {
    match promise.result::<Value<'js>>() {
        Some(Ok(value)) => value,
        _ => Value::new_undefined(ctx.clone()),
    }
}

/// The longest message that is kept, in characters.
const LONGEST: usize = 1000;

/// What was thrown, for people. It may be anything, and may do anything when it is looked at.
pub(crate) fn describe<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> Failure {
    let mut failure = match thrown.as_object().and_then(error) {
        Some((message, stack)) => Failure {
            message,
            place: place(&stack),
            stopped: false,
        },
        None => Failure::new(format!("thrown: {}", other(ctx, thrown))),
    };
    if failure.message.len() > LONGEST {
        failure.message = failure.message.chars().take(LONGEST).collect();
    }
    failure
}

/// Message and trace of an error object, which is not trusted either.
fn error(object: &Object<'_>) -> Option<(String, String)> {
    if !object.is_error() {
        return None;
    }
    let text = |name: &str| as_text(&object.get::<_, Value<'_>>(name).ok()?);
    let name = text("name").unwrap_or_else(|| "Error".to_owned());
    let message = text("message").unwrap_or_default();
    let stack = text("stack").unwrap_or_default();
    object.ctx().catch();
    let message = match message.as_str() {
        "" => name,
        message => format!("{name}: {message}"),
    };
    Some((message, stack))
}

/// A text; one that is not Unicode, with escapes.
fn as_text(value: &Value<'_>) -> Option<String> {
    let text = value.as_string()?;
    text.to_string().ok().or_else(|| {
        let json = value.ctx().json_stringify(value.clone()).ok()??;
        Some(json.to_string().ok()?.trim_matches('"').to_owned())
    })
}

/// Whatever else was thrown.
fn other<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> String {
    if let Some(text) = as_text(thrown) {
        return text;
    }
    let json = ctx.json_stringify(thrown.clone());
    let json = json.ok().flatten().and_then(|json| json.to_string().ok());
    ctx.catch();
    if thrown.is_null() {
        // That is what the engine throws where there is no room for an error.
        return "null, or there was no memory left".to_owned();
    }
    json.unwrap_or_else(|| format!("a value of type {}", thrown.type_name()))
}

/// The first place of a stack trace that is in the script.
fn place(stack: &str) -> Option<(u32, u32)> {
    let mark = format!("{NAME}:");
    let at = stack.find(&mark)? + mark.len();
    let mut numbers = stack[at..].split(|c: char| !c.is_ascii_digit());
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some((line, column))
}

#[cfg(test)]
mod tests;
