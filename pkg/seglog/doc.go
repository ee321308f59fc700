// Package seglog is the segmented log: records are appended in batches, each
// synced as a whole, found again by stream and offset, trimmed in front, and
// recovered after a crash. FORMAT.md is the format and why a crash is harmless.
//
// It knows nothing of channels' rules, of messages or of sessions: a record is
// a type, a place in a stream and a body that is the caller's.
package seglog
