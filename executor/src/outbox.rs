//! What this executor has to tell its driver, kept until it has arrived there.
//!
//! A session is what one driver and this executor say to each other, over one stream or several: messages are numbered,
//! and what the other side has not confirmed when a stream breaks is said again on the next one. So nothing that matters
//! is lost or heard twice, and tasks need not know whether the driver can be reached.

use std::{collections::VecDeque, sync::Arc};

use firesteel_protocol::proto::{ExecutorMessage, executor_message::Message};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Messages that may wait for a driver. Tasks wait with their reports when it is full.
const KEPT: usize = 4096;

#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    session: u64,
    /// Not confirmed yet, in order; the first one has the number `first`.
    kept: VecDeque<ExecutorMessage>,
    first: u64,
    /// The number of the driver's last message that has arrived.
    received: u64,
}

/// Speaks in one session: what it says after that is over is for nobody.
#[derive(Debug, Clone)]
pub struct Reporter {
    outbox: Arc<Outbox>,
    session: u64,
}

impl Reporter {
    /// Waits while the outbox is full.
    pub async fn say(&self, message: Message) {
        self.outbox.push(self.session, message).await;
    }

    /// Does not wait for room: for whoever makes room, and speaks no more often than it hears something.
    pub fn say_now(&self, message: Message) {
        self.outbox.push_within(usize::MAX, self.session, message);
    }
}

impl Outbox {
    pub fn new() -> Arc<Self> {
        let state = Mutex::new(State { first: 1, ..State::default() });
        Arc::new(Self { state, changed: Notify::new() })
    }

    /// Begins a new session: what was to be said in the one before is forgotten.
    pub fn restart(&self) {
        {
            let mut state = self.state.lock();
            *state = State { session: state.session + 1, first: 1, ..State::default() };
        }
        self.changed.notify_waiters();
    }

    pub fn reporter(self: &Arc<Self>) -> Reporter {
        Reporter { outbox: self.clone(), session: self.state.lock().session }
    }

    async fn push(&self, session: u64, message: Message) {
        let mut message = message;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.push_within(KEPT, session, message) {
                None => return,
                Some(back) => message = back,
            }
            changed.await;
        }
    }

    /// Gives the message back when so many wait already.
    fn push_within(&self, most: usize, session: u64, message: Message) -> Option<Message> {
        {
            let mut state = self.state.lock();
            if state.session != session {
                return None;
            }
            if state.kept.len() >= most {
                return Some(message);
            }
            let number = state.first + state.kept.len() as u64;
            state.kept.push_back(ExecutorMessage { message: Some(message), number, received: 0 });
        }
        self.changed.notify_waiters();
        None
    }

    /// The driver has had all up to this number.
    pub fn confirmed(&self, number: u64) {
        let gone = {
            let mut state = self.state.lock();
            let gone = (number.saturating_add(1).saturating_sub(state.first) as usize).min(state.kept.len());
            state.kept.drain(..gone);
            state.first += gone as u64;
            gone
        };
        if gone > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Takes note of a message of the driver's. False when it was heard before.
    pub fn is_new(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let new = number == 0 || number > state.received;
        state.received = state.received.max(number);
        new
    }

    pub fn received(&self) -> u64 {
        self.state.lock().received
    }

    /// The first message from `number` on, when it is there. Waits for ever when the session is over.
    pub async fn next(&self, session: &Reporter, number: u64) -> ExecutorMessage {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(message) = self.look(session, number) {
                return message;
            }
            changed.await;
        }
    }

    /// As [`Self::next`], without waiting.
    pub fn look(&self, session: &Reporter, number: u64) -> Option<ExecutorMessage> {
        let state = self.state.lock();
        if state.session != session.session {
            return None;
        }
        let at = usize::try_from(number.saturating_sub(state.first)).ok()?;
        let message = state.kept.get(at)?;
        Some(ExecutorMessage { received: state.received, ..message.clone() })
    }

    /// Whether nothing waits to be confirmed.
    pub fn is_empty(&self) -> bool {
        self.state.lock().kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use firesteel_protocol::proto::Leaving;

    use super::*;

    fn message(text: &str) -> Message {
        Message::Leaving(Leaving { reason: text.to_owned() })
    }

    fn text(message: ExecutorMessage) -> (u64, String) {
        match message.message {
            Some(Message::Leaving(leaving)) => (message.number, leaving.reason),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_not_confirmed_is_said_again() {
        let outbox = Outbox::new();
        let reporter = outbox.reporter();
        for word in ["a", "b", "c"] {
            reporter.say(message(word)).await;
        }
        assert_eq!(text(outbox.next(&reporter, 2).await), (2, "b".to_owned()));
        outbox.confirmed(1);
        // A stream that begins anew asks from the first that is not confirmed.
        assert_eq!(text(outbox.next(&reporter, 2).await), (2, "b".to_owned()));
        assert_eq!(text(outbox.next(&reporter, 1).await), (2, "b".to_owned()));
        outbox.confirmed(99);
        assert!(outbox.is_empty());
        reporter.say(message("d")).await;
        assert_eq!(text(outbox.next(&reporter, 4).await), (4, "d".to_owned()));
    }

    #[tokio::test]
    async fn a_session_that_is_over_is_silent() {
        let outbox = Outbox::new();
        let before = outbox.reporter();
        before.say(message("a")).await;
        assert!(outbox.is_new(1) && !outbox.is_new(1) && outbox.is_new(0));
        outbox.restart();
        assert_eq!((outbox.is_empty(), outbox.received()), (true, 0));
        before.say(message("late")).await;
        assert!(outbox.is_empty());
        let after = outbox.reporter();
        after.say(message("b")).await;
        assert_eq!(text(outbox.next(&after, 1).await), (1, "b".to_owned()));
    }

    #[tokio::test]
    async fn a_full_outbox_makes_its_speakers_wait() {
        let outbox = Outbox::new();
        let reporter = outbox.reporter();
        for _ in 0..KEPT {
            reporter.say(message("x")).await;
        }
        let more = tokio::spawn({
            let reporter = reporter.clone();
            async move { reporter.say(message("more")).await }
        });
        tokio::task::yield_now().await;
        assert!(!more.is_finished());
        outbox.confirmed(1);
        more.await.unwrap();
        assert_eq!(text(outbox.next(&reporter, KEPT as u64 + 1).await), (KEPT as u64 + 1, "more".to_owned()));
    }
}
