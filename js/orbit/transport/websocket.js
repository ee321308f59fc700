import { PATH, SUBPROTOCOL } from '../constants.js';

/**
 * Opens a WebSocket to the server at an http or https address (ws and wss do as well).
 *
 * @param {string} server
 * @returns {WebSocket}
 */
export function openWebSocket(server) {
  const base = new URL(server);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const url = new URL(PATH.websocket, base);
  url.protocol = url.protocol.replace(/^http/, 'ws');
  return new WebSocket(url, SUBPROTOCOL);
}
