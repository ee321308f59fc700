package main

import (
	"os"
	"runtime/debug"
	"time"
)

// gcPercent is GOGC where the environment has none: by so many percent the heap may
// grow until the collector runs. Most of the heap stays, and a publish or a delivery
// makes little garbage, so that 30 instead of Go's 100 does not show in their CPU
// time, while an idle client takes a quarter less.
const gcPercent = 30

// thrift has the process keep less memory than a Go program does by default. Who
// sets GOGC knows better. There is no GOMEMLIMIT of our own: it counts what is
// garbage and not what is needed, and where the latter is more the process does
// nothing but collect.
func thrift() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// settleTime is after how long all that a start leaves to be done is done: the
// engine seals what its last run has left open.
const settleTime = 3 * time.Second

// giveBack returns to the system what only the start has needed: where there is a
// log to read, most of the memory that the process has by then. Without it, that
// would be there until the heap has grown as large again, or for minutes.
func giveBack() { debug.FreeOSMemory() }
