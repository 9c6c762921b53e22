/**
 * Every limit of Tailrace, with its unit and default. A limit is checked before memory is taken for what it bounds.
 * Those that a user can set have the same name in `new Runtime()`, the config file and the command line.
 * Times of an outage depend on each other: docs/adr/0010-jetstream.md, "Who is away", and test/base/limits.test.ts.
 */
export const limits = {
  /** Bytes of one event as stored. Larger output is split; anything else larger is `invalid_request`. */
  maxEventBytes: 512 * 1024,
  /** Bytes of one frame on the wire. gRPC clients refuse more than 4 MiB. */
  maxFrameBytes: 1024 * 1024,
  /** Bytes of one piece that output is split into. */
  maxOutputChunkBytes: 64 * 1024,
  /** UTF-8 bytes of an id (worker, job, producer, correlation). */
  maxIdBytes: 256,
  /** Workers that one watch may name. */
  maxWatchedWorkers: 256,
  /** Kinds that one watch may name. */
  maxWatchedKinds: 256,
  /** Events that `last` may ask for. */
  maxLast: 10_000,
  /** Events in one PublishEvents batch. */
  maxPublishEvents: 10_000,
  /** Bytes of one request body. */
  maxRequestBytes: 8 * 1024 * 1024,
  /** Bytes of a request to watch that is read without Connect. Larger ones are read by it. */
  maxPlainRequestBytes: 64 * 1024,
  /** Events and bytes in one page of ListEvents. */
  maxPageEvents: 10_000,
  defaultPageEvents: 1_000,
  maxPageBytes: 1024 * 1024,
  /** Workers in one page of ListWorkers. */
  maxWorkerPage: 1_000,
  defaultWorkerPage: 100,
  /** Characters of a cursor. */
  maxCursorLength: 64,
  /** Silence, in milliseconds, after which a watch gets a bookmark. */
  defaultHeartbeatMs: 15_000,
  minHeartbeatMs: 1_000,
  maxHeartbeatMs: 60_000,
  /** Milliseconds after which a socket that takes nothing with bytes pending is closed. */
  stallTimeoutMs: 120_000,
  /** Events and bytes of one pass that a reader makes over the log to catch up. */
  catchUpPassEvents: 2_048,
  catchUpPassBytes: 512 * 1024,
  /** Milliseconds and bytes of one such pass while other watches are live: those wait for it. And events that it may have anyhow. */
  catchUpLivePassMs: 0.5,
  catchUpLivePassBytes: 256 * 1024,
  catchUpLivePassEvents: 64,
  /** Milliseconds of a turn of the event loop for all readers that catch up. */
  catchUpTurnMs: 1,
  /** Bytes of encoded catch-up passes kept for readers at similar positions. */
  catchUpCacheBytes: 64 * 1024 * 1024,
  /** Buffers for reading the log, and bytes of memory for frames and their text, that wait to be used again. */
  spareReadBuffers: 4,
  spareFrameBytes: 4 * 1024 * 1024,
  /** Bytes of recent frames that one selection keeps in one form, for readers that fall behind a little. */
  tailFrameBytes: 4 * 1024 * 1024,
  /** The same for all selections together: each gets an even share of it, but never less than `minTailFrameBytes`. */
  tailBytes: 32 * 1024 * 1024,
  minTailFrameBytes: 16 * 1024,
  /** Bytes of appends that wait for their commit. More is `limit_exceeded`. */
  maxPendingAppendBytes: 64 * 1024 * 1024,
  /** Bytes beyond that for state which must not be refused because much is appended: that a server is there. */
  urgentAppendBytes: 64 * 1024,
  /** Milliseconds between two tries of a watch to read a log that can't be read, and until the watch gives up. */
  logRetryMs: 1_000,
  logUnavailableMs: 30_000,
  /** Milliseconds between two notices to one watch that the log is unavailable, at the least. */
  logNoticeMs: 10_000,
  /** Epochs of a log by which its history is told from one that was lost. A position that is older than they are is taken for one. */
  logEpochs: 4_096,
  /** Times that a decision is made again because another server that shares the log was first. Then the log is unavailable. */
  conflictTries: 64,
  /** Milliseconds for a log on NATS to be opened in, and for one connection to be made in. */
  natsOpenMs: 15_000,
  /** Milliseconds in which the servers of a cluster that has just begun are to know each other. */
  natsMeetMs: 5_000,
  natsConnectMs: 5_000,
  /** Milliseconds between two pings of a connection to NATS, and pings without an answer after which it is given up. */
  natsPingMs: 3_000,
  natsPingsOut: 2,
  /** Milliseconds for which the connection to NATS may be away until the log says that it is unavailable. */
  natsAwayMs: 1_000,
  /** Milliseconds for which NATS may be asked in vain for the stream of a log until the log says that it is unavailable. */
  natsSilentMs: 6_000,
  /** Milliseconds between two tries of a log whose writes fail, and of tries that NATS refuses until it says that it is unavailable. */
  natsProbeMs: 1_000,
  natsRefusedMs: 6_000,
  /** Milliseconds for which NATS may have newer messages than it sends until the log says that it is unavailable. */
  natsStuckMs: 6_000,
  /** Bytes of appends that go to NATS as one message, unless a single one is larger, and of one message of such a one. */
  natsGroupBytes: 32 * 1024,
  /** Messages on their way to NATS up to which appends are sent at once; with more, once they fill a message or one is back. */
  natsPromptGroups: 4,
  natsMessageBytes: 512 * 1024,
  /** Blocks of events whose memory, 64 KiB, is kept for those that come next. */
  natsSpareBlocks: 32,
  /** Bytes of memory of messages that is kept for those that are sent next. */
  natsSpareMessageBytes: 4 * 1024 * 1024,
  /** Messages' worth of appends, and bytes of them, on their way to NATS at once. Its streams refuse more than they can queue. */
  natsGroupsInFlight: 256,
  natsBytesInFlight: 16 * 1024 * 1024,
  /** Milliseconds within which NATS has to acknowledge a write, and the write has to come back by the tail. */
  natsAcknowledgeMs: 5_000,
  natsComeBackMs: 15_000,
  /** Milliseconds that closing a log waits for NATS to take what was appended before. */
  natsCloseMs: 10_000,
  /** Milliseconds that an acknowledgement which is late may still be found to have come: a process that was paused has it unread. */
  natsLateMs: 1_000,
  /** Milliseconds for NATS to answer a question of a reader. */
  natsAnswerMs: 10_000,
  /** Messages that NATS sends ahead to the tail, and bytes of the newest ones that are kept for readers a little behind. */
  natsTailAhead: 1_000,
  natsRecentBytes: 16 * 1024 * 1024,
  /** Messages that one question of a reader may be answered with, and bytes of them after which the answer ends. */
  natsReadMessages: 512,
  natsReadBytes: 1024 * 1024,
  /** Messages that are kept because a page ended in the middle of them, and another one is likely to begin there. */
  natsBegunMessages: 4,
  /** Milliseconds that a reader waits for a server that is behind the log. */
  natsReachMs: 10_000,
  /** Keys of the state whose last writer is remembered. Who was away for longer than it takes to put as many puts none. */
  natsRememberedKeys: 65_536,
  /** Servers that lost a connection of which it is remembered that what they sent before counts for nothing; the oldest go first. */
  natsRememberedServers: 4_096,
  /** Milliseconds between two renewals of the lease on looking after the stream, and without one after which it is free. */
  natsLeaseRenewMs: 3_000,
  natsLeaseMs: 10_000,
  /** Milliseconds between two looks at the stream, and at the least between two snapshots of what it says. */
  natsLookMs: 1_000,
  natsSnapshotMs: 10_000,
  /** Milliseconds that messages which nobody needs any more stay for servers that are away, unless the stream is half full. */
  natsPurgeAfterMs: 120_000,
  /** Bytes in the bucket of a log on NATS that are let go when there is no room left, and that its stream may take more then. */
  natsReserveBytes: 4 * 1024 * 1024,
  /** Bytes of those that no snapshot takes: what removes something has to be said first, and needs little. */
  natsReserveForWordsBytes: 1024 * 1024,
  /** Milliseconds for which a server sends no events to NATS that has no room, until it looks whether it has. */
  natsFullMs: 2_000,
  /** Messages that are deleted at once, and milliseconds of a round of that. */
  natsDeletesAtOnce: 256,
  natsSweepMs: 2_000,
  /** Milliseconds between two reports to the operator that looking after the stream failed. */
  natsTroubleMs: 60_000,
  /** Events that a filtered watch may pass over, and milliseconds at the least, between two bookmarks. */
  bookmarkEvents: 4_096,
  bookmarkMs: 1_000,
  /** Milliseconds after a flush in which live events are gathered for the next one, and at most, where writing takes long. */
  coalesceMs: 1,
  coalesceMostMs: 10,
  /** Bytes of them, as stored, that are not gathered any longer, so that a frame stays small at saturation. */
  coalesceBytes: 128 * 1024,
  /** Watches up to which events are written in the turn that commits them, if few come: more would hold up that turn. */
  promptWatches: 64,
  /** Producers remembered for de-duplication, and for how long, in milliseconds. */
  maxProducers: 10_000,
  producerMemoryMs: 24 * 60 * 60 * 1000,
  /** Bytes of batches of one producer, and of all, that are not answered yet. More is `limit_exceeded`. */
  maxProducerPendingBytes: 16 * 1024 * 1024,
  maxProducersPendingBytes: 64 * 1024 * 1024,
  /** Batches remembered per producer. */
  maxProducerBatches: 8,
  /** Workers in a runtime. More is `limit_exceeded`. */
  maxWorkers: 100_000,
  /** Watches open at once on a server. More is `limit_exceeded`. */
  maxWatches: 100_000,
  /** Connections open at once on a server, streams on one of HTTP/2, and connections that wait to be accepted. */
  maxConnections: 120_000,
  maxStreamsPerConnection: 10_000,
  listenBacklog: 4_096,
  /** Bytes of the headers of one request. */
  maxHeaderBytes: 16 * 1024,
  /** Milliseconds within which a request's headers, and all of the request, must have come. Answers may take for ever. */
  headersTimeoutMs: 20_000,
  receiveTimeoutMs: 120_000,
  /** Milliseconds for which an HTTP/1.1 connection is kept open between requests. */
  keepAliveTimeoutMs: 65_000,
  /** Milliseconds that a server which closes gives its readers to take what was written, and then asks them to wait. */
  closeGraceMs: 5_000,
  closeRetryAfterMs: 1_000,
  /** Milliseconds after which a worker that has ended and has nothing retained is forgotten. */
  workerMemoryMs: 30 * 24 * 60 * 60 * 1000,
  /** Jobs of an operation that run at once, and that wait (deferred ones included). More is `limit_exceeded`. */
  jobConcurrency: 16,
  jobQueueDepth: 1_000,
  /** Milliseconds that a job's handler has to settle after its signal aborted; then it is let go. */
  jobCancelGraceMs: 10_000,
  /** Jobs that are remembered, and bytes of their records: the oldest ended go first. All active: `limit_exceeded`. */
  maxJobs: 100_000,
  /** Jobs that a log knows. More than `maxJobs`, because one is forgotten after another has begun. More is `limit_exceeded`. */
  maxLogJobs: 200_000,
  maxJobRecordBytes: 256 * 1024 * 1024,
  /** Milliseconds for which a job is remembered after its end. */
  jobMemoryMs: 24 * 60 * 60 * 1000,
  /** Bytes of a job's parameters, encoded, and levels of values within each other. */
  maxJobParamsBytes: 64 * 1024,
  maxJobParamsDepth: 64,
  /** UTF-8 bytes of the note on a job's end, which is cut, and of the one that a cancel gives, which is refused. */
  maxJobMessageBytes: 4 * 1024,
  maxCancelMessageBytes: 1024,
  /** UTF-8 bytes of the reason of a job's end, which is cut. */
  maxJobReasonBytes: 256,
  /** Jobs in one page of ListJobs. */
  maxJobPage: 1_000,
  defaultJobPage: 100,
  /** Milliseconds after which a caller whose job found no room should come back, and until a write that failed is tried again. */
  jobRetryAfterMs: 1_000,
  /** Milliseconds that what a caller asks of a job waits for what is being written of the job. Then the log is unavailable. */
  jobAnswerMs: 6_000,
  /**
   * Milliseconds between two beats of a server that shares its log, and its own beats after which it takes another one for
   * lost that it did not hear meanwhile.
   */
  serverPresenceMs: 3_000,
  serverLostBeats: 5,
  /** Jobs of servers that are gone that one server takes over at once. */
  jobTakeOvers: 256,
  /** Milliseconds that a worker thread waits for its runtime to answer. */
  jobThreadAnswerMs: 30_000,
  /** Entries, and bytes of entries, that one transcript keeps. The oldest go first, and are counted. */
  maxTranscriptEntries: 10_000,
  maxTranscriptBytes: 4 * 1024 * 1024,
  /** UTF-8 bytes of one text, and of the arguments and output of one tool call. Of a longer one the newest half is kept. */
  maxTranscriptTextBytes: 192 * 1024,
  /** UTF-8 bytes of the summary of a tool's result. Of a longer one the end is kept. */
  maxToolSummaryBytes: 16 * 1024,
  /** Entries of one transcript that are in flight. The oldest counts as complete when there are more. */
  maxOpenTranscriptEntries: 256,
  /** Commands in a transcript, and bytes of the end of each stream of their output. */
  maxTranscriptCommands: 8,
  maxCommandTailBytes: 32 * 1024,
  /** Characters of an id or name in a transcript, and of a command as people should see it. Longer ones are cut. */
  maxTranscriptNameLength: 256,
  maxCommandLineLength: 1024,
  /** Entries in one page of GetTranscript. */
  maxTranscriptPage: 1_000,
  defaultTranscriptPage: 100,
  /** Bytes of all transcripts that a runtime keeps unpacked. Those used least recently go, and are read again when needed. */
  transcriptMemoryBytes: 256 * 1024 * 1024,
  /** Bytes of all transcripts as they are kept in the log. The ones that changed longest ago lose their older half first. */
  transcriptCheckpointBytes: 256 * 1024 * 1024,
  /**
   * Events, bytes of events and milliseconds after which a transcript that changed is kept in the log again. For one of
   * more bytes than these, all three are larger in proportion.
   */
  transcriptKeepEvents: 10_000,
  transcriptKeepBytes: 256 * 1024,
  transcriptKeepMs: 5_000,
  /** Events of the log that retention may be held up by transcripts that are not kept yet. Then they are kept at once. */
  transcriptHoldEvents: 65_536,
  /** Frames that a client's watch reads ahead of its consumer. Each has at most `maxFrameBytes`. */
  watchReadAheadFrames: 8,
  /** Milliseconds that a client waits for the first frame of a watch, or for an answer. */
  connectTimeoutMs: 15_000,
  requestTimeoutMs: 30_000,
  /** Milliseconds that a connection of a watch has to last for the wait after it to be the shortest again, if nothing came on it. */
  steadyConnectionMs: 5_000,
  /** Milliseconds, at most, that a client waits because a server said `retry_after`. */
  maxRetryAfterMs: 5 * 60 * 1000,
  /** Bytes (estimated, never too low) that wait in a publisher of the client. More is `limit_exceeded`. */
  publisherQueueBytes: 16 * 1024 * 1024,
  /** Bytes (estimated) of one request of that publisher. */
  publisherRequestBytes: 4 * 1024 * 1024,
} as const;

/** What bounds the history that is kept. Whatever is met first trims. */
export interface RetentionLimits {
  /** Events, bytes (as stored) and age in milliseconds kept per worker. */
  readonly workerEvents: number;
  readonly workerBytes: number;
  readonly workerAgeMs: number;
  /** Events, bytes and age in milliseconds kept in the whole log. */
  readonly events: number;
  readonly bytes: number;
  readonly ageMs: number;
}

/** Defaults: 100,000 events and 64 MiB per worker, 1,000,000 events and 1 GiB overall, 7 days for both. */
export const defaultRetention: RetentionLimits = {
  workerEvents: 100_000,
  workerBytes: 64 * 1024 * 1024,
  workerAgeMs: 7 * 24 * 60 * 60 * 1000,
  events: 1_000_000,
  bytes: 1024 * 1024 * 1024,
  ageMs: 7 * 24 * 60 * 60 * 1000,
};
