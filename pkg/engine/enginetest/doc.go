// Package enginetest is the conformance suite of engines: the invariants of
// package engine as tests, and a differential test in which an engine meets
// random operations, restarts and crashes, and an oracle judges every answer.
//
// The oracle is a ledger of everything that was ever accepted. Where the contract
// leaves an engine a choice (what it forgets first, what of the unanswered a
// crash keeps), the ledger learns what the engine chose and holds it to that.
//
// It knows nothing of files or of any engine: a [World] opens and crashes them.
package enginetest
