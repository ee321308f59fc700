/**
 * A message as those know it who know no JSON values: a text that is one is itself, any other value is
 * its JSON, and bytes of a type text/… are their text.
 *
 * @param {import('../events.js').OrbitMessage} message
 * @returns {string | Uint8Array<ArrayBuffer>} bytes: they are no text
 */
export function textOf({ data, contentType }) {
  if (data instanceof Uint8Array) {
    return contentType.startsWith('text/') ? new TextDecoder().decode(data) : /** @type {any} */ (data);
  }
  return typeof data === 'string' ? data : JSON.stringify(data);
}
