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
    bytecode::{SCRIPT_NAME, compile_prelude},
    web::{self, Answer},
};

static PRELUDE: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("prelude.js")));
static TOOLS: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("tools.js")));
static WEB: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("web.js")));
static WEBHOOK: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("webhook.js")));
static NUMBERS: LazyLock<Program> = LazyLock::new(|| compile_prelude(include_str!("numbers.js")));

/// The limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The memory of all its values, in bytes.
    pub memory: usize,
    /// The stack, in bytes.
    pub stack: usize,
    /// The log, in bytes.
    pub log: usize,
    /// The log, in lines.
    pub lines: usize,
    /// The body of the response, in bytes.
    pub body: usize,
    /// The completion value and the variables, each in bytes.
    pub value: usize,
    /// One argument of a call to the host, in bytes.
    pub argument: usize,
    /// The number of concurrent operations.
    pub begun: usize,
    /// The number of unhandled promise rejections.
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

/// The input of a run. Kept as text, because only the script reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presets(Box<RawValue>);

impl Presets {
    /// Builds the global objects `request` and `variables`, and the results of `startparam(1)`, `startparam(2)`, … If
    /// the request has a `text` and no `body`, its body is the value of that JSON. Without `params` the start
    /// parameters are the parts of the request, as in a hook's script.
    pub fn new(
        request: &serde_json::Value,
        params: Option<&[serde_json::Value]>,
        variables: &serde_json::Value,
    ) -> Self {
        // The body of such a request is parsed from its text on first use.
        let is_json = request.get("text").is_some() && request.get("body").is_none();
        Self::of(&json!({
            "request": request, "params": params, "variables": variables, "json": is_json,
        }))
    }

    /// Builds the same for the script of a webhook, which says by `send` or `skip` what becomes of the request. Its body
    /// is the value of its JSON `text`.
    pub fn of_webhook(request: &serde_json::Value, variables: &serde_json::Value) -> Self {
        Self::of(&json!({
            "request": request, "variables": variables, "json": true, "webhook": true,
        }))
    }

    fn of(presets: &serde_json::Value) -> Self {
        Self(RawValue::from_string(presets.to_string()).unwrap_or_default())
    }
}

impl Default for Presets {
    fn default() -> Self {
        Self::new(&json!({}), Some(&[]), &json!({}))
    }
}

/// The outcome of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The lines that it logged.
    pub log: Vec<String>,
    /// Its last response.
    pub response: Option<Response>,
    /// The argument of its last `send` or `skip` as JSON, in the script of a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// The completion value as JSON. A promise is awaited. None if the value has no JSON form.
    pub value: Option<String>,
    /// The `variables` as JSON.
    pub variables: Option<String>,
    /// The reason for which the run failed.
    pub failure: Option<Failure>,
}

/// The reason for which a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One line for people.
    pub message: String,
    /// Line and column in the script, from 1.
    pub position: Option<(u32, u32)>,
    /// True if the run was stopped because its time was over.
    pub stopped: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            position: None,
            stopped: false,
        }
    }

    /// The failure of a run that is out of time.
    pub fn stopped() -> Self {
        Self {
            stopped: true,
            ..Self::new("the script was stopped because its time was over")
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some((line, column)) => write!(f, " in line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

/// The largest text that a script may pass to a function of the prelude, in bytes: the longest body, with two bytes
/// for each byte.
const MAX_TEXT_BYTES: usize = 9 << 20;

/// The record of a run, written by the prelude's functions. It is outside of the memory that the engine counts, so
/// each part has a limit of its own.
#[derive(Default)]
struct Record {
    log: Vec<String>,
    written: usize,
    is_full: bool,
    response: Option<Response>,
    sent: Option<String>,
    /// The reason for which the run failed although the script may continue.
    failed: Option<String>,
    /// Rejected promises without a handler.
    rejected: Vec<Failure>,
    /// The reason for which the run is stopped early.
    abort_reason: Option<String>,
    /// The number of operations in progress.
    open: usize,
}

impl Record {
    /// Records a rejected promise, or removes it once it gets a handler.
    fn reject(&mut self, limits: &Limits, failure: Failure, is_handled: bool) {
        if is_handled {
            let known = self.rejected.iter().rposition(|one| *one == failure);
            if let Some(at) = known {
                self.rejected.swap_remove(at);
            }
        } else if self.rejected.len() < limits.rejections {
            self.rejected.push(failure);
        } else {
            let max = limits.rejections;
            let why = format!("more than {max} rejected promises have no handler");
            self.abort_reason = Some(why);
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

/// Runs a program until its promises are settled, it fails, or `is_over` returns true.
///
/// `is_over` is called very often while the script runs, so it must be quick.
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
        let abort_reason = record.abort_reason.take().map(Failure::new);
        failure = Some(abort_reason.unwrap_or_else(Failure::stopped));
    }
    if failure.is_none() {
        let failed = record.failed.take().map(Failure::new);
        failure = failed.or_else(|| record.rejected.pop());
    }
    Outcome {
        log: std::mem::take(&mut record.log),
        response: record.response.take(),
        sent: record.sent.take(),
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
                if record.abort_reason.is_some() {
                    stop.set(true);
                }
            }
        },
    )));
    let host = Rc::new(RefCell::new(host));
    let done = context.with(|ctx| {
        let work = Execution {
            ctx: &ctx,
            limits,
            record,
            over,
        };
        let caught = |error| match error {
            Error::Exception => describe(&ctx, &ctx.catch()),
            error => Failure::new(error.to_string()),
        };
        let tools = work.prepare(program, presets, &host).map_err(caught)?;
        let top = program.evaluate(&ctx).map_err(caught)?;
        work.finish(&tools, &host, top)
    });
    // The script is finished, so the handler is not needed any more.
    runtime.set_interrupt_handler(None);
    runtime.set_host_promise_rejection_tracker(None);
    done
}

/// The parts of a running context.
struct Execution<'a, 'js> {
    ctx: &'a Ctx<'js>,
    limits: Limits,
    record: &'a Rc<RefCell<Record>>,
    over: &'a Rc<Cell<bool>>,
}

impl<'js> Execution<'_, 'js> {
    /// Runs the prelude. Its result is an object of this crate, not of the script.
    fn prepare<H: Host>(
        &self,
        program: &Program,
        presets: &Presets,
        host: &Rc<RefCell<H>>,
    ) -> rquickjs::Result<Object<'js>> {
        let native = self.native(host)?;
        let prelude: Function<'js> = PRELUDE.evaluate(self.ctx)?.get()?;
        let text = presets.0.get();
        let presets = if may_lose_digits(text) {
            // The prelude parses this text without losing digits, which takes more memory.
            text.into_js(self.ctx)?
        } else {
            self.ctx.json_parse(text)?
        };
        prelude.call((native, presets, program.tools(), program.web()))
    }

    /// The native function below the prelude. It takes a name and arguments.
    fn native<H: Host>(&self, host: &Rc<RefCell<H>>) -> rquickjs::Result<Function<'js>> {
        let (host, record, limits) = (host.clone(), self.record.clone(), self.limits);
        let native = move |ctx: Ctx<'js>, name: String, given: Rest<Value<'js>>| {
            let text = |n: usize| -> rquickjs::Result<String> {
                let given = given.0.get(n).cloned();
                let text: String = given
                    .unwrap_or_else(|| Value::new_undefined(ctx.clone()))
                    .get()?;
                bounded(&ctx, text, MAX_TEXT_BYTES)
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
                "send" => {
                    record.borrow_mut().sent = Some(argument(0)?);
                    Ok(done())
                }
                "fail" => {
                    record.borrow_mut().failed.get_or_insert(text(0)?);
                    Ok(done())
                }
                "load" => {
                    let file = match text(0)?.as_str() {
                        "web" => &WEB,
                        "numbers" => &NUMBERS,
                        "webhook" => &WEBHOOK,
                        _ => &TOOLS,
                    };
                    return file.evaluate(&ctx);
                }
                "exact" => {
                    // The length of the text is bounded by the engine's memory.
                    let text: Option<String> = given
                        .0
                        .first()
                        .cloned()
                        .map(|text| text.get())
                        .transpose()?;
                    Ok(Answer::Bool(may_lose_digits(&text.unwrap_or_default())))
                }
                "ask" => host
                    .borrow_mut()
                    .ask(&text(0)?, &argument(1)?)
                    .map(Answer::Text),
                "begin" if record.borrow().open >= limits.begun => Err(format!(
                    "at most {} operations may be in progress at once",
                    limits.begun
                )),
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
                    answer.unwrap_or_else(|| Err(format!("{name} is not a function of the host")))
                }
            };
            match answer {
                Ok(Answer::Text(text)) => text.into_js(&ctx),
                Ok(Answer::Bool(truth)) => Ok(Value::new_bool(ctx, truth)),
                Ok(Answer::Bytes(bytes)) => {
                    Ok(TypedArray::<u8>::new_copy(ctx, bytes)?.into_value())
                }
                Err(message) => Err(Exception::throw_message(&ctx, &message)),
            }
        };
        Function::new(self.ctx.clone(), native)
    }

    /// Runs pending jobs and waits for started operations until none is left.
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
        // The result of a script with `await` at its top level is a promise of `{value}`.
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

    /// The result of a promise. Any other value is returned unchanged.
    fn settled(&self, value: Value<'js>) -> Result<Value<'js>, Failure> {
        let Some(promise) = value.clone().into_promise() else {
            return Ok(value);
        };
        match promise.state() {
            PromiseState::Pending => Err(Failure::new(
                "the script waits for a promise that is never settled",
            )),
            PromiseState::Resolved => Ok(result(&promise, self.ctx)),
            PromiseState::Rejected => {
                let _ = promise.result::<Value<'js>>();
                Err(describe(self.ctx, &self.ctx.catch()))
            }
        }
    }

    /// Converts a value to JSON. A value without a JSON form is logged, and gives None.
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
        let line = format!("the value of the script was dropped: {why}");
        self.record.borrow_mut().write(&self.limits, &line);
        None
    }
}

/// Returns the text if it is not longer than `max` bytes.
fn bounded(ctx: &Ctx<'_>, text: String, max: usize) -> rquickjs::Result<String> {
    if text.len() <= max {
        return Ok(text);
    }
    let why = format!("an argument is longer than {max} bytes");
    Err(Exception::throw_range(ctx, &why))
}

/// True if a JSON text may contain numbers that change as doubles.
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

/// The largest length of a failure's message, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Describes a thrown value for people. The value may be anything, and its getters may run code.
pub(crate) fn describe<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> Failure {
    let mut failure = match thrown.as_object().and_then(error) {
        Some((message, stack)) => Failure {
            message,
            position: script_position(&stack),
            stopped: false,
        },
        None => Failure::new(format!("thrown: {}", other(ctx, thrown))),
    };
    if failure.message.len() > MAX_MESSAGE_CHARS {
        failure.message = failure.message.chars().take(MAX_MESSAGE_CHARS).collect();
    }
    failure
}

/// The message and the stack of an error object, which are not trusted either.
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

/// The text of a string value. Invalid Unicode is escaped.
fn as_text(value: &Value<'_>) -> Option<String> {
    let text = value.as_string()?;
    text.to_string().ok().or_else(|| {
        let json = value.ctx().json_stringify(value.clone()).ok()??;
        Some(json.to_string().ok()?.trim_matches('"').to_owned())
    })
}

/// Describes a thrown value that is not an error object.
fn other<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> String {
    if let Some(text) = as_text(thrown) {
        return text;
    }
    let json = ctx.json_stringify(thrown.clone());
    let json = json.ok().flatten().and_then(|json| json.to_string().ok());
    ctx.catch();
    if thrown.is_null() {
        // The engine throws null if there is no memory left for an error object.
        return "null, or an error for which no memory was left".to_owned();
    }
    json.unwrap_or_else(|| format!("a value of type {}", thrown.type_name()))
}

/// The first position inside the script in a stack trace.
fn script_position(stack: &str) -> Option<(u32, u32)> {
    let mark = format!("{SCRIPT_NAME}:");
    let at = stack.find(&mark)? + mark.len();
    let mut numbers = stack[at..].split(|c: char| !c.is_ascii_digit());
    let line = numbers.next()?.parse().ok()?;
    let column = numbers.next()?.parse().ok()?;
    Some((line, column))
}

#[cfg(test)]
mod tests;
