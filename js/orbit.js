// The browser library of orbitd. A page imports it from the server it talks to:
//
//   import { Orbit } from 'https://push.example.org/orbit.js';
//
//   const orbit = new Orbit('https://push.example.org', { token: () => fetchToken() });
//   const lobby = orbit.channel('/chat/lobby');
//   lobby.onmessage = e => show(e.data);
//   await lobby.publish({ text: 'hi' });
//
// PROTOCOL.md describes what goes over the wire.
export { Orbit } from './orbit/orbit.js';
export { Channel } from './orbit/channel.js';
export { OrbitError, OrbitEvent, OrbitMessage } from './orbit/events.js';

/**
 * @typedef {import('./orbit/options.js').OrbitOptions} OrbitOptions
 * @typedef {import('./orbit/options.js').ChannelOptions} ChannelOptions
 * @typedef {import('./orbit/outbox.js').PublishOptions} PublishOptions
 * @typedef {import('./orbit/outbox.js').Stored} Stored
 * @typedef {import('./orbit/constants.js').TransportName} TransportName
 */
