/**
 * An Orbit's end of a pipe: opens its connections, one at a time. Owned by Shared.
 */
export class Line {
  #pipe;
  #n = 0;
  /** @type {import('../host.js').Transport | null} of the connection that is open */
  #transport = null;
  /** The hub wants this Orbit to have a connection of its own. */
  own = false;
  /** There is no other end any more. */
  dead = false;

  /** @param {import('./pipe.js').Pipe} pipe */
  constructor(pipe) {
    this.#pipe = pipe;
    pipe.onmessage = message => this.#receive(message);
  }

  /**
   * @param {import('./pipe.js').Hello} hello
   * @returns {import('../host.js').Transport}
   */
  open(hello) {
    const n = ++this.#n;
    this.#pipe.post({ open: n, hello });
    return this.#transport = {
      onopen: null, onmessage: null, onclose: null,
      send: text => this.#pipe.post({ n, text }),
      close: () => {
        this.#pipe.post({ close: n });
        if (this.#n === n) this.#transport = null;
      },
    };
  }

  /** @param {any} message */
  #receive({ opened, n = opened, text, end = n, reason, own, gone }) {
    if (gone) {
      this.dead = true;
      this.#lost('who had the shared connection is gone');
      return;
    }
    const transport = this.#transport;
    if (transport === null || end !== this.#n) return;
    if (opened !== undefined) transport.onopen?.({});
    else if (text !== undefined) transport.onmessage?.({ data: text });
    else this.#lost(reason, own);
  }

  /** @param {string} reason @param {boolean} [own] */
  #lost(reason, own = false) {
    const transport = this.#transport;
    this.#transport = null;
    this.own ||= own;
    transport?.onclose?.({ code: 1006, reason });
  }

  /** For good. */
  close() {
    this.#pipe.post({ gone: true });
    this.#pipe.close();
  }
}
