/**
 * Where something lives below the server's address, which may have a path of its own.
 *
 * @param {string} server
 * @param {string} path
 * @returns {URL}
 */
export function address(server, path) {
  const base = new URL(server);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  base.protocol = base.protocol.replace(/^ws/, 'http');
  return new URL(path, base);
}
