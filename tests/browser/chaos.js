import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Kills the daemon and starts it again at random moments, spread over the progress of a test: each in
 * its share of it, so that there is work going on.
 *
 * @param {import('./daemon.js').Daemon} daemon
 * @param {{kills: number, progress: () => number}} options progress is from 0 to 1
 */
export async function chaos(daemon, { kills, progress }) {
  for (let i = 0; i < kills; i++) {
    const at = (i + Math.random()) / (kills + 0.5);
    while (progress() < at) await sleep(1);
    await sleep(Math.random() * 20);
    await daemon.kill();
    await sleep(Math.random() * 100);
    await daemon.start();
  }
}
