//! An S3 server for tests: `s3s-fs` on a free port of the loopback interface.

use std::{net::SocketAddr, path::Path};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::{net::TcpListener, task::JoinSet};

const KEY: &str = "test-key";
const SECRET: &str = "test-secret";

pub(super) struct Server {
    address: SocketAddr,
    /// Tasks that end with the server.
    tasks: JoinSet<()>,
}

impl Server {
    /// Serves `dir` as a store with one bucket.
    pub(super) async fn start(dir: &Path, bucket: &str) -> Self {
        std::fs::create_dir(dir.join(bucket)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let serving =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async move { drop(serving.await) });
            }
        });
        Self { address, tasks }
    }

    pub(super) fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
