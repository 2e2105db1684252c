//! A TCP connection's way from a service to whom it calls: it can be cut, or swallow the answers.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// Read at a time.
const CHUNK: usize = 16 * 1024;

/// A place to connect to instead of the peer's own.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Questions pass, answers do not.
    Mute,
    /// Every connection is closed, and every new one too.
    Cut,
}

impl Link {
    /// From now on, to `target`.
    pub(crate) async fn open(
        from: &'static str,
        to: &'static str,
        target: SocketAddr,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State::Open);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, state.subscribe()));
        Ok(Self {
            from,
            to,
            address,
            state,
            _accepting: accepting,
        })
    }

    /// Closes every connection and lets none in for so long.
    pub(crate) async fn cut(&self, length: Duration) {
        self.state.send_replace(State::Cut);
        sleep(length).await;
        self.state.send_replace(State::Open);
    }

    /// Swallows the answers for so long; then the connections are closed, and new ones are as good as ever.
    pub(crate) async fn mute(&self, length: Duration) {
        self.state.send_replace(State::Mute);
        sleep(length).await;
        self.cut(Duration::from_millis(100)).await;
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((caller, _)) = listener.accept() => {
                connections.spawn(connect(caller, target, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(caller: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(peer) = TcpStream::connect(target).await else {
        return;
    };
    if caller
        .set_nodelay(true)
        .and(peer.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let answers_when = state.clone();
    let (questions, answers) = (caller.into_split(), peer.into_split());
    let (from_caller, to_caller) = questions;
    let (from_peer, to_peer) = answers;
    tokio::select! {
        // An error on either side ends both.
        _ = async { tokio::try_join!(
            pass(from_caller, to_peer, None),
            pass(from_peer, to_caller, Some(answers_when)),
        ) } => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut unless_mute: Option<watch::Receiver<State>>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if let Some(state) = &mut unless_mute {
            let speaking = state.wait_for(|state| *state != State::Mute).await;
            // What was swallowed is lost.
            if speaking.is_ok_and(|state| *state == State::Cut) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Answers every byte with itself, and counts them.
    async fn echo() -> (SocketAddr, watch::Receiver<usize>, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, hears) = watch::channel(0);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let heard = heard.clone();
                connections.spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        heard.send_modify(|count| *count += 1);
                        let _ = stream.write_u8(byte).await;
                    }
                });
            }
        });
        (address, hears, serving)
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_u8(7).await?;
        timeout(LIMIT, stream.read_u8()).await?
    }

    #[tokio::test]
    async fn a_cut_closes_what_is_open_and_what_comes_and_then_all_is_well() {
        let (target, _heard, _serving) = echo().await;
        let link = Link::open("one", "other", target).await.unwrap();
        let mut before = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut before).await.unwrap(), 7);
        let during = async {
            assert!(timeout(LIMIT, before.read_u8()).await.unwrap().is_err());
            let mut new = TcpStream::connect(link.address).await.unwrap();
            assert!(ask(&mut new).await.is_err());
        };
        tokio::select! {
            () = during => {}
            () = link.cut(LIMIT) => panic!("it was not cut"),
        }
        link.cut(Duration::ZERO).await;
        let mut after = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut after).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_mute_link_passes_questions_and_loses_their_answers() {
        let (target, mut heard, _serving) = echo().await;
        let link = Link::open("one", "other", target).await.unwrap();
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), 7);
        let lost = async {
            stream.write_u8(8).await.unwrap();
            let heard = timeout(LIMIT, heard.wait_for(|count| *count == 2)).await;
            assert_eq!(*heard.unwrap().unwrap(), 2);
            timeout(LIMIT, stream.read_u8()).await.unwrap()
        };
        let (lost, ()) = tokio::join!(lost, link.mute(Duration::from_millis(300)));
        assert!(lost.is_err(), "{lost:?}");
    }
}
