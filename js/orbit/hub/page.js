import { host } from '../host.js';
import { Registry } from './registry.js';

/** The hubs of this page: scripts that know nothing of each other find each other by it. */
export const page = new Registry(host);
