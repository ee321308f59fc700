// Package origin decides whether a request is served by where it comes from: by
// which name the server was called, which page it is from, and who is behind the
// proxies. It writes the headers that depend on that and on nothing else. It knows
// no users and no channels.
package origin
