//! Programs: scripts that are compiled once and run in many contexts.
//!
//! The engine's interface for bytecode takes pointers, so the only `unsafe` code of the project is here. Compiling a
//! script of 70 KiB takes 2.6 ms and running a small one 0.14 ms. Without bytecode, a run of a large script would
//! spend its time on parsing.
#![expect(
    unsafe_code,
    reason = "bytecode is written and read through the engine's C interface"
)]

use std::{ffi::CString, slice, sync::Arc};

use rquickjs::{Context, Ctx, Error, Result, Runtime, Value, qjs};
use serde::{Deserialize, Serialize};

use crate::run::{Failure, describe};

/// A compiled script.
#[derive(Clone, Debug)]
pub struct Program {
    code: Arc<[u8]>,
    /// The functions of tools.js and of web.js that the script may use, separated by spaces.
    tools: Arc<str>,
    web: Arc<str>,
}

/// The global names that tools.js and web.js define on first use.
const TOOLS: &[&str] = &["fetch", "channel", "entities", "events", "kv"];
const WEB: &[&str] = &[
    "crypto",
    "atob",
    "TextEncoder",
    "TextDecoder",
    "URL",
    "URLSearchParams",
];

/// Words and signs of a script that may reach global names which its text does not contain.
const INDIRECT: [&str; 7] = [
    "\\",
    "this",
    "globalThis",
    "eval",
    "Function",
    "constructor",
    "Reflect",
];

impl Program {
    /// A script whose source mentions few global names starts faster: the others are not defined for it.
    fn new(code: Vec<u8>, source: &str) -> Self {
        let is_direct = !INDIRECT.iter().any(|word| source.contains(word));
        let mentioned = |names: &[&str]| {
            let used = names
                .iter()
                .filter(|name| !is_direct || source.contains(**name));
            used.copied().collect::<Vec<_>>().join(" ").into()
        };
        Self {
            code: code.into(),
            tools: mentioned(TOOLS),
            web: mentioned(WEB),
        }
    }

    /// The size of the bytecode in bytes.
    pub fn size(&self) -> usize {
        self.code.len()
    }

    pub(crate) fn tools(&self) -> &str {
        &self.tools
    }

    pub(crate) fn web(&self) -> &str {
        &self.web
    }

    pub(crate) fn evaluate<'js>(&self, ctx: &Ctx<'js>) -> Result<Value<'js>> {
        evaluate(ctx, &self.code)
    }
}

/// The reason for which a text is not a valid script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message} in line {line}, column {column}")]
pub struct SyntaxError {
    pub message: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// The name of scripts in the engine's stack traces.
pub(crate) const SCRIPT_NAME: &str = "script";
/// The memory limit for compiling, in bytes. Sources are far shorter.
const MAX_COMPILE_MEMORY: usize = 64 << 20;
/// The stack limit for compiling, in bytes. It bounds the nesting of expressions.
const MAX_COMPILE_STACK: usize = 256 << 10;

/// Compiles a classic script in which `await` is allowed at the top level.
pub fn compile(source: &str) -> std::result::Result<Program, SyntaxError> {
    let broken = |message: &str| SyntaxError {
        message: message.to_owned(),
        line: 1,
        column: 1,
    };
    let begin = || {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(MAX_COMPILE_MEMORY);
        runtime.set_max_stack_size(MAX_COMPILE_STACK);
        Context::full(&runtime)
    };
    let context = begin().map_err(|error| broken(&error.to_string()))?;
    context.with(|ctx| {
        let top_level_await = qjs::JS_EVAL_FLAG_ASYNC;
        compile_in(&ctx, SCRIPT_NAME, source, top_level_await)
            .map(|bytes| Program::new(bytes, source))
            .map_err(|error| match error {
                Error::Exception => take_position(describe(&ctx, &ctx.catch())),
                error => broken(&error.to_string()),
            })
    })
}

/// Compiles a prelude: a function expression of this crate.
pub(crate) fn compile_prelude(source: &str) -> Program {
    let compile = || {
        let context = Context::full(&Runtime::new()?)?;
        context.with(|ctx| compile_in(&ctx, "prelude", source, 0))
    };
    Program::new(compile().expect("the prelude is valid"), "")
}

/// Moves the position from the failure's trace, which ends with `at script:LINE:COLUMN`, to the members of the error.
fn take_position(failure: Failure) -> SyntaxError {
    let (line, column) = failure.position.unwrap_or((1, 1));
    let message = failure.message;
    let message = message
        .strip_prefix("SyntaxError: ")
        .map_or(message.clone(), str::to_owned);
    SyntaxError {
        message,
        line,
        column,
    }
}

fn compile_in(ctx: &Ctx<'_>, name: &str, source: &str, flags: u32) -> Result<Vec<u8>> {
    let name = CString::new(name)?;
    let text = CString::new(source)?;
    let raw = ctx.as_raw().as_ptr();
    let flags = qjs::JS_EVAL_TYPE_GLOBAL | qjs::JS_EVAL_FLAG_COMPILE_ONLY | flags;
    // SAFETY: `raw` is the live context behind `ctx`, which is entered here. Both texts end with NUL and outlive the
    // call. The compiled value belongs to this function and is freed once. The bytes are copied before the engine's
    // buffer is returned to the engine.
    unsafe {
        let compiled = qjs::JS_Eval(
            raw,
            text.as_ptr(),
            source.len() as _,
            name.as_ptr(),
            flags.cast_signed(),
        );
        if qjs::JS_IsException(compiled) {
            return Err(Error::Exception);
        }
        let mut length = 0;
        let flags = qjs::JS_WRITE_OBJ_BYTECODE | qjs::JS_WRITE_OBJ_STRIP_SOURCE;
        let written = qjs::JS_WriteObject(raw, &raw mut length, compiled, flags.cast_signed());
        qjs::JS_FreeValue(raw, compiled);
        if written.is_null() {
            return Err(Error::Exception);
        }
        let bytes = slice::from_raw_parts(written, usize::try_from(length).unwrap_or(0)).to_vec();
        qjs::js_free(raw, written.cast());
        Ok(bytes)
    }
}

/// Runs bytecode that [`compile_in`] made in this process.
fn evaluate<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Result<Value<'js>> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: as above. The engine trusts the bytes. They come from `compile_in` alone, since a `Program` has no
    // other source and never leaves the process. `JS_EvalFunction` takes ownership of its argument.
    unsafe {
        let function = qjs::JS_ReadObject(
            raw,
            bytes.as_ptr(),
            bytes.len() as _,
            qjs::JS_READ_OBJ_BYTECODE.cast_signed(),
        );
        if qjs::JS_IsException(function) {
            return Err(Error::Exception);
        }
        let value = qjs::JS_EvalFunction(raw, function);
        if qjs::JS_IsException(value) {
            return Err(Error::Exception);
        }
        Ok(Value::from_raw(ctx.clone(), value))
    }
}
