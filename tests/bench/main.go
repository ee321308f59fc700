// Bench measures orbitd beside a bare loop in C that does nothing but fan out,
// in one call on one machine: only the ratios of one run mean something.
//
//	make bench                        # the table
//	make bench BENCH='-run fanout'    # the scenarios whose name contains that
//
// Servers run on one core, the load generator on another. Every scenario has a
// fresh server, and orbitd stores on disk, with fsync, what is published. CPU
// time is what /proc says of the server's process. Figures are medians of
// -passes runs, the servers taking turns.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == crowdArgument {
		if err := playCrowd(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: the crowd:", err)
			os.Exit(1)
		}
		return
	}
	var b bench
	var run string
	var asJSON, asMarkdown bool
	flag.StringVar(&run, "run", "", "only scenarios whose name contains `TEXT`")
	flag.IntVar(&b.passes, "passes", 3, "runs of each scenario; the medians count")
	flag.BoolVar(&b.quick, "quick", false, "a tenth of the size: to see that it works, the figures say little")
	flag.BoolVar(&asJSON, "json", false, "print the rows as JSON lines")
	flag.BoolVar(&asMarkdown, "markdown", false, "print the table in Markdown")
	flag.StringVar(&b.orbitd, "orbitd", "bin/orbitd", "orbitd's `BINARY`")
	flag.StringVar(&b.bareloop, "bareloop", "bin/bareloop", "the bare loop's `BINARY`")
	flag.StringVar(&b.profile, "profile", "", "`FOLDER` for profiles that orbitd writes; it must be the profiled one")
	flag.StringVar(&b.folder, "dir", "var/bench", "`FOLDER` on the disk that is measured")
	flag.Parse()
	if err := pin(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: servers and generator share the cores:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	table, err := b.run(ctx, run)
	switch {
	case asJSON:
		encoder := json.NewEncoder(os.Stdout)
		for _, r := range table {
			err = errors.Join(err, encoder.Encode(r))
		}
	case asMarkdown:
		printMarkdown(os.Stdout, table)
	default:
		print(os.Stdout, table)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Cores of the servers and of this process.
const (
	serverCore    = "0"
	generatorCore = "1"
)

// pinned is the environment variable of a process that is on its core.
const pinned = "ORBITD_BENCH_PINNED"

// pin starts this program anew on its core.
func pin() error {
	if os.Getenv(pinned) != "" {
		return nil
	}
	if runtime.NumCPU() < 2 {
		return errors.New("there is one core only")
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", generatorCore, self}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), pinned+"=1"))
}

// A bench is what all scenarios share.
type bench struct {
	passes           int
	quick            bool
	orbitd, bareloop string
	profile          string
	folder           string
	scenario         string // that runs
}

// A measure runs once and returns its figures.
type measure func(b *bench) (figures, error)

// A scenario is measured on orbitd and, where it has one, on a reference.
type scenario struct {
	name      string
	orbitd    measure
	reference measure
	rows      []row // what its figures mean
}

func (b *bench) run(ctx context.Context, filter string) (table []row, err error) {
	if err := os.MkdirAll(b.folder, 0o755); err != nil {
		return nil, err
	}
	for _, s := range scenarios(b) {
		if !strings.Contains(s.name, filter) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s ", s.name)
		rows, failed := b.measure(ctx, s)
		fmt.Fprintln(os.Stderr)
		table = append(table, rows...)
		if ctx.Err() != nil {
			return table, ctx.Err()
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, failed))
		}
	}
	return table, err
}

func (b *bench) measure(ctx context.Context, s scenario) ([]row, error) {
	var own, other []figures
	for range b.passes {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.reference != nil {
			f, err := s.reference(b)
			if err != nil {
				return nil, fmt.Errorf("the reference: %w", err)
			}
			other = append(other, f)
		}
		b.scenario = s.name
		f, err := s.orbitd(b)
		if err != nil {
			return nil, err
		}
		own = append(own, f)
		fmt.Fprint(os.Stderr, ".")
	}
	return fill(s, own, other), nil
}

// size returns n, or less for a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return max(n/10, 1)
	}
	return n
}

// temp returns a fresh folder on the disk that is measured.
func (b *bench) temp() (string, error) {
	folder, err := os.MkdirTemp(b.folder, "run-")
	if err != nil {
		return "", err
	}
	return filepath.Abs(folder)
}
