/** What a token says of itself, and not of who bears it. */
const ITS_OWN = ['exp', 'iat', 'nbf', 'jti'];

/**
 * Whether two tokens say that they are of the same bearer with the same rights, so that they differ in
 * when they were made. It is no proof: that is the server's, which each of them is shown.
 *
 * @param {string | undefined} token
 * @param {string | undefined} other
 */
export function sameBearer(token, other) {
  if (token === other) return true;
  const says = claims(token);
  return says !== undefined && says === claims(other);
}

/** @param {string | undefined} token @returns {string | undefined} undefined: it is not a JWT */
function claims(token) {
  try {
    const payload = (token ?? '').split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    const all = Object.entries(JSON.parse(atob(payload)));
    return JSON.stringify(all.filter(([name]) => !ITS_OWN.includes(name)).sort(([a], [b]) => (a < b ? -1 : 1)));
  } catch {
    return undefined;
  }
}
