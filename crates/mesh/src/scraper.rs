//! Asks processes what they have counted, again and again, and works out what they did in between.

use std::{collections::HashMap, net::SocketAddr};

use mesh_figures::{Admin, Figures, Metrics};
use tokio::{task::JoinSet, time::Instant};

/// Keeps the last answer of each.
#[derive(Debug)]
pub(crate) struct Scraper {
    admin: Admin,
    last: HashMap<String, (Instant, Metrics)>,
}

impl Scraper {
    pub(crate) fn new() -> Self {
        Self {
            admin: Admin::new(),
            last: HashMap::new(),
        }
    }

    /// Asks all of these at once. Each is told of as soon as it has answered: what it did since it was asked before, or
    /// none if it was not, or does not answer.
    pub(crate) async fn round(
        &mut self,
        targets: Vec<(String, SocketAddr)>,
        mut tell: impl FnMut(String, Option<Figures>),
    ) {
        self.last
            .retain(|name, _| targets.iter().any(|(target, _)| target == name));
        let mut scrapes = JoinSet::new();
        for (name, address) in targets {
            let admin = self.admin.clone();
            scrapes.spawn(async move { (name, admin.metrics(address).await) });
        }
        while let Some(scraped) = scrapes.join_next().await {
            let (name, metrics) = scraped.expect("a scrape neither panics nor is aborted");
            let now = Instant::now();
            let before = self.last.remove(&name);
            let Ok(metrics) = metrics else {
                tell(name, None);
                continue;
            };
            let figures = before.map(|(at, before)| Figures::between(&before, &metrics, now - at));
            self.last.insert(name.clone(), (now, metrics));
            tell(name, figures);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use super::*;

    /// A process that counts a request each time it is asked; it dies at the fourth.
    fn process() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for count in 1..=3 {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(&mut stream).lines();
                let head = lines.map_while(Result::ok);
                assert!(head.take_while(|line| !line.is_empty()).count() > 0);
                let body = format!("http_requests_total {count}\n");
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn the_second_answer_makes_the_first_figures_and_silence_ends_them() {
        let target = vec![("orders".to_owned(), process())];
        let mut scraper = Scraper::new();
        let mut told = Vec::new();
        for _ in 0..4 {
            scraper
                .round(target.clone(), |name, figures| told.push((name, figures)))
                .await;
        }
        let rates: Vec<bool> = told
            .iter()
            .map(|(_, figures)| figures.as_ref().is_some_and(|figures| figures.rate > 0.0))
            .collect();
        assert_eq!(rates, [false, true, true, false], "{told:?}");
        assert!(told.iter().all(|(name, _)| name == "orders"));
        assert!(scraper.last.is_empty());
    }
}
