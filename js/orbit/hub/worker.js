// The script of the SharedWorker in which the hubs of all tabs are.
import { host } from '../host.js';
import { Registry } from './registry.js';
import { Far } from './remote.js';

const far = new Far(new Registry(host));

globalThis.addEventListener('connect', event => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  port.onmessage = ({ data }) => far.take(port, data.alive);
});
