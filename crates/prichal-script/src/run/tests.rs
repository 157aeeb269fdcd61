use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::json;

use super::*;
use crate::{NoHost, compile};

/// Runs a script without a host.
fn run_alone(source: &str) -> Outcome {
    run_with(source, &Presets::default(), NoHost::default())
}

fn run_with(source: &str, presets: &Presets, host: impl Host) -> Outcome {
    let program = compile(source).expect("it compiles");
    run(&program, presets, Limits::default(), || false, host)
}

/// Runs a script that would never end, and stops it. The time is not measured.
fn run_stopped(source: &str) -> Outcome {
    let program = compile(source).expect("it compiles");
    let end = Instant::now() + Duration::from_millis(100);
    run(
        &program,
        &Presets::default(),
        Limits::default(),
        move || Instant::now() > end,
        NoHost::default(),
    )
}

fn message(outcome: &Outcome) -> &str {
    outcome
        .failure
        .as_ref()
        .map_or("", |failure| failure.message.as_str())
}

#[test]
fn a_script_has_a_value() {
    for (source, value) in [
        ("1 + 1", Some("2")),
        ("", None),
        ("undefined", None),
        ("(() => 1)", None),
        ("({a: [1, null, 'x']})", Some(r#"{"a":[1,null,"x"]}"#)),
        ("await Promise.resolve(7)", Some("7")),
        ("(async () => 8)()", Some("8")),
        (
            "var x = 3; function f() { return x; } globalThis.f()",
            Some("3"),
        ),
        ("undeclared = 4; undeclared", Some("4")),
    ] {
        let outcome = run_alone(source);
        assert_eq!(outcome.failure, None, "{source}");
        assert_eq!(outcome.value.as_deref(), value, "{source}");
    }
}

#[test]
fn presets_are_available_and_variables_are_returned() {
    let request = json!({ "method": "POST" });
    let params = [json!("one"), json!({ "two": 2 })];
    let presets = Presets::new(&request, Some(&params), &json!({ "kept": 1 }));
    let source = "variables.made = [request.method, startparam(1), request.startparam(2).two, startparam(9)]; variables.kept++;";
    let outcome = run_with(source, &presets, NoHost::default());
    let variables = r#"{"kept":2,"made":["POST","one",2,null]}"#;
    assert_eq!(outcome.variables.as_deref(), Some(variables));
}

#[test]
fn without_params_they_are_the_parts_of_the_request() {
    let request = json!({ "entity": { "id": 1 }, "method": "GET", "url": "/exec", "body": [2],
        "headers": { "a": "b" }, "ip": "::1", "protocol": "http" });
    let presets = Presets::new(&request, None, &json!({}));
    let outcome = run_with(
        "[1, 2, 3, 4, 5, 6, 7, 8].map((n) => startparam(n))",
        &presets,
        NoHost::default(),
    );
    let parts = r#"[{"id":1},"GET","/exec",[2],[["a","b"]],"::1","http",null]"#;
    assert_eq!(outcome.value.as_deref(), Some(parts));
}

#[test]
fn a_syntax_error_has_a_position() {
    for (source, line) in [
        ("let a = ;", 1),
        ("\n\nfoo(", 3),
        ("'a\nb'", 1),
        ("\u{0}", 1),
    ] {
        let error = compile(source).expect_err(source);
        assert_eq!(error.line, line, "{source}: {error}");
        assert!(!error.message.is_empty());
    }
    let error = compile("\n  let 5 = 1").expect_err("no name");
    assert_eq!((error.line, error.column > 1), (2, true), "{error}");
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    compile(&deep).expect_err("too deep");
}

#[test]
fn any_thrown_value_is_described() {
    for (source, said) in [
        ("throw new TypeError('bad')", "TypeError: bad"),
        ("throw 'text'", "thrown: text"),
        ("throw {a: 1}", r#"thrown: {"a":1}"#),
        ("throw undefined", "thrown: a value of type undefined"),
        ("throw Symbol('x')", "thrown: a value of type symbol"),
        (
            "const a = {}; a.a = a; throw a",
            "thrown: a value of type object",
        ),
        (
            "throw {toJSON() { throw 1; }}",
            "thrown: a value of type object",
        ),
        (
            "const e = new Error('x'); Object.defineProperty(e, 'message', {get() { throw 1; }}); throw e",
            "Error",
        ),
        ("nothing.at.all", "ReferenceError: nothing is not defined"),
        ("await Promise.reject(new Error('late'))", "Error: late"),
        (
            "Promise.reject(new Error('unheard')); 1",
            "a promise was rejected: Error: unheard",
        ),
        (
            "new Promise(() => {})",
            "the script waits for a promise that is never settled",
        ),
        (
            "await new Promise(() => {})",
            "the script waits for a promise that is never settled",
        ),
        (
            "respond(42)",
            "Error: the status must be a whole number from 200 to 599",
        ),
        (
            "try { respond(200, {'a b': 1}) } catch {}",
            "respond: Error: a b is not a valid header name",
        ),
        (
            "const a = {}; a.a = a; try { respond(200, {}, a) } catch {}",
            "respond: TypeError: circular reference",
        ),
        ("kv.get('x')", "Error: kv.get is not available here"),
        (
            "await fetch('https://example.com')",
            "Error: this operation is not available here",
        ),
        (
            "crypto.sha('md5', 'x')",
            "Error: the algorithm md5 is not supported: use sha1, sha256, sha384 or sha512",
        ),
    ] {
        assert_eq!(message(&run_alone(source)), said, "{source}");
    }
    let failure = run_alone("\n\n  throw new Error('here')").failure;
    assert_eq!(
        failure.expect("it threw").position.map(|(line, _)| line),
        Some(3)
    );
    let handled = run_alone("const p = Promise.reject(1); p.catch(() => {}); 'fine'");
    assert_eq!(handled.failure, None);
}

#[test]
fn a_value_without_a_json_form_is_logged() {
    let outcome = run_alone("const a = {}; a.self = a; a");
    assert_eq!((outcome.value, outcome.failure), (None, None));
    assert!(
        outcome.log[0].contains("circular reference"),
        "{:?}",
        outcome.log
    );
    let long = run_alone("'x'.repeat(100000)");
    assert_eq!((long.value, long.failure), (None, None));
}

#[test]
fn the_response_is_recorded() {
    let outcome = run_alone("respond(201, {'X-A': 'b'}, {ok: true})");
    let response = outcome.response.expect("an answer");
    assert_eq!(
        (response.status, response.body.as_str()),
        (201, r#"{"ok":true}"#)
    );
    let headers = [
        ("x-a".to_owned(), "b".to_owned()),
        (
            "content-type".to_owned(),
            "application/json; charset=utf-8".to_owned(),
        ),
    ];
    assert_eq!(response.headers, headers);
    let plain = run_alone("respond(undefined, null, 'hi')")
        .response
        .expect("an answer");
    assert_eq!(
        (plain.status, plain.body.as_str(), plain.headers.len()),
        (200, "hi", 0)
    );
}

#[test]
fn the_log_is_bounded() {
    let outcome = run_alone(
        "console.log('a', 1, {b: [2]}, null, undefined, new Error('c'), Symbol.iterator)",
    );
    assert_eq!(
        outcome.log,
        [r#"a 1 {"b":[2]} null undefined Error: c Symbol(Symbol.iterator)"#]
    );
    let many = run_alone("for (let i = 0; i < 100000; i++) console.log(i)");
    assert_eq!((many.log.len(), many.failure), (1001, None));
    assert_eq!(many.log[1000], "… the log is full");
    let long = run_alone("for (let i = 0; i < 100; i++) console.log('ё'.repeat(10000))");
    assert!(long.log.iter().map(String::len).sum::<usize>() < 70_000);
    let cyclic =
        run_alone("const a = {}; a.a = a; console.log(a); console.log({toJSON() { throw 1; }})");
    assert_eq!(cyclic.log, ["[object Object]", "[object Object]"]);
}

#[test]
fn an_endless_script_is_stopped() {
    for source in [
        "while (true) {}",
        "for (;;) { try { while (true) {} } catch {} finally { continue; } }",
        "/(a+)+$/.test('a'.repeat(40) + '!')",
        "Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)",
        "Array.prototype.includes.call({length: 2 ** 53 - 1}, 1)",
        "Array.prototype.lastIndexOf.call({length: 2 ** 53 - 1}, 1)",
        "Array.prototype.forEach.call({length: 2 ** 53 - 1}, () => {})",
        "Array.prototype.find.call({length: 2 ** 53 - 1}, isNaN.bind(null, 1))",
        "const a = []; a.length = 2 ** 32 - 1; a.indexOf(1)",
        "(async () => { for (;;) await null; })()",
        "const f = () => Promise.resolve().then(f); f()",
        "const o = {get message() { for (;;) {} }}; throw Object.assign(Object.create(Error.prototype), o)",
        "({toJSON() { for (;;) {} }})",
        "respond(200, {}, {toJSON() { for (;;) {} }})",
        "console.log({toString() { for (;;) {} }, toJSON() { for (;;) {} }})",
        "throw {toJSON() { for (;;) {} }}",
        "new Proxy({}, {get() { for (;;) {} }, has() { for (;;) {} }}).x",
        "let x = 3n; for (;;) x = x * x % (2n ** 600n)",
        "JSON.parse('[1]', function () { for (;;) {} })",
        "'a'.repeat(1e6).replace(/a/g, () => { for (;;) {} })",
    ] {
        let outcome = run_stopped(source);
        assert!(outcome.failure.is_some(), "{source}: {outcome:?}");
    }
}

#[test]
fn memory_and_stack_are_bounded() {
    for source in [
        "const a = []; for (;;) a.push(new Array(1000).fill(1))",
        "let s = 'x'; for (;;) s += s",
        "new ArrayBuffer(1 << 30)",
        "new Array(1 << 26).fill(1)",
        "'x'.repeat(1 << 29)",
        "const f = () => f(); f()",
        "const a = []; let b = a; for (;;) { b[0] = []; b = b[0]; }",
        "let o = {}; for (let i = 0; i < 1e6; i++) o = {o}; JSON.stringify(o)",
        "const o = {get a() { return this.a; }}; o.a",
        "[].concat(...new Array(100000).fill([1, 2, 3]))",
        "JSON.parse('['.repeat(1e6))",
        "new RegExp('('.repeat(1e5))",
        "eval('('.repeat(1e5))",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, i)",
    ] {
        let outcome = run_stopped(source);
        let failure = outcome.failure.expect(source);
        assert!(!failure.message.is_empty(), "{source}");
    }
}

#[test]
fn a_script_without_memory_gets_an_error() {
    for source in [
        "let a = []; while (true) a.push('x'.repeat(1000) + a.length)",
        "'a'.repeat(3e6).split('').map((x) => ({ x }))",
        "let s = 'x'; for (;;) s += s",
    ] {
        let outcome = run_alone(source);
        let said = message(&outcome);
        assert!(
            said.contains("memory") || said.contains("string"),
            "{source}: {said}"
        );
    }
}

#[test]
fn a_long_body_is_parsed_on_first_use() {
    let text = format!("[{}1]", "1,".repeat(500_000));
    let presets = Presets::new(&json!({ "text": text }), None, &json!({}));
    let run = |source: &str| run_with(source, &presets, NoHost::default());
    assert_eq!(run("request.text.length").value.as_deref(), Some("1000003"));
    let short = Presets::new(&json!({ "text": "{\"a\": [1]}" }), None, &json!({}));
    let outcome = run_with(
        "[request.body.a, request.body === request.body, startparam(4).a]",
        &short,
        NoHost::default(),
    );
    assert_eq!(outcome.value.as_deref(), Some("[[1],true,[1]]"));
    let replaced = run_with("request.body = 7; request.body", &short, NoHost::default());
    assert_eq!(replaced.value.as_deref(), Some("7"));
}

#[test]
fn a_body_nested_deeper_than_the_stack_is_a_text() {
    let deep = "[".repeat(3000) + &"]".repeat(3000);
    let presets = Presets::new(&json!({ "text": deep }), None, &json!({}));
    let outcome = run_with("typeof request.body", &presets, NoHost::default());
    assert_eq!(outcome.value.as_deref(), Some("\"string\""));
}

#[test]
fn lone_surrogates_can_be_logged_and_thrown() {
    let outcome = run_alone(r"console.log('cut ' + '😀'.slice(0, 1), {a: '\ud83d'}); 1");
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.log, ["cut \u{fffd} {\"a\":\"\\ud83d\"}"]);
    for source in [r"throw new Error('\ud83d')", r"throw '\ud83d'"] {
        let outcome = run_alone(source);
        assert!(
            message(&outcome).contains(r"\ud83d"),
            "{source}: {outcome:?}"
        );
    }
}

#[test]
fn a_signed_value_must_be_a_text() {
    for source in [
        "crypto.hmac('sha256', 'k', {a: 1})",
        "crypto.hmac('sha256', undefined, 'x')",
        "crypto.sha('sha256', [1])",
        "crypto.equal()",
        "crypto.equal({}, {})",
        "crypto.equal('a', undefined)",
    ] {
        assert!(
            message(&run_alone(source)).contains("must be a text"),
            "{source}"
        );
    }
}

#[test]
fn variables_without_a_json_form_are_dropped() {
    let outcome = run_alone(
        "variables.a = 1; variables.b = 10n ** 1000n; variables.c = variables; variables.d = () => 1",
    );
    assert_eq!(outcome.variables.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(outcome.log.len(), 2, "{:?}", outcome.log);
    assert_eq!(
        message(&run_alone(
            "queueMicrotask(() => { throw new Error('late') })"
        )),
        "a promise was rejected: Error: late"
    );
}

#[test]
fn a_script_cannot_leave_its_context() {
    for source in [
        "typeof require",
        "typeof process",
        "typeof std",
        "typeof os",
        "typeof Deno",
        "typeof Worker",
        "typeof setTimeout",
        "typeof print",
        "typeof load",
        "typeof scriptArgs",
        "typeof native",
    ] {
        assert_eq!(
            run_alone(source).value.as_deref(),
            Some("\"undefined\""),
            "{source}"
        );
    }
    let import = run_alone("await import('/etc/passwd')");
    assert!(import.failure.is_some());
    let import = run_alone("await import('std')");
    assert!(import.failure.is_some());
    // Values left behind by one run do not exist in the next.
    run_alone("globalThis.left = 1; Array.prototype.left = 1; Object.prototype.left = 1");
    assert_eq!(
        run_alone("[typeof left, [].left ?? 0]").value.as_deref(),
        Some(r#"["undefined",0]"#)
    );
}

#[test]
fn replaced_intrinsics_affect_only_the_script() {
    for (source, value, body) in [
        (
            "JSON.stringify = () => 'x'; JSON.parse = () => 1; respond(200, {}, {a: 1}); 1",
            Some("1"),
            Some(r#"{"a":1}"#),
        ),
        (
            "Object.entries = null; Promise.prototype.then = null; 2",
            Some("2"),
            None,
        ),
        (
            "Object.prototype.toJSON = () => { throw 1; }; ({})",
            None,
            None,
        ),
        (
            "delete globalThis.respond; variables = {get a() { throw 1; }}; 3",
            Some("3"),
            None,
        ),
        (
            "Object.prototype.status = 7; respond(200, {}, 'x'); 4",
            Some("4"),
            Some("x"),
        ),
    ] {
        let outcome = run_alone(source);
        assert_eq!(outcome.failure, None, "{source}");
        assert_eq!(outcome.value.as_deref(), value, "{source}");
        let response = outcome.response.as_ref();
        assert_eq!(
            response.map(|response| response.body.as_str()),
            body,
            "{source}"
        );
    }
}

/// A host that answers calls from a list, and ends operations in the opposite order of their start.
#[derive(Default)]
struct FakeHost {
    begun: VecDeque<(u32, String)>,
}

impl Host for FakeHost {
    fn ask(&mut self, name: &str, argument: &str) -> Result<String, String> {
        match name {
            "kv.get" => Ok(argument.to_owned()),
            "kv.set" => Ok(String::new()),
            _ => Err(format!("{name} is refused")),
        }
    }

    fn begin(&mut self, id: u32, name: &str, argument: &str) {
        self.begun.push_front((id, format!("{name} {argument}")));
    }

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        let (id, what) = self.begun.pop_front()?;
        if what.contains("never") {
            return None;
        }
        if what.contains("broken") {
            return Some((id, Err("it broke".to_owned())));
        }
        let answer = json!({ "status": 200, "headers": { "x-a": "b" }, "body": what });
        Some((id, Ok(answer.to_string())))
    }
}

#[test]
fn a_script_calls_the_host_and_waits_for_it() {
    let run = |source: &str| run_with(source, &Presets::default(), FakeHost::default());
    assert_eq!(run("kv.get('k')").value.as_deref(), Some(r#"{"key":"k"}"#));
    assert_eq!(
        run("kv.set('k', 1) === undefined").value.as_deref(),
        Some("true")
    );
    assert_eq!(
        message(&run("events.publish('x')")),
        "Error: events.publish is refused"
    );
    let source = "
        const order = [];
        const one = fetch('https://a.example').then((r) => { order.push(1); return r; });
        const two = fetch('https://b.example', {method: 'POST', body: {n: 1}}).then((r) => { order.push(2); return r; });
        const [first, second] = await Promise.all([one, two]);
        [order, first.ok, second.headers.get('X-A'), (await second.text()).includes('\\\\\"n\\\\\":1')]";
    let outcome = run(source);
    assert_eq!(
        outcome.value.as_deref(),
        Some(r#"[[2,1],true,"b",true]"#),
        "{outcome:?}"
    );
    assert_eq!(message(&run("await fetch('broken')")), "Error: it broke");
    assert_eq!(
        run("await fetch('broken').catch((e) => e.message)")
            .value
            .as_deref(),
        Some("\"it broke\"")
    );
    // The run waits for the operation even if the script does not.
    assert_eq!(
        message(&run("fetch('broken'); 1")),
        "a promise was rejected: Error: it broke"
    );
    assert!(
        run("await fetch('never')")
            .failure
            .expect("its time is over")
            .stopped
    );
}

#[test]
fn hashes_match_published_vectors() {
    let value = |source: &str| run_alone(source).value.expect(source);
    assert_eq!(
        value("crypto.sha('sha1', 'abc')"),
        "\"a9993e364706816aba3e25717850c26c9cd0d89d\""
    );
    assert_eq!(
        value("crypto.sha('sha256', 'abc')"),
        "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
    );
    // RFC 4231 §4.3.
    assert_eq!(
        value("crypto.hmac('sha256', 'Jefe', 'what do ya want for nothing?')"),
        "\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\""
    );
    assert_eq!(
        value("crypto.base64.decode(crypto.base64.encode('причал'))"),
        "\"причал\""
    );
    assert_eq!(value("crypto.random(8).length"), "16");
    assert_eq!(value("crypto.random(8) === crypto.random(8)"), "false");
    assert_eq!(
        value("[crypto.equal('a', 'a'), crypto.equal('a', 'b')]"),
        "[true,false]"
    );
    assert!(run_alone("crypto.random(1e9)").failure.is_some());
    assert!(run_alone("crypto.base64.decode('%')").failure.is_some());
}

/// Asserts that each expression is true.
fn all_hold(expressions: &[&str]) {
    for source in expressions {
        let outcome = run_with(source, &Presets::default(), Clock);
        assert_eq!(outcome.failure, None, "{source}");
        assert_eq!(outcome.value.as_deref(), Some("true"), "{source}");
    }
}

/// A host with a clock only.
struct Clock;

impl Host for Clock {
    fn ask(&mut self, name: &str, _: &str) -> Result<String, String> {
        (name == "clock")
            .then(|| "1700000000".to_owned())
            .ok_or_else(|| format!("{name} is refused"))
    }

    fn begin(&mut self, _: u32, _: &str, _: &str) {}

    fn wait(&mut self) -> Option<(u32, Result<String, String>)> {
        None
    }
}

#[test]
fn numbers_that_a_double_would_change_keep_their_digits() {
    let text = r#"{"a":40702810900000012345,"b":-9007199254740993,"c":0.1234567890123456789,"d":1e+400,"e":[12345678901234567890],"f":9007199254740991,"g":1.50,"h":"40702810900000012345","i":123456789012.125}"#;
    let kept = r#"{"a":40702810900000012345,"b":-9007199254740993,"c":0.1234567890123456789,"d":1e+400,"e":[12345678901234567890],"f":9007199254740991,"g":1.5,"h":"40702810900000012345","i":123456789012.125}"#;
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    // As a body that is parsed on first use, and as one that exists from the beginning.
    let lazy = Presets::new(&json!({ "text": text }), None, &json!({}));
    let eager = Presets::new(&json!({ "body": value }), None, &value);
    for presets in [&lazy, &eager] {
        let source = "respond(200, {}, request.body); console.log(request.body); variables.all = request.body; request.body";
        let outcome = run_with(source, presets, NoHost::default());
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.value.as_deref(), Some(kept));
        assert_eq!(outcome.log, [kept]);
        assert_eq!(outcome.response.expect("an answer").body, kept);
        assert!(outcome.variables.expect("JSON").contains(kept));
    }
    for (source, value) in [
        ("typeof request.body.a", r#""bigint""#),
        ("request.body.a + 1n", "40702810900000012346"),
        ("`${request.body.a}`", r#""40702810900000012345""#),
        ("String(request.body.c)", r#""0.1234567890123456789""#),
        ("request.body.c * 2", "0.24691357802469135"),
        ("typeof request.body.i", r#""number""#),
        (
            "JSON.stringify({n: request.body.a})",
            r#""{\"n\":40702810900000012345}""#,
        ),
        ("typeof JSON.parse('40702810900000012345')", r#""number""#),
    ] {
        let outcome = run_with(source, &lazy, NoHost::default());
        assert_eq!(outcome.failure, None, "{source}");
        assert_eq!(outcome.value.as_deref(), Some(value), "{source}");
    }
}

#[test]
fn keys_and_data_may_be_bytes() {
    // The HMAC of "x" with the bytes 200 to 231 as the key, in every form of the key.
    let key = "const S = btoa(String.fromCharCode(...Array.from({length: 32}, (_, n) => 200 + n)));
        const B = Uint8Array.from(atob(S), (c) => c.charCodeAt(0));
        const right = crypto.hmac('sha256', B, 'x', 'base64');";
    for form in [
        "atob(S)",
        "crypto.base64.decode(S)",
        "crypto.base64.bytes(S)",
        "B.buffer",
        "new DataView(B.buffer)",
        "new Uint16Array(B.buffer)",
    ] {
        all_hold(&[&format!(
            "{key} crypto.hmac('SHA-256', {form}, 'x', 'base64') === right"
        )]);
    }
    all_hold(&[
        // Test vector of RFC 4231 §4.2.
        "crypto.hmac('sha256', new Uint8Array(20).fill(0x0b), 'Hi There') === \
            'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'",
        "crypto.sha('sha256', new Uint8Array([0xff, 0])) === crypto.sha('sha256', atob('/wA='))",
        "crypto.sha('sha256', new TextEncoder().encode('ё')) === crypto.sha('sha256', 'ё')",
        "crypto.sha('sha256', 'é') === crypto.sha('sha256', new Uint8Array([0xc3, 0xa9]))",
        "crypto.hmac('sha256', 'ключ', 'x') === crypto.hmac('sha256', new TextEncoder().encode('ключ'), 'x')",
        "crypto.equal(new Uint8Array([97]), 'a') && !crypto.equal('a', 'b')",
        "crypto.hmac('sha256', 'k', 'x', 'bytes') instanceof Uint8Array",
        "crypto.base64.encode(new Uint8Array([0xff, 0])) === '/wA='",
        "atob(btoa('\\u00ff')) === '\\u00ff'",
        "const a = new Uint8Array(16); crypto.getRandomValues(a) === a && a.some((byte) => byte !== 0)",
        "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())",
    ]);
    // A key that may be a text or bytes is refused.
    let unclear = run_alone("crypto.hmac('sha256', String.fromCharCode(200, 201), 'x')");
    assert!(message(&unclear).contains("ambiguous between text and bytes"));
}

#[test]
fn a_standard_webhook_is_verified() {
    let webhook = "const key = new Uint8Array(32).map((_, n) => 200 + n);
        const secret = 'whsec_' + crypto.base64.encode(key), body = '{\"a\":\"ё\"}';
        const sign = (key, id, time) => 'v1,' + crypto.hmac('sha256', key, `${id}.${time}.${body}`, 'base64');
        const headers = (time, ...signatures) => ({'webhook-id': 'm', 'Webhook-Timestamp': `${time}`,
            'webhook-signature': signatures.join(' ')});
        const at = (time) => headers(time, sign(key, 'm', time));
        const verify = crypto.verifyWebhook, now = 1700000000, other = new Uint8Array(32);";
    for holds in [
        "verify(at(now), body, secret)",
        "verify(at(now), new TextEncoder().encode(body), secret)",
        "verify(at(now), body, key)",
        "verify(at(now), body, atob(secret.slice(6)))",
        "verify(at(now), body, [other, secret])",
        "verify(headers(now, 'v1a,xx', sign(other, 'm', now), sign(key, 'm', now)), body, secret)",
        "verify(at(now - 300), body, secret) && verify(at(now + 300), body, secret)",
        "!verify(at(now - 301), body, secret) && !verify(at(now + 301), body, secret)",
        "!verify(at(now), body + ' ', secret)",
        "!verify(at(now), body, other)",
        "!verify(headers(now, sign(key, 'n', now)), body, secret)",
        "!verify(headers(now), body, secret) && !verify({}, body, secret) && !verify(null, body, secret)",
        "!verify(headers('x', sign(key, 'm', 'x')), body, secret)",
    ] {
        all_hold(&[&format!("{webhook} {holds}")]);
    }
    let wrong = run_with(
        "crypto.verifyWebhook({}, '', 'whsec_%')",
        &Presets::default(),
        Clock,
    );
    assert!(message(&wrong).contains("whsec_"));
}

#[test]
fn browser_functions_are_available() {
    all_hold(&[
        "new TextEncoder().encode('ё').join() === '209,145'",
        "new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 209, 145])) === 'ё'",
        "new TextDecoder('windows-1251').decode(new Uint8Array([0xe0, 0xe1])) === 'аб'",
        "new TextDecoder('utf-16le').decode(new Uint8Array([0x51, 4]).buffer) === 'ё'",
        "new TextDecoder('cp1251').encoding === 'windows-1251'",
        "new TextDecoder().decode(new Uint8Array([0xff])) === '\\ufffd'",
        "try { new TextDecoder('utf-8', {fatal: true}).decode(new Uint8Array([0xff])); } catch (e) { e instanceof TypeError }",
        "try { new TextDecoder('klingon'); } catch (e) { e instanceof RangeError }",
        "const p = new URLSearchParams('?a=1&b=%D1%91+x&a=2'); p.getAll('a').join() === '1,2' && p.get('b') === 'ё x'",
        "`${new URLSearchParams({a: 'ё x', b: 1})}` === 'a=%D1%91+x&b=1'",
        "const p = new URLSearchParams([['a', 1], ['b', 2]]); p.set('a', 3); p.append('c', 4); p.delete('b'); [...p].join(';') === 'a,3;c,4'",
        "const u = new URL('../x?y=1#z', 'https://u:p@Пример.рф:8443/a/b/'); \
            u.pathname === '/a/x' && u.port === '8443' && u.hostname === 'xn--e1afmkfd.xn--p1ai' && u.username === 'u'",
        "const u = new URL('https://a/'); u.searchParams.append('q', 'ё'); u.href === 'https://a/?q=%D1%91'",
        "const u = new URL('https://a/?b=1'); u.search = 'c=2'; u.searchParams.get('c') === '2' && u.origin === 'https://a'",
        "!URL.canParse('x') && URL.canParse('x', 'https://a')",
        "const d = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc')); \
            crypto.equal(d, crypto.sha('sha256', 'abc', 'bytes'))",
        "const k = await crypto.subtle.importKey('raw', new Uint8Array([1, 200]), {name: 'HMAC', hash: 'SHA-256'}, false, ['sign', 'verify']); \
            const s = await crypto.subtle.sign('HMAC', k, new Uint8Array([5])); \
            s instanceof ArrayBuffer && await crypto.subtle.verify('HMAC', k, s, new Uint8Array([5])) && \
            !await crypto.subtle.verify('HMAC', k, s, new Uint8Array([6]))",
    ]);
    let outcome = run_alone("respond(200, {}, new Uint8Array([255, 0]).buffer)");
    let response = outcome.response.expect("an answer");
    assert_eq!(response.headers[0].1, "application/octet-stream");
    assert_eq!(response.into_body(), [255, 0]);
    let seen = |text: &str, base64: Option<&str>| {
        let request = json!({ "text": text, "base64": base64, "body": text });
        let presets = Presets::new(&request, None, &json!({}));
        run_with(
            "[request.bytes.join(), request.bytes === request.bytes]",
            &presets,
            NoHost::default(),
        )
        .value
    };
    assert_eq!(seen("ё", None).as_deref(), Some(r#"["209,145",true]"#));
    assert_eq!(seen("", Some("/wA=")).as_deref(), Some(r#"["255,0",true]"#));
}

#[test]
fn memory_outside_of_the_engine_is_bounded() {
    for (source, why) in [
        (
            "for (;;) Promise.reject('x'.repeat(990))",
            "rejected promises have no handler",
        ),
        (
            "let i = 0; for (;;) Promise.reject(i++)",
            "rejected promises have no handler",
        ),
        (
            "const all = []; for (let n = 0; n < 65; n++) all.push(fetch('x')); await Promise.all(all)",
            "at most 64 operations",
        ),
        ("kv.set('k', 'x'.repeat(5e6))", "longer than"),
    ] {
        let outcome = run_alone(source);
        assert!(
            message(&outcome).contains(why),
            "{source}: {:?}",
            outcome.failure
        );
    }
    // Rejections that get a handler in the end do not count.
    let outcome = run_alone("for (let n = 0; n < 5000; n++) Promise.reject(n).catch(() => {}); 1");
    assert_eq!(outcome.value.as_deref(), Some("1"), "{:?}", outcome.failure);
}

/// The run's stack bounds the depth of JSON, expressions, patterns and calls.
#[test]
fn deep_nesting_ends_with_an_error() {
    let deep = |text: &str| {
        let request = json!({ "text": text });
        let presets = Presets::new(&request, None, &json!({}));
        run_with("typeof request.body", &presets, NoHost::default())
    };
    for text in ["[", "{\"a\":"] {
        let outcome = deep(&text.repeat((1 << 20) / text.len()));
        assert!(outcome.failure.is_some() || outcome.value.is_some());
    }
    for source in [
        "let a = 1; for (let n = 0; n < 1e5; n++) a = [a]; respond(200, {}, a)",
        "let a = 1; for (let n = 0; n < 1e5; n++) a = {a}; a",
        "let a = 1; for (let n = 0; n < 1e5; n++) a = {a}; variables = {a}; 1",
        "let a = 1; for (let n = 0; n < 1e5; n++) a = [a]; kv.set('k', a)",
        "let a = 1; for (let n = 0; n < 1e5; n++) a = [a]; throw a",
        "let a = 1; for (let n = 0; n < 1e5; n++) a = new Error('x', {cause: a}); throw a",
        "let a = () => 1; for (let n = 0; n < 1e5; n++) { const b = a; a = () => b(); } a()",
        "new RegExp('('.repeat(1e5) + 'a' + ')'.repeat(1e5)).test('a')",
        "new RegExp('(?:'.repeat(3e4) + 'a' + ')*'.repeat(3e4)).test('a')",
        "/^(a|b|ab)*c$/.test('ab'.repeat(1e5))",
        "eval('['.repeat(1e5))",
        "new Function('return ' + '('.repeat(1e5))",
        "const o = {toJSON() { return {o: o}; }}; o",
        "const p = new Proxy({}, {get: () => p, ownKeys: () => ['a'], getOwnPropertyDescriptor: () => \
            ({value: p, enumerable: true, configurable: true})}); p",
    ] {
        let outcome = run_stopped(source);
        assert!(
            outcome.failure.is_some() || !outcome.log.is_empty() || outcome.value.is_some(),
            "{source}"
        );
    }
}

#[test]
fn numbers_have_a_maximum_length() {
    let outcome = run_alone("10n ** 1000n");
    assert_eq!(outcome.value, None);
    assert!(
        outcome.log[0].contains("more than 1000 digits"),
        "{:?}",
        outcome.log
    );
    // A longer number from outside does not become a BigInt, which would take long to parse.
    let text = "1".repeat(100_000);
    let presets = Presets::new(&json!({ "text": text }), None, &json!({}));
    let outcome = run_with("typeof request.body", &presets, NoHost::default());
    assert_eq!(outcome.value.as_deref(), Some(r#""object""#));
}

#[test]
fn numbers_that_may_lose_digits_are_found() {
    for (text, may) in [
        (r#"{"a":123456789012345}"#, false),
        (r#"{"a":1234567890123456}"#, true),
        ("[0.12345678901234]", true),
        ("[0.1234567890123]", false),
        ("[1e10]", false),
        ("[1e100]", true),
        ("[1E-400]", true),
        (r#"["2026-11-26T20:00:00"]"#, false),
        (r#"["e400"]"#, false),
    ] {
        assert_eq!(may_lose_digits(text), may, "{text}");
    }
}

/// The names that a script does not mention are not defined for it. A script that may compose names has them all.
#[test]
fn a_script_finds_every_name_that_it_may_reach() {
    for source in [
        "typeof kv.get",
        "typeof globalThis['k' + 'v'].get",
        "typeof eval('k' + 'v').get",
        "typeof new Function('return k' + 'v')().get",
        "typeof (() => {}).constructor('return k' + 'v')().get",
        "typeof \\u006bv.get",
    ] {
        let done = run_alone(source);
        assert_eq!(done.value.as_deref(), Some("\"function\""), "{source}");
    }
    let done = run_alone("var crypto = crypto.hmac; typeof crypto");
    assert_eq!(done.value.as_deref(), Some("\"function\""));
}

/// A setter of the script's on the common prototype sees none of the prelude's assignments.
#[test]
fn the_prelude_assigns_nothing_that_a_script_can_intercept() {
    let done = run_alone(
        "const seen = [];
         for (const name of ['exact', 'digits', 'settle', 'bytes', 'isForm', 'toBase64', 'loaded', 'web', 'numbers'])
           Object.defineProperty(Object.prototype, name, { set() { seen.push(name); }, configurable: true });
         JSON.stringify({ n: 12345678901234567890n }); kv; TextEncoder; seen",
    );
    assert_eq!(done.value.as_deref(), Some("[]"));
}

#[test]
fn the_script_of_a_webhook_says_what_is_sent() {
    let request =
        json!({ "method": "POST", "text": r#"{"id": 12345678901234567890, "name": "A"}"# });
    let presets = Presets::of_webhook(&request, &json!({ "tenant": "acme" }));
    let of = |source: &str| run_with(source, &presets, NoHost::default());
    for (source, sent) in [
        ("send()", r#"{"others":[]}"#),
        (
            "send({body: 'x'})",
            r#"{"others":[],"kind":"text","body":"x"}"#,
        ),
        (
            "send({body: null})",
            r#"{"others":[],"kind":"text","body":""}"#,
        ),
        (
            "send({body: new Uint8Array([104, 105]), url: '/'})",
            r#"{"others":["url"],"kind":"bytes","body":"aGk="}"#,
        ),
        (
            "send({body: {id: request.body.id}, headers: {a: 1}, path: '/x', method: 'PUT'})",
            r#"{"method":"PUT","path":"/x","headers":{"a":1},"others":[],"kind":"json","body":"{\"id\":12345678901234567890}"}"#,
        ),
        ("send({body: 'x'}); skip()", r#"{"skip":true}"#),
        (
            "send({path: variables.tenant + request.body.name})",
            r#"{"path":"acmeA","others":[]}"#,
        ),
    ] {
        let outcome = of(source);
        assert_eq!(outcome.failure, None, "{source}");
        assert_eq!(outcome.sent.as_deref(), Some(sent), "{source}");
    }
    for (source, why) in [
        ("send('x')", "it takes an object"),
        ("try { send(1) } catch {}", "it takes an object"),
        ("send({body: 'x'.repeat(5000000)})", "longer than"),
        ("const a = {}; a.a = a; send({body: a})", "circular"),
    ] {
        let outcome = of(source);
        assert!(message(&outcome).contains(why), "{source}: {outcome:?}");
    }
    assert_eq!(of("request.body").sent, None);
    assert!(message(&run_alone("send()")).contains("send is not defined"));
}
