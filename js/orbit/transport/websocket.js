import { PATH, SUBPROTOCOL } from '../constants.js';
import { address } from './address.js';

/**
 * Opens a WebSocket to the server at an http or https address (ws and wss do as well).
 *
 * @param {string} server
 * @returns {WebSocket}
 */
export function openWebSocket(server) {
  const url = address(server, PATH.websocket);
  url.protocol = url.protocol.replace(/^http/, 'ws');
  return new WebSocket(url, SUBPROTOCOL);
}
