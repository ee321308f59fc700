// The codes and limits of orbit.v1, and the library's own. Everything else imports them from here.

export const SUBPROTOCOL = 'orbit.v1';

/** Where a transport lives below the server's address. */
export const PATH = Object.freeze({
  websocket: 'v1/ws', stream: 'v1/stream', sse: 'v1/sse', poll: 'v1/poll', send: 'v1/send',
  refresh: 'v1/refresh',
});

/** How bytes get through, the best first. */
export const TRANSPORTS = Object.freeze(
  /** @type {TransportName[]} */ (['websocket', 'stream', 'sse', 'poll']));

/** @typedef {'websocket' | 'stream' | 'sse' | 'poll'} TransportName */

/** Codes of errors and farewells (PROTOCOL.md, section 6). */
export const CODE = Object.freeze({
  badRequest: 'bad_request',
  unauthorized: 'unauthorized',
  forbidden: 'forbidden',
  unknownChannel: 'unknown_channel',
  tooLarge: 'too_large',
  rateLimited: 'rate_limited',
  conflict: 'conflict',
  keyExpired: 'key_expired',
  outOfOrder: 'out_of_order',
  unavailable: 'unavailable',
  unknown: 'unknown',
  sessionExpired: 'session_expired',
  internal: 'internal',
});

/** Codes that only a farewell has. */
export const BYE = Object.freeze({
  restart: 'restart',
  displaced: 'displaced',
});

/** Codes of the library itself, beside those of the protocol. */
export const LOCAL = Object.freeze({
  closed: 'closed', // the page closed the channel or the connection
  outboxFull: 'outbox_full', // LIMIT.outbox publishes, or LIMIT.outboxBytes, wait for their answer
  notKept: 'not_kept', // what `resume` asks for cannot be had: publishes or its place end with this page, or another Orbit keeps that
  tooOld: 'too_old', // a publish could not be sent within TIME.unsent
  otherUser: 'other_user', // a publish without an answer was sent as somebody else
  lost: 'connection_lost', // by the network or a crash: the library comes back by itself
  protocol: 'protocol', // the server sent what this library cannot read
});

/** Codes with which a ChannelSocket closes (RFC 6455, section 7.4, and one of its own). */
export const CLOSE = Object.freeze({
  normal: 1000,
  none: 1005, // its code has named none
  lost: 1006, // there is no connection any more
  refused: 1008, // to subscribe or to publish, or not allowed any more; the reason is the server's code
  large: 1009, // what it sent is too large
  gap: 4000, // messages are missing for good; the reason says which
});

/** What may be tried again: with the same key the answer settles what happened. */
export const RETRIED = Object.freeze(
  /** @type {string[]} */ ([CODE.rateLimited, CODE.unavailable, CODE.unknown, CODE.internal]));

/** How many, and how large. */
export const LIMIT = Object.freeze({
  offset: Number.MAX_SAFE_INTEGER,
  channelBytes: 255,
  commandBytes: 4096, // what a command may have beyond the largest payload
  window: 256, // of unacknowledged messages, until the server has said its own
  outstanding: 64, // publishes of one channel on the wire without an answer
  outbox: 10_000, // publishes that wait, all channels together; above it they are refused
  outboxBytes: 16 * 1024 * 1024, // and their bytes; one may always wait
  ackChannels: 14, // of 255 bytes each, so that an ack stays below commandBytes
  ackBytes: 64 * 1024, // received since the last ack: the server counts bytes as well
  reason: 123, // bytes of a WebSocket's reason
  bodyBytes: 1024 * 1024, // commands in one body
  lineLength: 32 * 1024 * 1024, // of what a stream says: no server's line is so long
  alone: 2, // attempts with what has worked before others are tried: the server may only be starting
  strikes: 3, // short connections in a row, before another transport is tried
  ports: 64, // Orbits that share a connection
  portChannels: 100, // of each of them: beyond any of these it gets a connection of its own
  portQueue: 16_384, // commands of a port that wait
  portLength: 32 * 1024 * 1024, // and their characters
  portCalls: 64, // commands of a port on the wire without an answer
  portBurst: 1_000, // commands other than publishes that a port may send at once
  hubChannels: 1_000, // of all ports together: session.max_channels, where that is the default
  ring: 256, // messages of a channel that a hub keeps for those who are a little late
  ringLength: 64 * 1024, // and their characters
  readerLength: 1024 * 1024, // characters that a port was sent of a channel and has not acknowledged
  turn: 1_024, // messages that who is late is sent, before it is others' turn
  epochs: 64, // runs of the server that a hub knows of
  broken: 3, // new subscriptions after one position, before the next one waits
});

/** @typedef {{[name in keyof typeof LIMIT]: number}} Limits */

/** Milliseconds. */
export const TIME = Object.freeze({
  open: 10_000, // for the transport to open and the server to answer the connect
  pick: 2_500, // the same, where there is another transport to try; doubled in each round
  short: 10_000, // a connection that ends earlier is a strike against its transport
  remember: 24 * 3_600_000, // a transport that worked is where the next page begins
  better: 15_000, // until a better transport is tried again; doubled each time that it does not work
  betterCap: 600_000, // and at most
  send: 30_000, // for a body of commands to be taken
  grace: 3_000, // more than the server's own silence, where it alone should ask
  pong: 10_000, // for an answer to a ping
  ping: 25_000, // of silence, until the server has said its own
  ack: 1_000, // an ack waits this long for more to acknowledge
  first: 250, // the longest wait before the first reconnect
  quick: 50, // and the shortest
  cap: 30_000, // the longest wait of all
  portCall: 10, // until a port may send one more command other than a publish
  beat: 5_000, // of silence, until who has the hubs, a worker or another tab, is asked whether it is still at work
  stalled: 5_000, // until who does not answer that counts as stuck; up to twice as long
  recheck: 500, // and once more, for it may be we who were
  forever: 2 ** 31 - 1, // the longest that a timer can be
  rate: 1_000, // after rate_limited
  recall: 3_000, // until what earlier pages have left is known; then this page's publishes go first
  unsent: 24 * 3_600_000, // a publish that was never sent is no longer expected; of others the server decides
  token: 10_000, // a token that is refused earlier than this is not fetched a second time
});
