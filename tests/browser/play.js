// What a Go test has a browser do: the test starts the servers, and both take turns.
import { createInterface } from 'node:readline';

/**
 * Runs a part, with a test's context, a function that tells the Go test what has come about and waits for its
 * answer, and the arguments of the command line. Its last line is "done", unless it fails.
 *
 * @param {(t: {after: (end: () => unknown) => void}, tell: (what: string) => Promise<string>, ...args: string[]) => Promise<void>} part
 */
export async function play(part) {
  const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const tell = async what => {
    console.log(what);
    const { value, done } = await answers.next();
    if (done) throw new Error(`nobody answers to "${what}"`);
    return value;
  };
  const ends = [];
  try {
    await part({ after: end => ends.unshift(end) }, tell, ...process.argv.slice(2));
    console.log('done');
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
  for (const end of ends) await end();
  process.stdin.destroy();
}
