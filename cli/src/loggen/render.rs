//! Turns the model into lines.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Model, Random, SERVERS, SERVICES, Weighted, ZONE_WITH_LOCAL_TIME};

const AGENTS: [&str; 12] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:137.0) Gecko/20100101 Firefox/137.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Mobile Safari/537.36",
    "okhttp/4.12.0",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.org/about)",
    "-",
    "curl/8.12.1",
    r#"health-probe/3 (\"synthetic\"; zone=\"eu-1\")"#,
    "python-requests/2.32.3",
    r#"Shop App \"Lumi\" 7.4 (build 1190)"#,
    r"legacy\\scanner 1.0",
];
const USERS: [&str; 6] = ["alice", "bob", "carla", "dmitri", "j.smith", r"zo\xc3\xab"];
const QUERIES: [&str; 5] =
    ["?page=2", "?q=lamp&sort=price", "?utm_source=mail&utm_campaign=spring", "?q=%22desk%22", "?v=20260301"];
const STATUS_GET: [u16; 64] = statuses(&[(304, 6), (404, 4), (302, 2), (206, 1)]);
const STATUS_OTHER: [u16; 64] = statuses(&[(201, 14), (400, 2), (401, 3), (409, 1), (204, 6)]);

/// The given statuses as often as said, and 200 for the rest.
const fn statuses(given: &[(u16, usize)]) -> [u16; 64] {
    let mut all = [200; 64];
    let (mut at, mut i) = (0, 0);
    while i < given.len() {
        let end = at + given[i].1;
        while at < end {
            all[at] = given[i].0;
            at += 1;
        }
        i += 1;
    }
    all
}

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Only the line break came
    Empty,
    /// The rest of the line is missing
    Cut,
    /// As after a power loss: the blocks were given to the file but never written
    Zeros,
    /// A TLS greeting sent to a plain port, which Apache writes like this
    TlsGreeting,
    /// A day or hour that does not exist
    BadTime,
    BadStatus,
    /// A line of the error log in the wrong file
    ErrorLog,
}

const DAMAGES: [Damage; 8] = [
    Damage::Cut,
    Damage::Cut,
    Damage::TlsGreeting,
    Damage::Empty,
    Damage::BadTime,
    Damage::BadStatus,
    Damage::ErrorLog,
    Damage::Zeros,
];

/// Writes the lines of one file.
pub struct Renderer<'a> {
    model: &'a Model,
    random: Random,
    /// Damaged lines in 10,000
    malformed: u32,
    servers: Weighted,
    routes: Vec<Weighted>,
    agents: Weighted,
    second: i64,
    /// `second` as text, in UTC and in the time zone of `ZONE_WITH_LOCAL_TIME`
    stamps: [String; 2],
    minute: i64,
    /// Of each server in `minute`: failing answers in 65,536, and their status
    errors: Vec<(u32, u16)>,
}

impl<'a> Renderer<'a> {
    pub fn new(model: &'a Model, seed: u64, file: u32, malformed: u32) -> Renderer<'a> {
        Renderer {
            model,
            random: Random::new(seed, u64::from(file) + 1),
            malformed,
            servers: Weighted::zipf(SERVERS.len()),
            routes: SERVICES.iter().map(|service| Weighted::zipf(service.routes.len())).collect(),
            agents: Weighted::zipf(AGENTS.len()),
            second: i64::MIN,
            stamps: Default::default(),
            minute: i64::MIN,
            errors: Vec::new(),
        }
    }

    /// Appends one line of the given second to `out`, with its line break. True when it is a damaged one.
    pub fn line(&mut self, second: i64, out: &mut Vec<u8>) -> bool {
        self.move_to(second);
        if self.malformed == 0 || self.random.below(10_000) >= u64::from(self.malformed) {
            self.request(None, out);
            out.push(b'\n');
            return false;
        }
        let damage = *self.random.pick(&DAMAGES);
        match damage {
            Damage::Empty => {}
            Damage::ErrorLog => {
                let pid = 1000 + self.random.below(60_000);
                out.extend_from_slice(b"[core:error] [pid ");
                push_number(out, pid);
                out.extend_from_slice(b"] AH00126: Invalid URI in request GET /../../etc/passwd HTTP/1.1");
            }
            Damage::Zeros => out.resize(out.len() + 16 + self.random.below(200) as usize, 0),
            Damage::Cut => {
                let start = out.len();
                self.request(None, out);
                let keep = 1 + self.random.below((out.len() - start - 1) as u64) as usize;
                out.truncate(start + keep);
            }
            Damage::TlsGreeting | Damage::BadTime | Damage::BadStatus => self.request(Some(damage), out),
        }
        out.push(b'\n');
        true
    }

    fn move_to(&mut self, second: i64) {
        if second == self.second {
            return;
        }
        self.second = second;
        let utc = DateTime::<Utc>::from_timestamp(second, 0).unwrap_or_default();
        let local = utc + TimeDelta::hours(1);
        self.stamps = [
            utc.format("[%d/%b/%Y:%H:%M:%S +0000]").to_string(),
            local.format("[%d/%b/%Y:%H:%M:%S +0100]").to_string(),
        ];
        let minute = second.div_euclid(60);
        if minute != self.minute {
            self.minute = minute;
            self.errors.clear();
            self.errors.extend((0..SERVERS.len()).map(|server| self.model.errors_at(server, second)));
        }
    }

    fn request(&mut self, damage: Option<Damage>, out: &mut Vec<u8>) {
        let index = self.servers.draw(&mut self.random);
        let server = &SERVERS[index];
        let service = &SERVICES[server.service];
        let (method, template) = service.routes[self.routes[server.service].draw(&mut self.random)];
        let (error_share, error_status) = self.errors[index];
        let failed = self.random.chance(error_share);
        let status = match (failed, method) {
            (true, _) => error_status,
            (false, "GET") => STATUS_GET[self.random.below(64) as usize],
            (false, _) => STATUS_OTHER[self.random.below(64) as usize],
        };

        out.extend_from_slice(server.name.as_bytes());
        out.extend_from_slice(if self.random.chance(6000) { b":80 " } else { b":443 " });
        self.client(out);
        out.extend_from_slice(b" - ");
        let user = if self.random.chance(3000) { self.random.pick(&USERS) } else { "-" };
        out.extend_from_slice(user.as_bytes());
        out.push(b' ');
        match damage {
            Some(Damage::BadTime) => {
                let bad = *self.random.pick(&[
                    "[32/Mar/2026:10:11:12 +0000]",
                    "[01/Mar/2026:25:00:00 +0000]",
                    "[-]",
                    "[01/Mrz/2026:08:15:00 +0100]",
                ]);
                out.extend_from_slice(bad.as_bytes());
            }
            _ => out.extend_from_slice(self.stamps[usize::from(server.zone == ZONE_WITH_LOCAL_TIME)].as_bytes()),
        }
        if let Some(Damage::TlsGreeting) = damage {
            out.extend_from_slice(br#" "\x16\x03\x01\x02" 400 226 "-" "-""#);
            return;
        }
        out.extend_from_slice(b" \"");
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        self.path(template, method, out);
        out.extend_from_slice(if self.random.chance(26_000) { b" HTTP/2.0\" " } else { b" HTTP/1.1\" " });
        match damage {
            Some(Damage::BadStatus) => out.extend_from_slice(b"OK"),
            _ => push_number(out, u64::from(status)),
        }
        out.push(b' ');
        match status {
            204 | 304 => out.push(b'-'),
            500.. => push_number(out, 180 + self.random.below(700)),
            _ if method == "HEAD" => out.push(b'-'),
            _ => {
                let size = self.model.size_of_answer(server.service, &mut self.random);
                push_number(out, size);
            }
        }
        out.extend_from_slice(b" \"");
        self.referer(server.service, out);
        out.extend_from_slice(b"\" \"");
        out.extend_from_slice(AGENTS[self.agents.draw(&mut self.random)].as_bytes());
        out.push(b'"');
    }

    /// A third of the requests come from few clients.
    fn client(&mut self, out: &mut Vec<u8>) {
        let bits = self.random.next();
        let who = if bits.is_multiple_of(3) { Random::new(bits >> 32 & 63, 0xC11E).next() } else { self.random.next() };
        let byte = |shift: u32| (who >> shift) & 0xFF;
        if who.is_multiple_of(4) {
            out.extend_from_slice(b"2001:db8:");
            push_hex(out, (who >> 8) as u16);
            out.push(b':');
            push_hex(out, (who >> 24) as u16);
            out.extend_from_slice(b"::");
            push_hex(out, (who >> 40) as u16);
        } else {
            out.extend_from_slice(if who & 8 == 0 { b"198.51." } else { b"203.0." });
            push_number(out, byte(16));
            out.push(b'.');
            push_number(out, byte(32));
        }
    }

    fn path(&mut self, template: &str, method: &str, out: &mut Vec<u8>) {
        match template.split_once("{}") {
            None => out.extend_from_slice(template.as_bytes()),
            Some((before, after)) => {
                // The smaller of two draws: small ids are asked for more often.
                let id = self.random.below(60_000).min(self.random.below(60_000)) + 1;
                out.extend_from_slice(before.as_bytes());
                push_number(out, id);
                out.extend_from_slice(after.as_bytes());
            }
        }
        if method == "GET" && self.random.chance(9000) {
            let query = *self.random.pick(&QUERIES);
            out.extend_from_slice(query.as_bytes());
        }
    }

    /// Another service that calls this one, a page of the shop, or none.
    fn referer(&mut self, service: usize, out: &mut Vec<u8>) {
        match self.random.below(8) {
            0..=2 => out.push(b'-'),
            3..=4 => {
                out.extend_from_slice(b"https://www.example.net/products/");
                let id = self.random.below(60_000) + 1;
                push_number(out, id);
            }
            draw => {
                let callers = SERVICES.iter().filter(|caller| caller.calls.contains(&service));
                match callers.cycle().nth(draw as usize) {
                    Some(caller) => {
                        out.extend_from_slice(b"https://");
                        out.extend_from_slice(caller.name.as_bytes());
                        out.extend_from_slice(b".internal.example.net/");
                    }
                    None => out.extend_from_slice(b"https://www.example.net/"),
                }
            }
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Without leading zeros, as IPv6 addresses are written.
fn push_hex(out: &mut Vec<u8>, number: u16) {
    let digits = (16 - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let value = number >> (4 * digit) & 0xF;
        out.push(b"0123456789abcdef"[usize::from(value)]);
    }
}
