//! Channels: durably accepted hooks per second and script runs per second, as shares of the limit; and the cost of
//! idle websockets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    process::memory,
    report::{self, Figure, Report, megabytes},
    server::{Channel, Server, Workspace},
    sink::Sink,
    stats,
};

const CONNECTIONS: usize = 32;
const SETTLE_TIME: Duration = Duration::from_secs(3);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    let queued = server.explain(workspace.channel("queued", false))?;
    let waited = server.explain(workspace.channel("waited", true))?;
    server.explain(hooks(
        lab,
        engine,
        report,
        &mut workspace,
        [&queued, &waited],
    ))?;
    sockets(lab, engine, report, &server, &workspace, &queued)?;
    server.stop()
}

/// Queued hooks, their runs, and hooks that wait for the result.
fn hooks(
    lab: &Lab,
    engine: &Engine,
    report: &mut Report,
    workspace: &mut Workspace,
    [queued, waited]: [&Channel; 2],
) -> Result<()> {
    let sink = Sink::local()?;
    let (mut rates, mut shares) = ([const { vec![] }; 3], [const { vec![] }; 3]);
    let (mut rounds, mut flawed) = (vec![], false);
    for _ in 0..lab.size.rounds {
        let direct = lab.direct(&sink, CONNECTIONS, lab.size.direct, None)?;
        direct.warn(report, "limit, channels");
        let load = |channel: &Channel, workspace: &Workspace| {
            let load = workspace.hooks(channel, lab.next_run(), CONNECTIONS, lab.size.load)?;
            load.run(&std::sync::Arc::default())
        };
        let begun = Instant::now();
        let hooks = load(queued, workspace)?;
        workspace.drain(lab.size.drain)?;
        let drained = stats::rate(hooks.accepted(), begun.elapsed());
        let sync = load(waited, workspace)?;
        let now = [
            stats::rate(hooks.accepted(), hooks.took),
            drained,
            stats::rate(sync.accepted(), sync.took),
        ];
        for (n, rate) in now.into_iter().enumerate() {
            rates[n].push(rate);
            shares[n].push(stats::ratio(rate, direct.rate()));
        }
        for first_error in [&hooks.first_error, &sync.first_error]
            .into_iter()
            .flatten()
        {
            report.note(format!("channels, {}: {first_error}", engine.name()));
            flawed = true;
        }
        rounds.push(
            json!({ "direct": direct.to_json(), "hooks": hooks.to_json(), "sync": sync.to_json() }),
        );
    }
    let is_sqlite = matches!(engine, Engine::Sqlite);
    let parts = [
        ("hooks accepted for good, while their scripts run", 0.10),
        (
            "their scripts run, from the first hook to the last run",
            0.03,
        ),
        ("hooks that wait for their script", 0.03),
    ];
    for (n, (what, least)) in parts.into_iter().enumerate() {
        let figure = |what: String, value, wanted: String, holds| Figure {
            what,
            engine: engine.name().into(),
            value,
            wanted,
            holds,
        };
        let rate = report::per_second(stats::median(&rates[n]));
        let what = format!("{what}, {CONNECTIONS} connections");
        report.figure(figure(what, rate, String::new(), None));
        let floor = if is_sqlite {
            format!("at least {least:.2}")
        } else {
            String::new()
        };
        let holds = is_sqlite.then(|| !flawed && stats::median(&shares[n]) >= least);
        let share = report::spread(&shares[n], 3);
        let what = "the same as a share of the limit".to_owned();
        report.figure(figure(what, share, floor, holds));
    }
    report.raw("channels", engine.name(), json!({ "rounds": rounds }));
    Ok(())
}

/// The cost of idle websockets.
fn sockets(
    lab: &Lab,
    engine: &Engine,
    report: &mut Report,
    server: &Server,
    workspace: &Workspace,
    channel: &Channel,
) -> Result<()> {
    thread::sleep(SETTLE_TIME);
    let before = memory(server.pid);
    let open = (0..lab.size.sockets).map(|_| open(workspace, channel));
    let open = server.explain(open.collect::<Result<Vec<_>>>())?;
    thread::sleep(SETTLE_TIME);
    let after = memory(server.pid);
    report.figure(Figure {
        what: format!("memory with {} websockets that wait", open.len()),
        engine: engine.name().into(),
        value: format!(
            "{} (before: {})",
            megabytes(after.resident),
            megabytes(before.resident)
        ),
        wanted: "under 200 MB".into(),
        holds: Some(after.resident < 200_000_000),
    });
    report.raw(
        "sockets",
        engine.name(),
        json!({ "before": before.resident, "after": after.resident, "sockets": open.len() }),
    );
    Ok(())
}

/// Opens a websocket and registers a capability, as every client does.
fn open(workspace: &Workspace, channel: &Channel) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(workspace.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!(
        "GET /ws/token/v1/{} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        channel.token
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = [0; 4096];
    let mut read = stream.read(&mut answer)?;
    ensure!(
        answer[..read].starts_with(b"HTTP/1.1 101"),
        "the server refused a websocket"
    );
    let setup = br#"["setup",{"qid":1,"capabilities":[{"key":"msg"}]}]"#;
    let length = u8::try_from(setup.len())
        .ok()
        .filter(|length| *length < 126);
    // A text frame with a zero mask.
    let mut frame = vec![0x81, 0x80 | length.context("a short frame")?, 0, 0, 0, 0];
    frame.extend_from_slice(setup);
    stream.write_all(&frame)?;
    read = stream.read(&mut answer)?;
    ensure!(
        read > 2 && answer[0] == 0x81,
        "the server did not answer a setup"
    );
    Ok(stream)
}
