//! What servers and clients do, in containers and on hosts.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// How long an answer may take that has to come.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// How long is waited for what must not come.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Tells whoever asks by TCP or UDP on these ports of any address who it is and whom it sees, for ever. Says
/// `listening` when it does.
pub(crate) fn answer(who: &str, ports: &[u16]) {
    for port in ports {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
        let (tcp, udp) = (TcpListener::bind(any).expect("a port"), UdpSocket::bind(any).expect("a port"));
        let (tcp_answer, udp_answer) = (who.to_owned(), who.to_owned());
        std::thread::spawn(move || serve_tcp(&tcp, &tcp_answer));
        std::thread::spawn(move || serve_udp(&udp, &udp_answer));
    }
    println!("listening");
}

fn serve_tcp(listener: &TcpListener, who: &str) {
    loop {
        let (mut client, peer) = listener.accept().expect("a client");
        // A client that has gone is no concern of ours.
        std::io::Write::write_all(&mut client, told(who, peer).as_bytes()).unwrap_or(());
    }
}

fn serve_udp(socket: &UdpSocket, who: &str) {
    loop {
        let (_, peer) = socket.recv_from(&mut [0; 16]).expect("a question");
        socket.send_to(told(who, peer).as_bytes(), peer).map(drop).unwrap_or(());
    }
}

fn told(who: &str, peer: SocketAddr) -> String {
    format!("{who} sees {}", peer.ip().to_canonical())
}

/// Asks the one at `to`, by TCP or UDP: the answer, or why there is none.
pub(crate) fn ask(transport: &str, to: SocketAddr, patience: Duration) -> Result<String, ErrorKind> {
    let asked = if transport == "tcp" { ask_tcp(to, patience) } else { ask_udp(to, patience) };
    asked.map_err(|error| match error.kind() {
        // Which of the two it is called depends on the call.
        ErrorKind::WouldBlock => ErrorKind::TimedOut,
        kind => kind,
    })
}

fn ask_tcp(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let mut server = TcpStream::connect_timeout(&to, patience)?;
    server.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_udp(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(to)?;
    socket.send(b"?")?;
    let mut answer = [0; 200];
    let len = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}
