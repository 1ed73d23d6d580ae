//! Where log lines go: a bounded line to one thread that redacts and writes them.
//!
//! - the thread that logs never waits: when the line is full, the log line is dropped and counted;
//! - how many were dropped is said in the log as soon as there is room;
//! - [`Sink::flush`] waits until everything handed over before it is written, or a second.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::file::LogFile;
use super::redact::Redacted;

/// Lines that may wait for the writer.
const WAITING: usize = 4096;

/// How long the writer lets lines gather after the first one: waking it for every line would cost the requests more than
/// writing it.
const GATHER: Duration = Duration::from_millis(20);
/// Longest wait for the writer when the process ends.
const FLUSH: Duration = Duration::from_secs(1);

/// The end of the line that takes log lines. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
    Turn(Box<LogFile>),
}

impl Sink {
    /// A sink whose lines are written to `out` by a thread that ends with the last clone.
    pub(super) fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sink, messages) = Self::pair(WAITING);
        let dropped = Arc::clone(&sink.dropped);
        let write = move || write_all(&messages, &dropped, Box::new(out));
        std::thread::Builder::new().name("qcc-log".to_owned()).spawn(write)?;
        Ok(sink)
    }

    fn pair(waiting: usize) -> (Self, Receiver<Message>) {
        let (lines, messages) = sync_channel(waiting);
        (Self { lines, dropped: Arc::default() }, messages)
    }

    /// Writes to `file` what is handed over from now on.
    pub(super) fn turn_to(&self, file: LogFile) -> io::Result<()> {
        let gone = |_| io::Error::other("nothing writes the log");
        self.lines.send(Message::Turn(Box::new(file))).map_err(gone)
    }

    /// Waits until the lines handed over so far are written, at most a second.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        // A full line means a stuck writer: waiting for it would hang the exit.
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

impl Write for Sink {
    /// Takes one whole line, as `tracing-subscriber` writes them.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(messages: &Receiver<Message>, dropped: &AtomicU64, out: Box<dyn Write>) {
    let (mut out, mut text, mut flushed) = (Redacted(out), Vec::new(), Vec::new());
    while let Ok(first) = messages.recv() {
        if matches!(first, Message::Line(_)) {
            std::thread::sleep(GATHER);
        }
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Line(line) => text.extend_from_slice(&line),
                Message::Flush(done) => flushed.push(done),
                Message::Turn(file) => {
                    write(&mut out, &mut text);
                    out = Redacted(file);
                }
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} log lines were dropped: the log is read too slowly\n");
            text.extend_from_slice(told.as_bytes());
        }
        write(&mut out, &mut text);
        for done in flushed.drain(..) {
            let _ = done.send(());
        }
    }
}

fn write(out: &mut impl Write, text: &mut Vec<u8>) {
    // A log that cannot be written has no better place to be told about.
    let _ = out.write_all(text).and_then(|()| out.flush());
    text.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_drops_counts_and_says_so() {
        let (sink, messages) = Sink::pair(2);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            sink.clone().write_all(line.as_bytes()).expect("never fails");
        }
        let dropped = Arc::clone(&sink.dropped);
        drop(sink);
        let (reader, writer) = io::pipe().expect("a pipe");
        write_all(&messages, &dropped, Box::new(writer));
        assert_eq!(
            io::read_to_string(reader).expect("text"),
            "one\ntwo\n2 log lines were dropped: the log is read too slowly\n"
        );
    }

    #[test]
    fn flush_waits_for_the_lines_before_it() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let sink = Sink::new(writer).expect("a thread");
        sink.clone().write_all(b"last words\n").expect("never fails");
        sink.flush();
        drop(sink);
        assert_eq!(io::read_to_string(reader).expect("text"), "last words\n");
    }
}
