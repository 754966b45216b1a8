//! A logged-in client: its requests, one after the other, and attention in between.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, WriteHalf};
use tokio_util::sync::CancellationToken;

use crate::sql::{Column, Error, Output, Run, Session, Step, Type, Value};
use crate::world::Stage;

use super::connection::Transport;
use super::decode::Unreadable;
use super::login::Client;
use super::packet::{
    ATTENTION, BATCH, Message, MessageReader, MessageWriter, RESET, RESET_KEEP_TRANSACTION, RPC,
    TRANSACTION, invalid,
};
use super::reply::{Descriptors, Reply, Scope};
use super::request::{self, Call, Procedure, TransactionRequest};
use super::rpc::{self, Handle, Plan, Statements};
use super::token::{self, Change};
use super::trouble::Mishap;
use super::{AttentionStyle, Door, gate};

/// The longest that a waiting statement goes without a look at the world.
const LOOK: Duration = Duration::from_millis(250);

/// After which the acknowledgement of an attention comes late.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// Statements in a row before the client is listened to.
const STRETCH: u32 = 32;

/// Serves a client until it leaves.
pub(super) async fn serve<S>(door: &Door, client: Client, stream: Transport<S>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reading, writing) = tokio::io::split(stream);
    let mut reader = MessageReader::new(reading);
    let writer = MessageWriter::new(writing, client.packet_size, client.session.id);
    let mut talk = Talk {
        door,
        client,
        writer,
        prepared: Statements::default(),
        descriptors: Descriptors::default(),
        acknowledged: false,
    };
    let mut queued: Option<Message> = None;
    loop {
        let message = match queued.take() {
            Some(message) => message,
            None => match reader.next().await? {
                Some(message) => message,
                None => return Ok(()),
            },
        };
        if message.kind == ATTENTION {
            talk.acknowledge().await?;
            continue;
        }
        let cancel = CancellationToken::new();
        let after = {
            let mut work = pin!(talk.request(message, &cancel));
            loop {
                // Work first: what is done at once is answered, even if the client has just left.
                tokio::select! {
                    biased;
                    after = &mut work => break after?,
                    next = reader.next(), if queued.is_none() => match next? {
                        // The client is gone; dropping the work abandons what it waits for.
                        None => return Ok(()),
                        Some(message) if message.kind == ATTENTION => cancel.cancel(),
                        // It has to wait, and so has what comes after it.
                        Some(message) => queued = Some(message),
                    },
                }
            }
        };
        match after {
            After::Next => {}
            After::Close => {
                talk.writer.shutdown().await;
                return Ok(());
            }
            After::Silence => {
                // The reply is lost: the client hears nothing until it gives up.
                while reader.next().await?.is_some() {}
                return Ok(());
            }
        }
        if cancel.is_cancelled() {
            talk.acknowledge().await?;
        }
    }
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Next,
    Close,
    Silence,
}

/// How the statements of a request ended.
enum Ended {
    Finished,
    Cancelled,
    Silence,
    Close,
}

struct Talk<'d, S> {
    door: &'d Door,
    client: Client,
    writer: MessageWriter<WriteHalf<Transport<S>>>,
    prepared: Statements,
    descriptors: Descriptors,
    /// The reply has already ended with the acknowledgement.
    acknowledged: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Talk<'_, S> {
    async fn request(&mut self, message: Message, cancel: &CancellationToken) -> io::Result<After> {
        self.client.gate.inbound(message.data.len()).await?;
        gate::awake(&self.door.world, &self.door.instance).await?;
        let stages = [Stage::BeforeAnswer, Stage::WithinAnswer, Stage::BeforeDone];
        self.writer.mishap = Mishap::take(self.door, &self.client.cable, &stages);
        if message.ignored {
            // The client took its request back before it was whole.
            let mut reply = self.reply(Scope::Batch);
            token::done(token::DONE, token::FAILED, 0, None, &mut reply.out);
            return self.finish(reply, After::Next).await;
        }
        let scope = if message.kind == RPC { Scope::Procedure } else { Scope::Batch };
        let mut reply = self.reply(scope);
        if message.status & (RESET | RESET_KEEP_TRANSACTION) != 0 {
            self.reset(message.status & RESET_KEEP_TRANSACTION != 0);
            token::change(&Change::Reset, &mut reply.out);
        }
        match message.kind {
            BATCH => {
                let text = request::batch(&message.data)?;
                let ended = self.statements(&text, Vec::new(), &mut reply, cancel).await?;
                self.conclude(ended, reply).await
            }
            RPC => match request::calls(&message.data) {
                Ok(calls) => self.calls(calls, reply, cancel).await,
                Err(Unreadable::Broken(error)) => Err(error),
                Err(Unreadable::Type(token)) => {
                    let text = format!(
                        "The incoming tabular data stream (TDS) remote procedure call (RPC) \
                         protocol stream is incorrect. Parameter 1 (\"\"): Data type \
                         0x{token:02X} is unknown."
                    );
                    reply.add(Output::Error(Error::new(8_009, 16, text)), &mut self.descriptors);
                    reply.end_procedure(&[], false);
                    self.finish(reply, After::Next).await
                }
            },
            TRANSACTION => {
                let asked = request::transaction(&message.data)?;
                let text = asked.statement();
                let text = text.ok_or_else(|| invalid(format!("the request {asked:?}")))?;
                if let TransactionRequest::Begin { dirty: Some(dirty) } = asked {
                    self.client.session.read_uncommitted(dirty);
                }
                let ended = self.statements(&text, Vec::new(), &mut reply, cancel).await?;
                self.conclude(ended, reply).await
            }
            other => Err(invalid(format!("a message of type {other:#04x} is no request"))),
        }
    }

    /// Runs statements and gathers what they say.
    async fn statements(
        &mut self,
        text: &str,
        parameters: Vec<(String, Type, Value)>,
        reply: &mut Reply,
        cancel: &CancellationToken,
    ) -> io::Result<Ended> {
        let run = match Run::batch(text, parameters, &mut self.client.session) {
            Ok(run) => run,
            Err(error) => {
                reply.add(Output::Error(error), &mut self.descriptors);
                let done = Output::Done { count: None, command: 0xFD, failed: true };
                reply.add(done, &mut self.descriptors);
                return Ok(Ended::Finished);
            }
        };
        let mut running =
            Running { run: Some(run), door: self.door, session: &mut self.client.session };
        let mut ticks = self.door.world.ticks();
        let mut steps = 0_u32;
        loop {
            if cancel.is_cancelled() {
                return Ok(Ended::Cancelled);
            }
            // A loop that never waits must not keep an attention from being read.
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(STRETCH) {
                tokio::task::yield_now().await;
            }
            match running.next() {
                Step::Send(outputs) => {
                    for output in outputs {
                        reply.add(output, &mut self.descriptors);
                    }
                    reply.send(&mut self.writer, &self.client.gate, false).await?;
                    if reply.fatal {
                        return Ok(Ended::Close);
                    }
                }
                Step::Wait(most) => {
                    let most = most.clamp(Duration::from_millis(1), LOOK);
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        _ = ticks.changed() => {}
                        () = tokio::time::sleep(most) => {}
                    }
                }
                Step::Silence => {
                    running.run = None;
                    return Ok(Ended::Silence);
                }
                Step::Close => return Ok(Ended::Close),
                Step::Done => {
                    running.run = None;
                    return Ok(Ended::Finished);
                }
            }
        }
    }

    async fn calls(
        &mut self,
        calls: Vec<Call>,
        mut reply: Reply,
        cancel: &CancellationToken,
    ) -> io::Result<After> {
        let count = calls.len();
        for (at, call) in calls.into_iter().enumerate() {
            let more = at + 1 < count;
            let preparing =
                matches!(call.procedure, Procedure::Prepare | Procedure::PrepareAndExecute);
            let ended = match self.prepared.plan(call) {
                Ok(Plan::Run { text, parameters, outputs, mut handle }) => {
                    reply.told = false;
                    let ended = self.statements(&text, parameters, &mut reply, cancel).await?;
                    if preparing && !reply.told && rpc::is_unprepared(reply.failed) {
                        self.prepared.forget(handle.take());
                        reply.add(Output::Error(rpc::not_prepared()), &mut self.descriptors);
                    }
                    let returned = self.returned(outputs, handle);
                    if let Ended::Finished = ended {
                        reply.end_procedure(&returned, more);
                    }
                    ended
                }
                Ok(Plan::Answer(handle)) => {
                    reply.end_procedure(&self.returned(Vec::new(), handle), more);
                    Ended::Finished
                }
                Err(error) => {
                    let unprepared = preparing && rpc::is_unprepared(error.number);
                    reply.add(Output::Error(error), &mut self.descriptors);
                    if unprepared {
                        reply.add(Output::Error(rpc::not_prepared()), &mut self.descriptors);
                    }
                    reply.end_procedure(&[], more);
                    Ended::Finished
                }
            };
            match ended {
                Ended::Finished if more => {}
                Ended::Finished => return self.finish(reply, After::Next).await,
                Ended::Cancelled | Ended::Silence | Ended::Close => {
                    return self.conclude(ended, reply).await;
                }
            }
        }
        Ok(After::Next)
    }

    /// Ends the reply to a batch, or one that was cut short.
    async fn conclude(&mut self, ended: Ended, mut reply: Reply) -> io::Result<After> {
        match ended {
            Ended::Finished => {
                reply.end_batch();
                self.finish(reply, After::Next).await
            }
            Ended::Cancelled => {
                reply.settle(token::MORE);
                if self.door.options().attention == AttentionStyle::OneMessage {
                    token::done(token::DONE, token::ATTENTION, 0xFD, None, &mut reply.out);
                    self.acknowledged = true;
                } else {
                    token::done(token::DONE, token::FAILED, 0xFD, None, &mut reply.out);
                }
                reply.send(&mut self.writer, &self.client.gate, true).await?;
                Ok(After::Next)
            }
            Ended::Silence => Ok(After::Silence),
            Ended::Close if reply.fatal => {
                reply.end_for_good();
                self.finish(reply, After::Close).await
            }
            Ended::Close => Ok(After::Close),
        }
    }

    /// Sends the rest of a reply.
    async fn finish(&mut self, mut reply: Reply, after: After) -> io::Result<After> {
        reply.send(&mut self.writer, &self.client.gate, true).await?;
        Ok(after)
    }

    /// Answers an attention with a message of its own.
    async fn acknowledge(&mut self) -> io::Result<()> {
        let times = match self.door.options().attention {
            _ if std::mem::take(&mut self.acknowledged) => return Ok(()),
            AttentionStyle::Never => return Ok(()),
            AttentionStyle::Late => {
                self.door.world.sleep(LATE).await;
                1
            }
            AttentionStyle::Twice => 2,
            AttentionStyle::OneMessage | AttentionStyle::TwoMessages => 1,
        };
        for _ in 0..times {
            let mut reply = self.reply(Scope::Batch);
            token::done(token::DONE, token::ATTENTION, 0, None, &mut reply.out);
            self.finish(reply, After::Next).await?;
        }
        Ok(())
    }

    /// The values that go back to the client: a handle, and OUTPUT parameters.
    fn returned(
        &self,
        outputs: Vec<rpc::Output>,
        handle: Option<Handle>,
    ) -> Vec<(u16, Column, Value)> {
        let column = |name: &str, ty| Column { name: name.to_owned(), ty, nullable: true };
        let handle =
            handle.map(|handle| (0, column(&handle.name, Type::Int), Value::from(handle.value)));
        let values = outputs.into_iter().filter_map(|output| {
            let found = self.client.session.variables.get(&Session::key(&output.variable));
            let (ty, value) = found?;
            Some((output.ordinal, column(&output.name, *ty), value.clone()))
        });
        handle.into_iter().chain(values).collect()
    }

    fn reset(&mut self, keep_transaction: bool) {
        let Talk { door, client, prepared, descriptors, .. } = self;
        prepared.clear();
        if !keep_transaction {
            *descriptors = Descriptors::default();
        }
        let (at, session) = (&door.instance, &mut client.session);
        door.world.with(|world| session.start_over(keep_transaction, world, at));
    }

    fn reply(&self, scope: Scope) -> Reply {
        Reply::new(scope, &self.client.server, self.client.compact)
    }
}

/// A run that is abandoned if it is dropped before its end.
struct Running<'r> {
    run: Option<Run>,
    door: &'r Door,
    session: &'r mut Session,
}

impl Running<'_> {
    fn next(&mut self) -> Step {
        let Running { run, door, session } = self;
        let Some(run) = run else { return Step::Done };
        door.world.with(|world| {
            // A hung instance does not get on with anything.
            if world.instance(&door.instance).is_some_and(|instance| !instance.is_up()) {
                return Step::Wait(LOOK);
            }
            run.next(world, &door.instance, session)
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut run) = self.run.take() {
            let at = &self.door.instance;
            self.door.world.with(|world| run.cancel(world, at, self.session));
        }
    }
}
