package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/protocol"
)

func pubCommand() *cobra.Command {
	var p publisher
	var server remote
	c := &cobra.Command{
		Use:   "pub [flags] CHANNEL",
		Short: "publish a message for each line of standard input",
		Long: `pub publishes each line of standard input to the channel, in order. A line that is
a JSON value is published as that, any other as a text; blank lines are passed
over. With --raw every line is a text, as it stands.

Each message has a key of its own and is tried again until the server has stored
it, across interruptions and restarts, and is stored once. If one is refused,
none behind it is stored.

SIGINT or SIGTERM ends it; it then says how many lines are stored.

Exit status: 0 if all lines are stored, 1 if not; the error names the line.`,
		Example: `  echo '{"text":"hi"}' | orbitd pub /chat/lobby
  tail -F /var/log/syslog | orbitd pub --raw --user bot /logs/syslog
  orbitd pub --json /chat/lobby < messages.jsonl > receipts.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := channel.Parse(args[0])
			if err != nil {
				return err
			}
			o, err := server.options(c)
			if err != nil {
				return failed(err)
			}
			p.channel = name
			return failed(p.run(c, o))
		},
	}
	server.flags(c)
	c.Flags().BoolVar(&p.raw, "raw", false, "take every line as a text, also if it is JSON")
	c.Flags().BoolVarP(&p.verbose, "verbose", "v", false, "print where each line was stored")
	c.Flags().BoolVar(&p.json, "json", false, "print where each line was stored, as one JSON object a line")
	return c
}

// A publisher is one run of "orbitd pub".
type publisher struct {
	channel            channel.Name
	raw, verbose, json bool

	out    io.Writer
	cancel context.CancelFunc

	settled sync.WaitGroup // of the answers

	mu      sync.Mutex // guards what follows: answers come from another goroutine
	pending int        // lines without an answer
	kept    int        // lines that are stored
	last    string     // key of the last line, while it has no answer
	behind  int        // lines that are not stored, because one before them is not or none was sent
	failure error      // the first refusal, with its line
}

// maxLine bounds a line; the server's own limit is usually lower.
const maxLine = 16 << 20

var errInterrupted = errors.New("interrupted")

func (p *publisher) run(cmd *cobra.Command, o client.Options) error {
	signals, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	reading, cancel := context.WithCancel(signals)
	defer cancel()
	p.out, p.cancel = cmd.OutOrStdout(), cancel
	c, err := client.New(o)
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(signals))
	ended := make(chan error, 1)
	go func() {
		err := c.Run(running)
		cancel()
		ended <- err
	}()
	err = p.publishAll(reading, c, readLines(reading, cmd.InOrStdin()))
	p.wait(signals)
	end()
	if runErr := <-ended; !errors.Is(runErr, context.Canceled) {
		err = hinted(runErr)
	} else if signals.Err() != nil {
		err = errInterrupted
	}
	return p.result(err)
}

// publishAll hands all lines to the client.
func (p *publisher) publishAll(ctx context.Context, c *client.Client, lines <-chan input) error {
	for {
		select {
		case in, ok := <-lines:
			if !ok {
				return nil
			}
			if err := p.publish(ctx, c, in); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil // what ended it is known elsewhere
		}
	}
}

// publish hands one line to the client, behind the one before it.
func (p *publisher) publish(ctx context.Context, c *client.Client, in input) error {
	if in.err != nil {
		return fmt.Errorf("line %d: %w", in.number, in.err)
	}
	data, err := p.payload(in.text)
	if err != nil {
		return fmt.Errorf("line %d: %w", in.number, err)
	}
	if data == nil {
		return nil
	}
	key := rand.Text()
	previous := p.begin(key)
	want := client.Publication{Channel: p.channel, Data: data, Key: key, Prev: previous}
	if err = c.PublishAsync(ctx, want, func(r client.Receipt, err error) { p.answered(in.number, key, r, err) }); err != nil {
		p.mu.Lock()
		p.pending--
		p.mu.Unlock()
		p.settled.Done()
	}
	return nil // an error here is the end of the client or of reading
}

// begin counts a line and returns the key of the one before it, if that has no
// answer.
func (p *publisher) begin(key string) (previous string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	previous, p.last = p.last, key
	p.pending++
	p.settled.Add(1)
	return previous
}

// payload returns a line as JSON; nil is a line to pass over.
func (p *publisher) payload(line []byte) ([]byte, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	if !p.raw {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil, nil
		}
		if data, err := protocol.Payload(line); err == nil {
			return data, nil
		}
	}
	return json.Marshal(string(line))
}

// answered takes the answer to a line. A line without one stays pending.
func (p *publisher) answered(line int, key string, r client.Receipt, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.settled.Done()
	if errors.Is(err, client.ErrClosed) && !errors.Is(err, client.ErrNotSent) {
		return
	}
	p.pending--
	switch {
	case errors.Is(err, client.ErrNotSent), err != nil && p.failure != nil:
		p.behind++
	case err != nil:
		p.fail(fmt.Errorf("line %d: %w", line, hinted(err)))
	default:
		p.stored(line, key, r)
	}
}

func (p *publisher) fail(err error) {
	p.failure = err
	p.cancel()
}

func (p *publisher) stored(line int, key string, r client.Receipt) {
	if p.last == key {
		p.last = "" // the next one needs no link to it
	}
	p.kept++
	var err error
	switch {
	case p.json:
		_, err = fmt.Fprintf(p.out, `{"line":%d,"offset":%d,"epoch":"%s","key":"%s","duplicate":%t}`+"\n", line, r.Offset, r.Epoch, key, r.Duplicate)
	case p.verbose:
		_, err = fmt.Fprintf(p.out, "line %d: stored at offset %d\n", line, r.Offset)
	}
	if err != nil && p.failure == nil {
		p.fail(fmt.Errorf("line %d is stored; write its receipt: %w", line, err))
	}
}

// lastAnswers is how long a publisher that was interrupted waits for the answers
// that are on their way, so that it can say what is stored.
const lastAnswers = time.Second

// wait waits until every line has its answer, at the latest until the client
// has ended, or for a moment after ctx.
func (p *publisher) wait(ctx context.Context) {
	all := make(chan struct{})
	go func() {
		p.settled.Wait()
		close(all)
	}()
	select {
	case <-all:
		return
	case <-ctx.Done():
	}
	moment := time.NewTimer(lastAnswers)
	defer moment.Stop()
	select {
	case <-all:
	case <-moment.C:
	}
}

// result says what became of the lines.
func (p *publisher) result(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = errors.Join(p.failure, err)
	if err != nil {
		err = fmt.Errorf("%w\nlines that are stored: %d", err, p.kept)
	}
	if err != nil && p.behind > 0 {
		err = fmt.Errorf("%w\nlines that were read and are not: %d", err, p.behind)
	}
	if err != nil && p.pending > 0 {
		err = fmt.Errorf("%w\nlines without an answer, which may or may not be: %d", err, p.pending)
	}
	return err
}

// An input is one line of standard input, without its end.
type input struct {
	number int
	text   []byte
	err    error
}

// readLines reads lines until ctx ends. A read that waits for a terminal cannot
// be ended; that goroutine goes with the process.
func readLines(ctx context.Context, r io.Reader) <-chan input {
	lines := make(chan input)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, maxLine)
		number := 1
		send := func(in input) bool {
			select {
			case lines <- in:
				return true
			case <-ctx.Done():
				return false
			}
		}
		for ; scanner.Scan(); number++ {
			if !send(input{number: number, text: bytes.Clone(scanner.Bytes())}) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("it has more than %d MiB; no server takes that", maxLine>>20)
			}
			send(input{number: number, err: err})
		}
	}()
	return lines
}
