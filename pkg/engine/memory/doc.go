// Package memory is the plain engine: everything in maps and slices, nothing
// clever, so that one sees that it is right. It is the oracle that engines with
// files are compared with ([State]), and an engine for the tests of others
// ([Engine]).
//
// It knows nothing of files: what it holds ends with the process, but for what
// [Engine.Restart] hands on.
package memory
