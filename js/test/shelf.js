// What the pages of one browser leave for each other, as js/orbit/shelf.js has it in IndexedDB.
export class TestShelves {
  /** Boxes by scope and name: entries by number. @type {Map<string, Map<number, any>>} */
  boxes = new Map();
  /** Names of those that a page holds. */
  held = new Set();
  /** The next writes fail. */
  full = false;

  /** What is left, of all pages. */
  get count() {
    return [...this.boxes.values()].reduce((sum, box) => sum + box.size, 0);
  }

  /** What a page sees of it, until it ends: then nothing of it reaches the shelf any more. */
  page() {
    const holds = new Set();
    const page = { alive: true, end: () => { page.alive = false; for (const name of holds) this.held.delete(name); } };
    page.shelf = async scope => ({
      boxes: async () => [...this.boxes].filter(([name, box]) => name.startsWith(scope + ' ') && box.size > 0)
        .map(([name]) => name.slice(scope.length + 1)),
      hold: async box => {
        const name = `${scope} ${box}`;
        if (this.held.has(name)) return false;
        this.held.add(name);
        holds.add(name);
        return true;
      },
      read: async box => [...this.boxes.get(`${scope} ${box}`) ?? []].sort(([a], [b]) => a - b),
      write: async changes => {
        if (this.full) throw new Error('QuotaExceededError');
        for (const { box, number, value } of page.alive ? changes : []) {
          const name = `${scope} ${box}`;
          if (!this.boxes.has(name)) this.boxes.set(name, new Map());
          if (value === undefined) this.boxes.get(name).delete(number);
          else this.boxes.get(name).set(number, structuredClone(value));
        }
      },
      close: page.end,
    });
    return page;
  }
}
