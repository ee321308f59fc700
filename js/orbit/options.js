// Whether what a page gives as an option can be one. A mistake there is a TypeError at once.
import { isOffset } from './codec.js';

/** @param {unknown} ack */
export function isManual(ack) {
  if (ack !== 'auto' && ack !== 'manual') throw new TypeError(`ack is "auto" or "manual", not ${ack}`);
  return ack === 'manual';
}

/** @param {import('./orbit.js').ChannelOptions} options */
export function checkStart({ after, epoch }) {
  if (after === undefined) return;
  if (!isOffset(after)) throw new TypeError(`after is an offset, not ${after}`);
  if (after > 0 && !epoch) throw new TypeError('an offset says nothing without its epoch');
}

/**
 * @param {unknown} resume
 * @returns {resume is 'tab' | 'browser'}
 */
export function isPlace(resume) {
  if (resume !== 'tab' && resume !== 'browser') throw new TypeError(`resume is "tab" or "browser", not ${resume}`);
  return true;
}
