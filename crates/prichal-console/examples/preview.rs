//! Shows the console of a running server from this crate alone, so that pages can be changed without building the
//! server: `cargo run -p prichal-console --example preview -- --token TOKEN --workspace acme`. It listens on loopback and
//! signs everybody in with the token.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{body::Body, http::Extensions};
use clap::{Arg, Command};
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use jiff::tz::TimeZone;
use prichal_console::{
    AtProvider, Backend, Beat, Client, Counters, Refusal, Role, Session, SignIn, SignedIn, TOPICS,
    Unavailable, Workspace, router,
};
use prichal_core::time::Timestamp;
use tokio::net::TcpListener;
use uuid::Uuid;

/// A server that is reached over HTTP, with one token.
struct Remote {
    server: String,
    token: String,
    workspace: String,
    role: Role,
    http: HttpClient<HttpConnector, Body>,
}

impl Remote {
    fn workspace(&self) -> Workspace {
        Workspace {
            id: Uuid::nil(),
            name: self.workspace.clone(),
            title: String::new(),
            zone: TimeZone::UTC,
            has_documents: true,
        }
    }

    fn session(&self) -> Session {
        Session {
            id: Uuid::nil(),
            role: self.role,
            name: "preview".to_owned(),
            user: None,
            workspaces: vec![self.workspace()],
            grant: Arc::new(()),
        }
    }

    async fn forward(&self, mut request: Request<Body>) -> Result<Response<Body>> {
        let uri: Uri = format!("{}{}", self.server, request.uri()).parse()?;
        *request.uri_mut() = uri;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.token))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        Ok(self.http.request(request).await?.map(Body::new))
    }
}

impl Backend for Remote {
    fn find_session<'a>(
        &'a self,
        _: &'a str,
        _: &'a Client,
    ) -> BoxFuture<'a, Result<Option<Session>, Unavailable>> {
        Box::pin(async { Ok(Some(self.session())) })
    }

    fn sign_in<'a>(
        &'a self,
        _: SignIn<'a>,
        _: &'a Client,
    ) -> BoxFuture<'a, Result<SignedIn, Refusal>> {
        Box::pin(async {
            Ok(SignedIn {
                secret: "preview".to_owned(),
                session: self.session(),
            })
        })
    }

    fn sign_out<'a>(&'a self, _: &'a Session) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn find_workspace<'a>(
        &'a self,
        _: &'a Session,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Workspace>, Unavailable>> {
        Box::pin(async move { Ok(Some(self.workspace()).filter(|one| one.name == name)) })
    }

    fn call<'a>(
        &'a self,
        _: &'a Session,
        _: Option<&'a Workspace>,
        _: &'a Extensions,
        request: Request<Body>,
    ) -> BoxFuture<'a, Response<Body>> {
        Box::pin(async move {
            self.forward(request).await.unwrap_or_else(|error| {
                let mut response = Response::new(Body::from(error.to_string()));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            })
        })
    }

    /// Every topic changes every two seconds.
    fn pulse<'a>(
        &'a self,
        _: &'a Session,
        _: &'a Workspace,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Beat>, Unavailable>> {
        let beats = stream::unfold(0, |count| async move {
            if count > 0 {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            let counts = [Some(count); TOPICS.len()];
            Some((Beat::Changed(Counters { epoch: 1, counts }), count + 1))
        });
        Box::pin(async { Ok(beats.boxed()) })
    }

    fn counters<'a>(
        &'a self,
        _: &'a Session,
        _: &'a Workspace,
    ) -> BoxFuture<'a, Result<Option<Counters>, Unavailable>> {
        Box::pin(async { Ok(None) })
    }

    fn client(&self, _: &http::request::Parts) -> Client {
        Client::default()
    }

    fn has_oidc(&self) -> bool {
        false
    }

    fn begin_at_provider(&self) -> BoxFuture<'_, Result<Option<AtProvider>, Unavailable>> {
        Box::pin(async { Ok(None) })
    }

    fn public_url(&self) -> String {
        "http://127.0.0.1".to_owned()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the preview has no clock to move"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the preview tells its address")]
#[expect(
    clippy::disallowed_methods,
    reason = "connections of the preview end with it"
)]
async fn main() -> Result<()> {
    let option = |name: &'static str| Arg::new(name).long(name);
    let matches = Command::new("preview")
        .arg(option("server").default_value("http://127.0.0.1:8080"))
        .arg(option("listen").default_value("127.0.0.1:8090"))
        .arg(option("workspace").default_value("demo"))
        .arg(option("role").default_value("Admin"))
        .arg(option("token").required(true))
        .get_matches();
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let wanted = text("role");
    let role = Role::ALL
        .into_iter()
        .find(|role| format!("{role:?}") == wanted);
    let remote = Remote {
        server: text("server"),
        token: text("token"),
        workspace: text("workspace"),
        role: role.context("the role is Operator, Admin, Integrator, Employee or Viewer")?,
        http: HttpClient::builder(TokioExecutor::new()).build_http(),
    };
    let listener = TcpListener::bind(text("listen")).await?;
    let url = format!(
        "http://{}/console/{}",
        listener.local_addr()?,
        remote.workspace
    );
    println!("{url} (any text signs in)");
    let console = router(Arc::new(remote));
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(console.clone());
        tokio::spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that breaks concerns the browser only.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
