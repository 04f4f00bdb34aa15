//! What the driver and one executor say to each other, over one stream or several: see the executor's outbox, which is
//! the other end of it.

use std::collections::VecDeque;

use firesteel_protocol::proto::{Acknowledged, DriverMessage, driver_message::Message};
use tokio::sync::mpsc;
use tonic::Status;

/// Messages to an executor that may wait to be confirmed. More than its slots could ever want.
const KEPT: usize = 4096;
/// Messages that a stream must have room for: all that are kept, and some that are not numbered.
pub const STREAM: usize = KEPT + 64;
/// An executor is told what has arrived after so many messages of its.
const CONFIRM_AFTER: u64 = 64;

pub type Stream = mpsc::Sender<Result<DriverMessage, Status>>;

pub struct Session {
    /// While there is one, with its number.
    stream: Option<Stream>,
    streams: u64,
    /// Not confirmed yet, in order; the first one has the number `first`.
    kept: VecDeque<DriverMessage>,
    first: u64,
    /// Number of the executor's last message that has arrived, and that it was told of.
    received: u64,
    told: u64,
}

impl Session {
    pub fn new() -> Self {
        Self { stream: None, streams: 0, kept: VecDeque::new(), first: 1, received: 0, told: 0 }
    }

    /// Speaks on this stream from now on: `greeting` first, then all that is not confirmed. Answers the stream's number.
    pub fn attach(&mut self, stream: Stream, greeting: Message) -> u64 {
        self.streams += 1;
        self.stream = Some(stream);
        self.put(DriverMessage { message: Some(greeting), number: 0, received: self.received });
        for message in self.kept.clone() {
            self.put(DriverMessage { received: self.received, ..message });
        }
        self.streams
    }

    /// Whether this is the stream that is spoken on.
    pub fn is_current(&self, stream: u64) -> bool {
        self.stream.is_some() && self.streams == stream
    }

    /// Whether there has been no stream after this one.
    pub fn is_last(&self, stream: u64) -> bool {
        self.streams == stream
    }

    pub fn detach(&mut self) {
        self.stream = None;
    }

    /// Says it now, or when the executor is back. False when more waits than an executor could want.
    pub fn say(&mut self, message: Message) -> bool {
        if self.kept.len() >= KEPT {
            return false;
        }
        let number = self.first + self.kept.len() as u64;
        let message = DriverMessage { message: Some(message), number, received: self.received };
        self.kept.push_back(message.clone());
        self.put(message);
        true
    }

    /// Says it if the executor can be reached.
    pub fn say_now(&mut self, message: Message) {
        self.put(DriverMessage { message: Some(message), number: 0, received: self.received });
    }

    /// Takes note of a message's numbers. False when it was heard before. `confirm`: tells the executor at once.
    pub fn heard(&mut self, number: u64, confirmed: u64, confirm: bool) -> bool {
        let gone = (confirmed.saturating_add(1).saturating_sub(self.first) as usize).min(self.kept.len());
        self.kept.drain(..gone);
        self.first += gone as u64;
        let new = number == 0 || number > self.received;
        self.received = self.received.max(number);
        if (confirm && self.received > self.told) || self.received - self.told >= CONFIRM_AFTER {
            self.say_now(Message::Acknowledged(Acknowledged {}));
        }
        new
    }

    fn put(&mut self, message: DriverMessage) {
        let Some(stream) = &self.stream else { return };
        self.told = message.received;
        if stream.try_send(Ok(message)).is_err() {
            // It is gone, or its executor does not read: a new one begins with what is not confirmed.
            self.stream = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use firesteel_protocol::proto::Shutdown;

    use super::*;

    fn word(text: &str) -> Message {
        Message::Shutdown(Shutdown { reason: text.to_owned() })
    }

    fn heard(inbox: &mut mpsc::Receiver<Result<DriverMessage, Status>>) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        while let Ok(Ok(message)) = inbox.try_recv() {
            match message.message {
                Some(Message::Shutdown(shutdown)) => all.push((message.number, shutdown.reason)),
                Some(Message::Acknowledged(_)) => all.push((message.received, "confirmed".to_owned())),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    fn told(number: u64, text: &str) -> (u64, String) {
        (number, text.to_owned())
    }

    #[test]
    fn what_was_not_confirmed_is_said_on_the_next_stream() {
        let mut session = Session::new();
        let (stream, mut inbox) = mpsc::channel(STREAM);
        let first = session.attach(stream, word("hello"));
        assert!(session.say(word("a")) && session.say(word("b")));
        assert_eq!(heard(&mut inbox), [told(0, "hello"), told(1, "a"), told(2, "b")]);
        assert!(session.heard(1, 1, false));
        drop(inbox);
        assert!(session.say(word("c")));
        assert!(!session.is_current(first));
        assert!(session.say(word("d")));
        let (stream, mut inbox) = mpsc::channel(STREAM);
        let second = session.attach(stream, word("again"));
        assert!(session.is_current(second) && !session.is_current(first));
        assert_eq!(heard(&mut inbox), [told(0, "again"), told(2, "b"), told(3, "c"), told(4, "d")]);
    }

    #[test]
    fn messages_that_come_twice_are_known() {
        let mut session = Session::new();
        let (stream, mut inbox) = mpsc::channel(STREAM);
        session.attach(stream, word("hello"));
        assert!(session.heard(1, 0, false) && session.heard(2, 0, false));
        assert!(!session.heard(1, 0, false) && !session.heard(2, 0, false));
        assert!(session.heard(0, 0, true));
        assert_eq!(heard(&mut inbox), [told(0, "hello"), told(2, "confirmed")]);
        assert!(session.heard(0, 0, true), "told already");
        assert_eq!(heard(&mut inbox), []);
    }

    #[test]
    fn an_executor_that_never_confirms_is_given_up() {
        let mut session = Session::new();
        assert!((0..KEPT).all(|_| session.say(word("x"))));
        assert!(!session.say(word("too much")));
    }
}
