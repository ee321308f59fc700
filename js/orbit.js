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
