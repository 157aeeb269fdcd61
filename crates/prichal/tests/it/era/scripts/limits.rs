//! Limits of scripts: time, memory, processes and outstanding work.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    hub::eventually,
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_script_has_its_time_and_no_more() {
    let era = ChannelWorkspace::new().await;
    let channel = era.sync_channel("loop", "for (;;) {}").await;
    let path = format!("{POINTS}/{}", channel.id);
    for (given, seconds) in [(0, 10), (1, 1), (60, 60)] {
        era.change(&path, json!({ "opts": { "recv_timeout": given } }))
            .await
            .ok();
        let count = era.runs("loop").await.len();
        let waiting = era.hook(&channel, json!({}));
        let clock = async {
            era.wait_until_running(1).await;
            era.hub.advance(Duration::from_secs(seconds));
        };
        let (answer, ()) = tokio::join!(waiting, clock);
        assert_eq!(
            answer.json,
            json!({ "error_code": 1504, "error_message": "The script did not end in time" })
        );
        let run = eventually("the run", || async {
            let runs = era.runs("loop").await;
            (runs.len() > count).then(|| runs[0].clone())
        })
        .await;
        assert_eq!(run["durationMs"], seconds * 1000);
    }
}

#[tokio::test]
async fn hostile_scripts_harm_no_other() {
    let era = ChannelWorkspace::new().await;
    let healthy = era
        .sync_channel("healthy", "respond(200, {}, 'well')")
        .await;
    let hostile = [
        ("loop", "for (;;) {}"),
        ("recurse", "const f = () => f() + 1; f()"),
        (
            "hoard",
            "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
        ),
        (
            "search",
            "'a'.repeat(4000000).lastIndexOf('a'.repeat(1000000) + 'b')",
        ),
        ("throw", "throw Symbol('x')"),
        ("cycle", "const a = {}; a.a = a; respond(200, {}, a)"),
        ("print", "for (;;) console.log('x'.repeat(1000))"),
        ("status", "respond(99)"),
        ("header", "respond(200, {'a\\r\\nb': 'c'}, '')"),
        ("pend", "await new Promise(() => {})"),
        ("file", "await import('/etc/passwd')"),
        ("net", "await fetch('http://127.0.0.1:1/')"),
        ("proc", "process.exit(1)"),
    ];
    let mut channels = Vec::new();
    for (code, source) in hostile {
        channels.push(era.sync_channel(code, source).await);
    }
    let attack = async {
        let calls = channels
            .iter()
            .flat_map(|channel| [channel, channel, channel, channel, channel]);
        let calls = calls.map(|channel| era.hook(channel, json!({})));
        futures_util::future::join_all(calls).await
    };
    let others = async {
        for _ in 0..20 {
            assert_eq!(era.hook(&healthy, json!({})).await.ok().text, "well");
        }
    };
    let mut attack = std::pin::pin!(attack);
    tokio::select! {
        () = others => {}
        _ = &mut attack => panic!("scripts that never end have ended"),
    }
    // All endless scripts run by now, or wait for a permit.
    let answers = era
        .hub
        .advance_until(Duration::from_millis(200), attack)
        .await;
    for (n, answer) in answers.iter().enumerate() {
        let (code, _) = hostile[n / 5];
        assert!(
            [1500, 1504]
                .map(|code| json!(code))
                .contains(&answer["error_code"]),
            "{code}: {}",
            answer.text
        );
    }
    for (code, _) in hostile {
        let run = era.run(code, "failed").await;
        assert!(
            !run["error"].as_str().expect("an error").is_empty(),
            "{code}"
        );
    }
    assert_eq!(era.hook(&healthy, json!({})).await.ok().text, "well");
}

/// A script that fills memory outside of the engine ends with an error about memory, or at its time limit. The loss
/// of its process affects no other run.
#[tokio::test]
async fn outstanding_work_of_a_script_is_bounded() {
    let era = ChannelWorkspace::new().await;
    let healthy = era
        .sync_channel("healthy", "respond(200, {}, 'well')")
        .await;
    for (code, source, why) in [
        (
            "reject",
            "for (;;) Promise.reject('x'.repeat(990))",
            "rejected promises have no handler",
        ),
        (
            "begin",
            "const all = []; for (let n = 0; n < 100; n++) all.push(fetch('https://127.0.0.1:1/' + 'x'.repeat(1e5))); \
             await Promise.all(all)",
            "at most",
        ),
        (
            "hand",
            "entities.get('companies', 'x'.repeat(5e6))",
            "longer than",
        ),
        (
            "hoard",
            "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
            "memory",
        ),
        (
            "deep",
            "const c = entities.create('companies', {name: 'x'}); \
             entities.patch('companies', c.id, [{op: 'add', path: '/customFields' + '/a'.repeat(20000), value: 1}])",
            "A path has at most 40 parts",
        ),
    ] {
        let channel = era.sync_channel(code, source).await;
        assert_eq!(
            era.hook(&channel, json!({})).await["error_code"],
            1500,
            "{code}"
        );
        let run = era.run(code, "failed").await;
        assert!(
            run["error"].to_string().contains(why),
            "{code}: {}",
            run["error"]
        );
        assert_eq!(
            era.hook(&healthy, json!({})).await.ok().text,
            "well",
            "{code}"
        );
    }
}

#[tokio::test]
async fn scripts_that_wait_hold_up_no_others_of_their_workspace() {
    let era = ChannelWorkspace::new().await;
    let silent = Receiver::start(|_| Reply::Silence).await;
    let healthy = era
        .sync_channel("healthy", "respond(200, {}, 'well')")
        .await;
    let source = "for (;;) await fetch(request.entity.url).catch(() => 0)";
    era.script("wait", source).await;
    let mut channels = Vec::new();
    for n in 0..8 {
        let members = json!({ "url": silent.url, "recv_svcscriptcode": "wait", "opts": { "recv_timeout": 60 } });
        channels.push(era.channel(&format!("w{n}"), members).await);
    }
    for channel in &channels {
        for _ in 0..8 {
            era.hook(channel, json!({})).await.ok();
        }
    }
    era.wait_until_running(64).await;
    // Neither scripts that are known to be fast nor unknown ones wait for them.
    for _ in 0..20 {
        assert_eq!(era.hook(&healthy, json!({})).await.ok().text, "well");
    }
    let new = era.sync_channel("new", "respond(200, {}, 'new')").await;
    assert_eq!(era.hook(&new, json!({})).await.ok().text, "new");
}
