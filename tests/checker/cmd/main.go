// Command cmd checks histories: go run ./tests/checker/cmd FILE...
// It prints the verdict, and exits with 1 if something is wrong, with 2 if a
// file cannot be read.
package main

import (
	"fmt"
	"os"

	"github.com/orbitd/orbitd/tests/checker"
)

func main() {
	var h checker.History
	for _, name := range os.Args[1:] {
		if err := read(&h, name); err != nil {
			fmt.Fprintln(os.Stderr, "checker:", err)
			os.Exit(2)
		}
	}
	v := checker.Check(&h)
	fmt.Println(v)
	if err := v.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "checker:", err)
		os.Exit(1)
	}
}

func read(h *checker.History, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := h.Read(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
