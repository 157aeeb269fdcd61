//! The response of a script, and the frames between the server and its script workers.

use prichal_script::{
    Limits, NoHost, Presets, compile, run,
    worker::{Report, Task, frame},
};
use serde_json::{Value, json};

/// Uses the input as the body, a header and the status of a response.
pub(crate) fn answer(input: &[u8]) {
    let text: String = String::from_utf8_lossy(input).chars().take(4096).collect();
    let request = json!({ "text": text, "body": text });
    let source = "const t = request.text; let v = null; try { v = JSON.parse(t) } catch {}
        try { respond(v, {[t]: t}, t) } catch {}
        try { respond(200, v, v) } catch {}
        respond(200, {'x-text': encodeURIComponent(t.toWellFormed())}, v); v";
    let Ok(program) = compile(source) else {
        panic!("the script of the target is valid");
    };
    let presets = Presets::new(&request, Some(&[]), &json!({}));
    let outcome = run(
        &program,
        &presets,
        Limits::default(),
        || false,
        NoHost::default(),
    );
    if let Some(response) = outcome.response {
        assert!((200..600).contains(&response.status));
    }
}

pub(crate) fn worker_frame(input: &[u8]) {
    if let Ok(report) = serde_json::from_slice::<Report>(input) {
        let _ = frame(&report);
    }
    if let Ok(task) = serde_json::from_slice::<Task>(input) {
        let _ = frame(&task);
    }
    let _ = serde_json::from_slice::<Value>(input).map(|value| frame(&value));
}
