//! The world that the logs describe: services, their servers, and what goes wrong with them when.

use std::fmt::Write;

use chrono::{DateTime, Utc};

/// SplitMix64. Ours, because the bytes of a seed must stay the same when a library changes its generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// True in `share` of 65,536 cases.
    pub fn chance(&mut self, share: u32) -> bool {
        (self.next() >> 48) < u64::from(share)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// Draws indexes with given weights: one random number, one look-up.
#[derive(Debug)]
pub struct Weighted(Vec<u16>);

impl Weighted {
    const SLOTS: usize = 8192;

    /// Weights 1, 1/2, 1/3 … as found in real traffic.
    pub fn zipf(len: usize) -> Weighted {
        Weighted::new(&(1..=len).map(|rank| 1.0 / rank as f64).collect::<Vec<_>>())
    }

    pub fn new(weights: &[f64]) -> Weighted {
        let total: f64 = weights.iter().sum();
        let mut slots = Vec::with_capacity(Self::SLOTS);
        let mut sum = 0.0;
        for (index, weight) in weights.iter().enumerate() {
            sum += weight;
            let end = (sum / total * Self::SLOTS as f64).round() as usize;
            slots.resize(end.max(slots.len()).min(Self::SLOTS), index as u16);
        }
        slots.resize(Self::SLOTS, (weights.len() - 1) as u16);
        Weighted(slots)
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        usize::from(self.0[(random.next() >> 51) as usize])
    }
}

/// What a service answers: `{}` in a path stands for an id. The first routes are the busiest.
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    /// Services that this one calls, so that it suffers with them
    pub calls: &'static [usize],
    pub routes: &'static [(&'static str, &'static str)],
    /// Of the sizes of its answers
    pub median_bytes: f64,
    pub sigma: f64,
}

#[rustfmt::skip]
pub const SERVICES: [Service; 7] = [
    Service { name: "storefront", calls: &[1, 2, 5], median_bytes: 18_000.0, sigma: 0.8, routes: &[
        ("GET", "/"), ("GET", "/products/{}"), ("GET", "/categories/{}"), ("GET", "/offers"), ("GET", "/products/{}/reviews"),
        ("POST", "/newsletter"), ("GET", "/help"), ("GET", "/robots.txt"), ("GET", "/stores/{}"), ("GET", "/imprint"),
    ] },
    Service { name: "search", calls: &[6], median_bytes: 6_000.0, sigma: 0.7, routes: &[
        ("GET", "/search"), ("GET", "/search/suggest"), ("POST", "/search/click"), ("GET", "/search/similar/{}"),
    ] },
    Service { name: "cart", calls: &[3, 6], median_bytes: 1_400.0, sigma: 0.5, routes: &[
        ("GET", "/cart"), ("POST", "/cart/items"), ("DELETE", "/cart/items/{}"), ("PUT", "/cart/items/{}"), ("POST", "/cart/coupon"),
    ] },
    Service { name: "checkout", calls: &[4, 5], median_bytes: 2_200.0, sigma: 0.6, routes: &[
        ("POST", "/checkout"), ("GET", "/checkout/{}"), ("POST", "/checkout/{}/address"), ("POST", "/checkout/{}/confirm"),
        ("GET", "/orders/{}"), ("GET", "/orders/{}/invoice.pdf"),
    ] },
    Service { name: "payments", calls: &[], median_bytes: 700.0, sigma: 0.4, routes: &[
        ("POST", "/payments"), ("GET", "/payments/{}"), ("POST", "/payments/{}/capture"), ("POST", "/payments/{}/refund"),
    ] },
    Service { name: "accounts", calls: &[], median_bytes: 1_100.0, sigma: 0.6, routes: &[
        ("POST", "/login"), ("GET", "/accounts/{}"), ("POST", "/logout"), ("PUT", "/accounts/{}/address"), ("POST", "/accounts"),
        ("POST", "/password/reset"),
    ] },
    Service { name: "media", calls: &[], median_bytes: 52_000.0, sigma: 1.3, routes: &[
        ("GET", "/img/{}.webp"), ("GET", "/img/{}/thumb.webp"), ("GET", "/css/site.css"), ("GET", "/js/app.js"),
        ("GET", "/video/{}.mp4"), ("HEAD", "/img/{}.webp"), ("GET", "/fonts/inter.woff2"),
    ] },
];

/// One machine. The first are the busiest.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub service: usize,
    pub zone: &'static str,
    pub cores: u32,
    pub since: &'static str,
    /// Answers in 65,536 that fail on a good day
    pub base_errors: u32,
}

const fn server(
    name: &'static str,
    service: usize,
    zone: &'static str,
    cores: u32,
    since: &'static str,
    base_errors: u32,
) -> Server {
    Server { name, service, zone, cores, since, base_errors }
}

/// Servers in this zone write local time, one hour ahead of UTC.
pub const ZONE_WITH_LOCAL_TIME: &str = "eu-2";

pub const SERVERS: [Server; 16] = [
    server("media-1.example.net", 6, "eu-1", 16, "2023-05-02", 120),
    server("shop-1.example.net", 0, "eu-1", 16, "2022-11-14", 200),
    server("media-2.example.net", 6, "eu-2", 16, "2023-05-02", 130),
    server("shop-2.example.net", 0, "eu-2", 16, "2022-11-14", 220),
    server("search-1.example.net", 1, "eu-1", 32, "2024-01-30", 300),
    server("shop-3.example.net", 0, "us-1", 8, "2024-07-19", 260),
    server("cart-1.example.net", 2, "eu-1", 8, "2023-02-20", 180),
    server("accounts-1.example.net", 5, "eu-1", 8, "2022-11-14", 90),
    server("search-2.example.net", 1, "us-1", 32, "2024-02-01", 320),
    server("cart-2.example.net", 2, "eu-2", 8, "2023-02-21", 900),
    server("checkout-1.example.net", 3, "eu-1", 8, "2023-03-08", 240),
    server("payments-1.example.net", 4, "eu-1", 4, "2023-03-08", 110),
    server("checkout-2.example.net", 3, "us-1", 8, "2025-09-01", 250),
    server("accounts-2.example.net", 5, "us-1", 8, "2025-06-12", 100),
    server("payments-2.example.net", 4, "eu-2", 4, "2025-09-01", 140),
    // Not in servers.csv, so that a join meets a server without a row.
    server("canary-1.example.net", 0, "eu-1", 4, "", 1500),
];

/// A time in which one or more servers answer with errors.
#[derive(Debug)]
struct Incident {
    servers: Vec<usize>,
    /// Seconds since 1970
    start: i64,
    end: i64,
    /// Failing answers in 65,536 at its height
    peak: u32,
    status: u16,
}

/// Errors build up over this time, in seconds: what a prediction can see coming.
const RAMP: i64 = 15 * 60;

/// Requests in each hour of a day, relative to each other (UTC).
const HOURS: [u32; 24] =
    [30, 22, 17, 15, 16, 22, 38, 60, 82, 95, 100, 104, 110, 106, 100, 98, 102, 112, 124, 130, 121, 98, 70, 46];

#[derive(Debug)]
pub struct Model {
    start: i64,
    days: u32,
    incidents: Vec<Incident>,
    /// Of each service: sizes of answers at equal steps of their lognormal distribution, so that a draw needs no logarithm
    sizes: Vec<Vec<f64>>,
}

impl Model {
    pub fn new(seed: u64, first_day: DateTime<Utc>, days: u32) -> Model {
        let start = first_day.timestamp();
        let mut random = Random::new(seed, 0x1C1D);
        let mut incidents = Vec::new();
        for day in 0..i64::from(days) {
            let midnight = start + day * 86_400;
            for _ in 0..2 + random.below(2) {
                let server = random.below(SERVERS.len() as u64) as usize;
                incidents.push(Incident::draw(&mut random, vec![server], midnight));
            }
            let service = random.below(SERVICES.len() as u64) as usize;
            let incident = Incident::draw(&mut random, servers_of(service), midnight);
            for (caller, _) in SERVICES.iter().enumerate().filter(|(_, s)| s.calls.contains(&service)) {
                incidents.push(incident.echo(servers_of(caller)));
            }
            incidents.push(incident);
        }
        const STEPS: usize = 2048;
        let normal: Vec<f64> =
            (0..=STEPS).map(|step| normal_quantile((step as f64 + 0.5) / (STEPS as f64 + 1.0))).collect();
        let sizes = SERVICES
            .iter()
            .map(|service| normal.iter().map(|z| service.median_bytes * (service.sigma * z).exp()).collect())
            .collect();
        Model { start, days, incidents, sizes }
    }

    /// The second (since 1970) at which `share` of all requests have come.
    pub fn second_at(&self, share: f64) -> i64 {
        let days = share * f64::from(self.days);
        let day = days.floor().min(f64::from(self.days - 1));
        let total: u32 = HOURS.iter().sum();
        let mut rest = (days - day) * f64::from(total);
        for (hour, weight) in HOURS.iter().enumerate() {
            let weight = f64::from(*weight);
            if rest < weight {
                return self.start + day as i64 * 86_400 + hour as i64 * 3600 + (rest / weight * 3600.0) as i64;
            }
            rest -= weight;
        }
        self.start + day as i64 * 86_400 + 86_399
    }

    /// How many answers in 65,536 of `server` fail at `second`, and with which status.
    pub fn errors_at(&self, server: usize, second: i64) -> (u32, u16) {
        let quiet = (SERVERS[server].base_errors, 500);
        self.incidents
            .iter()
            .filter(|incident| incident.servers.contains(&server))
            .filter_map(|incident| Some((incident.share_at(second)?, incident.status)))
            .fold(quiet, |worst, now| if now.0 > worst.0 { now } else { worst })
    }

    pub fn size_of_answer(&self, service: usize, random: &mut Random) -> u64 {
        let steps = &self.sizes[service];
        let at = random.below((steps.len() - 1) as u64) as usize;
        let between = random.below(1024) as f64 / 1024.0;
        (steps[at] + (steps[at + 1] - steps[at]) * between) as u64
    }

    pub fn servers_csv(&self) -> String {
        let mut csv = String::from("server,service,zone,cores,in_service_since\n");
        for server in SERVERS.iter().filter(|server| !server.since.is_empty()) {
            let Server { name, service, zone, cores, since, .. } = server;
            let service = SERVICES[*service].name;
            // Writing into a String cannot fail.
            let _ = writeln!(csv, "{name},{service},{zone},{cores},{since}");
        }
        csv
    }
}

impl Incident {
    fn draw(random: &mut Random, servers: Vec<usize>, midnight: i64) -> Incident {
        let start = midnight + 3600 * 5 + random.below(3600 * 17) as i64;
        let end = start + RAMP + 60 * (10 + random.below(50) as i64);
        let peak = 65_536 * (25 + random.below(60) as u32) / 100;
        Incident { servers, start, end, peak, status: *random.pick(&[500, 502, 503, 503, 504]) }
    }

    /// What the callers of the failing servers see: later, less, and as a bad gateway.
    fn echo(&self, servers: Vec<usize>) -> Incident {
        Incident { servers, start: self.start + 120, end: self.end + 60, peak: self.peak / 4, status: 502 }
    }

    fn share_at(&self, second: i64) -> Option<u32> {
        let since = second - self.start;
        (since >= 0 && second < self.end).then(|| (i64::from(self.peak) * since.min(RAMP) / RAMP) as u32)
    }
}

fn servers_of(service: usize) -> Vec<usize> {
    (0..SERVERS.len()).filter(|index| SERVERS[*index].service == service).collect()
}

/// The value below which `share` of a standard normal distribution lies, by bisection of its distribution function.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-6.0_f64, 6.0_f64);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if normal_share_below(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Phi(x) by its power series: x - x³/6 + x⁵/40 …, good to 1e-9 for |x| < 6.
fn normal_share_below(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / 2.0 / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
}
