// Package local is the embedded engine: it turns all that is pending into one
// batch of the segmented log, syncs it, and only then shows it to anybody.
//
// It knows nothing of users' rights, connections or wire formats, and nothing
// of how the log's files look: that is package seglog.
package local
