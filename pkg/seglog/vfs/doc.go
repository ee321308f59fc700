// Package vfs is the little that the log needs of a file system: one folder of
// files that are created, written, synced, renamed and removed. It has three
// implementations: [OpenDir] is the operating system, [Mem] a memory that can
// crash and then forgets what was not synced, [Fault] wraps another one and
// fails on demand. [ViewDir] is the first one for who only reads.
//
// It knows nothing of what is in the files.
package vfs
