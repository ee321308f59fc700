package kill

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/tests/scene"
)

// A consumer is a witness that is "orbitd sub", one process after the other. If
// it has a name the daemon keeps its place: a process that was killed is
// followed by one that is told no position. What the killed one may have seen
// comes again then, marked, and is passed over as an application would do that
// knows what it has processed; any other repeat is a fault.
type consumer struct {
	*scene.Witness
	name        string // of its durable session; without one it is never killed
	lives       int
	redelivered int
	placed      atomic.Bool                     // it has had something of every channel: the daemon knows its place
	done        map[channel.Name]message.Offset // of all lives
	seen        map[channel.Name]message.Offset // of this life

	mu      sync.Mutex
	process *os.Process
}

func newConsumer(name string) *consumer {
	c := &consumer{Witness: &scene.Witness{Who: "orbitd sub"}, name: name, done: map[channel.Name]message.Offset{}}
	if name != "" {
		c.Who += " --client " + name
	}
	return c
}

// run starts one process after the other until ctx ends.
func (c *consumer) run(ctx context.Context, binary, url string) {
	for ctx.Err() == nil && c.Failed == nil {
		c.lives++
		c.live(ctx, c.command(ctx, binary, url))
	}
}

// command is what the next life runs. Only a first one says where to start.
func (c *consumer) command(ctx context.Context, binary, url string) *exec.Cmd {
	args := []string{"sub", "--url", url}
	if c.name != "" {
		args = append(args, "--user", scene.User, "--client", c.name)
	}
	if !c.placed.Load() {
		args = append(args, "--from-start")
	}
	for _, ch := range scene.Channels {
		args = append(args, string(ch))
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "ORBITD_PASSWORD="+scene.Password)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// live reads what one process prints until it has ended: by SIGTERM with exit
// status 0, or because the test killed it.
func (c *consumer) live(ctx context.Context, cmd *exec.Cmd) {
	c.seen = map[channel.Name]message.Offset{}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.Failed = err
		return
	}
	c.setProcess(cmd.Process)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		c.line(scanner.Bytes())
	}
	c.setProcess(nil)
	_ = cmd.Wait() // how it ended is in its state
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed := c.name != "" && status.Signal() == syscall.SIGKILL
	stopped := ctx.Err() != nil && cmd.ProcessState.ExitCode() == 0
	if !killed && !stopped {
		c.Failed = fmt.Errorf("%s: %v", c.Who, cmd.ProcessState)
	}
}

func (c *consumer) setProcess(p *os.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
}

// kill ends the process that runs, if any, as a crash would.
func (c *consumer) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil && c.name != "" && c.placed.Load() {
		c.process.Kill()
	}
}

func (c *consumer) line(text []byte) {
	var l struct {
		Channel channel.Name    `json:"ch"`
		Offset  message.Offset  `json:"o"`
		Data    json.RawMessage `json:"d"`
		Again   bool            `json:"r"`
		Gap     *struct{ After, To message.Offset }
	}
	switch err := json.Unmarshal(text, &l); {
	case err != nil:
		c.Failed = fmt.Errorf("%s printed %s: %w", c.Who, text, err)
	case l.Gap != nil:
		c.Gap(l.Channel, l.Gap.After, l.Gap.To)
	case l.Offset <= c.seen[l.Channel]:
		c.Failed = fmt.Errorf("%s: one process was given %d of %s behind %d", c.Who, l.Offset, l.Channel, c.seen[l.Channel])
	case l.Again && l.Offset <= c.done[l.Channel]:
		c.seen[l.Channel] = l.Offset
		c.redelivered++
	default:
		c.seen[l.Channel], c.done[l.Channel] = l.Offset, l.Offset
		c.placed.Store(len(c.done) == len(scene.Channels))
		c.Delivered(l.Channel, l.Offset, l.Data)
	}
}
