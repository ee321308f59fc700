package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// A crowd comes beside the clients that are measured, from a process of its own: in
// theirs, it would be measured how long it takes to play the crowd. That process has
// what they leave of the generator's core (SCHED_IDLE of sched(7)), so the crowd is as
// fast as the machine goes, and does not get between the clients and their messages.
type crowd struct {
	meanwhile func() error            // called again and again
	over      func() (figures, error) // what has become of it
}

// come is the line that says that a crowd is there.
const come = "come"

// A process is where a crowd is.
type process struct {
	cmd  *exec.Cmd
	end  io.WriteCloser // closed, it tells what has become of it
	says *bufio.Reader
}

// startCrowd starts a process with a crowd, and waits until that has come.
func startCrowd(name string, n int, to netip.AddrPort) (*process, error) {
	p := &process{cmd: exec.Command("/proc/self/exe", crowdArgument, name, strconv.Itoa(n), to.String())}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err, err2 error
	p.end, err = p.cmd.StdinPipe()
	says, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	p.says = bufio.NewReader(says)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := p.says.ReadString('\n'); line != come+"\n" {
		return nil, errors.Join(fmt.Errorf("the crowd has not come: %q, %w", line, err), p.kill())
	}
	return p, nil
}

// finish asks what has become of the crowd, and ends it.
func (p *process) finish() (f figures, err error) {
	p.end.Close()
	if err := json.NewDecoder(p.says).Decode(&f); err != nil {
		return nil, errors.Join(fmt.Errorf("what the crowd says: %w", err), p.kill())
	}
	return f, p.cmd.Wait()
}

// kill ends it.
func (p *process) kill() error {
	_ = p.cmd.Process.Kill() // fails where it has ended
	return p.cmd.Wait()
}

// crowdArgument is the first argument of such a process.
const crowdArgument = "crowd"

// playCrowd is what it does.
func playCrowd(name string, size, to string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	loop, err := load.NewLoop()
	if err != nil {
		return err
	}
	defer loop.Close()
	s := &site{&server{address: address}, load.NewFleet(loop, load.Orbit{}, address), loop}
	c, err := crowdsBy[name](s, n)
	if err != nil {
		return err
	}
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		return fmt.Errorf("give way to the measured clients: %w", err)
	}
	fmt.Println(come)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin) // its end, or that of who measures
	}()
	for {
		select {
		case <-ended:
			f, err := c.over()
			return errors.Join(err, s.Err(), json.NewEncoder(os.Stdout).Encode(f))
		default:
			if err := errors.Join(c.meanwhile(), loop.Turn(time.Millisecond), s.Err()); err != nil {
				return err
			}
		}
	}
}
