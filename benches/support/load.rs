//! Load over HTTP: so many connections, each of which sends, waits for the answer, and sends the next.
//!
//! Written by hand, because a client of many features would take more of the machine than what is measured.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Outcome;

/// A POST as it goes over the wire.
pub type Wire = Vec<u8>;

/// What a run of requests came to.
pub struct Run {
    /// How many a second.
    pub rate: f64,
    /// How long each took, in seconds, in no order.
    pub seconds: Vec<f64>,
}

/// A POST of JSON with an idempotency key, as the page sends it.
pub fn post(address: SocketAddr, path: &str, key: &str, body: &str) -> Wire {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Asks for something, once.
pub async fn get(address: SocketAddr, path: &str) -> Outcome<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut read = Vec::new();
    let body = answer(&mut connection, &mut read).await?;
    Ok(String::from_utf8(body)?)
}

/// Sends all requests with so many in flight. `is_good` looks at every answer's body.
pub async fn drive(address: SocketAddr, requests: Vec<Wire>, in_flight: usize, is_good: fn(&[u8]) -> bool) -> Outcome<Run> {
    let count = requests.len();
    let requests = Arc::new(Mutex::new(VecDeque::from(requests)));
    let mut connections = Vec::new();
    for _ in 0..in_flight {
        let connection = TcpStream::connect(address).await?;
        connection.set_nodelay(true)?;
        connections.push(connection);
    }
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send(connection, requests.clone(), is_good));
    }
    let mut seconds = Vec::with_capacity(count);
    while let Some(sent) = senders.join_next().await {
        seconds.extend(sent??.iter().map(Duration::as_secs_f64));
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let rate = count as f64 / started.elapsed().as_secs_f64();
    Ok(Run { rate, seconds })
}

async fn send(
    mut connection: TcpStream,
    requests: Arc<Mutex<VecDeque<Wire>>>,
    is_good: fn(&[u8]) -> bool,
) -> Outcome<Vec<Duration>> {
    let mut took = Vec::new();
    let mut read = Vec::with_capacity(4096);
    loop {
        let next = requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(wire) = next else { return Ok(took) };
        let sent = Instant::now();
        connection.write_all(&wire).await?;
        let body = answer(&mut connection, &mut read).await?;
        took.push(sent.elapsed());
        if !is_good(&body) {
            return Err(format!("{}\nwas answered\n{}", String::from_utf8_lossy(&wire), String::from_utf8_lossy(&body)).into());
        }
    }
}

/// Reads one answer; `read` holds what came of the next one.
async fn answer(connection: &mut TcpStream, read: &mut Vec<u8>) -> Outcome<Vec<u8>> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&read[..end])?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let length = length.ok_or("an answer without a length")?;
            let is_ok = head.starts_with("HTTP/1.1 200");
            let all = end + 4 + length;
            while read.len() < all {
                more(connection, read).await?;
            }
            let body = read[end + 4..all].to_vec();
            read.drain(..all);
            return if is_ok { Ok(body) } else { Err(String::from_utf8_lossy(&body).into_owned().into()) };
        }
        more(connection, read).await?;
    }
}

async fn more(connection: &mut TcpStream, read: &mut Vec<u8>) -> Outcome<()> {
    if connection.read_buf(read).await? == 0 {
        return Err("the connection was closed".into());
    }
    Ok(())
}
