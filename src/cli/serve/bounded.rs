//! Bounds on connections: each holds a place until it ends, one address holds only so many, and who says nothing holds none for
//! long.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tower::Service;

use crate::gateway::web::access::limits::{block_of, is_within};

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The places that connections take.
pub(super) struct Places {
    in_all: usize,
    per_address: usize,
    /// Whose connections are many people's.
    proxies: Arc<[IpNet]>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: usize,
    by: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn new(in_all: usize, per_address: usize, proxies: Arc<[IpNet]>) -> Self {
        Self { in_all, per_address, proxies, taken: Mutex::default() }
    }

    /// A place, if there is one left for that address.
    fn take(places: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let is_bounded = !is_within(&places.proxies, address);
        let address = block_of(address);
        let mut taken = places.taken();
        let of_one = taken.by.get(&address).copied().unwrap_or_default();
        if taken.in_all >= places.in_all || (is_bounded && of_one >= places.per_address) {
            return None;
        }
        taken.in_all += 1;
        taken.by.insert(address, of_one + 1);
        drop(taken);
        Some(Place { places: places.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Whoever panicked had counted or had not; a place more or less is no reason to let nobody in.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place of a connection; dropping it gives it back.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.in_all -= 1;
        if let Some(count) = taken.by.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by.remove(&self.address);
            }
        }
    }
}

/// Accepts what another acceptor does, while there are places.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    acceptor: A,
    places: Arc<Places>,
    patience: Duration,
}

impl<A> Bounded<A> {
    /// With so much patience for how a connection begins.
    pub(super) const fn new(acceptor: A, places: Arc<Places>, patience: Duration) -> Self {
        Self { acceptor, places, patience }
    }
}

/// A service of a connection, with the connection's place: whoever drops the last one gives the place back.
#[derive(Clone)]
pub(super) struct Placed<S> {
    service: S,
    _place: Arc<Place>,
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

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = Begun<A::Stream>;
    type Service = Placed<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().map(|peer| Places::take(&self.places, peer.ip()));
        let accepted = self.acceptor.accept(stream, service);
        let patience = self.patience;
        Box::pin(async move {
            let Some(place) = place? else {
                metrics::counter!("tminus_http_refused_total", "why" => "connections").increment(1);
                return Err(io::Error::other("there are too many connections"));
            };
            let (stream, service) = accepted.await?;
            Ok((Begun::new(stream, patience), Placed { service, _place: Arc::new(place) }))
        })
    }
}

/// A stream that fails unless it says in time which version of HTTP it speaks. From then on the server has time-outs of its own;
/// while it waits for that, it has none.
pub(super) struct Begun<I> {
    stream: I,
    /// Until when, and how much of [`PREFACE`] came so far; nothing once the version is known.
    waits: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<I> Begun<I> {
    fn new(stream: I, patience: Duration) -> Self {
        Self { stream, waits: Some((Box::pin(tokio::time::sleep(patience)), 0)) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Begun<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some((deadline, seen)) = &mut this.waits else { return polled };
        if polled.is_pending() {
            return match deadline.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was asked in time"))),
                Poll::Pending => Poll::Pending,
            };
        }
        let came = &buffer.filled()[before..];
        let expected = &PREFACE[*seen..];
        let is_partial = !came.is_empty() && came.len() < expected.len() && expected.starts_with(came);
        *seen += came.len();
        if !is_partial {
            this.waits = None;
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Begun<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const PATIENCE: Duration = Duration::from_secs(15);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_takes_only_so_many_places_and_gives_them_back() {
        let places = Arc::new(Places::new(5, 3, Arc::default()));
        let take = |text: &str| Places::take(&places, address(text));
        let held: Vec<_> = (0..3).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("192.0.2.1").is_none());
        assert!(take("::ffff:192.0.2.1").is_none(), "it is the same, written otherwise");
        let others = [take("2001:db8::1").unwrap(), take("2001:db8::2:1").unwrap()];
        assert!(take("192.0.2.3").is_none(), "there are five in all");
        drop(held);
        assert!(take("192.0.2.1").is_some());
        drop(take("2001:db8::3").unwrap());
        drop(others);
        let taken = places.taken();
        assert_eq!((taken.in_all, taken.by.len()), (0, 0));
    }

    #[test]
    fn a_proxy_takes_places_for_many_and_never_more_than_there_are() {
        let places = Arc::new(Places::new(5, 1, vec!["127.0.0.1/32".parse().unwrap()].into()));
        let held: Vec<_> = (0..5).map(|_| Places::take(&places, address("127.0.0.1")).unwrap()).collect();
        assert!(Places::take(&places, address("127.0.0.1")).is_none());
        drop(held);
    }

    #[test]
    fn whoever_has_a_network_of_its_own_is_one() {
        let places = Arc::new(Places::new(5, 1, Arc::default()));
        let held = Places::take(&places, address("2001:db8::1")).unwrap();
        assert!(Places::take(&places, address("2001:db8::ffff")).is_none());
        assert!(Places::take(&places, address("2001:db8:0:1::1")).is_some());
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_begin_in_time_is_cut_off() {
        for begun in [&b""[..], b"P", b"PRI * HT", &PREFACE[..PREFACE.len() - 1]] {
            let (mut client, server) = duplex(1024);
            let mut server = Begun::new(server, PATIENCE);
            client.write_all(begun).await.unwrap();
            let mut heard = Vec::new();
            let error = server.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!((error.kind(), heard.as_slice()), (io::ErrorKind::TimedOut, begun));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_began_may_be_quiet() {
        for begun in [&b"GET"[..], b"PRI * HTTP/1.1", PREFACE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more"] {
            let (mut client, server) = duplex(1024);
            let mut server = Begun::new(server, PATIENCE);
            // One byte at a time is as good as all at once.
            for byte in begun {
                client.write_all(&[*byte]).await.unwrap();
                assert_eq!(server.read_u8().await.unwrap(), *byte);
            }
            assert!(tokio::time::timeout(PATIENCE * 10, server.read_u8()).await.is_err(), "it is still waited for");
        }
    }
}
