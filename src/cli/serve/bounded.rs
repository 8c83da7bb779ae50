//! A bound on connections: each holds a place until it ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Accepts what another acceptor does, while there are places.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    acceptor: A,
    places: Arc<Semaphore>,
}

impl<A> Bounded<A> {
    pub(super) const fn new(acceptor: A, places: Arc<Semaphore>) -> Self {
        Self { acceptor, places }
    }
}

/// A service of a connection, with the connection's place: whoever drops the last one gives the place back.
#[derive(Clone)]
pub(super) struct Placed<S> {
    service: S,
    _place: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<R>, R> Service<R> for Placed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.service.call(request)
    }
}

impl<A, I, S> Accept<I, S> for Bounded<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = A::Stream;
    type Service = Placed<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = self.places.clone().try_acquire_owned();
        let accepted = self.acceptor.accept(stream, service);
        Box::pin(async move {
            let Ok(place) = place else {
                metrics::counter!("tminus_http_refused_total", "why" => "connections").increment(1);
                return Err(io::Error::other("there are too many connections"));
            };
            let (stream, service) = accepted.await?;
            Ok((stream, Placed { service, _place: Arc::new(place) }))
        })
    }
}
