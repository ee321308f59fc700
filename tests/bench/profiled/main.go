// Profiled is orbitd for "make profile": the same daemon, which also writes
// profiles of itself. It takes the arguments of "orbitd serve -c FILE". SIGUSR1
// begins a CPU profile; SIGUSR2 ends it and writes it into the folder that
// ORBITD_PROFILE names, as cpu.pprof, with the heap's beside it; then the file
// "done" appears there.
//
// orbitd itself has no such door.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
)

func main() {
	err := start(os.Args[len(os.Args)-1])
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	for err == nil {
		err = profile(os.Getenv("ORBITD_PROFILE"), signals)
	}
	fmt.Fprintln(os.Stderr, "profiled:", err)
	os.Exit(1)
}

func start(file string) error {
	runtime.MemProfileRate = 4096 // small things count: there are many
	_, err := daemon.Start(daemon.Options{
		Load:   func() (*config.Config, error) { return config.Load(file) },
		Logger: logrus.New(), Version: "profiled",
	})
	return err
}

// profile makes one set of profiles.
func profile(folder string, signals <-chan os.Signal) error {
	for <-signals != syscall.SIGUSR1 {
	}
	cpu, err := os.Create(filepath.Join(folder, "cpu.pprof"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	for <-signals != syscall.SIGUSR2 {
	}
	pprof.StopCPUProfile()
	heap, err := os.Create(filepath.Join(folder, "heap.pprof"))
	if err != nil {
		return err
	}
	runtime.GC() // the heap's profile is as of the last one
	return errors.Join(
		pprof.Lookup("heap").WriteTo(heap, 0), heap.Close(), cpu.Close(),
		os.WriteFile(filepath.Join(folder, "done"), nil, 0o600),
	)
}
