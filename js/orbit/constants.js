// The codes and limits of orbit.v1, and the library's own. Everything else imports them from here.

export const SUBPROTOCOL = 'orbit.v1';

/** Where a transport lives below the server's address. */
export const PATH = Object.freeze({ websocket: 'v1/ws' });

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
  outboxFull: 'outbox_full', // LIMIT.outbox publishes wait for their answer
  lost: 'connection_lost', // by the network or a crash: the library comes back by itself
  protocol: 'protocol', // the server sent what this library cannot read
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
  ackChannels: 14, // of 255 bytes each, so that an ack stays below commandBytes
  ackBytes: 64 * 1024, // received since the last ack: the server counts bytes as well
  broken: 3, // new subscriptions after one position, before the next one waits
});

/** Milliseconds. */
export const TIME = Object.freeze({
  open: 10_000, // for the transport to open and the server to answer the connect
  pong: 10_000, // for an answer to a ping
  ping: 25_000, // of silence, until the server has said its own
  ack: 1_000, // an ack waits this long for more to acknowledge
  first: 250, // the longest wait before the first reconnect
  quick: 50, // and the shortest
  cap: 30_000, // the longest wait of all
  rate: 1_000, // after rate_limited
  token: 10_000, // a token that is refused earlier than this is not fetched a second time
});
